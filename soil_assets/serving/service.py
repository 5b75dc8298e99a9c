"""One running service: models, keys, limits and log put together, and how a request is answered.

Belongs here: the path of a request from bytes to bytes. Does not belong here: routes and headers (``serving.app``).

The event loop moves bytes and answers what takes a millisecond or two; other JSON and arithmetic is done by threads,
large requests in pieces side by side.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from soil_assets.errors import BadInput
from soil_assets.serving.answers import answer, choose, doubts
from soil_assets.serving.body import LARGE, Arriving, Bodies, give_back
from soil_assets.serving.figures import Figures
from soil_assets.serving.incoming import Asked, from_json, validated
from soil_assets.serving.keys import Keys
from soil_assets.serving.live import LiveModels
from soil_assets.serving.logs import EventLog
from soil_assets.serving.prediction_log import PredictionLog
from soil_assets.serving.reading import FileQuery, FileReader
from soil_assets.serving.refusals import Refused

if TYPE_CHECKING:
    from soil_assets.config import QualityPolicy
    from soil_assets.serving.settings import Service

#: Seconds after which a large request is surely answered.
_TRIM_AFTER = 5.0
#: Requests of so few bytes and spectra are answered by the event loop itself, where one spectrum takes the models no
#: longer than these seconds.
_SMALL, _FEW, _QUICK = 128 << 10, 2, 0.005
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
        self.keys = Keys(Path(service.keys.format(home=home)) if service.keys else None)
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
                tell=tell,
            )
            if place and service.log_share > 0
            else None
        )
        self.figures.watch(live, self.log)
        self.figures.active.set_function(lambda: self._active)
        cores = os.cpu_count() or 1
        self._answering = ThreadPoolExecutor(max(2, cores), "answer")
        self._pieces = ThreadPoolExecutor(cores, "piece")
        self._active = 0
        # One large request at a time: numbers take five times the room of their text while they are read.
        self._large = asyncio.Semaphore(1)

    async def close(self) -> None:
        """End threads and processes; write what the log still holds."""
        await self.files.close()
        self.live.close()
        if self.log is not None:
            await asyncio.to_thread(self.log.close)
        self._answering.shutdown(wait=False, cancel_futures=True)
        self._pieces.shutdown(wait=False, cancel_futures=True)

    def turn(self) -> _Turn:
        """Hold one of the places for requests.

        Raises
        ------
        Refused
            503 when all are taken.
        """
        if self._active >= self.settings.max_requests:
            raise Refused(
                503,
                "too many requests are being answered",
                mend="send it again",
                headers={"Retry-After": "1"},
            )
        return _Turn(self)

    async def predict(self, request: Arriving, request_id: str, facts: dict[str, Any]) -> bytes:
        """Answer one request with JSON; ``facts`` gets what the log of requests says of it.

        Raises
        ------
        BadInput
            With the status that :func:`soil_assets.serving.refusals.status_of` tells.
        """
        with self.turn(), self.bodies.account() as account:
            kind = request.header(b"content-type").partition(";")[0].strip().lower()
            query = self._query(request, kind)
            body = await self.bodies.read(request, account)
            facts["read"] = len(body)
            if len(body) > LARGE:
                asyncio.get_running_loop().call_later(_TRIM_AFTER, self._answering.submit, give_back)
            until = time.monotonic() + self.settings.answer_seconds
            asked = None if query is None else await self._file(body, query)

            def work() -> bytes:
                return self._answer(
                    asked or from_json(body, self.settings.max_spectra), request_id, facts, until
                )

            try:
                if asked is None and self._is_quick(body):
                    return work()  # a thread would take longer to take it over than the answer takes
                alone = self._large if len(body) > LARGE else contextlib.nullcontext()
                async with asyncio.timeout(self.settings.answer_seconds), alone:
                    return await asyncio.get_running_loop().run_in_executor(self._answering, work)
            except TimeoutError:
                raise Refused(
                    504,
                    "the answer took too long",
                    expected=f"at most {self.settings.answer_seconds:g} s",
                    mend="send fewer spectra in one request",
                ) from None

    def _is_quick(self, body: bytes) -> bool:
        few = len(body) <= _SMALL and body.count(b'"intensities"') <= _FEW
        return few and self.live.current.seconds <= _QUICK

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
            raw[name] = [*raw.get(name, ()), value] if name in lists else value
        query: FileQuery = validated(FileQuery, raw)
        return query

    async def _file(self, body: bytes, query: FileQuery) -> Asked:
        if not body:
            raise BadInput("the file is empty", file=query.filename[:100], mend="send the file as the body")
        return await self.files.read(body, query)

    def _answer(self, asked: Asked, request_id: str, facts: dict[str, Any], until: float) -> bytes:
        snapshot = self.live.current
        facts["spectra"] = len(asked)
        properties, levels = choose(asked, snapshot.models)
        columns = snapshot.together.predict(
            asked.spectra,
            asked.axis,
            asked.quantity,
            asked.scale,
            properties,
            check_time=_deadline(until),
            executor=self._pieces,
        )
        said = answer(
            request_id, asked, columns, snapshot.models, levels, doubts(asked, self.policy, columns)
        )
        facts["versions"] = {p: snapshot.models[p].version for p in properties}
        facts["outside"] = said["outside"]
        self.figures.spectra.observe(len(asked))
        for prop, outside in said["outside"].items():
            self.figures.answered(prop, len(asked), outside)
        if self.log is not None:
            self.log.put(request_id, asked, columns, snapshot.models)
        return orjson.dumps(said)


class _Turn:
    """One of the places for requests, held."""

    __slots__ = ("_service",)

    def __init__(self, service: PredictionService) -> None:
        self._service = service

    def __enter__(self) -> None:
        self._service._active += 1

    def __exit__(self, *_: object) -> None:
        self._service._active -= 1


def _deadline(until: float) -> Callable[[], None]:
    def check() -> None:
        if time.monotonic() > until:
            raise TimeoutError

    return check
