"""The applicability domain from sums: refitted exactly with every batch that comes or goes.

Belongs here: principal components from cross-products, limits from the kept samples of left-out folds.
Does not belong here: what the measures and limits are (``applicability``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from soil_assets.modeling.additive import CrossProducts, total
from soil_assets.modeling.applicability import (
    MAX_COMPONENTS,
    MAX_LANDMARKS,
    MEASURES,
    SINGLE_RATES,
    ApplicabilityDomain,
    attainable_rate,
    components_kept,
    joint_limits,
    measure,
    single_limit,
)
from soil_assets.modeling.pretreatment import Pretreatment

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def domain_from_sums(
    by_fold: Sequence[CrossProducts],
    sample: FloatArray,
    fold: IntArray,
    *,
    pretreatment: Pretreatment,
    rate: float,
    seed: int,
) -> ApplicabilityDomain:
    """Fit the domain of all summed spectra.

    Parameters
    ----------
    by_fold : sequence of CrossProducts
        Of treated spectra, one a fold.
    sample : ndarray, shape (n, n_treated_bands)
        Treated spectra of the calibration sample; landmarks are drawn from it.
    fold : ndarray of int64, shape (n,)
        Fold of each.
    pretreatment : Pretreatment
        That was applied.
    rate : float
        Wanted share of new samples of the same kind outside.
    seed : int

    Returns
    -------
    ApplicabilityDomain
        Mean, loadings and variances are those of every spectrum summed; limits are order statistics of the sample,
        measured under components of the other folds.
    """
    everything = total(by_fold)
    held: dict[str, FloatArray] = {m: np.empty(len(sample)) for m in MEASURES}
    for k in np.unique(fold):
        out = fold == k
        parts = _components(everything - by_fold[int(k)], sample[~out], seed)
        for name, values in measure(sample[out], *parts).items():
            held[name][out] = values
    mean, loadings, variances, landmarks = _components(everything, sample, seed)
    return ApplicabilityDomain(
        pretreatment,
        mean,
        loadings,
        variances,
        landmarks,
        limits=joint_limits(held, rate),
        single_limits={f"{m}@{r:g}": single_limit(held[m], r) for m in MEASURES for r in SINGLE_RATES},
        rate=attainable_rate(len(sample), rate),
        calibration_n=len(sample),
        held=held,
    )


def _components(
    sums: CrossProducts, sample: FloatArray, seed: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    from scipy.linalg import eigh

    xx, _, _ = sums.centred()
    last = len(xx) - 1
    values = np.zeros(len(xx))
    # The few leading components are all that is kept; the rest only counts by its sum.
    leading, vectors = eigh(xx, subset_by_index=(max(0, last - MAX_COMPONENTS), last), check_finite=False)
    leading, vectors = np.maximum(leading[::-1], 0.0), vectors[:, ::-1]
    values[: leading.size] = leading
    values[-1] += max(float(np.trace(xx)) - float(leading.sum()), 0.0) if leading.size < len(xx) else 0.0
    kept = components_kept(values, sums.n)
    loadings, variances = vectors[:, :kept], leading[:kept] / max(sums.n - 1, 1)
    mean = sums.origin + sums.sum_x / sums.n
    whitened = (sample - mean) @ loadings / np.sqrt(variances)
    if len(whitened) > MAX_LANDMARKS:
        rows = np.random.default_rng(seed).choice(len(whitened), MAX_LANDMARKS, replace=False)
        whitened = whitened[np.sort(rows)]
    return mean, loadings, variances, whitened
