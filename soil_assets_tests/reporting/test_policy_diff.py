"""A looser judge is recognised as such, key by key, and never judges its own change."""

from __future__ import annotations

from typing import Any

import pytest

from soil_assets.config import DriftPolicy, ModelPolicy, Policy, QualityPolicy
from soil_assets.reporting.decision import build
from soil_assets.reporting.decision_inputs import DecisionInputs, Proposal
from soil_assets.reporting.policy_diff import as_diff, policy_differences
from soil_assets_tests.reporting.facts import comparison, evaluation, inputs, result

LOOSE = Policy(model=ModelPolicy(margin=0.5))


@pytest.mark.parametrize(
    ("changed", "key", "direction"),
    [
        (Policy(model=ModelPolicy(margin=0.2)), "model.margin", "looser"),
        (Policy(model=ModelPolicy(margin=0.05)), "model.margin", "stricter"),
        (Policy(model=ModelPolicy(min_rpiq=1.0)), "model.min_rpiq", "looser"),
        (Policy(model=ModelPolicy(alpha=0.2)), "model.alpha", "looser"),
        (Policy(model=ModelPolicy(bootstrap_seed=1)), "model.bootstrap_seed", "different"),
        (Policy(model=ModelPolicy(levels=(0.5,))), "model.levels", "different"),
        (Policy(model=ModelPolicy(when_cannot_tell="warn")), "model.when_cannot_tell", "looser"),
        (Policy(drift=DriftPolicy(false_alarm_rate=0.0001)), "drift.false_alarm_rate", "looser"),
        (Policy(drift=DriftPolicy(false_alarm_rate=0.05)), "drift.false_alarm_rate", "stricter"),
        (Policy(drift=DriftPolicy(when_drift="warn")), "drift.when_drift", "looser"),
        (Policy(drift=DriftPolicy(when_not_judged="hold")), "drift.when_not_judged", "stricter"),
        (Policy(drift=DriftPolicy(min_samples=100)), "drift.min_samples", "looser"),
        (Policy(quality=QualityPolicy(max_quarantined_share=0.9)), "quality.max_quarantined_share", "looser"),
        (Policy(quality=QualityPolicy(min_accepted=20)), "quality.min_accepted", "stricter"),
    ],
)
def test_each_key_has_its_direction(changed: Policy, key: str, direction: str) -> None:
    (difference,) = policy_differences(Policy(), changed)
    assert (difference.key, difference.direction) == (key, direction)
    assert as_diff((difference,)).splitlines()[0].startswith(f"-{key}: ")


def test_equal_policies_do_not_differ() -> None:
    assert policy_differences(Policy(), Policy()) == ()


def _loosened(**other: Any) -> DecisionInputs:
    main, candidate = evaluation(1.3), evaluation(1.5)
    worse = comparison("worse", main, candidate)
    passes = comparison("not worse", main, candidate, margin=0.5)
    changed = result("worse", main=main, candidate=candidate, comparison=worse)
    proposal = Proposal(policy=LOOSE, properties={"clay": {"comparison": passes}}, **other)
    return inputs(changed, proposal=proposal)


def test_both_verdicts_and_the_difference_stand_on_top_and_mains_counts() -> None:
    report = build(_loosened(benchmark=("benchmark checksum aaaa -> bbbb",)))
    assert report.verdict == "reject"
    assert report.blocks
    top = report.markdown.split("### On the benchmark")[0]
    assert "loosens its own judge. By main's rules: reject. By its own: approve" in top
    assert "```diff\n-model.margin: 0.1\n+model.margin: 0.5  # looser\n```" in top
    assert "benchmark checksum aaaa -> bbbb" in top
    assert report.data["proposal"]["verdict"] == "approve"
    assert report.data["proposal"]["differences"][0]["direction"] == "looser"


def test_a_comparison_under_the_loose_margin_is_not_believed_by_main() -> None:
    main, candidate = evaluation(1.3), evaluation(1.5)
    passes = comparison("not worse", main, candidate, margin=0.5)
    report = build(inputs(result("worse", main=main, candidate=candidate, comparison=passes)))
    assert report.verdict == "cannot tell"


def test_a_proposal_without_its_own_comparison_is_not_judged() -> None:
    report = build(inputs(result("better"), proposal=Proposal(policy=LOOSE)))
    assert report.verdict == "approve"
    assert report.data["proposal"]["verdict"] == "cannot tell"


def test_an_unchanged_judge_is_not_mentioned() -> None:
    report = build(inputs(result("better"), proposal=Proposal(policy=Policy())))
    assert "own judge" not in report.markdown


def test_a_proposal_survives_json() -> None:
    facts = _loosened()
    again = DecisionInputs.from_json(facts.model_dump_json())
    assert build(again).markdown == build(facts).markdown
