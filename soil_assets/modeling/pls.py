"""Partial least squares: all component counts in one pass, pre-treatment and count chosen by grouped folds.

Belongs here: fitting and choosing PLS. Does not belong here: intervals, domain, units (``train``).
The algorithm is improved kernel PLS (Dayal & MacGregor 1997, J. Chemom. 11, 73) from ``ikpls``, whose fast
cross-validation centres on the training part of every fold (Engstrøm & Jensen 2025, arXiv 2401.13185).
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from soil_assets.modeling.learners import Fitted, TrainingData
from soil_assets.modeling.predictors import LinearPredictor
from soil_assets.modeling.pretreatment import Pretreatment
from soil_assets.modeling.splits import grouped_folds

if TYPE_CHECKING:
    from soil_assets.modeling.recipe import Recipe

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PlsChoice:
    """What the folds chose.

    Parameters
    ----------
    pretreatment : int
        Position among the candidates.
    components : int
        Number of components.
    curves : ndarray, shape (n_pretreatments, max_components)
        Pooled cross-validated RMSE on the modelling scale.
    """

    pretreatment: int
    components: int
    curves: FloatArray


def fit(data: TrainingData, recipe: Recipe) -> Fitted:
    """Choose pre-treatment and component count by grouped folds inside the data, and fit."""
    pretreatments = [p.fitted(data.spectra) for p in recipe.pretreatments]
    treated = [p.apply(data.spectra) for p in pretreatments]
    fold = grouped_folds(data.groups, recipe.folds, recipe.seed)
    choice = choose(treated, data.target, fold, recipe.max_components, recipe.parsimony)
    pretreatment = pretreatments[choice.pretreatment]
    predictor, importance = fit_components(
        treated[choice.pretreatment], data.target, choice.components, pretreatment
    )
    curves = {
        p.name: [float(v) for v in curve]
        for p, curve in zip(recipe.pretreatments, choice.curves, strict=True)
    }
    chosen = {"learner": "pls", "pretreatment": pretreatment.name, "components": choice.components}
    return Fitted(predictor, to_bands(importance, data.spectra.shape[1]), chosen, {"curves": curves})


def usable_components(n: int, n_bands: int, fold: IntArray, max_components: int) -> int:
    """Return how many components every training part of the folds can support (its centred rank at most)."""
    largest_fold = int(np.bincount(fold).max())
    return max(1, min(max_components, n - largest_fold - 1, n_bands))


def out_of_fold(treated: FloatArray, target: FloatArray, fold: IntArray, components: int) -> FloatArray:
    """Predict every sample by models that did not see its fold, for 1..components components.

    Returns
    -------
    ndarray, shape (components, n_samples)
        On the modelling scale.
    """
    from ikpls.fast_cross_validation.numpy import PLS

    if treated.shape[0] < treated.shape[1]:
        # PLS does not change under a rotation of the bands: n coordinates say all that n spectra hold.
        treated = np.ascontiguousarray(np.transpose(np.linalg.qr(treated.T, mode="r")))
    predicted = np.empty((components, target.size))
    algorithm = 1 if treated.shape[0] < treated.shape[1] else 2
    # ikpls announces every cross-validation on standard output, which belongs to the command's own answer.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        # Past the rank ikpls carries the last coefficients forward, which is what is wanted here.
        warnings.simplefilter("ignore", UserWarning)
        parts = PLS(algorithm=algorithm, scale_X=False, scale_Y=False).cross_validate(
            X=treated,
            Y=target[:, None],
            A=components,
            folds=fold.tolist(),
            metric_function=lambda _, values: values[:, :, 0],
            n_jobs=1,
            verbose=0,
        )
    for k, values in parts.items():
        predicted[:, fold == k] = values
    return predicted


def choose(
    treated: Sequence[FloatArray], target: FloatArray, fold: IntArray, max_components: int, parsimony: float
) -> PlsChoice:
    """Choose pre-treatment and number of components by pooled RMSE over the folds.

    Per pre-treatment the fewest components within ``parsimony`` of its best RMSE are taken, then the
    pre-treatment whose RMSE at that count is lowest.
    """
    components = usable_components(target.size, treated[0].shape[1], fold, max_components)
    curves = np.array(
        [np.sqrt(np.mean((out_of_fold(x, target, fold, components) - target) ** 2, axis=1)) for x in treated]
    )
    counts = [int(np.argmax(curve <= (1.0 + parsimony) * curve.min())) for curve in curves]
    best = int(np.argmin([curve[c] for curve, c in zip(curves, counts, strict=True)]))
    return PlsChoice(best, counts[best] + 1, curves)


def fit_components(
    treated: FloatArray, target: FloatArray, components: int, pretreatment: Pretreatment
) -> tuple[LinearPredictor, FloatArray]:
    """Fit one PLS model on pre-treated spectra; return it with the VIP of every treated band."""
    from ikpls.numpy import PLS

    algorithm = 1 if treated.shape[0] < treated.shape[1] else 2
    model = PLS(algorithm=algorithm, scale_X=False, scale_Y=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model.fit(treated, target[:, None], components)
    coefficients = np.asarray(model.B[components - 1, :, 0], dtype=np.float64)
    intercept = float(target.mean() - treated.mean(axis=0) @ coefficients)
    stable = int(min(components, model.max_stable_components))
    scores = (treated - treated.mean(axis=0)) @ model.R[:, :stable]
    return (
        LinearPredictor(pretreatment, coefficients, intercept),
        vip(model.W[:, :stable], (model.Q[0, :stable] ** 2) * (scores**2).sum(axis=0)),
    )


def vip(weights: npt.ArrayLike, explained: npt.ArrayLike) -> FloatArray:
    """Variable importance in projection; bands over 1 carry more than their share.

    VIP_j = sqrt(p sum_a s_a (w_ja / ||w_a||)2 / sum_a s_a), s_a the sum of squares of the target that
    component a explains (Wold et al. 1993; Chong & Jun 2005, Chemom. Intell. Lab. Syst. 78, 103).

    Parameters
    ----------
    weights : array_like, shape (n_bands, n_components)
    explained : array_like, shape (n_components,)

    Returns
    -------
    ndarray, shape (n_bands,)
        Mean square 1.
    """
    w, s = np.asarray(weights, dtype=np.float64), np.asarray(explained, dtype=np.float64)
    shares = w**2 / (w**2).sum(axis=0)
    return np.asarray(np.sqrt(w.shape[0] * (shares @ s) / s.sum()))


def to_bands(importance: FloatArray, n_bands: int) -> FloatArray:
    """Spread the importance of averaged bands over the bands that were averaged; the mean square stays 1."""
    if importance.size == n_bands:
        return importance
    width = max(1, n_bands // importance.size)
    spread = np.repeat(importance, width)[:n_bands]
    spread = np.concatenate([spread, np.zeros(n_bands - spread.size)])
    return np.asarray(spread / np.sqrt((spread**2).mean()))
