"""Nested selection from sums alone: the learner for thousands of samples.

Belongs here: candidates (PLS and landmark kernels on several pre-treatments), their errors in every pair of
folds, the choice. Does not belong here: the algebra of sums (``additive``) and features (``nystrom``).

Every candidate is summed once a fold. A model without folds i and j is solved from the total less two sums;
its squared error on fold j follows from that fold's sums, without predicting a sample. It serves as inner model of
outer fold i and of outer fold j alike, so that K folds need K(K - 1)/2 solutions for a full nested validation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.modeling import pls
from soil_assets.modeling.additive import CrossProducts, pls_path, ridge_path, total
from soil_assets.modeling.kernels import PENALTIES
from soil_assets.modeling.learners import Fitted, TrainingData
from soil_assets.modeling.nystrom import LandmarkFeatures
from soil_assets.modeling.predictors import LinearPredictor, Predictor
from soil_assets.modeling.pretreatment import Pretreatment, chain, snv
from soil_assets.modeling.splits import grouped_folds
from soil_assets.modeling.threads import suited_threads

if TYPE_CHECKING:
    from soil_assets.modeling.recipe import Recipe

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Path = Callable[[CrossProducts], tuple[FloatArray, FloatArray]]

_LANDMARKS = 400
_WIDTHS = (0.1, 0.5)
_PENALTIES = PENALTIES[4:]  # the landmark approximation itself blurs below 1e-5


@dataclass(frozen=True, eq=False)
class Candidate:
    """One feature map and the path of models on it."""

    name: str
    features: Callable[[FloatArray], FloatArray]
    path: Path
    finish: Callable[[FloatArray, float], Predictor]
    settings: tuple[str, ...]


def candidates(data: TrainingData, recipe: Recipe) -> list[Candidate]:
    """List PLS and landmark candidates for every pre-treatment of the recipe."""
    listed = []
    for pretreatment in (p.fitted(data.spectra) for p in recipe.pretreatments):
        n_bands = pretreatment.apply(data.spectra[:1]).shape[1]
        most = min(recipe.max_components, n_bands)
        listed.append(_pls_candidate(pretreatment, most))
        for width in _WIDTHS:
            features = LandmarkFeatures.fit(data.spectra, pretreatment, _LANDMARKS, width, recipe.seed)
            listed.append(
                Candidate(
                    f"landmarks {width:g}, {pretreatment.name}",
                    features.transform,
                    lambda sums: ridge_path(sums, _PENALTIES),
                    features.predictor,
                    tuple(f"penalty {p:.3g}" for p in _PENALTIES),
                )
            )
    return listed


def _pls_candidate(pretreatment: Pretreatment, most: int) -> Candidate:
    return Candidate(
        f"pls, {pretreatment.name}",
        pretreatment.apply,
        lambda sums: pls_path(sums, most),
        lambda coefficients, intercept: LinearPredictor(pretreatment, coefficients, intercept),
        tuple(f"{c + 1} components" for c in range(most)),
    )


@dataclass(frozen=True, eq=False)
class _Scored:
    """A candidate's inner squared errors, shape (K, K, n_settings), and its models without each outer fold."""

    inner: FloatArray
    outer: list[tuple[FloatArray, FloatArray]]
    whole: tuple[FloatArray, FloatArray]
    left_out: FloatArray  # (n_settings, n): every sample by the model without its fold


def fit(data: TrainingData, recipe: Recipe) -> Fitted:
    """Choose among all candidates by grouped folds and fit on everything.

    ``left_out`` of the answer is fully nested: for every fold, candidate and setting were chosen by errors of
    models that saw neither that fold nor the fold they were judged on.

    Raises
    ------
    BadInput
        For fewer than three groups.
    """
    with suited_threads(data.spectra.size):
        return _fit(data, recipe)


