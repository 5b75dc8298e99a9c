"""A request's body: taken in bounded size and time, unpacked in bounded size.

Belongs here: what protects the process from large, slow and packed bodies. Does not belong here: meaning.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import zlib
from collections.abc import Iterator

from starlette.requests import Request

from soil_assets.serving.refusals import Refused, too_large
from soil_assets.serving.settings import Service

#: Requests from this size on are worked on one at a time, and memory is given back after them.
LARGE = 16 << 20
#: Bodies of all requests together may hold this many times the largest one as it is sent.
_BODIES_AT_ONCE = 2


class Bodies:
    """Bytes that are held for all requests together."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._most = service.max_body_mb << 20
        self._most_unpacked = service.max_unpacked_mb << 20
        self._budget = max(_BODIES_AT_ONCE * self._most, self._most_unpacked)

    @contextlib.contextmanager
    def account(self) -> Iterator[_Account]:
        """Account for one request's bytes until it is answered."""
        account = _Account(self)
        try:
            yield account
        finally:
            self._budget += account.taken

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

    async def read(self, request: Request, account: _Account) -> bytes:
        """Return the body, unpacked when it was sent with ``Content-Encoding: gzip``.

        Raises
        ------
        Refused
            413 too large (told before anything is read, where the length is stated), 408 too slow, 415 another
            encoding, 400 a damaged packing.
        """
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", ""):
            raise Refused(
                415, "this content encoding is not understood", found=encoding[:50], expected="gzip, or none"
            )
        stated = request.headers.get("content-length", "")
        if stated.isascii() and stated.isdigit() and int(stated) > self._most:
            raise self._large(f"{int(stated) / 2**20:.0f} MB")
        unpack = _Gunzip(self._most_unpacked) if encoding == "gzip" else None
        parts: list[bytes] = []
        received = 0
        try:
            async with asyncio.timeout(self.service.body_seconds):
                async for chunk in request.stream():
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
        return b"".join(parts)

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
