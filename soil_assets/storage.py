"""Objects by URL: read whole, written to a temporary name and moved into place.

Belongs here: the few verbs on files that every room's shell needs, local or through fsspec.
Does not belong here: what the bytes mean.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from soil_assets.errors import BadInput

_WRITING = ".writing"
#: A leftover is looked at when nobody has written to it for this long; its writer locks it at once.
_UNTOUCHED_SECONDS = 60.0
_swept: set[Path] = set()
#: Which of the project's extras brings the file system of a kind of URL.
_EXTRAS = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gcs",
    "gcs": "gcs",
    "abfs": "azure",
    "abfss": "azure",
    "az": "azure",
}
#: Clients of object stores, whose own errors tell that a call was cut.
_CLIENTS = frozenset({"botocore", "aiobotocore", "aiohttp", "gcsfs", "google", "azure", "adlfs"})
_SAFE_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=@ -]*")


#: Names that the platform itself uses where those of batches stand.
RESERVED_NAMES = ("reference", "all batches together")


def batch_name(name: str) -> str:
    """Return the name of a batch as a storage key.

    Raises
    ------
    BadInput
        When it is no key, or a name that the platform itself uses.
    """
    if name.strip().lower() in RESERVED_NAMES:
        raise BadInput(
            "a batch cannot have this name: it stands for the golden reference, or for all batches",
            found=repr(name),
            mend="rename its folder",
        )
    return safe_key(name, "batch name")


def safe_key(name: str, what: str = "name") -> str:
    """Return ``name`` when it can be one path segment, else raise.

    Names from disk become parts of paths and partition keys; nothing that could leave its folder may pass.
    """
    if not _SAFE_KEY.fullmatch(name) or name in (".", "..") or len(name) > 200:
        raise BadInput(
            f"this {what} cannot be used as a key",
            found=repr(name),
            expected="letters, digits and . _ + = @ - (first a letter or digit, at most 200)",
            mend="rename it",
        )
    return name


def is_local(url: str) -> bool:
    """Whether ``url`` is a folder or file of this machine."""
    return "://" not in url or url.startswith("file://")


def local_path(url: str) -> Path:
    """Return the path of a local URL."""
    return Path(url.removeprefix("file://"))


def file_system(url: str) -> tuple[Any, str]:
    """Return fsspec's file system of ``url`` and the path in it.

    Raises
    ------
    BadInput
        When no such kind of URL is known, or its package is not installed.
    """
    from fsspec.core import url_to_fs

    try:
        fs, path = url_to_fs(url)
    except ImportError as error:
        extra = _EXTRAS.get(url.split("://", 1)[0])
        raise BadInput(
            "this kind of URL needs another package",
            file=url,
            found=str(error)[:160],
            mend=f"pip install 'soil_assets[{extra}]'" if extra else "install the package named",
        ) from None
    except ValueError as error:
        raise BadInput(
            "the URL cannot be read",
            file=url,
            found=str(error)[:160],
            expected="a path, s3://, gs://, abfs:// or another protocol of fsspec",
        ) from None
    return fs, path


class Store:
    """A folder by URL. Keys are relative, ``/``-separated, and never leave the folder."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    def _key(self, key: str) -> str:
        parts = key.split("/")
        if any(p in ("", ".", "..") or "\\" in p or "\0" in p for p in parts):
            raise BadInput("a storage key leaves its folder", found=repr(key), expected="relative names")
        return "/".join(parts)

    def where(self, key: str) -> str:
        """Return the URL of ``key``."""
        return f"{self.url}/{self._key(key)}"

    def exists(self, key: str) -> bool:
        """Whether ``key`` can be read, as a file or as a folder."""
        return self.holds(key)

    def holds(self, key: str) -> bool:
        """Whether this very folder has ``key``: what is written under it need not be written again."""
        if is_local(self.url):
            return local_path(self.where(key)).exists()
        fs, path = self._fs(key)
        return bool(fs.exists(path))

    def read(self, key: str) -> bytes:
        """Return the bytes of ``key``.

        Raises
        ------
        FileNotFoundError
            When there is no such object.
        """
        if is_local(self.url):
            return local_path(self.where(key)).read_bytes()
        fs, path = self._fs(key)
        with _answered(self.where(key)):
            return bytes(fs.cat_file(path))

    def write(self, key: str, content: bytes) -> str:
        """Write ``content`` so that a reader sees all of it or nothing; return its URL."""
        if is_local(self.url):
            target = local_path(self.where(key))
            target.parent.mkdir(parents=True, exist_ok=True)
            # Beside everything else, not beside the target: what a killed process leaves is in nobody's folder.
            waiting = local_path(self.url) / _WRITING
            waiting.mkdir(exist_ok=True)
            if waiting not in _swept:
                _swept.add(waiting)
                _sweep(waiting)
            handle, temporary = tempfile.mkstemp(dir=waiting)
            try:
                with os.fdopen(handle, "wb") as stream:
                    _lock(handle)
                    stream.write(content)
                    stream.flush()
                    os.fsync(stream.fileno())
                os.replace(temporary, target)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
                raise
        else:
            fs, path = self._fs(key)
            with _answered(self.where(key)):
                fs.makedirs(fs._parent(path), exist_ok=True)
                fs.pipe_file(path, content)  # one PUT: object stores show whole objects only
        return self.where(key)

    def write_json(self, key: str, value: Any) -> str:
        """Write ``value`` as stable JSON."""
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        return self.write(key, text.encode() + b"\n")

    def read_json(self, key: str) -> Any:
        """Return what :meth:`write_json` wrote."""
        return json.loads(self.read(key))

    def folders(self, key: str = "") -> list[str]:
        """Return the names of the folders directly under ``key``, sorted; hidden ones left out."""
        return sorted(name for name, is_folder in self._entries(key) if is_folder)

    def names(self, key: str = "") -> list[str]:
        """Return the names of the files directly under ``key``, sorted; hidden ones, links and pipes left out."""
        return sorted(name for name, is_folder in self._entries(key) if not is_folder)

    def files(self, key: str) -> list[str]:
        """Return the keys of all files under ``key``, sorted; hidden ones, links and pipes left out."""
        found: list[str] = []
        for name, is_folder in self._entries(key):
            inner = f"{key}/{name}" if key else name
            found += self.files(inner) if is_folder else [inner]
        return sorted(found)

    def _entries(self, key: str) -> Iterator[tuple[str, bool]]:
        if is_local(self.url):
            folder = local_path(self.where(key) if key else self.url)
            if not folder.is_dir():
                return
            with os.scandir(folder) as entries:
                for entry in entries:
                    is_folder = entry.is_dir(follow_symlinks=False)
                    if not entry.name.startswith(".") and (is_folder or entry.is_file(follow_symlinks=False)):
                        yield entry.name, is_folder
        else:
            fs, path = self._fs(key)
            if not fs.exists(path):
                return
            for info in fs.ls(path, detail=True, refresh=True) if key or fs.isdir(path) else []:
                name = info["name"].rstrip("/").rsplit("/", 1)[-1]
                if name and not name.startswith(".") and info["name"].rstrip("/") != path.rstrip("/"):
                    yield name, info["type"] == "directory"

    def _fs(self, key: str) -> tuple[Any, str]:
        return file_system(self.where(key) if key else self.url)


