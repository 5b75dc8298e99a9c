"""Cross-conformal prediction intervals that respect groups.

Belongs here: from out-of-fold residuals to half-widths.
Does not belong here: judging coverage (``evaluate``).

Scores are absolute out-of-fold residuals on the modelling scale, divided by a difficulty where one is known.
With one sample a group the half-width is the ceil((n + 1) level)-th smallest score (Papadopoulos 2002).
With larger groups every group weighs the same, shared among its samples, and one more group of infinite score
stands for the new one (hierarchical conformal prediction: Lee, Barber & Willett 2023, arXiv 2306.06342, HCP).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from soil_assets.modeling.metrics import group_codes

FloatArray = npt.NDArray[np.float64]


def conformal_half_width(scores: npt.ArrayLike, groups: npt.ArrayLike, level: float) -> float:
    """Return the finite-sample corrected half-width at one level.

    Parameters
    ----------
    scores : array_like, shape (n,)
        Non-negative conformity scores of samples not seen by the model that predicted them.
    groups : array_like, shape (n,)
        Group of each.
    level : float
        Nominal coverage.

    Returns
    -------
    float
        ``inf`` when so few groups cannot support that level: said, never replaced by a guess.
    """
    values = np.asarray(scores, dtype=np.float64)
    codes = group_codes(groups, values.size)
    sizes = np.bincount(codes)
    weights = 1.0 / (sizes[codes] * (sizes.size + 1.0))
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order])
    reached = np.flatnonzero(cumulative >= level - 1e-9)
    return float(values[order][reached[0]]) if reached.size else float("inf")


def half_widths(
    scores: npt.ArrayLike, groups: npt.ArrayLike, levels: tuple[float, ...]
) -> dict[float, float]:
    """Return the half-width of every level."""
    return {level: conformal_half_width(scores, groups, level) for level in levels}


def level_name(level: float) -> str:
    """Return a level as column suffix: 0.68 -> ``68``, 0.999 -> ``99.9``."""
    return f"{round(level * 100, 6):g}"
