"""One running service: models, keys, limits and log put together, and how a request is answered.

Belongs here: the path of a request from bytes to bytes. Does not belong here: routes and headers (``serving.app``).

The event loop moves bytes and answers what takes a millisecond or two. Everything else is done by threads, in three
lanes: a spectrum or two, small bodies, large ones; in each, clients take turns. What nobody waits for any more is
given up, and its memory counts until it really ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from soil_assets.errors import BadInput
from soil_assets.serving.answers import answer, choose, doubts
from soil_assets.serving.body import (
    LARGE,
    SMALL,
    Account,
    Arriving,
    Bodies,
    ClientLeft,
    give_back,
    packing,
    small_content,
)
from soil_assets.serving.figures import Figures
from soil_assets.serving.incoming import Asked, from_json, validated
from soil_assets.serving.keys import Keys
from soil_assets.serving.live import LiveModels
from soil_assets.serving.logs import EventLog
from soil_assets.serving.places import Lane, Places
from soil_assets.serving.prediction_log import PredictionLog
from soil_assets.serving.reading import FileQuery, FileReader
from soil_assets.serving.refusals import Refused, too_large

if TYPE_CHECKING:
    from soil_assets.config import QualityPolicy
    from soil_assets.serving.settings import Service

#: Seconds after which a large request is surely answered.
_TRIM_AFTER = 5.0
#: Requests of so few objects and values are answered by the event loop itself, where one spectrum takes the models no
#: longer than these seconds. An object has a brace of its own in the text, however its keys are written, and a value
#: but the first a comma: nothing in a body can hide them.
_FEW_OBJECTS, _FEW_VALUES, _QUICK = 5, 16_384, 0.005
_Result = TypeVar("_Result")
_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")


class PredictionService:
    """What answers requests.

    Parameters
    ----------
    service : Service
        Limits and places.
    policy : QualityPolicy
        Possible intensities, for warnings.
    live : LiveModels
        Started.
    tell : EventLog
    home : str
        Fills ``{home}`` in places.
    """

    def __init__(
        self, service: Service, policy: QualityPolicy, live: LiveModels, tell: EventLog, home: str
    ) -> None:
        self.settings = service
        self.policy = policy
        self.live = live
        self.tell = tell
        self.keys = Keys(Path(service.keys.format(home=home)) if service.keys else None, tell)
        self.figures = Figures()
        self.bodies = Bodies(service)
        self.files = FileReader(service)
        place = service.predictions.format(home=home)
        self.log = (
            PredictionLog(
                place,
                share=service.log_share,
                seconds=service.log_seconds,
                queue=service.log_queue,
                kinds=service.log_kinds,
                days=service.log_days,
                tell=tell,
            )
            if place and service.log_share > 0
            else None
        )
        self.figures.watch(live, self.log)
        self.figures.active.set_function(lambda: self._active)
        self.places = Places(service.max_requests, service.max_per_client)
        cores = os.cpu_count() or 1
        self._threads = ThreadPoolExecutor(4, "answer")  # a lane each, and files that are unpacked
        self._pieces = ThreadPoolExecutor(cores, "piece")
        self._few, self._small, self._large = Lane(), Lane(), Lane()
        self._active = 0

    async def close(self) -> None:
        """End threads and processes; write what the log still holds."""
        await self.files.close()
        self.live.close()
        if self.log is not None:
            await asyncio.to_thread(self.log.close)
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._pieces.shutdown(wait=False, cancel_futures=True)

    async def predict(
        self, request: Arriving, request_id: str, facts: dict[str, Any], holding: contextlib.ExitStack
    ) -> bytes:
        """Answer one request with JSON.

        Parameters
        ----------
        request : Arriving
        request_id : str
        facts : dict
            Gets what the log of requests says of it.
        holding : ExitStack
            Holds memory and a place; to be closed when the answer was sent.

        Raises
        ------
        BadInput
            With the status that :func:`soil_assets.serving.refusals.status_of` tells.
        ClientLeft
            When nobody waits for the answer.
        """
        self._active += 1
        holding.callback(self._left)
        account = holding.enter_context(self.bodies.account())
        kind = request.header(b"content-type").partition(";")[0].strip().lower()
        query = self._query(request, kind)
        client = str(facts.get("key") or request.client)

        def large() -> None:
            holding.enter_context(self.places.place(client))

        if query is not None:
            large()
        body: bytes | bytearray = await self.bodies.read(
            request, account, large if query is None else lambda: None
        )
        facts["read"] = len(body)
        packed = packing(request) == "gzip"
        if len(body) > LARGE or packed:
            asyncio.get_running_loop().call_later(_TRIM_AFTER, self._threads.submit, give_back)
        if packed and len(body) <= SMALL and (content := small_content(body)) is not None:
            body, packed = content, False
        work = _Work(self, account, client, request_id, facts)
        try:
            if query is None and not packed and self._is_quick(body):
                text = work.of_json(body, packed)  # a thread takes longer to take it over than it takes
            else:
                text = await _attended(request, self._in_time(work, body, packed, query))
        except TimeoutError:
            raise Refused(
                504,
                "the answer took too long",
                expected=f"at most {self.settings.answer_seconds:g} s",
                mend="send fewer spectra in one request",
            ) from None
        account.hold(len(text))
        return text

    def _left(self) -> None:
        self._active -= 1

    async def _in_time(
        self, work: _Work, body: bytes | bytearray, packed: bool, query: FileQuery | None
    ) -> bytes:
        """Answer in the lane that a body belongs to."""
        async with asyncio.timeout(self.settings.answer_seconds):
            if query is not None:
                return await self._of_file(work, body, packed, query)
            few = not packed and _is_few(body)
            lane = self._few if few else self._small if len(body) <= SMALL and not packed else self._large
            async with lane.turn(work.client):
                return await self._in_thread(work, lambda: work.of_json(body, packed))

    async def _of_file(self, work: _Work, body: bytes | bytearray, packed: bool, query: FileQuery) -> bytes:
        if not body:
            raise BadInput("the file is empty", file=query.filename[:100], mend="send the file as the body")
        async with self.files.turn(work.client):
            content = await self._in_thread(work, lambda: work.content(body, packed)) if packed else body
            if len(content) > self.settings.max_file_mb << 20:
                raise too_large(
                    "the file is too large",
                    f"{len(content) / 2**20:.0f} MB",
                    f"at most {self.settings.max_file_mb} MB",
                )
            asked = await self.files.read(content, query)
        async with self._large.turn(work.client):
            return await self._in_thread(work, lambda: work.of(asked))

    async def _in_thread(self, work: _Work, call: Callable[[], _Result]) -> _Result:
        """Run in a thread; what is given up is waited for, since it holds memory until it ends."""
        job = self._threads.submit(call)
        running = asyncio.wrap_future(job)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            work.abandoned = True
            if not job.cancel():
                await asyncio.wait([running])
                running.exception()
            raise

    def _is_quick(self, body: bytes | bytearray) -> bool:
        return _is_few(body) and self.live.current.seconds <= _QUICK

    def _query(self, request: Arriving, kind: str) -> FileQuery | None:
        """Return what the query says of an uploaded file; None for JSON."""
        given = request.query
        if kind == "application/json":
            if given:
                raise BadInput(
                    "a JSON request says everything in its body", column=f"query {given[0][0]}"[:100],
                    expected="no query", mend="put it into the body",
                )  # fmt: skip
            return None
        if not kind or kind in _FORMS:
            raise Refused(
                415,
                "the content type does not say what the body is",
                found=kind or "none",
                expected="application/json, or a file's own type (application/octet-stream will do)",
                mend="send the file as the body: curl -H 'Content-Type: application/octet-stream' --data-binary @FILE",
            )
        lists = {"properties", "levels"}
        raw: dict[str, Any] = {}
        for name, value in given:  # of one said twice, the last counts, unless it is a list
            if name in lists:
                raw.setdefault(name, []).append(value)
            else:
                raw[name] = value
        query: FileQuery = validated(FileQuery, raw)
        return query


class _Work:
    """One request's way from a body to an answer, outside the event loop.

    Parameters
    ----------
    service : PredictionService
    account : Account
    client : str
        Takes turns with others.
    request_id : str
    facts : dict
        Gets what the log of requests says.
    """

    def __init__(
        self,
        service: PredictionService,
        account: Account,
        client: str,
        request_id: str,
        facts: dict[str, Any],
    ) -> None:
        self.client = client
        #: Whether nobody waits for it any more.
        self.abandoned = False
        self._service = service
        self._account = account
        self._request_id = request_id
        self._facts = facts
        self._until = time.monotonic() + service.settings.answer_seconds

    def check(self) -> None:
        """Stop what takes too long, or what nobody waits for.

        Raises
        ------
        TimeoutError
        """
        if self.abandoned or time.monotonic() > self._until:
            raise TimeoutError

    def content(self, body: bytes | bytearray, packed: bool) -> bytes | bytearray:
        """Return the body, unpacked where it is packed."""
        if not packed:
            return body
        bodies = self._service.bodies
        return bodies.unpacked(body, self._account, self._service.settings.max_unpacked_mb, self.check)

    def of_json(self, body: bytes | bytearray, packed: bool) -> bytes:
        """Answer a JSON request."""
        settings = self._service.settings
        content = self.content(body, packed)
        return self.of(from_json(content, settings.max_spectra, settings.max_values, self.check))

    def of(self, asked: Asked) -> bytes:
        """Answer what is asked."""
        service, facts = self._service, self._facts
        snapshot = service.live.current
        facts["spectra"] = len(asked)
        properties, levels = choose(asked, snapshot.models)
        columns = snapshot.together.predict(
            asked.spectra,
            asked.axis,
            asked.quantity,
            asked.scale,
            properties,
            check_time=self.check,
            executor=service._pieces,
        )
        text, outside = answer(
            self._request_id,
            asked,
            columns,
            snapshot.models,
            levels,
            doubts(asked, service.policy, columns),
            most_mb=service.settings.max_answer_mb,
            check=self.check,
        )
        facts["versions"] = {p: snapshot.models[p].version for p in properties}
        facts["outside"] = outside
        service.figures.spectra.observe(len(asked))
        for prop, count in outside.items():
            service.figures.answered(prop, len(asked), count)
        if service.log is not None:
            service.log.put(self._request_id, asked, columns, snapshot.models)
        return text


def _is_few(body: bytes | bytearray) -> bool:
    """Whether a body holds a spectrum or two, without reading it."""
    return len(body) <= SMALL and body.count(b"{") <= _FEW_OBJECTS and body.count(b",") <= _FEW_VALUES


async def _attended(request: Arriving, answering: Coroutine[Any, Any, bytes]) -> bytes:
    """Return the answer; when the client leaves, give it up.

    Raises
    ------
    ClientLeft
    """
    work, departure = asyncio.ensure_future(answering), asyncio.ensure_future(request.departure())
    try:
        await asyncio.wait([work, departure], return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientLeft
        return work.result()
    finally:
        departure.cancel()
        if not work.done():
            work.cancel()
            await asyncio.wait([work])
