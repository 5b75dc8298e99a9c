"""Kernels on bands weighted by what they tell of one target: members of a stack that every target has for itself.

Belongs here: the weights, left-out predictions of such members, fitting one on all samples. Does not belong here:
members that all targets share (``stack_basis``), how members are combined (``stack_weights``).

A Gaussian kernel sees all bands alike, so that many that tell nothing drown a few that do. Here every standardised band
is multiplied by a weight before linear products or distances are taken:

* ``correlation``: the absolute correlation of the band with the target;
* ``importance``: the squared importance in projection of four partial least squares components (Wold, Sjostrom &
  Eriksson 2001, Chemometr. Intell. Lab. 58, 109), which is sharper.

The weights know the target: in each fold they are found from its training part alone, as are centre and spread, so that
nothing follows in closed form and every fold is solved anew. Above ``_FEW`` samples, where that takes long and
the sharper weights gain nothing, there is one division into five folds, and correlation alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from soil_assets.modeling.kernels import (
    PENALTIES,
    KernelRidge,
    band_spread,
    linear_kernel,
    squared_distances,
    typical_distances,
)
from soil_assets.modeling.splits import grouped_folds

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Weighting = Literal["correlation", "importance"]

#: None is linear; else in units of 1 / median squared distance.
_WIDTHS: tuple[float | None, ...] = (None, 0.1, 0.5)
_FEW = 200
_FOLDS = 5
_COMPONENTS = 4
_LEAST = 1e-6  # of the largest weight: a band is never quite without one


@dataclass(frozen=True)
class WeightedMember:
    """One kernel of one target: its pre-treatment's place, how bands are weighted, and its width (None: linear)."""

    part: int
    weighting: Weighting
    width: float | None

    @property
    def kind(self) -> tuple[object, ...]:
        """Members of one kind share a prior weight."""
        return ("weighted", self.weighting, self.width is None)


@dataclass(frozen=True, eq=False)
class WeightedFit:
    """A member fitted on all samples at one penalty.

    Parameters
    ----------
    weights : ndarray, shape (n_bands,)
        Of standardised bands.
    features : ndarray, shape (n, n_bands)
        Weighted standardised bands.
    gamma : float or None
    scale : float
        What a linear kernel is divided by.
    dual : ndarray, shape (n,)
    intercept : float
    """

    weights: FloatArray
    features: FloatArray
    gamma: float | None
    scale: float
    dual: FloatArray
    intercept: float

    def coefficients(self, spread: FloatArray) -> FloatArray:
        """Return what a linear member multiplies centred treated intensities by, shape (n_bands,)."""
        return np.asarray((self.dual @ self.features) * self.weights / (self.scale * spread))


def weighted_members(n_parts: int, n_samples: int) -> tuple[WeightedMember, ...]:
    """List the members over that many pre-treatments."""
    weightings: tuple[Weighting, ...] = (
        ("correlation", "importance") if n_samples <= _FEW else ("correlation",)
    )
    return tuple(WeightedMember(p, how, w) for p in range(n_parts) for how in weightings for w in _WIDTHS)


def band_weights(standardised: FloatArray, target: FloatArray, weighting: Weighting) -> FloatArray:
    """Return a weight for every band, the largest 1.

    Parameters
    ----------
    standardised : ndarray, shape (n, n_bands)
        Columns of mean 0.
    target : ndarray, shape (n,)
    """
    centred = target - target.mean()
    found = (_correlation if weighting == "correlation" else _importance)(standardised, centred)
    largest = float(found.max(initial=0.0))
    return np.asarray(np.maximum(found / largest, _LEAST)) if largest > 0.0 else np.ones_like(found)


def _correlation(standardised: FloatArray, centred: FloatArray) -> FloatArray:
    norms = np.sqrt((standardised**2).sum(axis=0))
    return np.asarray(np.abs(centred @ standardised) / np.maximum(norms, 1e-300))


