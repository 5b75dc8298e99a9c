"""Cross-conformal prediction intervals that respect groups.

Belongs here: from out-of-fold residuals to half-widths.
Does not belong here: how difficult a sample is (``difficulty``), judging coverage (``coverage``).

Scores are absolute out-of-fold residuals on the modelling scale, divided by the sample's difficulty.
With one sample a group the half-width is the ceil((n + 1) level)-th smallest score (Papadopoulos 2002).
With larger groups every group weighs the same, shared among its samples, and one more group of infinite score
stands for the new one (hierarchical conformal prediction: Lee, Barber & Willett 2023, arXiv 2306.06342, HCP).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from soil_assets.modeling.difficulty import Difficulty, beyond, cross_fitted
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


@dataclass(frozen=True, eq=False)
class Calibration:
    """Half-widths by level at difficulty 1, on the modelling scale, and the difficulty that scales them."""

    half_widths: dict[float, float]
    difficulty: Difficulty

    def widths(
        self, predicted: FloatArray, measures: Mapping[str, FloatArray], limits: Mapping[str, float]
    ) -> dict[float, FloatArray]:
        """Return the half-width of every sample by level, shape (n,), on the modelling scale.

        Parameters
        ----------
        predicted : ndarray, shape (n,)
            On the modelling scale.
        measures, limits
            Of the applicability domain: t2, q and distance of the samples, and its joint limits.
        """
        scale = self.difficulty.of(predicted, measures) * beyond(measures, limits)
        return {level: half * scale for level, half in self.half_widths.items()}


def calibrate(
    held_out: FloatArray,
    target: FloatArray,
    groups: npt.ArrayLike,
    folds: npt.NDArray[np.int64],
    measures: Mapping[str, FloatArray],
    levels: tuple[float, ...],
) -> Calibration:
    """Calibrate intervals on out-of-fold predictions.

    Parameters
    ----------
    held_out, target : ndarray, shape (n,)
        On the modelling scale.
    groups : array_like, shape (n,)
    folds : ndarray of int64, shape (n,)
        No group is split; each sample's difficulty comes from the errors of the other folds.
    measures : mapping of str to ndarray, shape (n,)
        t2, q and distance of the samples, measured without them (``ApplicabilityDomain.held``).
    levels : tuple of float
        Nominal coverages.
    """
    errors = np.abs(held_out - target)
    scores = errors / cross_fitted(errors, held_out, measures, folds)
    return Calibration(half_widths(scores, groups, levels), Difficulty.fit(errors, held_out, measures))


def level_name(level: float) -> str:
    """Return a level as column suffix: 0.68 -> ``68``, 0.999 -> ``99.9``."""
    return f"{round(level * 100, 6):g}"
