"""No single mutation of a report's artifact turns a change that does not pass into one that does."""

from __future__ import annotations

import json
from itertools import islice

import pytest

from soil_assets.reporting.decision import build
from soil_assets_tests.pull_request.facts import batch, facts
from soil_assets_tests.pull_request.mutations import CASES, case, judge, mutations

#: Every case tries another part of the mutations here; ``soil bench judge`` tries all of them.
STEP = 110


def test_the_same_judge_lets_a_good_change_pass() -> None:
    """Otherwise every mutation would be refused by a judge that refuses everything."""
    june = facts(batches=(batch("june", part_of_change=True), batch("may")))
    state = judge("strong", "weak", {"june": "added", "may": "unchanged"})
    assert state(json.dumps({"inputs": june.model_dump(mode="json")})) == "success"


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_no_mutation_turns_a_change_green(name: str) -> None:
    change, state = case(name)
    report = json.loads(json.dumps(build(change).data))
    assert state(json.dumps(report)) != "success"
    tried = list(islice(mutations(report), CASES.index(name), None, STEP))
    assert len(tried) > 45
    assert [mutation for mutation, text in tried if state(text()) == "success"] == []
