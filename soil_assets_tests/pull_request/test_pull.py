"""The batches that a commit records, brought by real DVC: from a remote, from the cache, or told why not."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

import pytest

from soil_assets.adapters import dvc as adapter
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
    with pytest.raises(BadInput, match="not readable here") as error:
        pull(repository, "batches")
    assert "batches/june.dvc" in str(error.value)
    assert "Is your cache up to date?" in str(error.value.found)  # DVC's own words
    dvc(repository, "remote", "remove", "store")
    with pytest.raises(BadInput, match="dvc remote add"):
        pull(repository, "batches")


def test_data_that_nobody_pushed_are_told_with_the_way_to_push_them(repository: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "store")
    (tmp_path / "store").mkdir()
    shutil.rmtree(repository / ".dvc" / "cache")
    with pytest.raises(BadInput, match="soil batch add NAME --push"):
        pull(repository, "batches")
    assert not (repository / "batches" / "june").exists()


def test_other_bytes_under_the_hash_are_an_error(repository: Path) -> None:
    """A cache that somebody filled: DVC's own check of a read-only object is only its time and size."""
    pull(repository, "batches")
    shutil.rmtree(repository / "batches" / "june")
    digest = hashlib.md5(b"a,b\n1,2\n", usedforsecurity=False).hexdigest()
    cached = repository / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]
    cached.chmod(0o644)
    cached.write_text("a,b\n1,9\n", encoding="utf-8")
    cached.chmod(0o444)
    with pytest.raises(BadInput, match="not what its pointer says") as error:
        pull(repository, "batches")
    assert error.value.file == "batches/june"
    assert str(error.value.expected).endswith(".dir")


def test_a_batch_that_was_altered_here_is_not_overwritten(repository: Path) -> None:
    pull(repository, "batches")
    (repository / "batches" / "june" / "spectra.csv").unlink()
    (repository / "batches" / "june" / "spectra.csv").write_text("mine\n", encoding="utf-8")
    with pytest.raises(BadInput, match="altered here"):
        pull(repository, "batches")
    assert spectra(repository) == "mine\n"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("import sys; sys.exit('WARNING: odd\\nit broke here')", "it broke here"),
        ("print('only on stdout'); raise SystemExit(3)", "only on stdout"),
        ("raise SystemExit(7)", "exit code 7, and DVC printed nothing"),
        (
            "import sys; sys.exit('ERROR: first\\n  its second line\\n\\nHaving troubles?')",
            "first; its second line",
        ),
        ("import time; print('half', flush=True); time.sleep(60)", "half"),
    ],
)
def test_every_way_that_dvc_ends_has_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    """In place of DVC a program that fails as it does: killed, silent, on either stream."""
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{script}"\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(adapter.sys, "executable", str(program))
    monkeypatch.setattr(adapter, "_PATIENCE", 5.0)
    (tmp_path / "june").mkdir()
    with pytest.raises(BadInput) as error:
        adapter.add(tmp_path / "june")
    assert words in str(error.value.found)
    assert "no message" not in str(error.value)
    assert "Having" not in str(error.value)


def test_without_pointers_there_is_nothing_to_bring(tmp_path: Path) -> None:
    call(tmp_path, "git", "init", "-q")
    dvc(tmp_path, "init", "-q")
    assert pull(tmp_path, "batches").source == "none"
