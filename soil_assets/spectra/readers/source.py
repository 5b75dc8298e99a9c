"""Where bytes come from: a local file, an fsspec URL, a member of an archive, bytes in memory.

Belongs here: opening, sizes, bounds on what is taken into memory. Does not belong here: what the bytes mean.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from soil_assets.errors import BadInput

_GZIP = b"\x1f\x8b"
#: What is looked at to tell formats and dialects apart; a header of 2,500 long band names fits.
HEAD_BYTES = 1 << 18
#: Whatever unpacks to less is harmless; beyond it, more than this ratio is a bomb.
_SMALL, _LARGEST_RATIO = 64 << 20, 200


@dataclass(frozen=True, eq=False)
class Source:
    """One file to read.

    Parameters
    ----------
    name : str
        How messages and ``source_file`` call it: relative to the folder or archive that was asked for.
    opener : callable
        Returns a fresh binary stream at the beginning.
    path : Path or None
        The local file, where there is one.
    """

    name: str
    opener: Callable[[], BinaryIO]
    path: Path | None = None

    @classmethod
    def of_file(cls, path: Path, name: str | None = None) -> Source:
        """Return a local file."""
        return cls(name or path.name, lambda: path.open("rb"), path)

    @classmethod
    def of_bytes(cls, raw: bytes, name: str) -> Source:
        """Return bytes already in memory."""
        return cls(name, lambda: io.BytesIO(raw))

    @property
    def basename(self) -> str:
        """The last part of the name."""
        return self.name.replace("\\", "/").rsplit("/", 1)[-1]

    def open(self) -> BinaryIO:
        """Open the stream; a failure of the system is said in words.

        Raises
        ------
        BadInput
            When there is no such file or no permission.
        """
        try:
            return self.opener()
        except FileNotFoundError:
            raise BadInput("no such file", file=self.name, mend="check the path") from None
        except PermissionError:
            raise BadInput(
                "no permission to read the file", file=self.name, mend="grant read permission"
            ) from None
        except OSError as error:
            raise BadInput(
                "the file cannot be opened", file=self.name, found=error.strerror or str(error)
            ) from None

    def head(self, count: int = HEAD_BYTES) -> tuple[bytes, bool]:
        """Return the first bytes, unpacked when the file is gzipped, and whether they are the whole file."""
        with self.open() as stream:
            raw = _read(stream, count, self.name)
            if not raw.startswith(_GZIP):
                return raw, len(raw) < count
            try:
                # Window bits over 31 let zlib take the gzip header; what is cut at the end does not matter
                # here.
                return zlib.decompressobj(wbits=31).decompress(raw, count), False
            except zlib.error as error:
                raise _damaged_gzip(self.name, error) from None

    def gzipped(self) -> bool:
        """Whether the bytes are gzipped."""
        with self.open() as stream:
            return _read(stream, 2, self.name) == _GZIP

    def read(self, limit: int) -> bytes:
        """Return the whole content, unpacked when gzipped.

        Raises
        ------
        BadInput
            When it holds more than ``limit`` bytes, or is a damaged gzip file.
        """
        with self.unpacked(limit) as stream:
            raw = _read(stream, limit + 1, self.name)
        if len(raw) > limit:
            raise too_large(self.name, limit)
        return raw

    def unpacked(self, limit: int) -> BinaryIO:
        """Return a stream of the content; a gzipped one is unpacked and gives at most ``limit`` bytes."""
        gzipped = self.gzipped()
        stream = self.open()
        if not gzipped:
            return stream
        return cast(BinaryIO, _Bounded(stream, limit, self.name))


class _Bounded(io.RawIOBase):
    """A gzipped stream, unpacked: counts what it gives, and names the file when unpacking fails."""

    def __init__(self, packed: BinaryIO, limit: int, name: str) -> None:
        self._packed, self._inner = packed, gzip.GzipFile(fileobj=packed)
        self._left, self._limit, self._name = limit, limit, name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int = -1, /) -> bytes:
        wanted = self._left + 1 if size is None or size < 0 else size
        try:
            data = bytes(self._inner.read(wanted))
        except (OSError, EOFError, zlib.error) as error:
            raise _damaged_gzip(self._name, error) from None
        self._left -= len(data)
        if self._left < 0:
            raise too_large(self._name, self._limit)
        given, taken = self._limit - self._left, self._packed.tell()
        if is_bomb(given, taken):
            raise bomb(self._name, given, taken)
        return data

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
            self._packed.close()
        super().close()


def too_large(name: str, limit: int) -> BadInput:
    """Return the error for a file that holds more than ``limit`` bytes."""
    return BadInput(
        "the file is larger than is read in one piece",
        file=name,
        found=f"more than {limit / 2**20:g} MB unpacked",
        expected=f"at most {limit / 2**20:g} MB",
        mend="split it, or raise the limit",
    )


def is_bomb(unpacked: int, packed: int) -> bool:
    """Whether a packed file unpacks to far more than data ever does (tables pack 3 to 30 times)."""
    return unpacked > _SMALL and unpacked > _LARGEST_RATIO * max(1, packed)


def bomb(name: str, unpacked: int, packed: int) -> BadInput:
    """Return the error for a packed file that unpacks to far more than data ever does."""
    return BadInput(
        "a packed file that unpacks to far more than spectra do",
        file=name,
        found=f"{unpacked / 2**20:.0f} MB from {packed / 2**20:.2f} MB",
        expected=f"at most {_LARGEST_RATIO} times its size",
        mend="land the files unpacked",
    )


def _read(stream: BinaryIO, count: int, name: str) -> bytes:
    try:
        return stream.read(count)
    except BadInput:
        raise
    except IsADirectoryError:
        raise BadInput("a folder where a file is expected", file=name) from None
    except OSError as error:
        raise BadInput("the file cannot be read", file=name, found=error.strerror or str(error)) from None


def _damaged_gzip(name: str, error: BaseException) -> BadInput:
    return BadInput(
        "a damaged or cut gzip file",
        file=name,
        found=str(error)[:120],
        mend="copy or download the file again",
    )