@contextlib.contextmanager
def _answered(where: str) -> Iterator[None]:
    """Say in words when an object store does not answer: each kind raises errors of its own, few of them ``OSError``.

    Raises
    ------
    ConnectionError
        Naming the URL; what was there before is there still.
    """
    try:
        yield
    except (OSError, BadInput):
        raise
    except Exception as error:
        if type(error).__module__.split(".")[0] not in _CLIENTS:
            raise
        raise ConnectionError(f"the store did not answer for {where}: {str(error)[:200]}") from error


def _lock(handle: int) -> bool:
    """Lock an open file until its process closes it or dies; whether nobody else has it."""
    try:
        import fcntl
    except ImportError:  # no such locks on this system: then nothing is ever taken for a leftover
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _sweep(waiting: Path) -> None:
    """Remove what killed processes left: unlocked, and untouched for longer than it takes to lock it."""
    with os.scandir(waiting) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if (
                    entry.is_file(follow_symlinks=False)
                    and time.time() - entry.stat().st_mtime > _UNTOUCHED_SECONDS
                ):
                    with open(entry.path, "rb") as stream:
                        if _lock(stream.fileno()):
                            os.unlink(entry.path)


def sha256(content: bytes) -> str:
    """Return the SHA-256 of ``content`` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def hash_of_files(files: dict[str, bytes]) -> str:
    """Return one hash over names and contents: the same bytes under the same names, the same hash."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{sha256(files[name])}\n".encode())
    return digest.hexdigest()
