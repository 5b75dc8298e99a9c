"""``soil branch``: what a closed pull request leaves behind is found and removed, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from soil_assets.cli import app
from soil_assets.config import branch_from_environment
from soil_assets.errors import BadInput
from soil_assets.storage import Store


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SOIL_HOME", str(tmp_path))
    monkeypatch.setenv("SOIL_DAGSTER_STORAGE", str(tmp_path / "dagster"))
    Store(f"{tmp_path}/data").write("assets/a/current.json", b"main")
    Store(f"{tmp_path}/data/branches/pr-1").write("assets/a/current.json", b"one")
    Store(f"{tmp_path}/reports/branches/pr-2").write("index.html", b"two")
    return tmp_path


def said(*words: str) -> dict[str, object]:
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def test_branches_are_listed_and_removed(home: Path) -> None:
    assert said("branch", "list") == {"branches": ["pr-1", "pr-2"]}
    assert said("branch", "remove", "pr-1")["removed"] == [f"{home}/data/branches/pr-1"]
    assert said("branch", "remove", "pr-1")["removed"] == []
    assert said("branch", "list") == {"branches": ["pr-2"]}
    assert Store(f"{home}/data").read("assets/a/current.json") == b"main"


def test_a_path_is_no_branch(home: Path) -> None:
    result = CliRunner().invoke(app, ["branch", "remove", "../data"])
    assert isinstance(result.exception, BadInput)
    assert Store(f"{home}/data").exists("assets/a/current.json")


def test_a_deployment_that_was_named_after_a_git_branch_is_found_by_it(home: Path) -> None:
    """Dagster+ names no number: the name is made of the git branch, here as in the deployment."""
    name = branch_from_environment({"DAGSTER_CLOUD_GIT_BRANCH": "feature/new-lab"})
    Store(f"{home}/data/branches/{name}").write("assets/a/current.json", b"theirs")
    told = said("branch", "remove", "--git-branch", "feature/new-lab")
    assert told["removed"] == [f"{home}/data/branches/{name}"]
    assert said("branch", "list") == {"branches": ["pr-1", "pr-2"]}


@pytest.mark.parametrize("words", [(), ("pr-1", "--git-branch", "feature/new-lab")])
def test_one_of_the_two_names_is_needed(home: Path, words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, ["branch", "remove", *words])
    assert isinstance(result.exception, BadInput)
    assert said("branch", "list") == {"branches": ["pr-1", "pr-2"]}
