"""Many tests, one error rate.

Belongs here: the combination of tests, their weights and the size from which a difference matters.
Does not belong here: the statistics (``two_sample``).

The largest score over all tests is ranked among the labellings' largest scores, which holds the family-wise
rate while using how the tests depend on each other (Westfall & Young 1993, the step of the maximum); Holm's
correction would hold it too and detect less.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from soil_assets.drift.report import TEST_COLUMNS
from soil_assets.drift.two_sample import Tested

#: Share of the error rate that a family of tests gets, relative to the others (1). Outliers get most because
#: few labellings put a handful of rows on one side, so that their smallest possible p-value is large, and with them
#: the combination that holds them; single components get least because the shape and the outliers see what they see,
#: predictions and exceedances less because they come from the same spectra.
WEIGHTS: Mapping[str, float] = {
    "outliers": 4.0,
    "combined": 4.0,
    "spectra": 2.0,
    "components": 0.5,
    "categories": 0.5,
    "predictions": 0.5,
    "exceedances": 0.5,
}
#: Differences smaller than these do not matter however significant they are, by family of tests.
MATERIAL: Mapping[str, float] = {
    "spectra": 0.005,
    "components": 0.10,
    "signatures": 0.20,
    "summaries": 0.10,
    "properties": 0.10,
    "predictions": 0.10,
    "categories": 0.10,
    "outliers": 0.05,
    "neighbours": 0.02,
    "exceedances": 0.005,
    "combined": 1.0,
}


@dataclass(frozen=True, eq=False)
class Family:
    """The combination of all tests.

    Parameters
    ----------
    p_value : float
        Family-wise: the chance of a result at least as extreme in any test when nothing changed.
    adjusted : tuple of float
        Family-wise adjusted p-value of each test.
    thresholds : tuple of float
        Statistic from which each test is significant at the rate asked for.
    """

    p_value: float
    adjusted: tuple[float, ...]
    thresholds: tuple[float, ...]


def combine(tests: Sequence[Tested], rate: float) -> Family:
    """Rank the largest score over all tests among the labellings' largest scores.

    A test's score is lowered by log10 of how many tests its family holds, so that twenty components do not
    drown one test of outliers, and raised by the family's weight (:data:`WEIGHTS`).
    """
    held = Counter(t.family for t in tests)
    lowered = np.array([np.log10(held[t.family] / WEIGHTS.get(t.family, 1.0)) for t in tests])
    scores = np.stack([t.score for t in tests]) - lowered[:, None]
    order = np.sort(scores.max(axis=0))
    count = order.size
    adjusted = (count - np.searchsorted(order, scores[:, 0] - 1e-12, side="left")) / count
    allowed = int(
        np.floor(rate * count + 1e-9)
    )  # labellings that may reach the threshold, the true one included
    critical = float(order[count - allowed]) if allowed else float("inf")
    thresholds = (t.statistic_at(critical + low) for t, low in zip(tests, lowered, strict=True))
    return Family(float(adjusted.min()), tuple(map(float, adjusted)), tuple(thresholds))


def tests_table(tests: list[Tested], family: Family, rate: float) -> pd.DataFrame:
    """Tabulate tests with family-wise p-values; significant: at the rate *and* large enough to matter."""
    rows = [
        (
            t.family,
            t.name,
            float(t.statistic[0]),
            t.p_value,
            adjusted,
            t.effect,
            threshold,
            bool(adjusted <= rate and t.effect >= MATERIAL[t.family]),
        )
        for t, adjusted, threshold in zip(tests, family.adjusted, family.thresholds, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(TEST_COLUMNS))
