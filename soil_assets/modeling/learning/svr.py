"""Support vector regression with a Gaussian kernel: errors inside a tube cost nothing, large ones count once.

Belongs here: choosing pre-treatment, width, cost and tube by grouped folds, and fitting. The solver is
scikit-learn's libsvm; what is kept are support vectors and their dual coefficients, so that predicting needs numpy
alone. Does not belong here: intervals, domain, units (``train``).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.modeling import pls
from soil_assets.modeling.kernels import squared_distances
from soil_assets.modeling.learners import Fitted, TrainingData
from soil_assets.modeling.predictors import RadialTerm, StackPart, StackPredictor
from soil_assets.modeling.pretreatment import chain, snv
from soil_assets.modeling.splits import grouped_folds

if TYPE_CHECKING:
    from soil_assets.modeling.recipe import Recipe

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Setting = tuple[float, float, float]

#: Kernel widths in units of 1 / median squared distance, costs and tubes in standard deviations of the target.
WIDTHS, COSTS, TUBES = (0.03, 0.1, 0.3, 1.0), (1.0, 10.0, 100.0, 1000.0), (0.02, 0.1)
_FIRST: Setting = (0.1, 100.0, 0.1)
_FOLDS = 5
_MOST = 5000


def fit(data: TrainingData, recipe: Recipe) -> Fitted:
    """Choose by grouped folds inside the data and fit on all of it.

    The pre-treatment is chosen at a middle setting, then width, cost and tube on that pre-treatment.

    Raises
    ------
    BadInput
        For more samples than the quadratic solver can hold.
    """
    if data.target.size > _MOST:
        raise BadInput(
            "too many samples for support vector regression",
            found=str(data.target.size),
            expected=f"at most {_MOST}",
            mend="use the learner local or selection",
        )
    fold = grouped_folds(data.groups, min(_FOLDS, recipe.folds), recipe.seed)
    centre, spread = float(data.target.mean()), float(data.target.std()) or 1.0
    target = (data.target - centre) / spread
    pretreatments = [p.fitted(data.spectra) for p in recipe.pretreatments]
    distances = [_distances(p.apply(data.spectra)) for p in pretreatments]
    first = [_error(d, target, fold, _FIRST) for d in distances]
    best = int(np.argmin(first))
    settings = list(product(WIDTHS, COSTS, TUBES))
    errors = [_error(distances[best], target, fold, s) for s in settings]
    setting = settings[int(np.argmin(errors))]

    treated = pretreatments[best].apply(data.spectra)
    mean, scale = treated.mean(axis=0), _scale(treated)
    squared = squared_distances((treated - mean) / scale, (treated - mean) / scale)
    gamma = setting[0] / _typical(squared)
    model = _solver(setting).fit(np.exp(-gamma * squared), target)
    support = model.support_
    part = StackPart(
        pretreatments[best],
        mean,
        scale,
        np.zeros(mean.size),
        (RadialTerm(True, gamma, spread * model.dual_coef_[0]),),
    )
    none = np.zeros(0)
    predictor = StackPredictor(
        (part,), data.spectra[support].astype(np.float32), centre + spread * float(model.intercept_[0]),
        none, none, none, np.zeros((support.size, 0)), 1.0, np.zeros(support.size),
    )  # fmt: skip
    simple = pls.fit(data, replace(recipe, learner="pls", pretreatments=(chain(snv()),), nested=True))
    chosen = {
        "learner": "svr", "pretreatment": pretreatments[best].name, "width": setting[0], "cost": setting[1],
        "tube": setting[2], "support_vectors": int(support.size),
    }  # fmt: skip
    first_rmse = {
        p.name: spread * float(np.sqrt(e)) for p, e in zip(recipe.pretreatments, first, strict=True)
    }
    return Fitted(predictor, simple.importance, chosen, {"inner_rmse": first_rmse})


def _error(squared: FloatArray, target: FloatArray, fold: IntArray, setting: Setting) -> float:
    """Mean square of out-of-fold errors; the width's unit is taken from the training part of each fold."""
    total = 0.0
    for k in range(int(fold.max()) + 1):
        inside, out = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        near = squared[np.ix_(inside, inside)]
        gamma = setting[0] / _typical(near)
        model = _solver(setting).fit(np.exp(-gamma * near), target[inside])
        found = model.predict(np.exp(-gamma * squared[np.ix_(out, inside)]))
        total += float(((found - target[out]) ** 2).sum())
    return total / target.size


def _solver(setting: Setting) -> Any:
    from sklearn.svm import SVR

    return SVR(kernel="precomputed", C=setting[1], epsilon=setting[2], cache_size=500)


def _distances(treated: FloatArray) -> FloatArray:
    scaled = (treated - treated.mean(axis=0)) / _scale(treated)
    return squared_distances(scaled, scaled)


def _scale(treated: FloatArray) -> FloatArray:
    scale = treated.std(axis=0)
    return np.asarray(np.maximum(scale, 1e-6 * float(scale.mean()) or 1.0))


def _typical(squared: FloatArray) -> float:
    return float(np.median(squared[np.triu_indices(len(squared), 1)])) or 1.0
