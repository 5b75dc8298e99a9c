"""Tests of plain tables with many rows, where asymptotic p-values are exact enough and permutations are wasteful.

Belongs here: column tests without labellings and their correction. Does not belong here: small tables (``tables``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.config import DriftPolicy
from soil_assets.drift.family import MATERIAL
from soil_assets.drift.report import TEST_COLUMNS
from soil_assets.drift.two_sample import Tested

FloatArray = npt.NDArray[np.float64]
TextArray = npt.NDArray[np.str_]
#: Family, name, statistic, p-value, effect, and the statistic at a given p-value.
_Row = tuple[str, str, float, float, float, Callable[[float], float]]


def analytic_tests(
    numeric: Mapping[str, tuple[FloatArray, FloatArray]],
    categories: Mapping[str, tuple[TextArray, TextArray]],
    joint: Tested | None,
    policy: DriftPolicy,
) -> tuple[pd.DataFrame, float]:
    """Test every column, and all of them together where ``joint`` is given, at one family-wise rate.

    Columns share their part of the rate by Holm's correction; the joint test has half of the whole rate.

    Returns
    -------
    table, p_value : DataFrame with columns ``TEST_COLUMNS``, float
        The tests and the smallest adjusted p-value.
    """
    rows = [_smirnov(name, *pair) for name, pair in numeric.items()]
    rows += [
        _chi_squared(f"{name} missing", np.isnan(a).astype(str), np.isnan(b).astype(str))
        for name, (a, b) in numeric.items()
        if not (np.isfinite(a).all() and np.isfinite(b).all())
    ]
    rows += [_chi_squared(name, *pair) for name, pair in categories.items()]
    parts = 2.0 if joint is not None and rows else 1.0
    adjusted = np.minimum(holm([r[3] for r in rows]) * parts, 1.0)
    # Holm's smallest step: what one column alone must reach.
    single = policy.false_alarm_rate / parts / max(len(rows), 1)
    table = [
        (family, name, statistic, p, float(a), effect, threshold(single), False)
        for (family, name, statistic, p, effect, threshold), a in zip(rows, adjusted, strict=True)
    ]
    if joint is not None:
        a = min(joint.p_value * parts, 1.0)
        at = joint.statistic_at(-np.log10(policy.false_alarm_rate / parts))
        table.append(
            (joint.family, joint.name, float(joint.statistic[0]), joint.p_value, a, joint.effect, at, False)
        )
    frame = pd.DataFrame(table, columns=list(TEST_COLUMNS))
    large = frame["effect"] >= frame["family"].map(MATERIAL)
    frame["significant"] = (frame["p_adjusted"] <= policy.false_alarm_rate) & large
    return frame, float(frame["p_adjusted"].min())


def holm(p_values: list[float]) -> FloatArray:
    """Holm's (1979) step-down adjusted p-values, in the order given."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (p.size - np.arange(p.size)))
    out = np.empty_like(p)
    out[order] = np.minimum(stepped, 1.0)
    return out


def _smirnov(name: str, before: FloatArray, after: FloatArray) -> _Row:
    from scipy.special import kolmogi, kolmogorov

    before, after = (np.sort(c if np.isfinite(c.sum()) else c[np.isfinite(c)]) for c in (before, after))
    # Both distribution functions on either side of every new value hold the largest difference.
    right = np.searchsorted(before, after, "right") / before.size
    left = np.searchsorted(before, after, "left") / before.size
    own_right, own_left = _own_steps(after)
    distance = float(max(np.abs(own_right - right).max(), np.abs(own_left - left).max()))
    root = np.sqrt(before.size * after.size / (before.size + after.size))
    factor = float(root + 0.12 + 0.11 / root)

    def threshold(p: float) -> float:
        return float(min(kolmogi(p) / factor, 1.0))

    return "properties", name, distance, float(kolmogorov(factor * distance)), distance, threshold


def _own_steps(ordered: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Distribution function of sorted values at each of them and just below it."""
    step = np.arange(1, ordered.size + 1) / ordered.size
    if ordered.size == 1 or (np.diff(ordered) > 0).all():
        return step, step - 1 / ordered.size
    return (
        np.searchsorted(ordered, ordered, "right") / ordered.size,
        np.searchsorted(ordered, ordered, "left") / ordered.size,
    )


def _chi_squared(name: str, before: TextArray, after: TextArray) -> _Row:
    from scipy.special import chdtrc, chdtri

    levels, codes = np.unique(np.concatenate([before, after]), return_inverse=True)
    counts = np.stack([np.bincount(c, minlength=levels.size) for c in np.split(codes, [before.size])])
    total = counts.sum()
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / total
    statistic = float(((counts - expected) ** 2 / expected).sum())
    freedom = max(levels.size - 1, 1)

    def threshold(p: float) -> float:
        return float(chdtri(freedom, p))

    effect = float(np.sqrt(statistic / total))
    return "categories", name, statistic, float(chdtrc(freedom, statistic)), effect, threshold
