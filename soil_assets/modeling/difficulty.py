"""How far off a model is expected to be on one sample, relative to its typical error.

Belongs here: the difficulty by which conformal scores and half-widths are scaled, and how it grows outside the domain.
Does not belong here: the quantile of the scores (``intervals``).

A model errs more where it knows less and, for many soil properties, where values are high. Both show in its own
left-out errors: their logarithm is regressed on the predicted value and on the three measures of the applicability
domain, which every prediction computes anyway. The slopes have a normal prior around zero (none), so that few samples
give nearly constant widths: ln |N(0, 1)| has variance pi^2 / 8, which with slopes of standard deviation 0.2 is a ridge
penalty of about 31. Scores divided by a difficulty that was fitted without them stay exchangeable with those of new
samples (normalised conformal prediction: Papadopoulos, Gammerman & Vovk 2008; Lei et al. 2018, JASA 113, 1094).

Outside the domain there are no left-out errors to learn from, so the rule is a stated one: the width grows in
proportion to how far outside, that is by the largest of distance / limit, sqrt(T2 / limit) and sqrt(Q / limit).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from soil_assets.modeling.applicability import MEASURES

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_PENALTY = math.pi**2 / 8.0 / 0.2**2
FAR = 3.0  # standard deviations beyond which a feature counts as that far: slopes are not extrapolated


@dataclass(frozen=True, eq=False)
class Difficulty:
    """A fitted difficulty; its geometric mean over the training samples is 1.

    Parameters
    ----------
    slopes, centre, spread : ndarray, shape (4,)
        Of ln difficulty, on standardised predicted value and ln of t2, q and distance.
    """

    slopes: FloatArray
    centre: FloatArray
    spread: FloatArray

    @classmethod
    def constant(cls) -> Difficulty:
        """Return a difficulty of 1 everywhere."""
        return cls(np.zeros(4), np.zeros(4), np.ones(4))

    @classmethod
    def fit(cls, errors: FloatArray, predicted: FloatArray, measures: Mapping[str, FloatArray]) -> Difficulty:
        """Fit from left-out errors.

        Parameters
        ----------
        errors : ndarray, shape (n,)
            Absolute, on the modelling scale.
        predicted : ndarray, shape (n,)
            Left-out predictions, on the modelling scale.
        measures : mapping of str to ndarray
            t2, q and distance of the same samples, measured without them.
        """
        raw = _features(predicted, measures)
        typical = float(np.median(errors))
        if errors.size < 3 or not typical > 0.0:
            return cls.constant()
        centre, spread = raw.mean(axis=0), raw.std(axis=0)
        spread = np.where(spread > 1e-12 * np.maximum(1.0, np.abs(centre)), spread, 1.0)
        x = np.clip((raw - centre) / spread, -FAR, FAR)
        # A twentieth of the typical error keeps a sample that was hit by luck from deciding.
        y = np.log(errors + 0.05 * typical)
        x_centred = x - x.mean(axis=0)
        normal = x_centred.T @ x_centred + _PENALTY * np.eye(x.shape[1])
        slopes = np.linalg.solve(normal, x_centred.T @ (y - y.mean()))
        return cls(np.asarray(slopes), centre, spread)

    def of(self, predicted: FloatArray, measures: Mapping[str, FloatArray]) -> FloatArray:
        """Return the difficulty of samples, shape (n,); NaN where nothing can be measured."""
        x = np.clip((_features(predicted, measures) - self.centre) / self.spread, -FAR, FAR)
        return np.asarray(np.exp(x @ self.slopes))

    def arrays(self) -> dict[str, FloatArray]:
        """Arrays of the artifact."""
        return {"slopes": self.slopes, "centre": self.centre, "spread": self.spread}


def cross_fitted(
    errors: FloatArray, predicted: FloatArray, measures: Mapping[str, FloatArray], folds: IntArray
) -> FloatArray:
    """Return the difficulty of every training sample, fitted without the errors of its fold, shape (n,)."""
    found = np.empty(errors.size)
    for k in range(int(folds.max()) + 1):
        out = folds == k
        fitted = Difficulty.fit(errors[~out], predicted[~out], {m: v[~out] for m, v in measures.items()})
        found[out] = fitted.of(predicted[out], {m: v[out] for m, v in measures.items()})
    return found


def beyond(measures: Mapping[str, FloatArray], limits: Mapping[str, float]) -> FloatArray:
    """Return by how much widths grow outside the domain: 1 inside, in proportion to the distance outside."""
    ratios = [
        np.asarray(measures[m]) / limits[m]
        if m == "distance"
        else np.sqrt(np.asarray(measures[m]) / limits[m])
        for m in MEASURES
    ]
    return np.asarray(np.maximum(1.0, np.max(ratios, axis=0)))


def _features(predicted: FloatArray, measures: Mapping[str, FloatArray]) -> FloatArray:
    tiny = np.finfo(float).tiny
    logs = [np.log(np.maximum(measures[m], tiny)) for m in MEASURES]
    return np.column_stack([predicted, *logs])
