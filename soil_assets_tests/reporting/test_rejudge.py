"""Stored predictions judged again: by another policy, on another benchmark, and never more than they show."""

from __future__ import annotations

import numpy as np
import pytest

from soil_assets.config import ModelPolicy, Policy
from soil_assets.reporting.decision_inputs import DecisionInputs
from soil_assets.reporting.rejudge import judged_again
from soil_assets.reporting.rules import decide
from soil_assets_tests.reporting.facts import comparison, evaluation, first, inputs, result

POLICY = Policy(model=ModelPolicy(bootstrap=200))


def _of(spread: float, of_main: float) -> DecisionInputs:
    main, candidate = evaluation(of_main, seed=1), evaluation(spread, seed=2)
    # Both predict the same samples.
    for row, other in zip(candidate["predictions"], main["predictions"], strict=True):
        row["value"] += other["observed"] - row["observed"]
        row["observed"] = other["observed"]
    told = comparison("better", main, candidate)
    return inputs(result("better", main=main, candidate=candidate, comparison=told), batches=())


def _benchmark(facts: DecisionInputs) -> dict[str, dict[str, tuple[str, float]]]:
    rows = (facts.properties[0].candidate or {})["predictions"]
    return {"clay": {r["sample_id"]: (f"site {i // 2}", r["observed"]) for i, r in enumerate(rows)}}


def test_a_verdict_that_its_figures_do_not_carry_is_replaced() -> None:
    lie = _of(6.0, 1.0)
    assert decide(lie).verdict == "approve"
    honest = judged_again(lie, POLICY, _benchmark(lie))
    assert decide(honest).verdict == "reject"
    e = np.array([r["value"] - r["observed"] for r in (lie.properties[0].candidate or {})["predictions"]])
    found = (honest.properties[0].candidate or {})["metrics"]["rmse"]
    assert found == pytest.approx(float(np.sqrt(np.mean(e**2))), rel=1e-12)


def test_another_margin_gives_another_verdict_and_the_floor_follows_the_policy() -> None:
    facts = _of(1.35, 1.0)
    strict = judged_again(facts, Policy(model=ModelPolicy(bootstrap=200, margin=0.01, min_rpiq=99.0)))
    loose = judged_again(facts, Policy(model=ModelPolicy(bootstrap=200, margin=9.0, min_rpiq=0.0)))
    assert (strict.properties[0].comparison or {})["verdict"] in ("worse", "cannot tell")
    assert (loose.properties[0].comparison or {})["verdict"] in ("not worse", "better")
    assert strict.policy.model.margin == 0.01


def test_groups_of_the_benchmark_are_resampled_together() -> None:
    facts = _of(1.2, 1.0)
    grouped = judged_again(facts, POLICY, _benchmark(facts)).properties[0].comparison or {}
    alone = judged_again(facts, POLICY).properties[0].comparison or {}
    assert (grouped["n_groups"], alone["n_groups"]) == (13, 26)


def test_a_first_version_stays_one() -> None:
    facts = inputs(first(), batches=())
    again = judged_again(facts, POLICY)
    assert decide(again).verdict == "first version"


@pytest.mark.parametrize("what", ["no predictions", "other ids", "other observed", "not finite"])
def test_what_cannot_be_judged_again_is_not_judged(what: str) -> None:
    facts = _of(0.5, 1.0)
    benchmark = _benchmark(facts)
    clay = facts.properties[0]
    candidate = dict(clay.candidate or {})
    rows = [dict(r) for r in candidate["predictions"]]
    if what == "no predictions":
        rows = []
    elif what == "other ids":
        rows[0]["sample_id"] = "another"
    elif what == "other observed":
        rows[3]["observed"] += 0.5
    else:
        rows[3]["value"] = None
    bad = clay.model_copy(update={"candidate": {**candidate, "predictions": rows}})
    again = judged_again(facts.model_copy(update={"properties": (bad,)}), POLICY, benchmark)
    decided = decide(again)
    assert decided.verdict == "cannot tell"
    assert decided.blocks
    assert any("judged_again" in r for r in (*decided.reasons, *decided.cautions))
