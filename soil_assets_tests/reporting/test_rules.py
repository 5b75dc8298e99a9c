"""Each rule of the SOP gives its verdict, and nothing that is missing passes."""

from __future__ import annotations

from typing import Any

import pytest

from soil_assets.config import DriftPolicy, ModelPolicy, Policy
from soil_assets.reporting.decision_inputs import BatchResult, Check, PropertyResult
from soil_assets.reporting.rules import RULES, decide
from soil_assets_tests.reporting.facts import comparison, evaluation, first, inputs, result

FAILED = Check(name="coverage", passed=False, summary="17 of 26 at 90 %")
GAP = Check(name="complete", passed=False)
INFINITE = Check(name="finite", passed=False)
UNKNOWN = Check(name="coverage", passed=None)
LEAK = Check(name="no_benchmark_leakage", passed=False, summary="s3 is in both")
HELD = BatchResult(
    name="july",
    landed=9,
    accepted=9,
    quarantined=0,
    drift="fail",
    held=True,
    part_of_change=True,
    reasons=("drift",),
)

CASES: dict[str, tuple[Any, str, str, bool]] = {
    "better": (inputs(result("better")), "9", "approve", False),
    "not worse": (inputs(result("not worse"), result("better", "ph")), "9", "approve", False),
    "worse": (inputs(result("better"), result("worse", "ph")), "3", "reject", True),
    "cannot tell": (inputs(result("cannot tell"), result("better", "ph")), "7", "cannot tell", True),
    "first": (inputs(first(), first("ph"), main=""), "8", "first version", False),
    "first beside known": (inputs(first(), result("better", "ph")), "9", "approve", False),
    "no candidate": (
        inputs(PropertyResult(name="clay"), checks=(GAP,)), "1", "request changes", True,
    ),
    "nothing at all": (inputs(), "1", "request changes", True),
    "no comparison": (inputs(result("better", main=None, comparison=None)), "6", "cannot tell", True),
    "evidence missing": (inputs(result("better"), missing=("batch x is not in the report",)), "6", "cannot tell", True),
    "property removed": (inputs(result("better"), removals=("property ph is removed",)), "6", "cannot tell", True),
    "leakage": (inputs(result("better"), checks=(LEAK,)), "2", "request changes", True),
    "not finite": (inputs(result(checks=(INFINITE,))), "2", "request changes", True),
    "coverage": (inputs(result("better", checks=(FAILED,))), "4", "request changes", True),
    "held data of the change": (inputs(result("better"), batches=(HELD,)), "5", "request changes", True),
    "check not judged": (inputs(result(checks=(UNKNOWN,))), "6", "cannot tell", True),
    "worse and coverage": (inputs(result("worse", checks=(FAILED,))), "3", "reject", True),
    "leakage hides better": (inputs(result("worse"), checks=(LEAK,)), "2", "request changes", True),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_rule_decides_its_case(case: str) -> None:
    facts, number, verdict, blocks = CASES[case]
    decision = decide(facts)
    assert (decision.rule.number, decision.verdict, decision.blocks) == (number, verdict, blocks)
    assert decision.reasons


def test_every_rule_is_reached_by_a_case() -> None:
    assert {number for _, number, _, _ in CASES.values()} == {rule.number for rule in RULES}


def _broken(**changes: Any) -> PropertyResult:
    main, candidate = evaluation(1.5), evaluation(1.3)
    return result(comparison=comparison("better", main, candidate) | changes)


@pytest.mark.parametrize(
    "broken",
    [
        _broken(rmse_difference=None),
        _broken(rmse_difference=[float("nan"), -0.3, -0.1]),
        _broken(rmse_difference=[-0.2, -0.3]),
        _broken(verdict="excellent"),
        _broken(margin=0.5),
        _broken(alpha=0.4),
        _broken(margin=None),
        result(comparison=None),
        result(comparison={}),
        result(candidate={"metrics": {"rmse": float("nan")}}),
        result(candidate={"metrics": {}}),
        result(candidate={}),
        result(main=None, comparison={"verdict": "better"}),
    ],
)
def test_a_figure_that_is_missing_or_of_another_judge_never_passes(broken: PropertyResult) -> None:
    decision = decide(inputs(broken, result("better", "ph")))
    assert decision.verdict == "cannot tell"
    assert decision.blocks


def test_a_first_version_without_figures_is_not_judged() -> None:
    broken = result(main=None, comparison=None, candidate={"metrics": {"rmse": None}})
    assert decide(inputs(broken, main="")).verdict == "cannot tell"


def test_what_later_rules_found_is_not_hidden() -> None:
    decision = decide(inputs(result("worse"), result("cannot tell", "ph"), batches=(HELD,)))
    assert decision.verdict == "reject"
    told = " ".join(decision.cautions)
    assert "july" in told
    assert "ph: cannot tell whether it is worse than main, RMSE 1.53 -> 1.32" in told
    assert "65 more benchmark samples" in told


def test_policy_may_let_cannot_tell_pass_beside_a_clear_property() -> None:
    warn = Policy(model=ModelPolicy(when_cannot_tell="warn"))
    beside = decide(inputs(result("cannot tell"), result("better", "ph"), policy=warn))
    assert (beside.verdict, beside.blocks) == ("approve", False)
    assert any("cannot tell" in c for c in beside.cautions)
    alone = decide(inputs(result("cannot tell"), policy=warn))
    assert (alone.verdict, alone.blocks) == ("cannot tell", False)


def test_a_landed_batch_that_is_held_is_told_but_blocks_no_other_change() -> None:
    decision = decide(inputs(result("better")))
    assert decision.verdict == "approve"
    assert "batch nrw62 is held and not in the training set" in decision.cautions
    assert "batch damaged: drift was not judged" in decision.cautions


def test_drift_that_was_let_through_is_told() -> None:
    through = BatchResult(name="july", landed=9, accepted=9, quarantined=0, drift="fail", part_of_change=True)
    policy = Policy(drift=DriftPolicy(when_drift="warn"))
    decision = decide(inputs(result("better"), batches=(through,), policy=policy))
    assert decision.verdict == "approve"
    assert any("july shows drift" in c for c in decision.cautions)


def test_a_warning_check_does_not_block() -> None:
    soft = Check(name="replicates", passed=False, blocking=False, summary="spread")
    decision = decide(inputs(result("better", checks=(soft,))))
    assert decision.verdict == "approve"
    assert any("replicates failed (spread)" in c for c in decision.cautions)
