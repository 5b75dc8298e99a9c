"""What lies in the landing zone: which batches are whole, and what their content is.

A batch is a folder. It is whole when it holds ``_SUCCESS``, or when nothing in it changed for the quiet time.
Listing is cheap and done in every tick; hashing is done only for folders whose listing changed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from soil_assets.errors import BadInput
from soil_assets.storage import Store, file_system, hash_of_files, is_local, local_path, sha256

#: Left by computers and lock holders, never part of a batch.
_NOT_DATA = frozenset({"_SUCCESS", "Thumbs.db", "desktop.ini"})


@dataclass(frozen=True)
class Listing:
    """A batch folder as listed: a fingerprint of names, sizes and times, and whether it is whole."""

    fingerprint: str
    whole: bool


def list_batch(landing: Store, name: str, quiet_seconds: float, now: float | None = None) -> Listing:
    """List one batch folder without reading its files."""
    now = time.time() if now is None else now
    entries = list(_entries(landing, name))
    newest = max((changed for _, _, changed in entries), default=now)
    success = any(key.rsplit("/", 1)[-1] == "_SUCCESS" for key, _, _ in entries)
    fingerprint = hash_of_files({key: f"{size}:{changed}".encode() for key, size, changed in entries})
    data = [key for key, _, _ in entries if key.rsplit("/", 1)[-1] not in _NOT_DATA]
    return Listing(fingerprint[:20], bool(data) and (success or now - newest >= quiet_seconds))


def data_files(landing: Store, name: str) -> dict[str, bytes]:
    """Return the files of a batch by their name inside it."""
    prefix = f"{name}/"
    return {
        key.removeprefix(prefix): landing.read(key)
        for key in landing.files(name)
        if key.rsplit("/", 1)[-1] not in _NOT_DATA
    }


def batch_version(landing: Store, name: str) -> str:
    """Return the version of a batch: ``dvc:<md5>`` when it is what DVC recorded, else a hash of names and bytes."""
    from soil_assets.adapters.dvc import directory_hash

    recorded = recorded_in_dvc(landing, name)
    if recorded is not None and recorded == directory_hash(all_files(landing, name)):
        return f"dvc:{recorded}"
    return hash_of_files(data_files(landing, name))


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
    prefix = f"{name}/"
    return {key.removeprefix(prefix): landing.read(key) for key in landing.files(name)}


def _entries(landing: Store, name: str, *, arrival: bool = False) -> list[tuple[str, int, float]]:
    """Return name, size and time of each file: when it was written, or when it came here (copying keeps the former)."""
    if is_local(landing.url):
        root = local_path(landing.url)
        found = []
        for key in landing.files(name):
            status = (root / key).stat()
            found.append((key, status.st_size, status.st_ctime if arrival else status.st_mtime))
        return found
    fs, _ = file_system(landing.url)
    found = []
    for key in landing.files(name):
        info = fs.info(landing.where(key).split("://", 1)[-1])
        changed = info.get("LastModified") or info.get("mtime") or info.get("updated") or 0.0
        found.append(
            (key, int(info["size"]), changed.timestamp() if hasattr(changed, "timestamp") else float(changed))
        )
    return found


@dataclass(frozen=True)
class StoredCopy:
    """A batch as it was copied into storage, under its content hash; ``version`` is DVC's where it tracks it.

    ``landed_at`` is when the last of it came into the landing zone (Unix time).
    """

    sha256: str
    version: str
    folder: str
    files: list[str]
    damaged: list[str]
    missing: list[str]
    landed_at: float


def land_copy(landing: Store, data: Store, name: str) -> StoredCopy:
    """Copy a batch to ``raw/<batch>/<sha256>/`` and compare it with its manifest's checksums.

    Bytes that are there already are not written again; an older version stays where it is.

    Raises
    ------
    BadInput
        When there is no such batch in the landing zone.
    """
    files = data_files(landing, name)
    if not files:
        raise BadInput(
            "no such batch in the landing zone",
            file=landing.where(name),
            expected="a folder with spectra in it",
            mend="put the batch back, or remove its partition",
        )
    digest = hash_of_files(files)
    prefix = f"raw/{name}/{digest}"
    for key, content in files.items():
        if not data.holds(f"{prefix}/{key}"):
            data.write(f"{prefix}/{key}", content)
    damaged, missing = [], []
    for key, expected in _promised(files).items():
        if key not in files:
            missing.append(f"{key} is listed in the manifest and not there")
        elif expected and sha256(files[key]) != expected:
            damaged.append(f"{key}: sha256 {sha256(files[key])[:12]}, the manifest says {expected[:12]}")
    for key, content in files.items():
        if sha256(data.read(f"{prefix}/{key}")) != sha256(content):
            damaged.append(f"{key}: the stored copy differs from what landed")
    version = batch_version(landing, name)
    recorded = recorded_in_dvc(landing, name)
    if recorded is not None and version != f"dvc:{recorded}":
        damaged.append(
            f"the batch is not what DVC recorded ({recorded[:12]}): dvc checkout it, or soil batch add it again"
        )
    landed_at = max(came for _, _, came in _entries(landing, name, arrival=True))
    return StoredCopy(digest, version, data.where(prefix), sorted(files), damaged, missing, landed_at)


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
