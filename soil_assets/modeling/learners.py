"""The one small interface that every learner has, and where learners are found by name.

Belongs here: what goes into a fit and what comes out. Adding a learner is one file in ``modeling.learning``, or a
module that an installed package names in the entry point group ``soil_assets.learners``.
Does not belong here: how one fits (``pls``, ``stack``, ``learning``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from soil_assets.modeling.predictors import Predictor

if TYPE_CHECKING:
    from soil_assets.modeling.recipe import Recipe

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_CORE: Mapping[str, str] = {
    "pls": "soil_assets.modeling.pls",
    "stack": "soil_assets.modeling.stack",
    "selection": "soil_assets.modeling.selection",
}
_FOLDER = "soil_assets.modeling.learning"
_GROUP = "soil_assets.learners"


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a learner sees.

    Parameters
    ----------
    spectra : ndarray of float64, shape (n, n_bands)
    target : ndarray of float64, shape (n,)
        On the modelling scale.
    groups : ndarray of int64, shape (n,)
        Never split by a fold.
    sensors : ndarray of float64, shape (n, n_sensors), or None
        Readings of other sensors beside the spectra.
    """

    spectra: FloatArray
    target: FloatArray
    groups: IntArray
    sensors: FloatArray | None = None

    def take(self, rows: npt.NDArray[Any]) -> TrainingData:
        """Return the rows that a mask or positions select."""
        sensors = None if self.sensors is None else self.sensors[rows]
        return TrainingData(self.spectra[rows], self.target[rows], self.groups[rows], sensors)


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a learner gives back.

    Parameters
    ----------
    predictor : Predictor
    importance : ndarray, shape (n_bands,)
        VIP of every band of the spectra as they came in.
    chosen : mapping
        JSON-ready: what the inner validation chose.
    details : mapping
        JSON-ready: curves, weights.
    left_out : ndarray, shape (n,), or None
        The learner's own out-of-fold predictions, each from choices and weights that did not use its fold.
    """

    predictor: Predictor
    importance: FloatArray
    chosen: Mapping[str, Any]
    details: Mapping[str, Any] = field(default_factory=dict)
    left_out: FloatArray | None = None

    def digest(self) -> str:
        """SHA-256 of every fitted number: equal fits, equal digests."""
        total = hashlib.sha256()
        for name, array in sorted(self.predictor.arrays().items()):
            total.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return total.hexdigest()


class Learner(Protocol):
    """A module with this function is a learner."""

    def fit(self, data: TrainingData, recipe: Recipe) -> Fitted:
        """Choose hyper-parameters by grouped folds inside ``data`` and fit."""
        ...


@cache
def learners() -> Mapping[str, str]:
    """Return every learner's module by the learner's name, without importing any."""
    from importlib.metadata import entry_points

    folder = find_spec(_FOLDER)
    places = folder.submodule_search_locations if folder else None
    here = {m.name: f"{_FOLDER}.{m.name}" for m in iter_modules(places)}
    installed = {e.name: e.value for e in entry_points(group=_GROUP)}
    return {**installed, **here, **_CORE}


def learner(name: str) -> Learner:
    """Return the learner of that name (a recipe has checked the name)."""
    module: Any = import_module(learners()[name])
    return module  # type: ignore[no-any-return]
