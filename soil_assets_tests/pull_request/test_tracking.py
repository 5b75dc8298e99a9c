"""``soil batch add NAME --push`` as the README has it: in a repository as it is cloned, with a real remote."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from soil_assets_tests.adapters.test_dvc import call, dvc
from soil_assets_tests.warm import soil_of_this_checkout

pytest.importorskip("dvc")
ROOT = Path(__file__).resolve().parents[2]


def soil(where: Path, *arguments: str, code: int = 0, **env: str) -> str:
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("SOIL_", "DAGSTER_"))}
    done = subprocess.run(
        [soil_of_this_checkout(), *arguments],
        cwd=where,
        env={**ours, "PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1", **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository that ignores its landing zone, with a batch landed and a remote that is a folder."""
    root = tmp_path / "repository"
    (root / ".soil" / "landing").mkdir(parents=True)
    shutil.copy(ROOT / ".gitignore", root / ".gitignore")
    shutil.copy(ROOT / ".dvcignore", root / ".dvcignore")
    call(root, "git", "init", "-q", "-b", "main")
    dvc(root, "init", "-q")
    dvc(root, "remote", "add", "-q", "-d", "store", str(tmp_path / "store"))
    land(root, "a,b\n1,2\n")
    return root


def land(root: Path, text: str, name: str = "june") -> None:
    folder = root / ".soil" / "landing" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spectra.csv").write_text(text, encoding="utf-8")
    (folder / "_SUCCESS").touch()


def test_the_command_of_the_readme_works_and_another_clone_pulls_the_same_bytes(
    repository: Path, tmp_path: Path
) -> None:
    assert "soil batch add NAME --push" in (ROOT / "README.md").read_text(encoding="utf-8")
    facts = json.loads(soil(repository, "batch", "add", "june", "--push", "--json"))
    assert facts["pointer"] == str(repository / "batches" / "june.dvc")
    assert facts["pushed"] is True
    call(repository, "git", "add", "batches/june.dvc", "batches/.gitignore", ".dvc", ".dvcignore")
    call(repository, "git", "commit", "-q", "-m", "june")
    call(tmp_path, "git", "clone", "-q", str(repository), "clone")
    assert "brought from the remote" in soil(tmp_path / "clone", "batch", "pull")
    assert (tmp_path / "clone/batches/june/spectra.csv").read_text(encoding="utf-8") == "a,b\n1,2\n"


def test_a_batch_landed_again_is_a_new_version_and_an_unrecorded_one_is_not_overwritten(
    repository: Path,
) -> None:
    first = json.loads(soil(repository, "batch", "add", "june", "--json"))["version"]
    assert json.loads(soil(repository, "batch", "add", "june", "--json"))["version"] == first
    land(repository, "a,b\n1,3\n")
    assert json.loads(soil(repository, "batch", "add", "june", "--json"))["version"] != first
    inside = repository / "batches" / "june" / "spectra.csv"
    inside.unlink()
    inside.write_text("typed here\n", encoding="utf-8")
    assert "DVC did not record it" in soil(repository, "batch", "add", "june", code=2)
    assert inside.read_text(encoding="utf-8") == "typed here\n"
    assert not list((repository / "batches").glob(".june*"))


def test_a_batch_of_the_repository_is_added_where_it_lies(repository: Path) -> None:
    (repository / "batches" / "july").mkdir(parents=True)
    (repository / "batches" / "july" / "spectra.csv").write_text("x\n", encoding="utf-8")
    by_path = json.loads(soil(repository, "batch", "add", "batches/july", "--json"))
    by_name = json.loads(soil(repository, "batch", "add", "july", "--json"))
    assert by_path == by_name
    assert by_path["pointer"] == str(repository / "batches" / "july.dvc")


def test_a_landing_zone_outside_the_repository_is_copied_from(repository: Path, tmp_path: Path) -> None:
    (repository / ".soil" / "landing").rename(tmp_path / "inbox")
    facts = json.loads(
        soil(repository, "batch", "add", "june", "--json", SOIL_LANDING=str(tmp_path / "inbox"))
    )
    assert facts["pointer"] == str(repository / "batches" / "june.dvc")
    assert (tmp_path / "inbox" / "june" / "spectra.csv").is_file()
    assert not (tmp_path / "inbox" / "june.dvc").exists()


def test_what_dvc_refuses_is_shown_in_its_own_words(repository: Path, tmp_path: Path) -> None:
    dvc(repository, "remote", "remove", "store")
    error = soil(repository, "batch", "add", "june", "--push", code=2)
    assert "no remote specified" in error
    assert "dvc remote add" in error
    assert "no such batch" in soil(repository, "batch", "add", "nothing", code=2)
    land(tmp_path, "a,b\n")
    assert "not the folder of a DVC repository" in soil(tmp_path, "batch", "add", "june", code=2)
