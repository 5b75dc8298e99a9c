"""A local (memory-based) learner: for every new spectrum, a small ridge model of its nearest neighbours.

Belongs here: choosing neighbours and penalty by grouped folds, the index, predicting. Large libraries are not one
population; a global model averages over soils that have nothing to do with the sample (Shenk, Westerhaus & Berzaghi
1997, J. Near Infrared Spectrosc. 5, 223; Ramirez-Lopez et al. 2013, Geoderma 195, 268).

Spectra are reduced to principal component scores of the training spectra, scaled to equal spread. The k nearest are
found through a k-d tree (Bentley 1975), weighted by the tricube of their distance (Cleveland 1979), and a ridge model
on their scores predicts the one sample. Memory grows with samples x scores, not with bands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from soil_assets.modeling import pls
from soil_assets.modeling.learners import Fitted, TrainingData
from soil_assets.modeling.pretreatment import Pretreatment, chain, snv
from soil_assets.modeling.splits import grouped_folds

if TYPE_CHECKING:
    from soil_assets.modeling.recipe import Recipe

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_SCORES = (4, 10, 20)
_NEIGHBOURS = (30, 60, 120, 250)
#: Relative to the mean variance of the neighbours' scores.
_PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
_CHUNK = 256


@dataclass(frozen=True, eq=False)
class LocalPredictor:
    """Predicts each sample by a ridge model of its neighbours.

    Parameters
    ----------
    pretreatment : Pretreatment
    centre : ndarray, shape (n_treated_bands,)
        Mean of the treated training spectra.
    axes : ndarray, shape (n_treated_bands, n_scores)
        Principal axes, divided by the scores' spread.
    scores : ndarray, shape (n_training, n_scores)
    target : ndarray, shape (n_training,)
        On the modelling scale.
    neighbours : int
    penalty : float
    """

    pretreatment: Pretreatment
    centre: FloatArray
    axes: FloatArray
    scores: FloatArray
    target: FloatArray
    neighbours: int
    penalty: float

    @cached_property
    def _index(self) -> Any:
        from scipy.spatial import cKDTree

        return cKDTree(self.scores)

    def predict(self, spectra: FloatArray, sensors: FloatArray | None = None) -> FloatArray:
        """Return predictions, shape (n_samples,); spectra alone count. A spectrum that is not finite gets NaN."""
        places = (self.pretreatment.apply(spectra) - self.centre) @ self.axes
        found = np.full(len(places), np.nan)
        finite = np.flatnonzero(np.isfinite(places).all(axis=1))
        for start in range(0, finite.size, _CHUNK):
            rows = finite[start : start + _CHUNK]
            distance, index = self._index.query(places[rows], k=self.neighbours)
            found[rows] = local_ridge(
                places[rows], self.scores[index], self.target[index], distance, self.penalty
            )
        return found

    def facts(self) -> dict[str, Any]:
        """JSON-ready facts."""
        return {
            "kind": "local",
            "pretreatment": self.pretreatment.to_dict(),
            "neighbours": self.neighbours,
            "penalty": self.penalty,
        }

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays of the artifact."""
        return {"centre": self.centre, "axes": self.axes, "scores": self.scores, "target": self.target}


