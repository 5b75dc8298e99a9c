"""The written rules that turn figures into a recommendation; the first that applies decides.

Belongs here: the rules, their order and their words, as data that the SOP page shows and the report applies.
Does not belong here: computing a figure or a threshold (the policy's values arrive in the facts).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from soil_assets.config import Policy
from soil_assets.reporting.cautions import cautions, unclear
from soil_assets.reporting.decision_figures import property_figures
from soil_assets.reporting.decision_inputs import Check, DecisionInputs
from soil_assets.reporting.numerals import finite
from soil_assets.reporting.outcome import outcome

Verdict = Literal["approve", "request changes", "reject", "cannot tell", "first version"]

#: Checks without which no benchmark figure means anything.
VALIDITY_CHECKS = ("no_benchmark_leakage", "finite")
#: The comparison's own check: the rules read the comparison itself, so that it is not counted twice.
COMPARISON_CHECK = "not_worse"


@dataclass(frozen=True)
class Rule:
    """One line of the SOP.

    Parameters
    ----------
    number : str
        How the report refers to it.
    when, then : str
        The criterion and what follows, in words; ``{...}`` takes values of the policy (see ``sop``).
    verdict : str
        What the report recommends.
    blocks : bool
        Whether the status check fails.
    decides : str
        Who has the last word.
    finds : callable
        Returns the reasons for which the rule applies; none means that it does not.
    """

    number: str
    when: str
    then: str
    verdict: Verdict
    blocks: bool
    decides: str
    finds: Callable[[DecisionInputs], list[str]]


@dataclass(frozen=True)
class Decision:
    """The recommendation, the rule that gives it, why, and what else the reader should know."""

    rule: Rule
    reasons: tuple[str, ...]
    cautions: tuple[str, ...]
    blocks: bool

    @property
    def verdict(self) -> Verdict:
        """The rule's verdict."""
        return self.rule.verdict


def blocks(rule: Rule, policy: Policy) -> bool:
    """Whether a rule makes the status check fail; the policy may let 'cannot tell' pass with a warning."""
    return rule.blocks and not (rule.finds is _cannot_tell and policy.model.when_cannot_tell == "warn")


def decide(inputs: DecisionInputs) -> Decision:
    """Apply the rules in their order.

    Returns
    -------
    Decision
        Of the first rule that applies; reasons of later blocking rules and everything that was tolerated or
        not judged are its cautions, so that nothing is hidden by the order.
    """
    found = [(rule, rule.finds(inputs)) for rule in RULES]
    first = next(i for i, (_, reasons) in enumerate(found) if reasons)
    later = [
        reason for rule, reasons in found[first + 1 :] if blocks(rule, inputs.policy) for reason in reasons
    ]
    rule, reasons = found[first]
    more = dict.fromkeys([*later, *cautions(inputs)])
    return Decision(
        rule,
        tuple(reasons),
        tuple(c for c in more if c not in reasons),
        blocks(rule, inputs.policy),
    )


def _no_candidate(inputs: DecisionInputs) -> list[str]:
    if not inputs.properties:
        return ["no property has a candidate model", *_failed(inputs.checks)]
    missing = [p.name for p in inputs.properties if p.candidate is None]
    return [f"{name}: no candidate model was trained" for name in missing] + (
        _failed(inputs.checks, but=VALIDITY_CHECKS) if missing else []
    )


def _invalid(inputs: DecisionInputs) -> list[str]:
    return _failed(inputs.checks, only=VALIDITY_CHECKS) + [
        f"{p.name}: {reason}" for p in inputs.properties for reason in _failed(p.checks, only=VALIDITY_CHECKS)
    ]


def _worse(inputs: DecisionInputs) -> list[str]:
    policy = inputs.policy.model
    return [
        f"{p.name}: worse than main, RMSE {property_figures(p, policy)['metrics']['rmse']['text']}"
        for p in inputs.properties
        if outcome(p, policy) == "worse"
    ]


def _gate_failed(inputs: DecisionInputs) -> list[str]:
    but = (*VALIDITY_CHECKS, COMPARISON_CHECK)
    return _failed(inputs.checks, but=but) + [
        f"{p.name}: {reason}" for p in inputs.properties for reason in _failed(p.checks, but=but)
    ]


def _held_data(inputs: DecisionInputs) -> list[str]:
    return [
        f"batch {b.name}, which this change adds, is held: {_few(b.reasons) or 'see its checks'}"
        for b in inputs.batches
        if b.held and b.part_of_change
    ]


def _few(reasons: tuple[str, ...], shown: int = 2) -> str:
    """Return the first reasons of a batch; all of them stand with the batch."""
    told = [part for reason in reasons for part in reason.split("; ")]
    more = f" (and {len(told) - shown} more, with the batch)" if len(told) > shown else ""
    return "; ".join(told[:shown]) + more


