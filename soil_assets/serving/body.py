"""A request's body: taken in bounded size and time, unpacked in bounded size.

Belongs here: what protects the process from large, slow and packed bodies. Does not belong here: meaning.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from soil_assets.errors import BadInput
from soil_assets.serving.places import Arrivals
from soil_assets.serving.refusals import Refused, too_large
from soil_assets.serving.settings import Service

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

#: Bodies up to this size never wait for larger ones.
SMALL = 128 << 10
#: After requests from this size on memory is given back to the system.
LARGE = 16 << 20
#: Small bodies on their way at a time: together they hold no more than a large one.
_ARRIVING = 512
#: A client that sends or takes this much in time may go on.
PROGRESS = 1 << 20
#: What is sent may unpack to so many times its size, and to a megabyte in any case: spectra pack to a fifth at best.
_UNPACKED_RATIO = 32
_PIECE = 256 << 10
_MOST_FIELDS = 100


class ClientLeft(Exception):
    """The client left before its request was answered."""


class Arriving:
    """A request as the server hands it over: its head is known, its body is to come."""

    __slots__ = ("_heads", "_query", "client", "receive")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        # Of a header that is sent twice the first counts.
        self._heads: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        self._query: bytes = scope["query_string"]
        #: Address that the request comes from.
        self.client = str((scope.get("client") or ("",))[0])
        self.receive = receive

    def header(self, name: bytes) -> str:
        """Return a header by its name in small letters; empty where it is not there."""
        return self._heads.get(name, b"").decode("latin-1")

    @property
    def has_body(self) -> bool:
        """Whether a body comes with it."""
        return self._heads.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in self._heads

    @property
    def query(self) -> list[tuple[str, str]]:
        """Names and values of the query, in their order.

        Raises
        ------
        BadInput
            For a query of too many fields.
        """
        if not self._query:
            return []
        try:
            return parse_qsl(
                self._query.decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST_FIELDS
            )
        except ValueError:
            raise BadInput(
                "too many fields in the query", column="query", expected=f"at most {_MOST_FIELDS}"
            ) from None

    async def departure(self) -> None:
        """Return when the client has left; the body must have been read."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


