"""Scope of a change: which of its files are documentation, and whether all of them are.

Belongs here: classifying paths. Does not belong here: reading a repository (``adapters.git``) or GitHub's list.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

#: Files at the top level that no command reads.
_TOP_LEVEL = ("LICENSE", "CITATION.cff", "mkdocs.yml")


def is_documentation(path: str) -> bool:
    """Whether a file of the repository is documentation: no gate, recipe, model or decision depends on it."""
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts:
        return False
    if parts[0] == "docs":
        return PurePosixPath(path).suffix.lower() != ".py"  # docs/hooks is code
    return len(parts) == 1 and (path in _TOP_LEVEL or path.endswith(".md"))


def only_documentation(paths: Iterable[str]) -> bool:
    """Whether a change touches documentation and nothing else; False for a change without a file."""
    listed = list(paths)
    return bool(listed) and all(is_documentation(path) for path in listed)
