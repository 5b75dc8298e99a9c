"""Reading commits, and a work tree of another one, without touching this one's."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from soil_assets.adapters import git
from soil_assets.errors import BadInput

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="no git")


def call(where: Path, *arguments: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(["git", *who, *arguments], cwd=where, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / "batches" / "june" / "deep").mkdir(parents=True)
    call(root, "init", "-q", "-b", "main")
    for version in ("one", "two", "three"):
        (root / "metrics.json").write_text(version, encoding="utf-8")
        (root / "batches" / "june" / "deep" / "ä b.csv").write_text(version, encoding="utf-8")
        call(root, "add", "-A")
        call(root, "commit", "-q", "-m", version)
    return root


def test_a_commit_is_found_by_name_and_nothing_else_is(repository: Path, tmp_path: Path) -> None:
    assert git.commit_of(repository, "main") == call(repository, "rev-parse", "HEAD")
    for name in ("nothing", "", "--all", "main:metrics.json", "main;ls"):
        assert git.commit_of(repository, name) is None
    assert git.commit_of(tmp_path, "main") is None


def test_files_are_read_as_a_commit_has_them(repository: Path) -> None:
    first = git.commit_of(repository, "main~2")
    assert first is not None
    assert git.file_at(repository, first, "metrics.json") == b"one"
    assert git.file_at(repository, first, "nothing.json") is None
    assert git.files_at(repository, first, "batches") == {"june/deep/ä b.csv": b"one"}
    assert git.files_at(repository, first, "nothing") == {}


def test_another_commit_is_laid_out_and_cleared_away(repository: Path) -> None:
    first = call(repository, "rev-parse", "main~2")
    with git.work_tree(repository, first) as place:
        assert (place / "metrics.json").read_text(encoding="utf-8") == "one"
    assert not place.exists()
    assert call(repository, "worktree", "list").count("\n") == 0
    assert (repository / "metrics.json").read_text(encoding="utf-8") == "three"
    with pytest.raises(BadInput, match="lay out"), git.work_tree(repository, "0" * 40):
        pass
