"""Paired bootstrap of two models on identical samples, whole groups at a time.

Belongs here: resampled differences in RMSE, CCC, bias and coverage, and their intervals.
Does not belong here: what they lead to (``verdict``) and whom they are shown to (``comparison``).

Every measure of every resample follows from sums per group, so that a thousand groups cost as little as ten.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from soil_assets.modeling.metrics import cluster_draws

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Interval = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class PairedDraws:
    """Measures of both models in every resample.

    Parameters
    ----------
    main, candidate : dict of str to ndarray, shape (n_boot,)
        ``rmse``, ``me``, ``ccc`` and, for every interval level compared, ``coverage@<level>``.
    factor : float
        By which draws are moved away from the estimate (:func:`small_sample_factor`).
    alpha : float
        Intervals have confidence 1 - alpha.
    """

    main: dict[str, FloatArray]
    candidate: dict[str, FloatArray]
    factor: float
    alpha: float

    def widened(self, estimate: float, draws: FloatArray) -> FloatArray:
        """Return finite draws, moved away from the estimate by the small-sample factor."""
        return np.asarray(estimate + self.factor * (draws[np.isfinite(draws)] - estimate))

    def interval(self, estimate: float, draws: FloatArray) -> Interval:
        """Return (estimate, low, high) of a difference; (estimate, NaN, NaN) where no draw is finite."""
        moved = self.widened(estimate, draws)
        if not moved.size:
            return estimate, float("nan"), float("nan")
        low, high = np.quantile(moved, [self.alpha / 2.0, 1.0 - self.alpha / 2.0])
        return estimate, float(low), float(high)

    def log_rmse_ratio(self, floor: float) -> FloatArray:
        """Return ln(RMSE candidate / RMSE main) of every resample, both at least ``floor``."""
        candidate, main = (np.maximum(side["rmse"], floor) for side in (self.candidate, self.main))
        return np.asarray(np.log(candidate) - np.log(main))


def paired_draws(
    observed: FloatArray,
    main: FloatArray,
    candidate: FloatArray,
    groups: IntArray,
    *,
    covered: dict[str, tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]] | None = None,
    alpha: float,
    n_boot: int,
    seed: int,
) -> PairedDraws:
    """Resample groups, the same ones for both models.

    Parameters
    ----------
    observed, main, candidate : ndarray, shape (n,)
        Finite.
    groups : ndarray of int64, shape (n,)
        Codes 0..k-1.
    covered : mapping, optional
        By level name, whether each sample's interval held the observation: (of main, of the candidate).
    alpha, n_boot, seed
        Of the bootstrap.
    """
    n_groups = int(groups.max()) + 1
    draws = cluster_draws(n_groups, n_boot, seed)
    drawn_main, drawn = (
        _measures(observed, main, groups, draws),
        _measures(observed, candidate, groups, draws),
    )
    sizes = draws @ np.bincount(groups, minlength=n_groups)
    for level, (hits_main, hits) in (covered or {}).items():
        for place, values in ((drawn_main, hits_main), (drawn, hits)):
            counted = np.bincount(groups, weights=values.astype(np.float64), minlength=n_groups)
            place[f"coverage@{level}"] = draws @ counted / sizes
    return PairedDraws(drawn_main, drawn, small_sample_factor(n_groups, alpha), alpha)


def small_sample_factor(n_groups: int, alpha: float) -> float:
    """Return t(G - 1)/z x sqrt(G/(G - 1)), by which percentile intervals of G groups are too narrow.

    After Hesterberg 2015, Am. Stat. 69, 371 (section 3.2 and 5.3).
    """
    from scipy.stats import norm, t

    widened = t.ppf(1.0 - alpha / 2.0, n_groups - 1) / norm.ppf(1.0 - alpha / 2.0)
    return float(widened * math.sqrt(n_groups / (n_groups - 1.0)))


def _measures(o: FloatArray, p: FloatArray, groups: IntArray, draws: FloatArray) -> dict[str, FloatArray]:
    """RMSE, ME and CCC of every resample, from sums per group alone."""
    centre = o.mean()
    x, y = o - centre, p - centre
    e = y - x
    columns = np.column_stack([np.ones_like(x), e, e * e, x, x * x, y, y * y, x * y])
    sums = np.zeros((draws.shape[1], columns.shape[1]))
    np.add.at(sums, groups, columns)
    n, s_e, s_ee, s_x, s_xx, s_y, s_yy, s_xy = (draws @ sums).T
    covariance = s_xy / n - s_x * s_y / n**2
    spread = s_xx / n - (s_x / n) ** 2 + s_yy / n - (s_y / n) ** 2 + (s_x / n - s_y / n) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        ccc = 2.0 * covariance / spread
    return {"rmse": np.sqrt(np.maximum(s_ee, 0.0) / n), "me": s_e / n, "ccc": ccc}
