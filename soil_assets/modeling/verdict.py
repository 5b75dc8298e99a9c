"""From an interval of the change in RMSE to a verdict, its reason, and how many more samples would tell.

Belongs here: the rule, and Holm's correction where several properties are judged at once.
Does not belong here: resampling (``paired``), the policy's values and what a gate does with a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from soil_assets.errors import BadInput

Verdict = Literal["better", "not worse", "worse", "cannot tell", "first version"]
ACCEPTABLE = ("better", "not worse", "first version")


def verdict_of(ratio: tuple[float, float, float], margin: float) -> Verdict:
    """Judge RMSE candidate / RMSE main, given as (estimate, low, high).

    ``better``: the whole interval lies below 1. ``not worse``: it ends within the margin. ``worse``: it lies
    above 1 and reaches over the margin. ``cannot tell``: anything else.
    """
    _, low, high = ratio
    if high < 1.0:
        return "better"
    if high <= 1.0 + margin:
        return "not worse"
    return "worse" if low > 1.0 else "cannot tell"


def reason_of(
    verdict: Verdict, ratio: tuple[float, float, float], margin: float, alpha: float, more: int | None
) -> str:
    """Say a verdict in one sentence."""
    change = f"RMSE {100 * (ratio[0] - 1):+.1f} %"
    interval = (
        f"{100 * (1 - alpha):.4g} % interval {100 * (ratio[1] - 1):+.1f} to {100 * (ratio[2] - 1):+.1f} %"
    )
    ends = {
        "better": "the whole interval is an improvement",
        "not worse": f"within the margin of {100 * margin:g} %",
        "worse": f"an increase that may exceed the margin of {100 * margin:g} %",
        "cannot tell": "both an improvement and an increase over the margin are possible",
    }
    needed = f"; about {more} more samples would tell" if more else ""
    return f"{change} ({interval}): {ends[verdict]}{needed}"


def more_samples(estimate: float, low: float, high: float, margin: float, n: int) -> int | None:
    """Return how many more samples would shrink the interval (with 1/sqrt n) until one verdict holds.

    Parameters
    ----------
    estimate, low, high : float
        Of ln(RMSE candidate / RMSE main).
    margin : float
    n : int
        Samples so far.
    """
    bound = math.log1p(margin)
    needed = []
    if estimate < bound:
        needed.append(((high - estimate) / (bound - estimate)) ** 2)
    if estimate > 0.0:
        needed.append(((estimate - low) / estimate) ** 2)
    return math.ceil(n * min(needed)) - n if needed else None


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values (Holm 1979, Scand. J. Stat. 6, 65), in the given order.

    Raises
    ------
    BadInput
        When a p-value is not between 0 and 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.size and not ((p >= 0.0) & (p <= 1.0)).all():
        raise BadInput("not a p-value", found=str(p.tolist()), expected="0 <= p <= 1")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(v) for v in adjusted]


def over_properties(comparisons: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Judge several properties at once: one error rate for all claims of one kind together.

    The more properties are compared, the more likely one looks better or not worse by chance. Holm's step-down is
    applied to each kind of claim ('better', 'not worse', 'worse') over the properties; a claim holds when its
    adjusted p-value is at most alpha / 2, as one end of an interval of confidence 1 - alpha.

    Parameters
    ----------
    comparisons : mapping of str to mapping
        ``Comparison.to_dict()`` by property; those without p-values (a first version, too few groups) are passed
        through with their own verdict and do not count.

    Returns
    -------
    dict of str to dict
        ``verdict`` over all properties, ``alone`` (the property's own), ``p_better``, ``p_not_worse``,
        ``p_worse`` (adjusted, None where not judged) and ``n_properties``.
    """
    kinds = ("p_better", "p_not_worse", "p_worse")
    judged = [k for k, c in comparisons.items() if all(c.get(kind) is not None for kind in kinds)]
    adjusted = {
        kind: dict(zip(judged, holm([float(comparisons[k][kind]) for k in judged]), strict=True))
        for kind in kinds
    }
    found: dict[str, dict[str, Any]] = {}
    for name, facts in comparisons.items():
        alone = str(facts["verdict"])
        values = {kind: adjusted[kind].get(name) for kind in kinds}
        verdict = alone
        if name in judged:
            at_most = float(facts["alpha"]) / 2.0
            holds = {kind: float(adjusted[kind][name]) <= at_most for kind in kinds}
            verdict = "cannot tell"
            if holds["p_better"]:
                verdict = "better"
            elif holds["p_not_worse"]:
                verdict = "not worse"
            elif holds["p_worse"]:
                verdict = "worse"
        found[name] = {"verdict": verdict, "alone": alone, **values, "n_properties": len(judged)}
    return found