def _fit(data: TrainingData, recipe: Recipe) -> Fitted:
    fold = grouped_folds(data.groups, recipe.folds, recipe.seed)
    if fold.max() < 2:
        raise BadInput("nested selection needs at least three groups", found=str(int(fold.max()) + 1))
    listed = candidates(data, recipe)
    scored = [_score(c, data, fold) for c in listed]
    n_folds = int(fold.max()) + 1
    left_out = np.empty(data.target.size)
    for k in range(n_folds):
        best = _best([s.inner[k].sum(axis=0) for s in scored])
        out = fold == k
        left_out[out] = scored[best[0]].left_out[best[1], out]
    # The final choice is judged by models that lack one fold only.
    final = _best([((s.left_out - data.target) ** 2).sum(axis=1) for s in scored])
    candidate, (coefficients, intercepts) = listed[final[0]], scored[final[0]].whole
    predictor = candidate.finish(coefficients[final[1]], float(intercepts[final[1]]))
    plain = replace(recipe, learner="pls", pretreatments=(chain(snv()),), nested=True)
    curves = {
        c.name: [float(v) for v in np.sqrt(((s.left_out - data.target) ** 2).mean(axis=1))]
        for c, s in zip(listed, scored, strict=True)
    }
    chosen = {"learner": "selection", "candidate": candidate.name, "setting": candidate.settings[final[1]]}
    importance = pls.fit(data, plain).importance if len(data.target) <= 2000 else _vip(data, plain)
    return Fitted(predictor, importance, chosen, {"curves": curves}, left_out)


def _score(candidate: Candidate, data: TrainingData, fold: IntArray) -> _Scored:
    features = candidate.features(data.spectra)
    origin = features.mean(axis=0)
    n_folds = int(fold.max()) + 1
    parts = [CrossProducts.of(features[fold == k], data.target[fold == k], origin) for k in range(n_folds)]
    everything = total(parts)
    n_settings = len(candidate.settings)
    inner = np.zeros((n_folds, n_folds, n_settings))
    for i in range(n_folds):
        for j in range(i):
            path = candidate.path(everything - parts[i] - parts[j])
            inner[i, j], inner[j, i] = squared_errors(parts[j], *path), squared_errors(parts[i], *path)
    outer = [candidate.path(everything - part) for part in parts]
    left_out = np.empty((n_settings, data.target.size))
    for k, (coefficients, intercepts) in enumerate(outer):
        out = fold == k
        left_out[:, out] = coefficients @ features[out].T + intercepts[:, None]
    return _Scored(inner, outer, candidate.path(everything), left_out)


def squared_errors(sums: CrossProducts, coefficients: FloatArray, intercepts: FloatArray) -> FloatArray:
    """Sum of squared errors of models on a batch, from the batch's sums alone.

    Parameters
    ----------
    sums : CrossProducts
        Of the batch.
    coefficients : ndarray, shape (n_models, n_features)
    intercepts : ndarray, shape (n_models,)

    Returns
    -------
    ndarray, shape (n_models,)
    """
    shift = intercepts + coefficients @ sums.origin  # prediction at the origin of the sums
    quadratic = ((coefficients @ sums.xx) * coefficients).sum(axis=1)
    linear = coefficients @ sums.xy
    along = coefficients @ sums.sum_x
    errors = (
        sums.yy
        - 2.0 * linear
        - 2.0 * shift * sums.sum_y
        + quadratic
        + 2.0 * shift * along
        + sums.n * shift**2
    )
    return np.asarray(np.maximum(errors, 0.0))


def _best(errors: list[FloatArray]) -> tuple[int, int]:
    lowest = [float(e.min()) for e in errors]
    candidate = int(np.argmin(lowest))
    return candidate, int(np.argmin(errors[candidate]))


def _vip(data: TrainingData, recipe: Recipe) -> FloatArray:
    """VIP from a seeded sample of 2,000: importance is for reading, not for predicting."""
    rows = np.random.default_rng(recipe.seed).choice(len(data.target), 2000, replace=False)
    codes = np.arange(2000, dtype=np.int64)
    return pls.fit(TrainingData(data.spectra[rows], data.target[rows], codes), recipe).importance
