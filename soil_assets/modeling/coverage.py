"""How often prediction intervals hold the observed value, and how often right ones would.

Belongs here: PICP, width and interval score by level, with beta-binomial intervals of the count.
Does not belong here: making intervals (``intervals``).
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from soil_assets.modeling.applicability import exceedance_interval
from soil_assets.modeling.intervals import level_name

_COVERAGE_CONFIDENCE = 0.99


def coverage_table(predictions: pd.DataFrame, levels: tuple[float, ...], calibration_n: int) -> pd.DataFrame:
    """Count how often the intervals hold the observed value, level by level.

    Parameters
    ----------
    predictions : DataFrame
        With ``observed`` and the ``lower_``/``upper_`` columns of each level.
    levels : tuple of float
    calibration_n : int
        Number of groups behind the intervals; the count that a right interval gives is beta-binomial.

    Returns
    -------
    DataFrame
        Columns as in :class:`Evaluation`. ``winkler`` is the mean interval score (Gneiting & Raftery 2007):
        width + 2/(1 - level) x the distance by which the observation is missed.
    """
    o = predictions["observed"].to_numpy(dtype=np.float64)
    rows = []
    for level in levels:
        low, high = (predictions[f"{side}_{level_name(level)}"].to_numpy() for side in ("lower", "upper"))
        missed = np.maximum(np.maximum(low - o, o - high), 0.0)
        inside = int((missed == 0.0).sum())
        width = high - low
        few, many = _covered_range(o.size, level, calibration_n)
        rows.append(
            {
                "level": level,
                "n": o.size,
                "inside": inside,
                "picp": inside / o.size,
                "mean_width": float(np.mean(width)),
                "winkler": float(np.mean(width + 2.0 / (1.0 - level) * missed)),
                "low": few,
                "high": many,
                "covered": few <= inside <= many,
            }
        )
    return pd.DataFrame(rows)


def _covered_range(n: int, level: float, calibration_n: int) -> tuple[int, int]:
    if calibration_n < 1:
        return 0, n
    few, many = exceedance_interval(n, 1.0 - level, calibration_n, _COVERAGE_CONFIDENCE)
    # Where the calibration cannot bound the level, the interval is unbounded and covering all is right.
    unbounded = math.ceil(round((calibration_n + 1) * level, 9)) > calibration_n
    return n - many, n if unbounded else n - few