def predictor_from_parts(facts: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> LocalPredictor:
    """Read a predictor back from facts and arrays."""
    return LocalPredictor(
        Pretreatment.from_dict(facts["pretreatment"]),
        arrays["centre"],
        arrays["axes"],
        arrays["scores"],
        arrays["target"],
        int(facts["neighbours"]),
        float(facts["penalty"]),
    )


def fit(data: TrainingData, recipe: Recipe) -> Fitted:
    """Choose pre-treatment, scores, neighbours and penalty by grouped folds inside the data; index all of it."""
    fold = grouped_folds(data.groups, recipe.folds, recipe.seed)
    smallest = int((fold[:, None] != np.unique(fold)).sum(axis=0).min())
    counts = sorted({min(k, smallest) for k in _NEIGHBOURS})
    pretreatments = [p.fitted(data.spectra) for p in recipe.pretreatments]
    errors = np.zeros((len(pretreatments), len(_SCORES), len(counts), len(_PENALTIES)))
    for p, pretreatment in enumerate(pretreatments):
        treated = pretreatment.apply(data.spectra)
        for k in range(int(fold.max()) + 1):
            inside, out = fold != k, fold == k
            centre, axes = _principal(treated[inside])
            near, far = (treated[inside] - centre) @ axes, (treated[out] - centre) @ axes
            for s, most in enumerate(_SCORES):
                errors[p, s] += _errors(
                    near[:, :most], data.target[inside], far[:, :most], data.target[out], counts
                )
    p, s, c, q = (int(i) for i in np.unravel_index(int(errors.argmin()), errors.shape))
    treated = pretreatments[p].apply(data.spectra)
    centre, axes = _principal(treated)
    axes = axes[:, : _SCORES[s]]
    predictor = LocalPredictor(
        pretreatments[p], centre, axes, (treated - centre) @ axes, data.target, counts[c], _PENALTIES[q]
    )
    rmse = np.sqrt(errors.min(axis=(1, 2, 3)) / data.target.size)
    chosen = {
        "learner": "local", "pretreatment": pretreatments[p].name, "scores": axes.shape[1],
        "neighbours": counts[c], "penalty": _PENALTIES[q],
    }  # fmt: skip
    details = {"inner_rmse": {x.name: float(v) for x, v in zip(recipe.pretreatments, rmse, strict=True)}}
    return Fitted(predictor, _importance(data, recipe), chosen, details)


def local_ridge(
    at: FloatArray, scores: FloatArray, target: FloatArray, distance: FloatArray, penalty: float
) -> FloatArray:
    """Predict each sample by weighted ridge regression on its neighbours.

    Parameters
    ----------
    at : ndarray, shape (m, n_scores)
        Samples to predict.
    scores : ndarray, shape (m, k, n_scores)
        Their neighbours'.
    target, distance : ndarray, shape (m, k)
    penalty : float
        Relative to the neighbours' mean variance of scores.

    Returns
    -------
    ndarray, shape (m,)
    """
    farthest = distance.max(axis=1, keepdims=True) * (1.0 + 1e-6) + 1e-300
    weights = (1.0 - (distance / farthest) ** 3) ** 3 + 1e-6
    weights /= weights.sum(axis=1, keepdims=True)
    mean_x = np.einsum("mk,mkd->md", weights, scores)
    mean_y = (weights * target).sum(axis=1)
    centred = scores - mean_x[:, None, :]
    weighted = centred * weights[:, :, None]
    moments = np.matmul(weighted.transpose(0, 2, 1), centred)
    typical = np.trace(moments, axis1=1, axis2=2) / moments.shape[1]
    moments += (penalty * typical + 1e-12)[:, None, None] * np.eye(moments.shape[1])
    along = np.einsum("mkd,mk->md", weighted, target - mean_y[:, None])
    slopes = np.linalg.solve(moments, along[:, :, None])[:, :, 0]
    return np.asarray(mean_y + ((at - mean_x) * slopes).sum(axis=1))


def _errors(
    scores: FloatArray, known: FloatArray, places: FloatArray, target: FloatArray, counts: list[int]
) -> FloatArray:
    """Squared errors summed over samples, shape (n_counts, n_penalties); neighbours are searched once."""
    from scipy.spatial import cKDTree

    index = cKDTree(scores)
    sums = np.zeros((len(counts), len(_PENALTIES)))
    for start in range(0, len(places), _CHUNK):
        rows = slice(start, start + _CHUNK)
        distance, nearest = index.query(places[rows], k=counts[-1])
        for c, count in enumerate(counts):
            near = nearest[:, :count]
            for q, penalty in enumerate(_PENALTIES):
                found = local_ridge(places[rows], scores[near], known[near], distance[:, :count], penalty)
                sums[c, q] += float(((found - target[rows]) ** 2).sum())
    return sums


def _principal(treated: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Centre and principal axes, divided by the spread of their scores."""
    centre = treated.mean(axis=0)
    x = treated - centre
    if len(x) > x.shape[1]:
        values, vectors = np.linalg.eigh(x.T @ x)
    else:
        values, left = np.linalg.eigh(x @ x.T)
        vectors = x.T @ left / np.sqrt(np.maximum(values, 1e-300))
    kept = np.argsort(values)[::-1][: _SCORES[-1]]
    kept = kept[values[kept] > 1e-10 * values.max()]
    return centre, np.asarray(vectors[:, kept] / np.sqrt(values[kept] / len(x)))


def _importance(data: TrainingData, recipe: Recipe) -> FloatArray:
    """VIP of a PLS model of at most 2,000 of the samples: for reading, not for predicting."""
    rows = np.arange(data.target.size)
    if rows.size > 2000:
        rows = np.sort(np.random.default_rng(recipe.seed).choice(rows, 2000, replace=False))
    some = replace(data.take(rows), groups=np.arange(rows.size, dtype=np.int64))
    return pls.fit(
        some, replace(recipe, learner="pls", pretreatments=(chain(snv()),), nested=True)
    ).importance
