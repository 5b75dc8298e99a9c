"""git: what a commit holds, without touching the work tree, and a temporary work tree of another commit.

Belongs here: calling ``git`` for reading. Does not belong here: committing, pushing, what the files mean.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from soil_assets.errors import BadInput


def commit_of(root: Path, ref: str) -> str | None:
    """Return the commit that ``ref`` names, or None when it names none (or ``root`` is no repository)."""
    if ref.startswith("-"):
        return None
    done = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    return done.stdout.decode().strip() or None if done.returncode == 0 else None


def file_at(root: Path, commit: str, path: str) -> bytes | None:
    """Return a file as it is in a commit, or None when it is not there."""
    done = _git(root, "cat-file", "blob", f"{commit}:{path}")
    return done.stdout if done.returncode == 0 else None


def files_at(root: Path, commit: str, folder: str) -> dict[str, bytes]:
    """Return every file below ``folder`` in a commit, by its path below that folder."""
    listed = _git(root, "ls-tree", "-r", "-z", "--name-only", commit, "--", f"{folder}/")
    names = [n for n in listed.stdout.decode("utf-8", "surrogateescape").split("\0") if n]
    found = {n.removeprefix(f"{folder}/"): file_at(root, commit, n) for n in names}
    return {name: content for name, content in found.items() if content is not None}


def paths_at(root: Path, commit: str, folder: str) -> list[str]:
    """Return the paths of every file below ``folder`` in a commit, relative to that folder."""
    listed = _git(root, "ls-tree", "-r", "-z", "--name-only", commit, "--", f"{folder}/")
    names = listed.stdout.decode("utf-8", "surrogateescape").split("\0")
    return [name.removeprefix(f"{folder}/") for name in names if name]


def links_at(root: Path, commit: str) -> list[str]:
    """Return the paths of a commit that are symbolic links.

    Raises
    ------
    BadInput
        When git cannot list the commit: that is not 'no link'.
    """
    listed = _git(root, "ls-tree", "-r", "-z", commit)
    if listed.returncode:
        raise BadInput("git cannot list the files of a commit", file=str(root), found=commit[:12])
    entries = listed.stdout.decode("utf-8", "surrogateescape").split("\0")
    return [entry.partition("\t")[2] for entry in entries if entry.startswith("120000 ")]


def changed_paths(root: Path, older: str, newer: str) -> list[str]:
    """Return the paths that differ between two commits; a renamed file under both of its names.

    Raises
    ------
    BadInput
        When git cannot compare them.
    """
    done = _git(root, "diff", "--name-only", "--no-renames", "-z", "--end-of-options", older, newer, "--")
    if done.returncode:
        raise BadInput(
            "git cannot compare two commits",
            file=str(root),
            found=done.stderr.decode("utf-8", "replace").strip()[:200],
            mend="fetch both commits",
        )
    return [n for n in done.stdout.decode("utf-8", "surrogateescape").split("\0") if n]


def is_ancestor(root: Path, older: str, newer: str) -> bool:
    """Whether a commit is in the history of another, or is that other one.

    Raises
    ------
    BadInput
        When git cannot tell, because one of them is not in this clone.
    """
    done = _git(root, "merge-base", "--is-ancestor", older, newer)
    if done.returncode not in (0, 1):
        raise BadInput(
            "the history of this clone does not hold a commit",
            file=str(root),
            found=done.stderr.decode("utf-8", "replace").strip()[:200] or f"{older[:12]} or {newer[:12]}",
            mend="fetch more of main's history (fetch-depth of the checkout)",
        )
    return done.returncode == 0


def first_after(root: Path, older: str, newer: str) -> tuple[str, float] | None:
    """First step of a branch after one of its commits, with its time (Unix, of the committer); None at its end."""
    done = _git(root, "log", "--first-parent", "--reverse", "--format=%H %ct", f"{older}..{newer}", "--")
    if done.returncode:
        raise BadInput("git cannot tell what follows a commit", file=str(root), found=older[:12])
    lines = done.stdout.decode().split("\n")
    if not lines[0]:
        return None
    commit, time = lines[0].split()
    return commit, float(time)


@contextmanager
def work_tree(root: Path, commit: str) -> Iterator[Path]:
    """Give a temporary work tree of a commit; it is gone afterwards.

    Raises
    ------
    BadInput
        When git cannot make it.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "tree"
        made = _git(root, "worktree", "add", "--detach", "--force", str(place), commit)
        if made.returncode:
            raise BadInput(
                "git cannot lay out this commit",
                file=str(root),
                found=made.stderr.decode("utf-8", "replace").strip()[:300],
                mend="fetch its whole history: git fetch --unshallow",
            )
        try:
            yield place
        finally:
            _git(root, "worktree", "remove", "--force", str(place))


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False, timeout=300)
    except FileNotFoundError:
        return subprocess.CompletedProcess(arguments, 127, b"", b"git is not installed")
