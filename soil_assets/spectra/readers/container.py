"""Folders, archives and URLs: which files there are to read.

Belongs here: walking, bounds on size, count and depth, names that must not escape.
Does not belong here: what the files hold.

An entry that must not be opened (a link out of the folder, a name that climbs out of an archive) becomes a
source whose opening says why: it is counted and listed like any other file that cannot be read.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from soil_assets.errors import BadInput
from soil_assets.spectra.readers.scans import Limits
from soil_assets.spectra.readers.source import Source, bomb, is_bomb, too_large
from soil_assets.storage import file_system

_ZIP = b"PK\x03\x04"
_SYMLINK = 0o120000


@contextmanager
def open_sources(path_or_url: str | os.PathLike[str], limits: Limits) -> Iterator[list[Source]]:
    """Yield the files that a path or URL names; archives in it are opened, and closed at the end.

    Raises
    ------
    BadInput
        When there is no such file or folder, or it holds more than ``limits`` allow.
    """
    text = os.fspath(path_or_url)
    with ExitStack() as stack:
        found = _remote(text, limits) if _is_url(text) else _local(Path(text.removeprefix("file://")), limits)
        opened: list[Source] = []
        for source in found:
            opened += _unpack(source, limits, 1, stack)
            _check_count(opened, text, limits)
        yield opened


@contextmanager
def expand(source: Source, limits: Limits) -> Iterator[list[Source]]:
    """Yield the members of an archive, or the source itself when it is none."""
    with ExitStack() as stack:
        yield _unpack(source, limits, 1, stack)


def _is_url(text: str) -> bool:
    return "://" in text and not text.startswith("file://")


def _local(path: Path, limits: Limits) -> list[Source]:
    if path.is_dir():
        return list(_walk(path, path, limits, 1))
    if not path.exists():
        raise BadInput("no such file or folder", file=str(path), mend="check the path")
    if not path.is_file():
        # A pipe or a device may never end.
        raise BadInput("neither a file nor a folder", file=str(path), mend="copy the data into a file")
    return [Source.of_file(path)]


def refusal(entry: os.DirEntry[str], name: str) -> BadInput | None:
    """Return why an entry of a folder is not opened, or None for a file or a folder of its own.

    A batch is what lies in its folder: a link may lead elsewhere tomorrow, and a pipe or a device may never end.
    """
    if entry.is_symlink():
        return BadInput("a link, which is not followed", file=name, mend="copy the file itself")
    if not entry.is_dir(follow_symlinks=False) and not entry.is_file(follow_symlinks=False):
        return BadInput("neither a file nor a folder", file=name, mend="leave it out of the batch")
    return None


def no_permission(name: str) -> BadInput:
    """Return what is said of a folder that may not be listed."""
    return BadInput("no permission to read the folder", file=name, mend="grant read permission")


def _walk(folder: Path, root: Path, limits: Limits, depth: int) -> Iterator[Source]:
    try:
        entries = sorted(os.scandir(folder), key=lambda e: e.name)
    except PermissionError:
        name = folder.relative_to(root).as_posix()
        yield _refused(name, no_permission(name))
        return
    for entry in entries:
        path = Path(entry.path)
        name = path.relative_to(root).as_posix()
        refused = refusal(entry, name)
        if entry.name.startswith(".") and (refused is not None or entry.is_dir()):
            continue  # of git, DVC and desktops
        if refused is not None:
            yield _refused(name, refused)
        elif not entry.is_dir():
            yield Source.of_file(path, name)
        elif depth >= limits.depth:
            yield _refused(name, _too_deep(name, limits))
        else:
            yield from _walk(path, root, limits, depth + 1)


def _remote(url: str, limits: Limits) -> list[Source]:
    try:
        fs, path = file_system(url)
        if fs.isdir(path):
            names = sorted(fs.find(path))
            keys = {key: key[len(path) :].lstrip("/") for key in names}
        elif fs.exists(path):
            keys = {path: path.rsplit("/", 1)[-1]}
        else:
            raise BadInput("no such file or folder", file=url, mend="check the URL")
    except BadInput:
        raise
    except (OSError, ValueError) as error:
        raise BadInput(
            "the URL cannot be read", file=url, found=f"{type(error).__name__}: {error}"[:160]
        ) from None
    if len(keys) > limits.files:
        raise _too_many(url, limits)
    return [Source(name, _opener(fs, key)) for key, name in keys.items()]


def _opener(fs: Any, key: str) -> Any:
    return lambda: cast(BinaryIO, fs.open(key, "rb"))


def _unpack(source: Source, limits: Limits, depth: int, stack: ExitStack) -> list[Source]:
    """Return the source itself, or the members of the archive that it is."""
    try:
        with source.open() as stream:
            if stream.read(4) != _ZIP:
                return [source]
        if source.path is not None:
            archive = stack.enter_context(zipfile.ZipFile(source.path))
        else:
            archive = stack.enter_context(zipfile.ZipFile(io.BytesIO(source.read(limits.file_bytes))))
    except BadInput:
        return [source]  # its opening says the reason again, to whoever reads it
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        reason = BadInput(
            "a damaged or cut archive",
            file=source.name,
            found=str(error)[:120],
            mend="copy or download it again",
        )
        return [_refused(source.name, reason)]
    members = [m for m in archive.infolist() if not m.is_dir()]
    if {m.filename for m in members} & {"[Content_Types].xml", "content.xml"}:
        return [source]  # an Office or OpenDocument file, not an archive of spectra
    if len(members) > limits.files:
        return [_refused(source.name, _too_many(source.name, limits))]
    unpacked, packed = sum(m.file_size for m in members), sum(m.compress_size for m in members)
    if unpacked > limits.total_bytes:
        return [_refused(source.name, too_large(source.name, limits.total_bytes))]
    if is_bomb(unpacked, packed):
        return [_refused(source.name, bomb(source.name, unpacked, packed))]
    if depth >= limits.depth:
        return [_refused(source.name, _too_deep(source.name, limits))]
    found: list[Source] = []
    for member in sorted(members, key=lambda m: m.filename):
        name = f"{source.name}/{member.filename}"
        unsafe = _unsafe(member, name)
        if unsafe is not None:
            found.append(_refused(name, unsafe))
            continue
        found += _unpack(Source(name, _member(archive, member, name)), limits, depth + 1, stack)
        if len(found) > limits.files:
            return [_refused(source.name, _too_many(source.name, limits))]
    return found


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> Any:
    def opener() -> BinaryIO:
        try:
            return cast(BinaryIO, _Member(archive.open(member), name))
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError) as error:
            raise BadInput(
                "an archive member that cannot be unpacked", file=name, found=str(error)[:120]
            ) from None

    return opener


class _Member(io.RawIOBase):
    """A member's stream that names the file when unpacking fails."""

    def __init__(self, inner: Any, name: str) -> None:
        self._inner, self._name = inner, name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int = -1, /) -> bytes:
        import zlib

        try:
            return bytes(self._inner.read(size))
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
            raise BadInput(
                "a damaged archive member",
                file=self._name,
                found=str(error)[:120],
                mend="pack the archive again",
            ) from None

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
        super().close()


