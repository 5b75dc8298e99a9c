"""What lies in the landing zone: which batches are whole, what their content is, and why one is not taken.

A batch is a folder. It is whole when it holds ``_SUCCESS``, or when nothing in it changed for the quiet time.
Listing is cheap and done in every tick; hashing is done only for folders whose listing changed. What is in a folder
and is not opened (a link, a pipe, a folder without permission) is part of the batch: it counts as an unreadable scan.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from soil_assets.errors import BadInput
from soil_assets.storage import Store, batch_name, file_system, hash_of_files, is_local, local_path, sha256

#: Left by computers and lock holders, never part of a batch.
_NOT_DATA = frozenset({"_SUCCESS", "Thumbs.db", "desktop.ini"})
#: Why a batch is not whole that will be.
GROWING = "still being written"
#: A clock that is this far ahead is no reason to wait longer.
_CLOCK_SECONDS = 60.0
#: How often a batch is read that is replaced while it is read.
_READINGS = 3


@dataclass(frozen=True)
class Listing:
    """A batch folder as listed.

    Parameters
    ----------
    fingerprint : str
        Of names, sizes and times.
    whole : bool
    reason : str
        Why it is not whole; empty for a whole batch.
    """

    fingerprint: str
    whole: bool
    reason: str = ""


@dataclass(frozen=True)
class Contents:
    """A batch as it was read in one piece.

    Parameters
    ----------
    files : dict of str to bytes
        By their name in the batch, markers included: what DVC tracks.
    refused : dict of str to BadInput
        What lies there and is not opened, with the reason.
    """

    files: dict[str, bytes]
    refused: Mapping[str, BadInput] = field(default_factory=dict)

    @property
    def data(self) -> dict[str, bytes]:
        """The files without markers."""
        return {name: content for name, content in self.files.items() if not _is_marker(name)}


@dataclass(frozen=True)
class _Entry:
    """A file by its name in the batch: its size, when it was written, and when it came here."""

    name: str
    size: int
    written: float
    arrived: float


def list_batch(landing: Store, name: str, quiet_seconds: float, now: float | None = None) -> Listing:
    """List one batch folder without reading its files."""
    now = time.time() if now is None else now
    try:
        entries, refused = _entries(landing, name)
    except FileNotFoundError:  # moved away, or renamed, while it was listed
        return Listing("", False, GROWING)
    stated = {e.name: f"{e.size}:{e.written}".encode() for e in entries}
    fingerprint = hash_of_files(stated | dict.fromkeys(refused, b"refused"))[:20]
    newest = max((e.written for e in entries), default=now)
    success = any(e.name.rsplit("/", 1)[-1] == "_SUCCESS" for e in entries)
    if all(_is_marker(e.name) for e in entries):
        reason = "; ".join(f"{n}: {error.what}" for n, error in refused.items())
        return Listing(
            fingerprint, False, f"no file of it can be read: {reason}" if reason else "no file yet"
        )
    if success or now - newest >= quiet_seconds:
        return Listing(fingerprint, True)
    if newest > now + _CLOCK_SECONDS:
        ahead = next(e.name for e in entries if e.written == newest)
        at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(newest))
        return Listing(
            fingerprint, False, f"{ahead} has a time in the future ({at}): touch it, or add _SUCCESS"
        )
    return Listing(fingerprint, False, GROWING)


def untaken(landing: Store, quiet_seconds: float) -> dict[str, str]:
    """Return what lies in the landing zone and is not taken as a batch, with the reason."""
    reasons: dict[str, str] = {}
    for name in landing.folders():
        try:
            listing = list_batch(landing, batch_name(name), quiet_seconds)
        except (BadInput, OSError) as error:
            reasons[name] = in_words(error)
        else:
            if not listing.whole:
                reasons[name] = listing.reason
    return dict(sorted({**reasons, **links_in(landing)}.items()))


def links_in(landing: Store) -> dict[str, str]:
    """Return the links beside the batches, with the reason why none of them is a batch."""
    if not is_local(landing.url) or not local_path(landing.url).is_dir():
        return {}
    with os.scandir(local_path(landing.url)) as entries:
        names = sorted(e.name for e in entries if e.is_symlink() and not e.name.startswith("."))
    return dict.fromkeys(names, "a link, which is not followed: copy the folder itself")


def in_words(error: Exception) -> str:
    """Return one sentence on why a batch is not taken."""
    if isinstance(error, BadInput):
        return str(error)
    if isinstance(error, PermissionError):
        return "no permission to read it: grant read permission"
    return f"it cannot be read: {type(error).__name__}: {str(error)[:160]}"


def read_batch(landing: Store, name: str) -> Contents:
    """Return a batch as it lay there at one moment: it is read again when it changed meanwhile.

    Raises
    ------
    BadInput
        When it is replaced again and again.
    """
    for _ in range(_READINGS):
        try:
            entries, refused = _entries(landing, name)
            contents = _read(landing, name, entries, dict(refused))
            after, refused_after = _entries(landing, name)
        except FileNotFoundError:
            continue
        if after == entries and refused_after.keys() == refused.keys():
            return contents
    raise BadInput(
        "the batch is replaced while it is read",
        file=landing.where(name),
        expected="a folder that nobody writes into",
        mend="wait until it is written; it is taken by itself then",
    )


def batch_version(landing: Store, name: str) -> str:
    """Return the version of a batch: ``dvc:<md5>`` when it is what DVC recorded, else a hash of names and bytes."""
    return version_of(landing, name, read_batch(landing, name))


def version_of(landing: Store, name: str, contents: Contents) -> str:
    """Return the version of these very contents, whatever lies in the landing zone meanwhile."""
    from soil_assets.adapters.dvc import directory_hash

    recorded = recorded_in_dvc(landing, name)
    if recorded is not None and not contents.refused and recorded == directory_hash(contents.files):
        return f"dvc:{recorded}"
    return hash_of_files(contents.data | {n: b"\0" + e.what.encode() for n, e in contents.refused.items()})


def pointed_to(landing: Store) -> dict[str, str]:
    """Return the batches that only a DVC pointer names, their files being elsewhere, with their version."""
    here = set(landing.folders())
    pointers = [n.removesuffix(".dvc") for n in landing.names() if n.endswith(".dvc")]
    return {name: f"dvc:{recorded_in_dvc(landing, name)}" for name in pointers if name not in here}


def current_version(landing: Store, name: str) -> str | None:
    """Return the version of a batch by its files, or by its pointer where they are elsewhere; None for no batch."""
    if landing.files(name):
        return batch_version(landing, name)
    return pointed_to(landing).get(name)


def recorded_in_dvc(landing: Store, name: str) -> str | None:
    """Return the hash that DVC recorded for a batch (``<name>.dvc`` beside it), or None when it is not tracked."""
    from soil_assets.adapters.dvc import pointer_hash

    key = f"{name}.dvc"
    return pointer_hash(landing.read(key), landing.where(key)) if landing.exists(key) else None


def all_files(landing: Store, name: str) -> dict[str, bytes]:
    """Return every file of a batch by its name inside it, markers included: what DVC tracks."""
    return read_batch(landing, name).files


def _is_marker(name: str) -> bool:
    return name.rsplit("/", 1)[-1] in _NOT_DATA


def _read(landing: Store, name: str, entries: list[_Entry], refused: dict[str, BadInput]) -> Contents:
    files = {}
    for entry in entries:
        try:
            files[entry.name] = landing.read(f"{name}/{entry.name}")
        except PermissionError:
            refused[entry.name] = BadInput(
                "no permission to read the file", file=entry.name, mend="grant read permission"
            )
    return Contents(files, refused)


def _entries(landing: Store, name: str) -> tuple[list[_Entry], dict[str, BadInput]]:
    """Return the files of a batch, sorted, and what in it is not opened."""
    refused: dict[str, BadInput] = {}
    if is_local(landing.url):
        root = local_path(landing.where(name))
        return sorted(_walk(root, root, refused), key=lambda e: e.name), refused
    fs, _ = file_system(landing.url)
    entries = []
    for key in landing.files(name):
        info = fs.info(landing.where(key).split("://", 1)[-1])
        changed = info.get("LastModified") or info.get("mtime") or info.get("updated") or 0.0
        at = changed.timestamp() if hasattr(changed, "timestamp") else float(changed)
        entries.append(_Entry(key.removeprefix(f"{name}/"), int(info["size"]), at, at))
    return entries, refused


def _walk(folder: Path, root: Path, refused: dict[str, BadInput]) -> Iterator[_Entry]:
    from soil_assets.spectra.readers.container import no_permission, refusal

    try:
        entries = list(os.scandir(folder))
    except PermissionError:
        if folder == root:
            raise
        name = folder.relative_to(root).as_posix()
        refused[name] = no_permission(name)
        return
    except (FileNotFoundError, NotADirectoryError):
        if folder == root:
            return
        raise
    for entry in entries:
        if entry.name.startswith("."):
            continue
        name = Path(entry.path).relative_to(root).as_posix()
        why = refusal(entry, name)
        if why is not None:
            refused[name] = why
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), root, refused)
        else:
            status = entry.stat(follow_symlinks=False)
            yield _Entry(name, status.st_size, status.st_mtime, status.st_ctime)


@dataclass(frozen=True)
class StoredCopy:
    """A batch as it was copied into storage, under its content hash; ``version`` is DVC's where it tracks it.

    ``landed_at`` is when the last of it came into the landing zone (Unix time); ``refused`` is what lies there and is
    not opened.
    """

    sha256: str
    version: str
    folder: str
    files: list[str]
    damaged: list[str]
    missing: list[str]
    landed_at: float
    refused: Mapping[str, BadInput] = field(default_factory=dict)


def land_copy(landing: Store, data: Store, name: str) -> StoredCopy:
    """Copy a batch to ``raw/<batch>/<sha256>/`` and compare it with its manifest's checksums.

    The version is that of the bytes that were copied. Bytes that are there already are not written again, unless they
    are damaged; an older version stays where it is.

    Raises
    ------
    BadInput
        When there is no such batch in the landing zone, or it is replaced while it is read.
    """
    landed_at = max((e.arrived for e in _entries(landing, name)[0]), default=0.0)
    contents = read_batch(landing, name)
    files = contents.data
    if not files:
        raise BadInput(
            "no such batch in the landing zone",
            file=landing.where(name),
            expected="a folder with spectra in it",
            mend="put the batch back, or remove its partition",
        )
    digest = hash_of_files(files)
    prefix = f"raw/{name}/{digest}"
    damaged, missing = [], []
    for key, content in files.items():
        place = f"{prefix}/{key}"
        if not data.holds(place) or data.read(place) != content:
            data.write(place, content)
        if data.read(place) != content:
            damaged.append(f"{key}: the stored copy differs from what landed")
    for key, expected in _promised(files).items():
        if key not in files:
            missing.append(f"{key} is listed in the manifest and not there")
        elif expected and sha256(files[key]) != expected:
            damaged.append(f"{key}: sha256 {sha256(files[key])[:12]}, the manifest says {expected[:12]}")
    version = version_of(landing, name, contents)
    recorded = recorded_in_dvc(landing, name)
    if recorded is not None and version != f"dvc:{recorded}":
        damaged.append(
            f"the batch is not what DVC recorded ({recorded[:12]}): dvc checkout it, or soil batch add it again"
        )
    return StoredCopy(
        digest, version, data.where(prefix), sorted(files), damaged, missing, landed_at, contents.refused
    )


def _promised(files: dict[str, bytes]) -> dict[str, str]:
    """Return what a manifest promises: file names with their SHA-256, from ``batch.yaml`` or ``sha256sum`` lists."""
    import yaml

    promised: dict[str, str] = {}
    for key, content in files.items():
        if key.rsplit("/", 1)[-1].lower() in ("sha256sums", "manifest.sha256"):
            for line in content.decode("utf-8", "replace").splitlines():
                digest, _, file = line.partition(" ")
                if file:
                    promised[file.strip().lstrip("*")] = digest.lower()
    if "batch.yaml" in files:
        try:
            manifest = yaml.safe_load(files["batch.yaml"]) or {}
        except yaml.YAMLError:
            manifest = {}
        listed = manifest.get("files") if isinstance(manifest, dict) else None
        if isinstance(listed, dict):
            promised |= {str(k): str(v or "").lower() for k, v in listed.items()}
        elif isinstance(listed, list):
            promised |= {str(k): "" for k in listed}
    return promised
