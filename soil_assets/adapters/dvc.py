"""DVC: a batch under version control by its content, and that content's hash.

Belongs here: calling ``dvc``, reading its pointer files, and the hash that it gives a directory.
Does not belong here: what a batch is, or when one is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from soil_assets.errors import BadInput

_QUIET = {"DVC_NO_ANALYTICS": "1", "DVC_NO_UPDATE_CHECK": "1"}


@dataclass(frozen=True)
class Tracked:
    """A batch under DVC: its pointer file and the hash in it."""

    pointer: str
    md5: str


def directory_hash(files: Mapping[str, bytes]) -> str:
    """Return the hash DVC 3 gives a directory: MD5 over the JSON list of its files' MD5s, sorted by path.

    Parameters
    ----------
    files : mapping of str to bytes
        Every file of the directory by its path in it, ``/``-separated.
    """
    entries = [
        {"md5": hashlib.md5(files[name], usedforsecurity=False).hexdigest(), "relpath": name}
        for name in sorted(files)
    ]
    listed = json.dumps(entries, sort_keys=True).encode()
    return f"{hashlib.md5(listed, usedforsecurity=False).hexdigest()}.dir"


def pointer_hash(pointer: bytes, file: str) -> str:
    """Return the hash in a ``.dvc`` file.

    Raises
    ------
    BadInput
        When it is no pointer to one output.
    """
    import yaml

    try:
        outs = yaml.safe_load(pointer)["outs"]
        [out] = outs
        return str(out["md5"])
    except (yaml.YAMLError, KeyError, TypeError, ValueError):
        raise BadInput(
            "not a DVC pointer to one batch",
            file=file,
            expected="outs: [{md5: ..., path: ...}]",
            mend="dvc add it again",
        ) from None


def add(folder: Path, *, push: bool = False) -> Tracked:
    """Put a batch folder under DVC (``dvc add``), and with ``push`` into the default remote.

    Raises
    ------
    BadInput
        When DVC is not installed, the folder is not in a DVC repository, or DVC refuses.
    """
    if find_spec("dvc") is None:
        raise BadInput("DVC is not installed", mend="pip install 'soil-assets[dvc]'")
    if not folder.is_dir():
        raise BadInput("no such batch folder", file=str(folder))
    _dvc(folder.parent, "add", "--quiet", "--", folder.name)
    pointer = folder.with_name(f"{folder.name}.dvc")
    if push:
        _dvc(folder.parent, "push", "--quiet", "--", pointer.name)
    return Tracked(str(pointer), pointer_hash(pointer.read_bytes(), str(pointer)))


@dataclass(frozen=True)
class Pulled:
    """What became of a folder of batches: who brought the data, and what a reader should know."""

    source: str
    note: str = ""


def pull(root: Path, folder: str) -> Pulled:
    """Bring the batches that a commit records, from the default remote, else from the cache.

    Parameters
    ----------
    root : Path
        The repository.
    folder : str
        Where it keeps its batches, with a pointer (``<name>.dvc``) beside those under DVC.

    Returns
    -------
    Pulled
        ``source`` is ``remote``, ``cache`` or ``none``: no batch has a pointer, and the pipeline's own are made by its
        first stage.

    Raises
    ------
    BadInput
        When a batch that the commit records cannot be had.
    """
    if find_spec("dvc") is None:
        raise BadInput("DVC is not installed", mend="pip install 'soil-assets[dvc]'")
    pointers = sorted(f"{folder}/{p.name}" for p in (root / folder).glob("*.dvc"))
    note = ""
    if _says(root, "config", "core.remote"):
        try:
            # Without a pointer there may be outputs of the pipeline there, or none: either is right.
            _dvc(root, "pull", "--quiet", *(pointers or ["--allow-missing", folder]))
        except BadInput as error:
            note = f"the remote did not answer: {error.found}"
        else:
            return Pulled("remote")
    if not pointers:
        return Pulled("none", note)
    try:
        _dvc(root, "checkout", "--quiet", *pointers)
    except BadInput as error:
        raise BadInput(
            "the batches that this commit records cannot be had",
            file=", ".join(pointers)[:300],
            found=note or "no remote is set, and the cache lacks them",
            expected="a remote that can be reached: dvc remote add -d NAME URL",
            mend=str(error.found or "set the remote and its credentials, then dvc pull"),
        ) from None
    return Pulled("cache", note)


def _says(where: Path, *arguments: str) -> str:
    """Return what a ``dvc`` command prints, or nothing where it fails."""
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(
        command, cwd=where, env={**os.environ, **_QUIET}, capture_output=True, text=True, check=False
    )
    return "" if done.returncode else done.stdout.strip()


def _dvc(where: Path, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=where,
        env={**os.environ, **_QUIET},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = [
            line for line in done.stderr.splitlines() if line.startswith("ERROR")
        ] or done.stderr.splitlines()
        raise BadInput(
            f"dvc {arguments[0]} failed",
            file=str(where),
            found=(said or ["no message"])[0].removeprefix("ERROR: ")[:500],
            mend="run it inside a git repository after 'dvc init'; for --push, set a default remote",
        )
