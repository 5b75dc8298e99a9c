"""Code versions from the code itself: an asset's version changes when a room it calls, or its settings, change.

So do the versions of the packages that compute, for assets whose rooms compute: another numpy is another training.

A person who edits a recipe need not remember to raise a number, and a change of the README retrains nothing.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

from pydantic import BaseModel

#: Rooms whose figures depend on the packages that compute.
COMPUTING = ("modeling", "spectra", "quality", "drift")
_PACKAGE = Path(__file__).resolve().parent.parent


def code_version(*places: str, settings: object = None) -> str:
    """Return a short hash over the source of ``places`` (rooms or files of the package) and ``settings``."""
    digest = hashlib.sha256()
    for place in sorted(places):
        digest.update(_source_hash(place).encode())
    if any(place.split("/", 1)[0] in COMPUTING for place in places):
        digest.update(json.dumps(science_versions(), sort_keys=True).encode())
    digest.update(json.dumps(settings, default=_plain, sort_keys=True).encode())
    return digest.hexdigest()[:12]


@cache
def _source_hash(place: str) -> str:
    root = _PACKAGE / place
    files = sorted(f for e in ("*.py", "*.csv", "*.yaml") for f in root.rglob(e)) if root.is_dir() else [root]
    digest = hashlib.sha256()
    for file in files:
        if file.name.startswith("bench_"):
            continue
        digest.update(file.relative_to(_PACKAGE).as_posix().encode())
        digest.update(_without_comments(file.read_bytes()))
    return digest.hexdigest()


def _without_comments(source: bytes) -> bytes:
    """Drop blank lines and comments on lines of their own: a reworded comment must not retrain every model.

    Line by line, because parsing every room would double the time that a step process needs to load. Lines inside
    multi-line strings are kept whatever they begin with.
    """
    kept, inside = [], False
    for line in source.splitlines():
        stripped = line.strip()
        if not inside and (not stripped or stripped.startswith(b"#")):
            continue
        if (stripped.count(b'"""') + stripped.count(b"'''")) % 2:
            inside = not inside
        kept.append(line.rstrip())
    return b"\n".join(kept)


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"cannot hash {type(value).__name__}")


@cache
def science_versions() -> dict[str, str]:
    """Versions of the packages that compute, in this environment."""
    from importlib.metadata import version

    return {name: version(name) for name in ("numpy", "scipy", "scikit-learn", "pandas", "pyarrow")}
