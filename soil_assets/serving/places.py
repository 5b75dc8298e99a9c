"""Places for requests: how many at a time, in all and of one client, and whose turn it is.

Belongs here: counting and turns. Does not belong here: bytes (``serving.body``), what is done in a turn.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator

from soil_assets.serving.refusals import Refused

_COME_BACK = {"Retry-After": "1"}


class Places:
    """Requests at a time, in all and of one client.

    Parameters
    ----------
    most, most_per_client : int
    """

    def __init__(self, most: int, most_per_client: int) -> None:
        self._most, self._most_per_client = most, most_per_client
        self._of: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._of.total()

    @contextlib.contextmanager
    def place(self, client: str) -> Iterator[None]:
        """Hold a place.

        Raises
        ------
        Refused
            503 when all are taken, or this client has its share.
        """
        if len(self) >= self._most:
            raise Refused(
                503, "too many requests are being answered", mend="send it again", headers=_COME_BACK
            )
        if self._of[client] >= self._most_per_client:
            raise Refused(
                503,
                "this client has too many large requests under way",
                found=str(self._of[client]),
                expected=f"at most {self._most_per_client} at a time",
                mend="wait for an answer before the next is sent",
                headers=_COME_BACK,
            )
        self._of[client] += 1
        try:
            yield
        finally:
            self._of[client] -= 1
            if not self._of[client]:
                del self._of[client]


class Arrivals:
    """Small requests whose bodies are on their way; when there are too many, the one that waits longest must go.

    A body of a few kilobytes arrives within milliseconds: the longest wait is that of a client that does not send.

    Parameters
    ----------
    most : int
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[asyncio.Timeout, None] = {}

    @contextlib.contextmanager
    def place(self, patience: asyncio.Timeout) -> Iterator[None]:
        """Hold a place; ``patience`` ends at once when a newer request needs it."""
        if len(self._waiting) >= self._most:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            oldest.reschedule(asyncio.get_running_loop().time())
        self._waiting[patience] = None
        try:
            yield
        finally:
            self._waiting.pop(patience, None)


class Lane:
    """Work that is done a few at a time; clients take turns, whoever sent more waits longer.

    Parameters
    ----------
    width : int
        Requests that are worked on at a time.
    """

    def __init__(self, width: int = 1) -> None:
        self._free = width
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}

    @property
    def busy(self) -> bool:
        """Whether a request would have to wait."""
        return not self._free

    @contextlib.asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """Wait for a turn, and hold it."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(client)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, client: str) -> None:
        mine = asyncio.get_running_loop().create_future()
        self._queues.setdefault(client, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():  # the turn came at the moment the client left
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """Give the turn to the next client's first request; that client goes to the end."""
        while self._queues:
            client, queue = next(iter(self._queues.items()))
            del self._queues[client]
            following = queue.popleft()
            if queue:
                self._queues[client] = queue
            if not following.done():
                following.set_result(None)
                return
        self._free += 1
