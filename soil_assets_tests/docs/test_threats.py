"""docs/security.md names tests that exist, and every threat has one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "soil_assets_tests"
TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
THREATS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for section in re.split(
        r"^### ", TEXT.partition("## Threats")[2].partition("\n## ")[0], flags=re.MULTILINE
    )[1:]
    for line in section.splitlines()
    if line.startswith("| ") and not line.startswith("| threat")
]


def test_there_are_threats() -> None:
    assert len(THREATS) >= 28
    assert all(len(row) == 3 and all(row) for row in THREATS)


@pytest.mark.parametrize("row", THREATS, ids=lambda row: row[0][:60])
def test_each_threat_names_tests_that_exist(row: list[str]) -> None:
    named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", row[2])
    assert named, row[0]
    for file, name in named:
        path = TESTS / file
        assert path.is_file(), file
        text = path.read_text(encoding="utf-8")
        assert re.search(
            rf"^\s*(?:async )?def {name}\(" if name else r"^\s*(?:async )?def test_", text, re.MULTILINE
        ), name


def test_files_and_variables_that_are_named_exist() -> None:
    for path in re.findall(r"`(\.ci/[\w./-]+)`", TEXT):
        assert (ROOT / path).is_file(), path
