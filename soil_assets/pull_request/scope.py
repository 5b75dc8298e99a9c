"""Scope of a change: which of its files are documentation, and whether all of them are.

Belongs here: classifying paths. Does not belong here: reading a repository (``adapters.git``) or GitHub's list.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

#: Endings of what an interpreter or a loader runs.
_CODE = (".py", ".pyc", ".pyo", ".pyd", ".so", ".dll", ".dylib", ".pth", ".egg", ".whl", ".sh")
#: Files at the top level that no command reads.
_TOP_LEVEL = ("LICENSE", "CITATION.cff", "mkdocs.yml")


def is_documentation(path: str) -> bool:
    """Whether a file of the repository is documentation: no gate, recipe, model or decision depends on it."""
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts or runs_in_dvc(path):
        return False
    if parts[0] == "docs":
        return PurePosixPath(path).suffix.lower() != ".py"  # docs/hooks is code
    return len(parts) == 1 and (path in _TOP_LEVEL or path.endswith(".md"))


def runs_in_dvc(path: str) -> bool:
    """Whether DVC would take a file for its own wherever it lies: a pipeline, a lock, a pointer, its settings."""
    name = PurePosixPath(path).name
    return name in ("dvc.yaml", "dvc.lock") or name.endswith(".dvc") or name.startswith(".dvc")


def is_batch_data(path: str) -> bool:
    """Whether a file is data of a batch and nothing else: a pointer of its own, or a file inside its folder."""
    parts = PurePosixPath(path).parts
    if len(parts) < 2 or parts[0] != "batches" or ".." in parts:
        return False
    if len(parts) == 2:
        return parts[1].endswith(".dvc") and not parts[1].startswith(".")
    return not (
        runs_in_dvc(path) or any(part.startswith(".") for part in parts) or parts[-1].lower().endswith(_CODE)
    )


def only_documentation(paths: Iterable[str]) -> bool:
    """Whether a change touches documentation and nothing else; False for a change without a file."""
    listed = list(paths)
    return bool(listed) and all(is_documentation(path) for path in listed)
