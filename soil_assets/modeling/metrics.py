"""The error measures of the field, and bootstrap intervals beside them.

Belongs here: formulas from observed and predicted values alone.
Does not belong here: coverage of prediction intervals (``evaluate``) and verdicts (``comparison``).

With e = predicted - observed: ME = mean e, RMSE = sqrt(mean e2), SEP = sd of e with n - 1, MAE = mean |e|,
R2 = 1 - SSE/SST, CCC = 2 s_xy / (s_x2 + s_y2 + (mean_x - mean_y)2) with n in the denominators
(Lin 1989, Biometrics 45, 255), RPIQ = IQR(observed) / RMSE (Bellon-Maurel et al. 2010, TrAC 29, 1073).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput

FloatArray = npt.NDArray[np.float64]

#: Names in the order in which tables show them.
METRICS = ("me", "rmse", "sep", "mae", "r2", "ccc", "rpiq")
_CHUNK = 4_000_000  # cells of resampled weights at a time: bounds the memory of a bootstrap


def regression_metrics(observed: npt.ArrayLike, predicted: npt.ArrayLike) -> dict[str, float]:
    """Return n, ME, RMSE, SEP, MAE, R2, CCC and RPIQ of paired values.

    Parameters
    ----------
    observed, predicted : array_like, shape (n,)
        Finite values in one unit.

    Returns
    -------
    dict of str to float
        NaN where a measure is not defined (SEP of one sample, R2 of a constant observation).

    Raises
    ------
    BadInput
        When the lengths differ, nothing is left or a value is not finite.
    """
    o, p = _paired(observed, predicted)
    values = _from_weights(o, p, np.ones((1, o.size)))
    return {"n": float(o.size), **{name: float(values[name][0]) for name in METRICS}}


def bootstrap_intervals(
    observed: npt.ArrayLike,
    predicted: npt.ArrayLike,
    groups: npt.ArrayLike | None = None,
    level: float = 0.95,
    n_boot: int = 2000,
    seed: int = 20260101,
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap intervals of every measure, resampling whole groups.

    Parameters
    ----------
    observed, predicted : array_like, shape (n,)
        Finite values in one unit.
    groups : array_like, shape (n,), optional
        Samples of one group (profile, site) are drawn together. Each sample by itself when left out.
    level : float
        Nominal coverage.
    n_boot : int
        Number of resamples.
    seed : int
        Seed of the resampling.

    Returns
    -------
    dict of str to (low, high)
        The interval is (NaN, NaN) with a single group: nothing can be resampled.
    """
    o, p = _paired(observed, predicted)
    codes = group_codes(groups, o.size)
    if codes.max() == 0:
        return {name: (float("nan"), float("nan")) for name in METRICS}
    draws = cluster_draws(int(codes.max()) + 1, n_boot, seed)
    tail = (1.0 - level) / 2.0
    parts: dict[str, list[FloatArray]] = {name: [] for name in METRICS}
    step = max(1, _CHUNK // o.size)
    for start in range(0, n_boot, step):
        values = _from_weights(o, p, draws[start : start + step][:, codes])
        for name in METRICS:
            parts[name].append(values[name])
    intervals = {}
    for name in METRICS:
        drawn = np.concatenate(parts[name])
        drawn = drawn[np.isfinite(drawn)]
        low, high = np.quantile(drawn, [tail, 1.0 - tail]) if drawn.size else (np.nan, np.nan)
        intervals[name] = (float(low), float(high))
    return intervals


def group_codes(groups: npt.ArrayLike | None, n: int) -> npt.NDArray[np.int64]:
    """Return integer codes 0..k-1 of groups; each sample its own group when ``groups`` is None.

    Raises
    ------
    BadInput
        When the length is not ``n``.
    """
    if groups is None:
        return np.arange(n, dtype=np.int64)
    labels = np.asarray(groups)
    if labels.shape != (n,):
        raise BadInput("groups and samples differ in number", found=str(labels.shape), expected=f"({n},)")
    return np.asarray(np.unique(labels, return_inverse=True)[1], dtype=np.int64)


def cluster_draws(n_groups: int, n_boot: int, seed: int) -> FloatArray:
    """Return how often each group is drawn in each resample, shape (n_boot, n_groups)."""
    rng = np.random.default_rng(seed)
    share = np.full(n_groups, 1.0 / n_groups)
    return rng.multinomial(n_groups, share, size=n_boot).astype(np.float64)


def _paired(observed: npt.ArrayLike, predicted: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    o, p = np.asarray(observed, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if o.ndim != 1 or o.shape != p.shape or o.size == 0:
        raise BadInput(
            "observed and predicted values do not pair up",
            found=f"{o.shape} and {p.shape}",
            expected="two vectors of one length, not empty",
        )
    bad = ~(np.isfinite(o) & np.isfinite(p))
    if bad.any():
        raise BadInput(
            "a value is missing or not finite",
            row=int(np.flatnonzero(bad)[0]) + 1,
            found=f"{int(bad.sum())} of {o.size} pairs",
            mend="leave those samples out and count them",
        )
    return o, p


def _from_weights(o: FloatArray, p: FloatArray, weights: FloatArray) -> dict[str, FloatArray]:
    """Every measure for every row of integer ``weights``, shape (n_draws, n); from weighted sums alone."""
    # Centred once, so that sums of squares keep their digits when values are large beside their spread.
    shift = o.mean()
    o, p = o - shift, p - shift
    e = p - o
    columns = np.column_stack([np.ones_like(o), e, e * e, np.abs(e), o, o * o, p, p * p, o * p])
    n, s_e, s_ee, s_abs, s_o, s_oo, s_p, s_pp, s_op = (weights @ columns).T
    with np.errstate(divide="ignore", invalid="ignore"):
        me, mse = s_e / n, s_ee / n
        rmse = np.sqrt(mse)
        sep = np.where(n > 1, np.sqrt(np.maximum(s_ee - n * me**2, 0.0) / (n - 1)), np.nan)
        sst = s_oo - s_o**2 / n
        tiny = sst <= 1e-12 * np.maximum(s_oo, np.finfo(float).tiny)
        r2 = np.where(tiny, np.nan, 1.0 - s_ee / sst)
        covariance = (s_op - s_o * s_p / n) / n
        spread = sst / n + (s_pp - s_p**2 / n) / n + (s_o / n - s_p / n) ** 2
        ccc = np.where(spread > 0, 2.0 * covariance / spread, np.nan)
        rpiq = _weighted_iqr(o, weights) / rmse
    return dict(zip(METRICS, (me, rmse, sep, s_abs / n, r2, ccc, rpiq), strict=True))


def _weighted_iqr(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Interquartile range of ``values`` repeated ``weights`` times, with numpy's linear interpolation."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    cumulative = np.cumsum(weights[:, order], axis=1)
    total = cumulative[:, -1]

    def quantile(q: float) -> FloatArray:
        position = q * (total - 1.0)
        below = np.floor(position)
        low = ordered[np.minimum((cumulative <= below[:, None]).sum(axis=1), ordered.size - 1)]
        high = ordered[np.minimum((cumulative <= (below + 1.0)[:, None]).sum(axis=1), ordered.size - 1)]
        return np.asarray(low + (position - below) * (np.where(below + 1 < total, high, low) - low))

    return quantile(0.75) - quantile(0.25)
