"""DVC: a batch under version control by its content, and that content's hash.

Belongs here: calling ``dvc``, reading its pointer files, and the hash that it gives a directory.
Does not belong here: what a batch is, or when one is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from soil_assets.errors import BadInput

#: What ``dvc add`` writes into the pointer of a folder.
_POINTER_KEYS, _OUT_KEYS = {"outs", "meta", "desc"}, {"md5", "size", "nfiles", "hash", "path"}
_MD5 = re.compile(r"[0-9a-f]+(\.dir)?")
_QUIET = {"DVC_NO_ANALYTICS": "1", "DVC_NO_UPDATE_CHECK": "1"}
#: A remote that answers no more is given up after an hour; a job's own limit ends it without a reason.
_PATIENCE = 3600.0


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
    return hash_of_digests(
        {name: hashlib.md5(content, usedforsecurity=False).hexdigest() for name, content in files.items()}
    )


def hash_of_digests(digests: Mapping[str, str]) -> str:
    """Return the same from the MD5 of each file: a large directory need not be held."""
    entries = [{"md5": digests[name], "relpath": name} for name in sorted(digests)]
    listing = json.dumps(entries, sort_keys=True).encode()
    return f"{hashlib.md5(listing, usedforsecurity=False).hexdigest()}.dir"


def pointer_hash(pointer: bytes, file: str) -> str:
    """Return the hash in a ``.dvc`` file.

    Raises
    ------
    BadInput
        When it is anything but a pointer to the one batch beside it that it is named after: DVC would write wherever
        ``path`` or ``wdir`` lead, the code included, and run what ``cmd`` states.
    """
    import yaml

    try:
        stated = yaml.safe_load(pointer)
        [out] = stated["outs"]
        plain = stated.keys() <= _POINTER_KEYS and out.keys() <= _OUT_KEYS
        if (
            plain
            and str(out["path"]) == PurePosixPath(file).name.removesuffix(".dvc")
            and _MD5.fullmatch(out["md5"])
        ):
            return str(out["md5"])
        raise ValueError
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise BadInput(
            "not a DVC pointer to one batch",
            file=file,
            expected=f"outs: [{{md5: ..., path: {PurePosixPath(file).name.removesuffix('.dvc')}}}] and nothing else",
            mend="dvc add the folder beside it again",
        ) from None


def add(folder: Path, *, push: bool = False) -> Tracked:
    """Put a batch folder under DVC (``dvc add``), and with ``push`` into the default remote.

    Raises
    ------
    BadInput
        When DVC is not installed, the folder is not in a DVC repository, or DVC refuses.
    """
    _installed()
    if not folder.is_dir():
        raise BadInput("no such batch folder", file=str(folder))
    _dvc(
        folder.parent,
        "add",
        "--",
        folder.name,
        mend="run it inside a git repository after 'dvc init', on a folder that git does not ignore",
    )
    pointer = folder.with_name(f"{folder.name}.dvc")
    if push:
        _dvc(
            folder.parent,
            "push",
            "--",
            pointer.name,
            mend=f"set a default remote (dvc remote add -d NAME URL) and its credentials, then dvc push {pointer}",
        )
    return Tracked(str(pointer), pointer_hash(pointer.read_bytes(), str(pointer)))


def can_track(folder: Path) -> bool:
    """Whether DVC can put this folder under version control where it lies: in a repository, and not ignored by git."""
    _installed()
    if not _says(folder.parent, "root"):
        return False
    pointer = f"{folder.name}.dvc"
    ignored = subprocess.run(
        ["git", "check-ignore", "--quiet", "--", pointer], cwd=folder.parent, capture_output=True, check=False
    )
    return ignored.returncode != 0


@dataclass(frozen=True)
class Pulled:
    """What became of a folder of batches: who brought the data, and what a reader should know."""

    source: str
    note: str = ""


def pointers(root: Path, folder: str) -> dict[str, str]:
    """Return the hash that each batch under DVC has by its pointer."""
    files = sorted((root / folder).glob("*.dvc"))
    return {f.name.removesuffix(".dvc"): pointer_hash(f.read_bytes(), f"{folder}/{f.name}") for f in files}


def pull(root: Path, folder: str, names: Iterable[str] | None = None) -> Pulled:
    """Bring the batches that a commit records, from the default remote, else from the cache, and verify their bytes.

    Parameters
    ----------
    root : Path
        The repository.
    folder : str
        Where it keeps its batches, with a pointer (``<name>.dvc``) beside those under DVC.
    names : iterable of str, optional
        The batches to bring; all of them when left out.

    Returns
    -------
    Pulled
        ``source`` is ``remote``, ``cache`` or ``none``: no batch has a pointer, and the pipeline's own are made by its
        first stage.

    Raises
    ------
    BadInput
        When a batch that the commit records cannot be had, or is not what its pointer says.
    """
    _installed()
    chosen = {p.name.removesuffix(".dvc") for p in (root / folder).glob("*.dvc")} if names is None else names
    targets = sorted(f"{folder}/{name}.dvc" for name in chosen)
    if not targets:
        return Pulled("none")
    for target in targets:  # before DVC writes anything
        pointer_hash((root / target).read_bytes(), target)
        for place in (root / target, root / target.removesuffix(".dvc")):
            if place.is_symlink():
                raise BadInput("a batch under DVC is a link", file=str(place), mend="remove the link")
    refusal = ""
    if _says(root, "config", "core.remote"):
        try:
            _dvc(root, "pull", "--", *targets)
        except BadInput as error:
            refusal = str(error.found)
        else:
            _verify(root, targets)
            return Pulled("remote")
    try:
        _dvc(root, "checkout", "--", *targets)
    except BadInput as error:
        raise _unavailable(targets, refusal, str(error.found)) from None
    _verify(root, targets)
    return Pulled("cache", f"the remote did not answer: {refusal}" if refusal else "")


def folder_hash(folder: Path) -> str:
    """Return the hash of a folder's files as they lie there, like `directory_hash`, without holding one in memory."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return hash_of_digests({path.relative_to(folder).as_posix(): _md5(path) for path in files})


