"""What does not change the verdict but should not be missed: open questions, tolerated drift, held batches.

Belongs here: finding and wording them. Does not belong here: anything that changes the verdict (``rules``).
"""

from __future__ import annotations

from soil_assets.config import ModelPolicy
from soil_assets.reporting.decision_figures import property_figures
from soil_assets.reporting.decision_inputs import DecisionInputs, PropertyResult
from soil_assets.reporting.numerals import count, finite
from soil_assets.reporting.outcome import outcome

_WORDS = {False: "failed", None: "was not judged"}


def cautions(inputs: DecisionInputs) -> list[str]:
    """Return what the verdict leaves open, in the order in which a reader should weigh it."""
    open_ = [
        unclear(p, inputs.policy.model)
        for p in inputs.properties
        if outcome(p, inputs.policy.model) == "cannot tell"
    ]
    held = [
        f"batch {b.name} is held and not in the training set"
        for b in inputs.batches
        if b.held and not b.part_of_change
    ]
    accepted = [
        f"batch {b.name} shows drift and was let through by the policy or by a person"
        for b in inputs.batches
        if b.drift in ("fail", "warn") and not b.held
    ]
    small = [
        f"batch {b.name}: drift was not judged"
        for b in inputs.batches
        if b.drift == "not_judged" and not b.held
    ]
    soft = [
        f"{f'{name}: ' if name else ''}warning check {c.name} {_WORDS[c.passed]}"
        f"{f' ({c.summary})' if c.summary else ''}"
        for name, checks in [("", inputs.checks), *((p.name, p.checks) for p in inputs.properties)]
        for c in checks
        if not c.blocking and c.passed is not True
    ]
    strata = [
        f"{p.name}: worse in {s.name} (n = {s.n}), whatever the whole benchmark says"
        for p in inputs.properties
        for s in p.strata
        if s.low is not None and s.low > 0 and s.high is not None
    ]
    return open_ + strata + _alone(inputs) + held + accepted + small + soft


def _alone(inputs: DecisionInputs) -> list[str]:
    """Tell verdicts that a property reaches alone but not when all properties are judged at one error rate."""
    found = [(p.name, (p.comparison or {}).get("over_properties")) for p in inputs.properties]
    return [
        f"{name}: {o['alone']} by itself; over {o['n_properties']} properties at one error rate (Holm): {o['verdict']}"
        for name, o in found
        if isinstance(o, dict) and o.get("verdict") != o.get("alone")
    ]


def unclear(result: PropertyResult, policy: ModelPolicy) -> str:
    """Say that a property's figures cannot tell, by how much they miss, and how many more samples would."""
    more = finite((result.comparison or {}).get("more_samples"))
    words = f"; about {count(round(more), 'more benchmark sample')} would tell" if more else ""
    figures = property_figures(result, policy)["metrics"]["rmse"]["text"]
    return f"{result.name}: cannot tell whether it is worse than main, RMSE {figures}{words}"
