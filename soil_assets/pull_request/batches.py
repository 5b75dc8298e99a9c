"""The batches of a repository at a commit and now, each by the hash that DVC gives its folder.

A batch is a folder in git or a DVC pointer (``<name>.dvc``). Batches that the pipeline makes lie in a work tree only.
Belongs here: naming them and their content. Does not belong here: reading a scan.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from soil_assets.adapters import git
from soil_assets.adapters.dvc import directory_hash, pointer_hash
from soil_assets.storage import Store


def batches_at(root: Path, commit: str, folder: str) -> dict[str, str]:
    """Return the batches of a commit: name to content hash."""
    files = git.files_at(root, commit, folder)
    found: dict[str, str] = {}
    for name, content in files.items():
        if name.endswith(".dvc") and "/" not in name:
            found[name.removesuffix(".dvc")] = pointer_hash(content, f"{folder}/{name}")
    for batch in {name.split("/", 1)[0] for name in files if "/" in name}:
        inside = {n.split("/", 1)[1]: c for n, c in files.items() if n.startswith(f"{batch}/")}
        found[batch] = directory_hash(inside)
    return found


def batches_here(landing: Store) -> dict[str, str]:
    """Return the batches of a landing zone now: those that lie in it, and those that only a DVC pointer names."""
    from soil_assets.defs.landing_zone import all_files, pointed_to

    named = {name: version.removeprefix("dvc:") for name, version in pointed_to(landing).items()}
    return named | {name: directory_hash(all_files(landing, name)) for name in landing.folders()}


def touched(before: Mapping[str, str], after: Mapping[str, str]) -> frozenset[str]:
    """Return the batches that a change adds or alters."""
    return frozenset(name for name, content in after.items() if before.get(name) != content)
