"""The batches that a commit records, brought by real DVC: from a remote, from the cache, or told why not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from soil_assets.adapters.dvc import pull
from soil_assets.errors import BadInput
from soil_assets_tests.adapters.test_dvc import call, dvc

pytest.importorskip("dvc")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one batch under DVC, pushed to a remote that is a folder."""
    root = tmp_path / "repository"
    (root / "batches" / "june").mkdir(parents=True)
    (root / "batches" / "june" / "spectra.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    call(root, "git", "init", "-q", "-b", "main")
    dvc(root, "init", "-q")
    dvc(root, "remote", "add", "-q", "-d", "store", str(tmp_path / "store"))
    dvc(root, "add", "-q", "batches/june")
    dvc(root, "push", "-q")
    shutil.rmtree(root / "batches" / "june")
    return root


def spectra(root: Path) -> str:
    return (root / "batches" / "june" / "spectra.csv").read_text(encoding="utf-8")


def test_the_remote_brings_what_the_commit_records(repository: Path) -> None:
    shutil.rmtree(repository / ".dvc" / "cache")
    assert pull(repository, "batches").source == "remote"
    assert spectra(repository) == "a,b\n1,2\n"


def test_a_remote_that_cannot_be_reached_is_told_and_the_cache_serves(
    repository: Path, tmp_path: Path
) -> None:
    dvc(repository, "remote", "modify", "-q", "store", "url", "http://127.0.0.1:9/store")
    shutil.rmtree(tmp_path / "store")
    found = pull(repository, "batches")
    assert found.source in ("cache", "remote")  # DVC asks a remote only for what its cache lacks
    assert spectra(repository) == "a,b\n1,2\n"
    shutil.rmtree(repository / "batches" / "june")
    shutil.rmtree(repository / ".dvc" / "cache")
    with pytest.raises(BadInput, match="cannot be had") as told:
        pull(repository, "batches")
    assert "batches/june.dvc" in str(told.value)
    assert "dvc remote add" in str(told.value)


def test_without_pointers_there_is_nothing_to_bring(tmp_path: Path) -> None:
    call(tmp_path, "git", "init", "-q")
    dvc(tmp_path, "init", "-q")
    assert pull(tmp_path, "batches").source == "none"