def _unsafe(member: zipfile.ZipInfo, name: str) -> BadInput | None:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]):
        return BadInput(
            "an archive member whose name leads out of the archive",
            file=name,
            found=member.filename[:120],
            expected="a plain relative name",
            mend="pack the archive again",
        )
    if (member.external_attr >> 16) & 0o170000 == _SYMLINK:
        return BadInput("an archive member that is a link", file=name, mend="pack the file itself")
    if member.flag_bits & 1:
        return BadInput("an encrypted archive member", file=name, mend="pack the archive without a password")
    return None


def _refused(name: str, reason: BadInput) -> Source:
    def opener() -> BinaryIO:
        raise reason

    return Source(name, opener)


def _check_count(found: list[Source], name: str, limits: Limits) -> None:
    if len(found) > limits.files:
        raise _too_many(name, limits)


def _too_many(name: str, limits: Limits) -> BadInput:
    return BadInput(
        "more files than are read as one batch",
        file=name,
        found=f"more than {limits.files:,}",
        expected=f"at most {limits.files:,}",
        mend="land them as several batches",
    )


def _too_deep(name: str, limits: Limits) -> BadInput:
    return BadInput(
        "folders or archives nested deeper than are read",
        file=name,
        expected=f"at most {limits.depth} levels",
        mend="land a flat folder",
    )
