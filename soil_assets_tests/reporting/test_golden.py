"""The report as a person reads it, kept word for word: a change of wording is seen in review.

``SOIL_UPDATE_GOLDEN=1 pytest soil_assets_tests/reporting/test_golden.py`` writes the files anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from soil_assets.config import ModelPolicy, Policy
from soil_assets.reporting.decision import build
from soil_assets.reporting.decision_inputs import (
    BatchResult,
    Check,
    DecisionInputs,
    PropertyResult,
    Proposal,
    Stratum,
)
from soil_assets_tests.reporting.facts import comparison, evaluation, first, inputs, result

GOLDEN = Path(__file__).parent / "golden"
JULY = BatchResult(
    name="july",
    landed=9,
    accepted=9,
    quarantined=0,
    drift="fail",
    held=True,
    part_of_change=True,
    reasons=("the spectra differ around 3696 and 828 cm-1; predicted clay up 91 %",),
)


def _loosened() -> DecisionInputs:
    main, candidate = evaluation(1.3), evaluation(1.5)
    worse, passes = comparison("worse", main, candidate), comparison("not worse", main, candidate, margin=0.5)
    clay = result("worse", main=main, candidate=candidate, comparison=worse)
    proposal = Proposal(
        policy=Policy(model=ModelPolicy(margin=0.5)),
        benchmark=("benchmark nrw115-benchmark: checksum 11aeb628 -> 5fd39a01",),
        properties={"clay": {"comparison": passes}},
    )
    return inputs(clay, proposal=proposal)


REPORTS = {
    "approve": inputs(
        result(
            "better",
            strata=(Stratum(name="clay over 30 %", n=9, main=1.2, candidate=1.9, low=0.3, high=1.1),),
        ),
        result("not worse", "ph", unit="index"),
    ),
    "held_data": inputs(result("better"), batches=(JULY,)),
    "cannot_tell": inputs(result("cannot tell"), result("better", "ph")),
    "first_version": inputs(first(), main="", batches=()),
    "gate_failed": inputs(
        PropertyResult(name="clay"), checks=(Check(name="schema", passed=False, summary="no clay column"),)
    ),
    "loosened": _loosened(),
}


@pytest.mark.parametrize("name", REPORTS)
def test_report_reads_as_agreed(name: str) -> None:
    file = GOLDEN / f"{name}.md"
    # Pictures have tests of their own; their names and words are part of the text.
    text = build(REPORTS[name]).markdown
    if os.environ.get("SOIL_UPDATE_GOLDEN") == "1":
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def test_no_golden_file_is_left_over() -> None:
    assert {f.stem for f in GOLDEN.glob("*.md")} == set(REPORTS)