def _not_judged(inputs: DecisionInputs) -> list[str]:
    absent = [*inputs.missing, *inputs.removals]
    figures = [
        f"{p.name}: a figure that the comparison needs is missing"
        for p in inputs.properties
        if outcome(p, inputs.policy.model) == "not judged"
        or (p.candidate is not None and _rmse(p.candidate) is None)
    ]
    checks = [(None, c) for c in inputs.checks] + [(p.name, c) for p in inputs.properties for c in p.checks]
    checks += [(f"batch {b.name}", c) for b in inputs.batches if not b.held for c in b.checks]
    return (
        absent
        + figures
        + [
            f"{f'{name}: ' if name else ''}check {c.name} was not judged{f' ({c.summary})' if c.summary else ''}"
            for name, c in checks
            if c.blocking and c.passed is None and c.name != COMPARISON_CHECK
        ]
    )


def _cannot_tell(inputs: DecisionInputs) -> list[str]:
    open_ = [p for p in inputs.properties if outcome(p, inputs.policy.model) == "cannot tell"]
    clear = [p for p in inputs.properties if outcome(p, inputs.policy.model) in ("better", "not worse")]
    if inputs.policy.model.when_cannot_tell == "warn" and clear:
        return []
    return [unclear(p, inputs.policy.model) for p in open_]


def _first_version(inputs: DecisionInputs) -> list[str]:
    first = all(outcome(p, inputs.policy.model) == "first version" for p in inputs.properties)
    return ["there is no model on main to compare with"] if first and inputs.properties else []


def _approve(inputs: DecisionInputs) -> list[str]:
    return [f"{p.name}: {outcome(p, inputs.policy.model)}" for p in inputs.properties]


RULES: tuple[Rule, ...] = (
    Rule(
        "1",
        "a property has no candidate model, because a gate failed before training",
        "mend the data or the recipe that the failed gate names, then run again",
        "request changes",
        True,
        "author",
        _no_candidate,
    ),
    Rule(
        "2",
        "a benchmark sample is in the training set, or a prediction is not finite",
        "the benchmark figures mean nothing: remove the cause and run again",
        "request changes",
        True,
        "author",
        _invalid,
    ),
    Rule(
        "3",
        "a property is worse: the {level} interval of the change in RMSE lies above zero and reaches over "
        "the margin of {margin} of main's RMSE",
        "do not merge; find out why, or withdraw the change",
        "reject",
        True,
        "project lead",
        _worse,
    ),
    Rule(
        "4",
        "another blocking check of a candidate failed: coverage of the {levels} intervals, or an RPIQ under "
        "{min_rpiq}",
        "mend the recipe or the data, then run again",
        "request changes",
        True,
        "author, then project lead",
        _gate_failed,
    ),
    Rule(
        "5",
        "a batch that the change adds is held by a gate (over {max_quarantined} quarantined, or drift at a "
        "false-alarm rate of {false_alarm} where drift is set to {when_drift})",
        "mend the batch, take it out, or have its drift accepted and signed",
        "request changes",
        True,
        "author, then project lead",
        _held_data,
    ),
    Rule(
        "6",
        "evidence that the decision needs is missing or not judged, or the change removes or replaces a property, a "
        "benchmark or a golden reference of main",
        "find out why it is missing: what is not there is never a pass; a removal needs the project lead's signature",
        "cannot tell",
        True,
        "project lead",
        _not_judged,
    ),
    Rule(
        "7",
        "the interval of the change in RMSE allows both: no loss, and a loss beyond the margin of {margin} "
        "(set to {when_cannot_tell}: {when_cannot_tell_words})",
        "measure as many more benchmark samples as the report says, or decide on other grounds and sign",
        "cannot tell",
        True,
        "project lead",
        _cannot_tell,
    ),
    Rule(
        "8",
        "no property has a model on main, and every check passed",
        "approve when the figures are good enough for the purpose: they become the ones to beat",
        "first version",
        False,
        "project lead",
        _first_version,
    ),
    Rule(
        "9",
        "none of the above: every property is better or not worse, every blocking check passed",
        "merge; the model is registered as staging",
        "approve",
        False,
        "project lead",
        _approve,
    ),
)


def _failed(
    checks: tuple[Check, ...], *, only: tuple[str, ...] | None = None, but: tuple[str, ...] = ()
) -> list[str]:
    return [
        f"check {c.name} failed{f': {c.summary}' if c.summary else ''}"
        for c in checks
        if c.blocking and c.passed is False and (only is None or c.name in only) and c.name not in but
    ]


def _rmse(evaluation: dict[str, Any]) -> float | None:
    metrics = evaluation.get("metrics")
    return finite(metrics.get("rmse")) if isinstance(metrics, dict) else None
