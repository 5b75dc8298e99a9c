"""The SOP page and the policy in force say the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from soil_assets.config import ModelPolicy, Policy, load_settings
from soil_assets.reporting.rules import RULES
from soil_assets.reporting.sop import criteria_table, criterion, with_criteria

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "SOP.md"


def test_the_page_agrees_with_the_policy() -> None:
    page = PAGE.read_text(encoding="utf-8")
    wanted = with_criteria(page, load_settings(ROOT / "soil.yaml", {}).policy)
    if os.environ.get("SOIL_UPDATE_GOLDEN") == "1":
        PAGE.write_text(wanted, encoding="utf-8")
        page = wanted
    assert page == wanted, "SOIL_UPDATE_GOLDEN=1 pytest soil_assets_tests/reporting/test_sop.py makes it anew"


def test_the_table_moves_with_the_policy() -> None:
    loose = Policy(model=ModelPolicy(margin=0.25, min_rpiq=1.1, when_cannot_tell="warn"))
    assert criteria_table(loose) != criteria_table(Policy())
    assert "25 %" in criteria_table(loose)
    assert "1.1" in criteria_table(loose)


def test_every_verdict_is_explained() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for verdict in {rule.verdict for rule in RULES}:
        assert f"| **{verdict}** |" in page


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.number)
def test_every_rule_reads_as_words(rule: object) -> None:
    assert "{" not in criterion(rule, Policy())  # type: ignore[arg-type]


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="mark"):
        with_criteria("# SOP", Policy())