def _importance(standardised: FloatArray, centred: FloatArray) -> FloatArray:
    left, squares = standardised.copy(), np.zeros(standardised.shape[1])
    for _ in range(min(_COMPONENTS, len(standardised) - 1)):
        weights = centred @ left
        length = float(np.linalg.norm(weights))
        if length <= 1e-12 * max(float(np.linalg.norm(left)), 1e-300):
            break
        weights /= length
        scores = left @ weights
        size = max(float(scores @ scores), 1e-300)
        share = float(centred @ scores) / size
        left -= np.outer(scores, scores @ left / size)
        squares += share**2 * size * weights**2
        centred = centred - share * scores
    return squares


def left_out_predictions(
    treated: Sequence[FloatArray],
    columns: FloatArray,
    groups: IntArray,
    folds: Sequence[IntArray],
    members: Sequence[WeightedMember],
    seed: int,
) -> FloatArray:
    """Predict every target without each fold, by every member at every penalty.

    Parameters
    ----------
    treated : sequence of ndarray, shape (n, n_bands)
        Spectra after each pre-treatment.
    columns : ndarray, shape (n, n_targets)
    groups : ndarray, shape (n,)
    folds : sequence of ndarray, shape (n,)
        Each a fold of every sample; many samples have five folds of their own instead.
    seed : int

    Returns
    -------
    ndarray, shape (n_members, n_penalties, n, n_targets)
    """
    divisions = folds if len(columns) <= _FEW else [grouped_folds(groups, _FOLDS, seed)]
    found = np.zeros((len(members), len(PENALTIES), *columns.shape))
    by_features: dict[tuple[int, Weighting], list[int]] = {}
    for place, member in enumerate(members):
        by_features.setdefault((member.part, member.weighting), []).append(place)

    def predict(features: tuple[tuple[int, Weighting], list[int]]) -> None:
        (part, weighting), places = features
        for fold in divisions:
            for k in range(int(fold.max()) + 1):
                inside, out = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
                known, new = _standardised(treated[part], inside, out)
                for t, target in enumerate(columns[inside].T):
                    weights = band_weights(known, target, weighting)
                    paths = _paths(known * weights, new * weights, target, [members[p].width for p in places])
                    for place, path in zip(places, paths, strict=True):
                        found[place][:, out, t] += path / len(divisions)

    # Decompositions leave the interpreter to others; linear algebra itself has one thread (``threads``).
    with ThreadPoolExecutor(min(os.cpu_count() or 1, len(by_features))) as pool:
        list(pool.map(predict, by_features.items()))
    return found


def _standardised(x: FloatArray, inside: IntArray, out: IntArray) -> tuple[FloatArray, FloatArray]:
    centre = x[inside].mean(axis=0)
    spread = band_spread(x[inside])
    return (x[inside] - centre) / spread, (x[out] - centre) / spread


def _paths(
    known: FloatArray, new: FloatArray, target: FloatArray, widths: Iterable[float | None]
) -> Iterable[FloatArray]:
    """Yield predictions of new samples at every penalty, shape (n_penalties, n_new), a width each."""
    squared, typical = typical_distances(known)
    across = squared_distances(new, known)
    for width in widths:
        if width is None:
            kernel, scale = linear_kernel(known)
            beside = new @ known.T / scale
        else:
            kernel, beside = np.exp(-width * squared / typical), np.exp(-width * across / typical)
        duals, intercepts = KernelRidge.of(kernel).duals(target)
        yield duals @ beside.T + intercepts[:, None]


def fit_weighted(
    member: WeightedMember, centred: FloatArray, spread: FloatArray, target: FloatArray, penalty: int
) -> WeightedFit:
    """Fit a member on all samples.

    Parameters
    ----------
    centred : ndarray, shape (n, n_bands)
        Treated spectra less their mean.
    spread : ndarray, shape (n_bands,)
    target : ndarray, shape (n,)
    penalty : int
        Position among the penalties.
    """
    standardised = centred / spread
    weights = band_weights(standardised, target, member.weighting)
    features = standardised * weights
    gamma, scale = None, 1.0
    if member.width is None:
        kernel, scale = linear_kernel(features)
    else:
        squared, typical = typical_distances(features)
        gamma = member.width / typical
        kernel = np.exp(-gamma * squared)
    dual, intercept = KernelRidge.of(kernel).dual(target, penalty)
    return WeightedFit(weights, features, gamma, scale, dual, intercept)