def _verify(root: Path, targets: list[str]) -> None:
    """Compare every batch with its pointer: a cache or a remote may hold other bytes under a hash."""
    for pointer in targets:
        batch = root / pointer.removesuffix(".dvc")
        expected = pointer_hash((root / pointer).read_bytes(), pointer)
        found = folder_hash(batch) if batch.is_dir() else _md5(batch) if batch.is_file() else "nothing"
        if found != expected:
            raise BadInput(
                "this batch is not what its pointer says",
                file=pointer.removesuffix(".dvc"),
                found=found,
                expected=expected,
                mend="remove the folder and .dvc/cache, then pull again; if it stays so, the remote holds other bytes",
            )


def _unavailable(targets: list[str], refusal: str, checkout: str) -> BadInput:
    """Return the error that fits DVC's words: no remote, altered here, or not readable from here."""
    names = ", ".join(targets)[:300]
    if "unsaved files" in f"{refusal} {checkout}":
        return BadInput(
            "a batch was altered here, and DVC does not overwrite it",
            file=names,
            found=refusal or checkout,
            mend="soil batch add it again, or remove its folder and pull again",
        )
    if not refusal:
        return BadInput(
            "the batches that this commit records cannot be had",
            file=names,
            found=f"no remote is set, and the cache lacks them: {checkout}",
            expected="a remote that can be reached",
            mend="dvc remote add -d NAME URL",
        )
    # Of some remotes that do not answer, DVC says what it says of data that nobody pushed.
    missing = "missing-files" in refusal
    credentials = "give the remote's credentials to this step, and check its address: dvc remote list"
    return BadInput(
        "the data of this commit are not readable here",
        file=names,
        found=refusal,
        mend=f"push them where they were added (soil batch add NAME --push); if they were: {credentials}"
        if missing
        else credentials,
    )


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _installed() -> None:
    if find_spec("dvc") is None:
        raise BadInput("DVC is not installed", mend="pip install 'soil-assets[dvc]'")


def _run(where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # Without an input, so that a question of DVC's or ssh's is a refusal and no silent wait.
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=where,
        env={**os.environ, **_QUIET},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=_PATIENCE,
    )


def _says(where: Path, *arguments: str) -> str:
    """Return what a ``dvc`` command prints, or nothing where it fails."""
    done = _run(where, *arguments)
    return "" if done.returncode else done.stdout.strip()


def _dvc(where: Path, *arguments: str, mend: str | None = None) -> None:
    # Never with --quiet: it hides the errors, too.
    try:
        done = _run(where, *arguments)
    except subprocess.TimeoutExpired as error:
        words = _words(_text(error.stderr), _text(error.stdout))
        raise BadInput(
            f"dvc {arguments[0]} did not end",
            file=str(where),
            found=f"stopped after {_PATIENCE:.0f} s" + (f": {words}" if words else ""),
            mend="check that the remote answers, then run it again: what was transferred is not transferred again",
        ) from None
    if done.returncode:
        words = _words(done.stderr, done.stdout)
        raise BadInput(
            f"dvc {arguments[0]} failed",
            file=str(where),
            found=words or f"exit code {done.returncode}, and DVC printed nothing",
            mend=mend,
        )


def _text(output: str | bytes | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""


def _words(stderr: str, stdout: str) -> str:
    """Return DVC's own message: its errors with their continued lines, else the end of what it printed."""
    lines = [line.rsplit("\r", 1)[-1].strip() for line in stderr.splitlines()]
    errors, continued = [], False
    for line in lines:
        continued = line.startswith("ERROR") or (continued and bool(line))
        if continued:
            errors.append(line.removeprefix("ERROR: "))
    printed = [line for line in (*lines, *map(str.strip, stdout.splitlines())) if line]
    return "; ".join(errors or printed[-5:])[:1000]
