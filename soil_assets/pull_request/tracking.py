"""The folder in which DVC can track a batch: where it lies, or its copy among the repository's batches.

A landing zone is mostly no place for pointers: git ignores it (``.soil``), it is outside the repository, or it is no
folder of this machine. Belongs here: which folder, and the copy. Does not belong here: calling DVC
(``adapters.dvc``).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from soil_assets.adapters.dvc import can_track, folder_hash, pointer_hash
from soil_assets.errors import BadInput
from soil_assets.storage import Store, batch_name, is_local, local_path


def tracking_folder(batch: str, landing: Store, batches: Path) -> Path:
    """Return the folder of a batch that DVC can track, copied into the repository where that is needed.

    Parameters
    ----------
    batch : str
        The path of its folder, or its name in the landing zone or in ``batches``.
    batches : Path
        Where the repository keeps its batches.

    Raises
    ------
    BadInput
        When there is no such batch, no repository, or another batch of this name that nothing recorded.
    """
    if Path(batch).is_dir():
        folder = Path(batch).absolute()
        landing, name = Store(str(folder.parent)), batch_name(folder.name)
    else:
        name = batch_name(batch)
    if not landing.files(name):
        if (batches / name).is_dir():
            return (batches / name).absolute()
        raise BadInput(
            "no such batch, or no file in it",
            file=landing.where(name),
            expected=", ".join(landing.folders())[:300] or "a batch in the landing zone, or a folder's path",
        )
    if is_local(landing.url):
        folder = local_path(landing.where(name)).absolute()
        if can_track(folder):
            return folder
    return _copy(landing, name, batches.absolute())


def _copy(landing: Store, name: str, batches: Path) -> Path:
    target, incoming = batches / name, batches / f".{name}.incoming"
    if not can_track(batches):
        raise BadInput(
            "not the folder of a DVC repository",
            file=str(batches.parent),
            mend="run it in the repository's folder, after 'git init' and 'dvc init'",
        )
    shutil.rmtree(incoming, ignore_errors=True)
    try:
        for key in landing.files(name):
            path = incoming / key.removeprefix(f"{name}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(landing.read(key))
        if target.exists():
            _replaceable(target, folder_hash(incoming))
            shutil.rmtree(target)
        os.replace(incoming, target)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return target


def _replaceable(target: Path, incoming: str) -> None:
    """Refuse to overwrite what neither DVC recorded nor the landing zone holds."""
    content, pointer = folder_hash(target), target.with_name(f"{target.name}.dvc")
    recorded = pointer_hash(pointer.read_bytes(), str(pointer)) if pointer.is_file() else None
    if content not in (incoming, recorded):
        raise BadInput(
            "another batch of this name lies in the repository, and DVC did not record it",
            file=str(target),
            mend=f"record it first (soil batch add {target}), or move it away",
        )
