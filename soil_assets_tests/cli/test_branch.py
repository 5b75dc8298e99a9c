"""``soil branch``: what a closed pull request leaves behind is found and removed, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from soil_assets.cli import app
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
