"""docs/delivery.md names commands, options, files and variables that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from soil_assets.cli import app

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = (ROOT / "docs" / "delivery.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"^soil ((?:registry|release) \w+)", TEXT, re.MULTILINE)))


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) >= 11


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_and_options_exist(command: str) -> None:
    said = CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": "200"})
    assert said.exit_code == 0
    for line in re.findall(rf"^soil {command}(.*)$", TEXT, re.MULTILINE):
        for option in re.findall(r"--[a-z]+", re.sub(r'"[^"]*"', "", line)):
            assert option in said.output, option


def test_files_workflows_and_variables_exist() -> None:
    for path in re.findall(r"`((?:deploy|soil_assets_tests)/[\w./-]+)`", TEXT):
        assert (ROOT / path).exists(), path
    workflows = {f.stem: f.read_text() for f in (ROOT / ".github" / "workflows").glob("*.y*ml")}
    for name in ("deploy_staging", "promote", "rollback", "images"):
        assert name in workflows
    used = (
        "".join(workflows.values())
        + (ROOT / "deploy" / "kubernetes" / "base" / "deployment-blue.yaml").read_text()
    )
    for variable in set(re.findall(r"`((?:SOIL|MLFLOW)_[A-Z_]+)`", TEXT)):
        assert variable in used, variable
