"""A policy tried on the past tells exactly what would have come out otherwise."""

from __future__ import annotations

import json

from soil_assets.config import DriftPolicy, ModelPolicy, Policy
from soil_assets.reporting import html, markdown
from soil_assets.reporting.decision_inputs import DecisionInputs
from soil_assets.reporting.policy_trial import trial
from soil_assets_tests.reporting.facts import comparison, evaluation, inputs, result

LOOSE = Policy(model=ModelPolicy(margin=0.5), drift=DriftPolicy(when_drift="warn"))


def _worse() -> DecisionInputs:
    main, candidate = evaluation(1.3), evaluation(1.5)
    clay = result("worse", main=main, candidate=candidate, comparison=comparison("worse", main, candidate))
    return inputs(clay)


def _rejudge(facts: DecisionInputs, policy: Policy) -> DecisionInputs:
    """Apply the policy as the gates would: a ratio's upper end within the margin, drift that only warns."""
    properties = tuple(
        p.model_copy(
            update={
                "comparison": {
                    **(p.comparison or {}),
                    "verdict": "not worse"
                    if (p.comparison or {})["rmse_ratio"][2] <= 1 + policy.model.margin
                    else "worse",
                    "margin": policy.model.margin,
                }
            }
        )
        for p in facts.properties
    )
    held = policy.drift.when_drift == "hold"
    batches = tuple(b.model_copy(update={"held": held and b.drift == "fail"}) for b in facts.batches)
    return facts.model_copy(update={"policy": policy, "properties": properties, "batches": batches})


def test_what_a_looser_policy_would_have_let_through_is_told() -> None:
    tried = trial([("pull request 7", _worse())], LOOSE, _rejudge)
    assert {(j.subject, j.before, j.after) for j in tried.changed} == {
        ("decision", "reject", "approve"),
        ("batch nrw62", "held", "passed on"),
    }
    assert len(tried.judgements) == 4
    text = markdown.render(tried.document())
    assert "2 of 4 judgements would have come out otherwise." in text
    assert "+model.margin: 0.5  # looser" in text
    assert "- drift.when_drift: hold -> warn (looser)" in text
    assert "pull request 7" in html.render(tried.document())
    data = json.loads(json.dumps(tried.to_dict(), allow_nan=False))
    assert data["judged"] == 4
    assert len(data["changed"]) == 2


def test_the_same_policy_changes_nothing() -> None:
    tried = trial([("a", _worse()), ("b", inputs(result("better")))], Policy(), lambda facts, _: facts)
    assert tried.changed == ()
    assert "The policies are equal." in markdown.render(tried.document())


def test_no_past_is_no_judgement() -> None:
    assert trial([], LOOSE, _rejudge).to_dict()["judged"] == 0
