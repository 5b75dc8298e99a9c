"""Where a model may be used: distances to its training spectra, with limits frozen at training.

Belongs here: Hotelling's T2, the residual Q, the distance to the nearest training spectrum, their empirical
limits, and how many exceedances a batch may show. Does not belong here: what drift concludes from them.

Parametric limits (F for T2, Jackson-Mudholkar for Q) assume normal scores and fail on soil; the limits here
are order statistics of measures of spectra that were held out while the components were fitted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.modeling.pretreatment import Pretreatment, chain, savgol, snv
from soil_assets.modeling.splits import grouped_folds

FloatArray = npt.NDArray[np.float64]

MEASURES = ("t2", "q", "distance")
#: Rates for which each measure alone gets a limit (what drift counts against).
SINGLE_RATES = (0.01, 0.05)
DOMAIN_PRETREATMENT = chain(snv(), savgol(11, 2, 1))
_VARIANCE_KEPT = 0.99
MAX_COMPONENTS = 20
MAX_LANDMARKS = 2000
_REASONS = {
    "t2": "unusual combination of the known spectral features (T2 {:.3g} over its limit {:.3g})",
    "q": "spectral features that the training spectra do not have (Q {:.3g} over its limit {:.3g})",
    "distance": "no similar training spectrum (distance {:.3g} over its limit {:.3g})",
}


def order_statistic(n: int, rate: float) -> int:
    """Return k so that the k-th smallest of ``n`` held-out values is exceeded with probability <= ``rate``.

    k = ceil((n + 1)(1 - rate)); ``n + 1`` means that so few values support no finite limit at that rate.
    """
    return math.ceil(round((n + 1) * (1.0 - rate), 9))


def attainable_rate(n: int, rate: float) -> float:
    """Return the rate that a finite limit from ``n`` held-out values gives when ``rate`` is wanted."""
    k = min(order_statistic(n, rate), n)
    return 1.0 - k / (n + 1)


def limit_rank(n: int, rate: float) -> float:
    """Return the rank, in general between two values, at which a limit from ``n`` held-out values has ``rate``.

    (n + 1)(1 - rate), at most ``n``. Between neighbouring ranks the limit is interpolated: rounding the rank up
    would alone move the rate of 300 values by up to 0.3 points.
    """
    return min(round((n + 1) * (1.0 - rate), 9), float(n))


def single_limit(values: FloatArray, rate: float) -> float:
    """Return the value that a new sample of the same kind exceeds with probability ``rate``, shape of values (n,).

    The expected coverage of the i-th smallest of n values is i / (n + 1) whatever their distribution; between two of
    them it is interpolated.
    """
    ordered = np.sort(values)
    rank = max(limit_rank(ordered.size, rate), 1.0)
    below = math.floor(rank)
    above = min(below + 1, ordered.size)
    part = rank - below
    return float((1.0 - part) * ordered[below - 1] + part * ordered[above - 1])


def exceedance_interval(n: int, rate: float, reference_n: int, level: float = 0.99) -> tuple[int, int]:
    """Interval of how many of ``n`` new samples of the same kind exceed an empirical limit.

    The limit is an order statistic of ``reference_n`` values, so its true rate is itself random: the count is
    beta-binomial, BetaBin(n, reference_n + 1 - k, k) with k of :func:`limit_rank` (Vovk 2012,
    "Conditional validity of inductive conformal predictors"). A plain binomial alarms far too often.

    Parameters
    ----------
    n : int
        Number of new samples.
    rate : float
        Nominal rate; the attainable one is used where ``reference_n`` is too small for it.
    reference_n : int
        Number of held-out values behind the limit.
    level : float
        Probability that the interval holds at least, split evenly between its two sides.

    Returns
    -------
    (low, high) : tuple of int
        Both ends are inside.
    """
    if n < 1 or reference_n < 1:
        raise BadInput("an exceedance interval needs samples", found=f"n {n}, reference {reference_n}")
    from scipy.stats import betabinom

    k = limit_rank(reference_n, rate)
    counts = betabinom(n, reference_n + 1 - k, k)
    tail = (1.0 - level) / 2.0
    return int(counts.ppf(tail)), int(counts.ppf(1.0 - tail))


@dataclass(frozen=True, eq=False)
class ApplicabilityDomain:
    """A principal-component description of training spectra with frozen limits.

    Parameters
    ----------
    pretreatment : Pretreatment
        Applied before anything is measured.
    mean : ndarray, shape (n_bands,)
    loadings : ndarray, shape (n_bands, n_components)
    variances : ndarray, shape (n_components,)
        Variance of each score (n - 1).
    landmarks : ndarray, shape (n_landmarks, n_components)
        Whitened scores of training spectra, for the nearest-neighbour distance.
    limits : mapping of str to float
        Joint limits of t2, q and distance: a sample over any of them is outside.
    single_limits : mapping of str to float
        ``"t2@0.01"`` and so on: the limit of one measure alone at that nominal rate.
    rate : float
        Rate at which new samples of the same kind are expected outside (the attainable one).
    calibration_n : int
        Number of held-out spectra behind the limits.
    held : mapping of str to ndarray, shape (calibration_n,)
        Measures of the training spectra while they were held out, in their order; known after fitting only.
    """

    pretreatment: Pretreatment
    mean: FloatArray
    loadings: FloatArray
    variances: FloatArray
    landmarks: FloatArray
    limits: Mapping[str, float]
    single_limits: Mapping[str, float]
    rate: float
    calibration_n: int
    held: Mapping[str, FloatArray] = field(default_factory=dict)

    def measures(self, spectra: npt.ArrayLike) -> dict[str, FloatArray]:
        """Return t2, q and nearest-neighbour distance, each of shape (n_samples,); NaN rows stay NaN."""
        return self.measures_of(self.pretreatment.apply(spectra))

    def measures_of(self, treated: FloatArray) -> dict[str, FloatArray]:
        """Return the same for spectra that are pre-treated already, shape (n_samples, n_treated_bands)."""
        return measure(treated, self.mean, self.loadings, self.variances, self.landmarks)

    def inside(self, measures: Mapping[str, FloatArray]) -> npt.NDArray[np.bool_]:
        """Tell which samples lie within every joint limit; a NaN measure is never inside."""
        within = np.array([measures[m] <= self.limits[m] for m in MEASURES])
        return np.asarray(within.all(axis=0))

    def reasons(self, measures: Mapping[str, FloatArray]) -> list[str]:
        """Say in words why each sample is outside; empty where it is inside."""
        words = [""] * len(measures["t2"])
        for row in np.flatnonzero(~self.inside(measures)):
            over = [
                _REASONS[m].format(measures[m][row], self.limits[m])
                for m in MEASURES
                if not measures[m][row] <= self.limits[m]
            ]
            finite = all(np.isfinite(measures[m][row]) for m in MEASURES)
            words[row] = "; ".join(over) if finite else "the spectrum is flat or has missing values"
        return words

    def exceedances(self, spectra: npt.ArrayLike, rate: float = 0.01) -> dict[str, tuple[int, int]]:
        """Count samples over each measure's own limit at ``rate``: (count, n) for t2, q and distance."""
        measures = self.measures(spectra)
        n = len(measures["t2"])
        return {m: (int((~(measures[m] <= self.single_limits[f"{m}@{rate:g}"])).sum()), n) for m in MEASURES}

    def facts(self) -> dict[str, Any]:
        """JSON-ready facts beside the arrays."""
        return {
            "pretreatment": self.pretreatment.to_dict(),
            "limits": dict(self.limits),
            "single_limits": dict(self.single_limits),
            "rate": self.rate,
            "calibration_n": self.calibration_n,
        }

    def arrays(self) -> dict[str, FloatArray]:
        """Arrays of the artifact."""
        names = ("mean", "loadings", "variances", "landmarks")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_parts(cls, facts: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> ApplicabilityDomain:
        """Build from what :meth:`facts` and :meth:`arrays` gave."""
        return cls(
            Pretreatment.from_dict(facts["pretreatment"]),
            mean=arrays["mean"],
            loadings=arrays["loadings"],
            variances=arrays["variances"],
            landmarks=arrays["landmarks"],
            limits={str(k): float(v) for k, v in facts["limits"].items()},
            single_limits={str(k): float(v) for k, v in facts["single_limits"].items()},
            rate=float(facts["rate"]),
            calibration_n=int(facts["calibration_n"]),
        )


def fit_domain(
    spectra: npt.ArrayLike,
    groups: npt.ArrayLike,
    *,
    rate: float = 0.01,
    folds: int = 10,
    seed: int = 20260101,
    pretreatment: Pretreatment = DOMAIN_PRETREATMENT,
) -> ApplicabilityDomain:
    """Fit the domain of training spectra; limits come from spectra held out by whole groups.

    Parameters
    ----------
    spectra : array_like, shape (n_samples, n_bands)
        Finite training spectra on the model's axis.
    groups : array_like, shape (n_samples,)
        Held out together.
    rate : float
        Wanted share of new samples of the same kind outside; the attainable share is stored.
    folds, seed : int
        Of the hold-out.
    pretreatment : Pretreatment
        Applied first.
    """
    treated = pretreatment.apply(spectra)
    fold = grouped_folds(groups, folds, seed)
    held: dict[str, FloatArray] = {m: np.empty(len(treated)) for m in MEASURES}
    for k in range(int(fold.max()) + 1):
        out = fold == k
        parts = _fit_components(treated[~out], seed)
        for name, values in measure(treated[out], *parts).items():
            held[name][out] = values
    n = len(treated)
    single = {f"{m}@{r:g}": single_limit(held[m], r) for m in MEASURES for r in SINGLE_RATES}
    mean, loadings, variances, landmarks = _fit_components(treated, seed)
    return ApplicabilityDomain(
        pretreatment,
        mean,
        loadings,
        variances,
        landmarks,
        limits=joint_limits(held, rate),
        single_limits=single,
        rate=attainable_rate(n, rate),
        calibration_n=n,
        held=held,
    )


def joint_limits(held: Mapping[str, FloatArray], rate: float) -> dict[str, float]:
    """Return limits of all measures at once, so that being over any of them happens at ``rate``.

    Each measure is put on the scale of its own upper tail (log, from the median to the 90th percentile); the
    order statistic is that of the largest of the three.
    """
    scales = {}
    worst = np.full(len(held["t2"]), -np.inf)
    for m in MEASURES:
        logs = np.log(np.maximum(held[m], np.finfo(float).tiny))
        middle, upper = np.quantile(logs, [0.5, 0.9])
        spread = max(float(upper - middle), 1e-6)
        scales[m] = (float(middle), spread)
        worst = np.maximum(worst, (logs - middle) / spread)
    k = min(order_statistic(worst.size, rate), worst.size)
    limit = float(np.sort(worst)[k - 1])
    # One part in 1e12 above, so that rounding through log and exp never puts the defining sample outside.
    return {m: float(np.exp(middle + limit * spread)) * (1 + 1e-12) for m, (middle, spread) in scales.items()}


def components_kept(values: FloatArray, n: int) -> int:
    """Return how many principal components describe ``n`` samples, from all eigenvalues in descending order.

    Raises
    ------
    BadInput
        When nothing varies.
    """
    total = values.sum()
    if not total > 0:
        raise BadInput(
            "the training spectra are all alike", found="no variance", mend="train on different samples"
        )
    kept = int(np.searchsorted(np.cumsum(values) / total, _VARIANCE_KEPT) + 1)
    # At most a third of the samples: beyond that, scores of new samples no longer resemble the fitted ones.
    return max(1, min(kept, MAX_COMPONENTS, n // 3, int((values > 1e-10 * values[0]).sum())))


def _fit_components(treated: FloatArray, seed: int) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    mean = treated.mean(axis=0)
    centred = treated - mean
    n = len(treated)
    if n <= treated.shape[1]:
        values, vectors = np.linalg.eigh(centred @ centred.T)
    else:
        values, vectors = np.linalg.eigh(centred.T @ centred)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    kept = components_kept(values, n)
    if n <= treated.shape[1]:
        loadings = centred.T @ vectors[:, :kept] / np.sqrt(values[:kept])
    else:
        loadings = vectors[:, :kept]
    variances = values[:kept] / max(n - 1, 1)
    whitened = centred @ loadings / np.sqrt(variances)
    if n > MAX_LANDMARKS:
        rows = np.sort(np.random.default_rng(seed).choice(n, MAX_LANDMARKS, replace=False))
        whitened = whitened[rows]
    return mean, loadings, variances, whitened


def measure(
    treated: FloatArray, mean: FloatArray, loadings: FloatArray, variances: FloatArray, landmarks: FloatArray
) -> dict[str, FloatArray]:
    """Return t2, q and nearest-neighbour distance of treated spectra under given components.

    Parameters
    ----------
    treated : ndarray, shape (n_samples, n_bands)
    mean, loadings, variances, landmarks
        As of :class:`ApplicabilityDomain`.
    """
    centred = treated - mean
    scores = centred @ loadings
    whitened = scores / np.sqrt(variances)
    t2 = (whitened**2).sum(axis=1)
    # ||x||2 - ||scores||2 equals the residual's square for orthonormal loadings, without building x_hat.
    q = np.maximum((centred**2).sum(axis=1) - (scores**2).sum(axis=1), 0.0)
    nearest = np.empty(len(treated))
    step = max(1, 2_000_000 // max(1, len(landmarks)))
    squares = (landmarks**2).sum(axis=1)
    for start in range(0, len(treated), step):
        part = slice(start, start + step)
        squared = t2[part, None] + squares - 2.0 * whitened[part] @ landmarks.T
        nearest[part] = np.sqrt(np.maximum(squared.min(axis=1), 0.0))
    return {"t2": t2, "q": q, "distance": nearest}