class Bodies:
    """Bytes that are held for all requests together."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._most = service.max_body_mb << 20
        self._budget = service.memory_mb << 20
        self._lock = threading.Lock()
        self._arrivals = Arrivals(_ARRIVING)

    def account(self) -> Account:
        """Account for one request's bytes until it is answered."""
        return Account(self)

    def free(self, count: int) -> None:
        """Put back what :meth:`take` took."""
        with self._lock:
            self._budget += count

    def take(self, count: int) -> None:
        """Take from the budget.

        Raises
        ------
        Refused
            503 when other requests hold it.
        """
        with self._lock:
            if count <= self._budget:
                self._budget -= count
                return
        raise Refused(
            503,
            "other large requests are being answered",
            mend="send it again",
            headers={"Retry-After": "2"},
        )

    async def read(self, request: Arriving, account: Account, large: Callable[[], None]) -> bytearray:
        """Return the body as it was sent.

        Parameters
        ----------
        request : Arriving
        account : Account
            Is charged as bytes arrive.
        large : callable
            Called once, as soon as the body is known to be larger than :data:`SMALL`; raises to refuse it.

        Raises
        ------
        Refused
            413 too large (told before anything is read, where the length is stated), 408 too slow, 415 another
            encoding.
        """
        encoding = packing(request)
        if encoding not in ("identity", "gzip", ""):
            raise Refused(
                415, "this content encoding is not understood", found=encoding[:50], expected="gzip, or none"
            )
        stated = request.header(b"content-length")
        length = int(stated) if stated.isascii() and stated.isdigit() else 0
        if length > self._most:
            raise self._large(f"{length / 2**20:.0f} MB")
        is_large = length > SMALL
        if is_large:
            large()
        seconds = self.service.body_seconds
        body = bytearray()
        try:
            async with asyncio.timeout(seconds) as patience:
                with contextlib.nullcontext() if is_large else self._arrivals.place(patience):
                    received = 0
                    more = True
                    while more:
                        message = await request.receive()
                        if message["type"] == "http.disconnect":
                            raise ClientLeft
                        chunk, more = message.get("body", b""), message.get("more_body", False)
                        account.take(len(chunk))
                        body += chunk
                        if len(body) > self._most:
                            raise self._large(f"over {self.service.max_body_mb} MB")
                        if len(body) > SMALL and not is_large:
                            is_large = True
                            large()
                        if len(body) - received >= PROGRESS:
                            received = len(body)
                            patience.reschedule(asyncio.get_running_loop().time() + seconds)
        except TimeoutError:
            raise Refused(
                408,
                "the request took too long to arrive",
                found=f"{len(body)} bytes",
                expected=f"all of it, or another {PROGRESS >> 20} MB, within {seconds:g} s",
            ) from None
        return body

    def _large(self, found: str) -> Refused:
        return too_large("the request is too large", found, f"at most {self.service.max_body_mb} MB")

    def unpacked(
        self, packed: bytes | bytearray, account: Account, most_mb: int, check: Callable[[], None]
    ) -> bytearray:
        """Return what a gzipped body holds.

        Parameters
        ----------
        packed : bytes
        account : Account
            Is charged as bytes appear.
        most_mb : int
            Larger ones are refused.
        check : callable
            Called before every piece; raises to stop.

        Raises
        ------
        Refused
            413 for too much, 400 for what is no gzip, damaged or cut.
        """
        most = min(most_mb << 20, (1 << 20) + _UNPACKED_RATIO * len(packed))
        content = bytearray()
        for piece in gunzip(packed):
            check()
            account.take(len(piece))
            content += piece
            if len(content) > most:
                raise too_large(
                    "the request unpacks to too much",
                    f"{len(packed)} bytes unpack to over {most >> 20} MB",
                    f"at most {most_mb} MB, and {_UNPACKED_RATIO} times what is sent",
                )
        return content


def packing(request: Arriving) -> str:
    """Return the content encoding that a request states; empty for none."""
    return request.header(b"content-encoding").strip().lower()


def gunzip(packed: bytes | bytearray) -> Iterator[bytes]:
    """Yield the content of a gzipped body in pieces of bounded size, whatever the packed bytes promise.

    Raises
    ------
    Refused
        400.
    """
    inner = zlib.decompressobj(wbits=31)
    for start in range(0, len(packed), _PIECE):
        data = packed[start : start + _PIECE]
        while not inner.eof:
            try:
                piece = inner.decompress(data, _PIECE)
            except zlib.error:
                raise Refused(400, "the body is not gzip, or damaged", mend="send it again") from None
            data = inner.unconsumed_tail
            if piece:
                yield piece
            if not data and len(piece) < _PIECE:
                break
        if inner.unused_data or (inner.eof and start + _PIECE < len(packed)):
            raise Refused(400, "something follows the gzipped body", mend="send one gzip stream")
    if not inner.eof:
        raise Refused(400, "the gzipped body is cut", mend="send it again, whole")


def small_content(packed: bytes | bytearray) -> bytearray | None:
    """Return what a gzipped body holds when that is no more than :data:`SMALL`, else None.

    Raises
    ------
    Refused
        400.
    """
    content = bytearray()
    for piece in gunzip(packed):
        content += piece
        if len(content) > SMALL:
            return None
    return content


def give_back() -> None:
    """Return freed memory to the system: glibc keeps what a large request needed for the next one."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


class Account:
    """What one request holds."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self.taken = 0

    def take(self, count: int) -> None:
        """Take from the budget of all requests; see :meth:`Bodies.take`."""
        self._bodies.take(count)
        self.taken += count

    def hold(self, count: int) -> None:
        """Hold the answer's bytes instead of the body's; it is there, so it cannot be refused any more."""
        self._bodies.free(self.taken - count)
        self.taken = count

    def __enter__(self) -> Account:
        return self

    def __exit__(self, *_: object) -> None:
        self._bodies.free(self.taken)
