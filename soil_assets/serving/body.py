"""A request's body: taken in bounded size and time, unpacked in bounded size.

Belongs here: what protects the process from large, slow and packed bodies. Does not belong here: meaning.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import zlib
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from soil_assets.serving.refusals import Refused, too_large
from soil_assets.serving.settings import Service

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

#: Requests from this size on are worked on one at a time, and memory is given back after them.
LARGE = 16 << 20
#: Bodies of all requests together may hold this many times the largest one as it is sent.
_BODIES_AT_ONCE = 2


class ClientLeft(Exception):
    """The client left before its request was whole."""


class Arriving:
    """A request as the server hands it over: its head is known, its body is to come."""

    __slots__ = ("_heads", "_query", "receive")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        # Of a header that is sent twice the first counts.
        self._heads: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        self._query: bytes = scope["query_string"]
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
        """Names and values of the query, in their order."""
        return parse_qsl(self._query.decode("latin-1"), keep_blank_values=True) if self._query else []


class Bodies:
    """Bytes that are held for all requests together."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._most = service.max_body_mb << 20
        self._most_unpacked = service.max_unpacked_mb << 20
        self._budget = max(_BODIES_AT_ONCE * self._most, self._most_unpacked)

    def account(self) -> _Account:
        """Account for one request's bytes until it is answered."""
        return _Account(self)

    def free(self, count: int) -> None:
        """Put back what :meth:`take` took."""
        self._budget += count

    def take(self, count: int) -> None:
        """Take from the budget.

        Raises
        ------
        Refused
            503 when other requests hold it.
        """
        if count > self._budget:
            raise Refused(
                503,
                "other large requests are being answered",
                mend="send it again",
                headers={"Retry-After": "2"},
            )
        self._budget -= count

    async def read(self, request: Arriving, account: _Account) -> bytes:
        """Return the body, unpacked when it was sent with ``Content-Encoding: gzip``.

        Raises
        ------
        Refused
            413 too large (told before anything is read, where the length is stated), 408 too slow, 415 another
            encoding, 400 a damaged packing.
        """
        encoding = request.header(b"content-encoding").strip().lower()
        if encoding not in ("identity", "gzip", ""):
            raise Refused(
                415, "this content encoding is not understood", found=encoding[:50], expected="gzip, or none"
            )
        stated = request.header(b"content-length")
        if stated.isascii() and stated.isdigit() and int(stated) > self._most:
            raise self._large(f"{int(stated) / 2**20:.0f} MB")
        unpack = _Gunzip(self._most_unpacked) if encoding == "gzip" else None
        parts: list[bytes] = []
        received = 0
        try:
            async with asyncio.timeout(self.service.body_seconds):
                more = True
                while more:
                    message = await request.receive()
                    if message["type"] == "http.disconnect":
                        raise ClientLeft
                    chunk, more = message.get("body", b""), message.get("more_body", False)
                    received += len(chunk)
                    if received > self._most:
                        raise self._large(f"over {self.service.max_body_mb} MB")
                    content = unpack.more(chunk) if unpack else chunk
                    account.take(len(content))
                    parts.append(content)
        except TimeoutError:
            raise Refused(
                408,
                "the request took too long to arrive",
                found=f"{received} bytes",
                expected=f"all of it within {self.service.body_seconds:g} s",
            ) from None
        if unpack and not unpack.whole:
            raise Refused(400, "the gzipped body is cut", mend="send it again, whole")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _large(self, found: str) -> Refused:
        return too_large("the request is too large", found, f"at most {self.service.max_body_mb} MB")


def give_back() -> None:
    """Return freed memory to the system: glibc keeps what a large request needed for the next one."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


class _Account:
    """What one request holds."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self.taken = 0

    def take(self, count: int) -> None:
        self._bodies.take(count)
        self.taken += count

    def __enter__(self) -> _Account:
        return self

    def __exit__(self, *_: object) -> None:
        self._bodies.free(self.taken)


class _Gunzip:
    """Unpacks piece by piece and never past the limit, whatever the packed bytes promise."""

    def __init__(self, most: int) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self._most = self._left = most

    def more(self, chunk: bytes) -> bytes:
        if not chunk:
            return b""
        try:
            content = self._inner.decompress(chunk, self._left + 1)
        except zlib.error:
            raise Refused(400, "the body is not gzip, or damaged", mend="send it again") from None
        self._left -= len(content)
        if self._left < 0:
            raise too_large(
                "the request unpacks to too much",
                f"over {self._most >> 20} MB",
                f"at most {self._most >> 20} MB",
            )
        return content

    @property
    def whole(self) -> bool:
        return self._inner.eof
