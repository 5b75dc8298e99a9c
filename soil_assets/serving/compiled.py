"""Several models that answer together: what they share is computed once, what is linear is folded.

Belongs here: the arithmetic of answering fast. Does not belong here: what a prediction means (``modeling.model``),
requests and answers as JSON.

Models of one training set share their applicability domain's pre-treatment and, in a stack, their landmarks; so a
request treats its spectra once a distinct step, and measures each distinct set of distances once. Savitzky-Golay,
detrending and averaging are linear, so a linear model's coefficients are carried back through them at loading:
w'S x = (S'w)'x.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.modeling.nystrom import LandmarkPredictor
from soil_assets.modeling.predictors import LinearPredictor, Predictor, StackPredictor
from soil_assets.modeling.pretreatment import Pretreatment, Step
from soil_assets.spectra.harmonise import matrix_in, matrix_on

if TYPE_CHECKING:
    from soil_assets.modeling.model import SoilModel
    from soil_assets.spectra.axis import Axis
    from soil_assets.spectra.batch import Quantity, Scale

FloatArray = npt.NDArray[np.float64]
Steps = tuple[Step, ...]
#: Spectra worked on at a time: a few megabytes, which stay in the processor's cache.
CHUNK = 256
_LINEAR_STEPS = ("savgol", "detrend", "average")


class Treated:
    """Spectra and whatever pre-treatments were asked of them, each step done once."""

    def __init__(self, spectra: npt.NDArray[Any]) -> None:
        self._known: dict[Steps, FloatArray] = {(): np.asarray(spectra, dtype=np.float64)}

    def by(self, steps: Steps) -> FloatArray:
        """Return the spectra after ``steps``."""
        if steps not in self._known:
            self._known[steps] = Pretreatment("", steps[-1:]).apply(self.by(steps[:-1]))
        return self._known[steps]


@dataclass(frozen=True, eq=False)
class Linear:
    """``steps``, then one coefficient a band."""

    steps: Steps
    coefficients: FloatArray


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Training spectra that distances are measured from, treated, centred and scaled as the new ones will be."""

    steps: Steps
    centre: FloatArray
    scale: FloatArray | None
    landmarks: FloatArray
    squares: FloatArray
    key: str

    @classmethod
    def of(cls, steps: Steps, centre: FloatArray, scale: FloatArray | None, treated: FloatArray) -> Landmarks:
        """Centre and scale treated landmarks, and name them by their content."""
        landmarks = np.ascontiguousarray(treated - centre if scale is None else (treated - centre) / scale)
        digest = hashlib.sha256(repr([(s.name, sorted(s.parameters.items())) for s in steps]).encode())
        for part in (centre, scale, landmarks):
            digest.update(b"|" if part is None else part.tobytes())
        return cls(steps, centre, scale, landmarks, (landmarks**2).sum(axis=1), digest.hexdigest())

    def squared_distances(self, treated: Treated) -> FloatArray:
        """Return squared distances, shape (n_spectra, n_landmarks)."""
        spectra = treated.by(self.steps) - self.centre
        if self.scale is not None:
            spectra /= self.scale
        squared = spectra @ self.landmarks.T
        squared *= -2.0
        squared += self.squares
        squared += (spectra**2).sum(axis=1)[:, None]
        return np.maximum(squared, 0.0, out=squared)


@dataclass(frozen=True, eq=False)
class Radial:
    """Sum over landmarks of dual_i exp(-gamma d2)."""

    landmarks: Landmarks
    gamma: float
    dual: FloatArray


@dataclass(frozen=True, eq=False)
class Compiled:
    """A predictor as a sum of linear and radial terms."""

    intercept: float
    linear: tuple[Linear, ...]
    radial: tuple[Radial, ...] = ()
    whole: Predictor | None = None  # a predictor of another form answers itself


def compiled(model: SoilModel) -> Compiled:
    """Return the terms of a model's predictor.

    Raises
    ------
    BadInput
        For a model that needs sensor columns, which a request of spectra does not carry.
    """
    if model.sensors:
        raise BadInput(
            f"the model of {model.property} needs sensor columns beside the spectra",
            found=", ".join(model.sensors),
            expected="a model of spectra alone",
            mend="serve it with soil predict, or register a model of spectra alone",
        )
    predictor, bands = model.predictor, len(model.axis)
    if isinstance(predictor, LinearPredictor):
        terms = _folded(predictor.pretreatment.steps, predictor.coefficients, bands)
        return Compiled(predictor.intercept, (terms,))
    if isinstance(predictor, LandmarkPredictor):
        zero = np.zeros(predictor.landmarks.shape[1])
        places = Landmarks.of(predictor.pretreatment.steps, zero, None, predictor.landmarks)
        return Compiled(predictor.intercept, (), (Radial(places, predictor.gamma, predictor.dual),))
    if isinstance(predictor, StackPredictor) and not predictor.joint_terms:
        return _stack(predictor, bands)
    return Compiled(0.0, (), (), predictor)


def _stack(predictor: StackPredictor, bands: int) -> Compiled:
    intercept, linear, radial = predictor.intercept, [], []
    training = Treated(predictor.landmarks)
    for part in predictor.parts:
        steps = part.pretreatment.steps
        intercept -= float(part.centre @ part.coefficients)
        linear.append(_folded(steps, part.coefficients, bands))
        for standardised in (False, True):
            terms = [t for t in part.terms if t.standardised == standardised]
            if terms:
                scale = part.spread if standardised else None
                places = Landmarks.of(steps, part.centre, scale, training.by(steps))
                radial += [Radial(places, t.gamma, t.dual) for t in terms]
    return Compiled(intercept, tuple(linear), tuple(radial))


def _folded(steps: Steps, coefficients: FloatArray, bands: int) -> Linear:
    first = len(steps)
    while first > 0 and steps[first - 1].name in _LINEAR_STEPS:
        first -= 1
    if first == len(steps) or any(s.name in ("average", "mask") for s in steps[:first]):
        return Linear(steps, coefficients)  # nothing to fold, or the number of bands has changed by then
    return Linear(steps[:first], Pretreatment("", steps[first:]).apply(np.eye(bands)) @ coefficients)


class ModelSet:
    """Models that answer together.

    Parameters
    ----------
    models : iterable of SoilModel
        One a property.
    """

    def __init__(self, models: Iterable[SoilModel]) -> None:
        self.models: Mapping[str, SoilModel] = {m.property: m for m in models}
        seen: dict[str, Landmarks] = {}
        self._compiled = {p: _sharing(compiled(m), seen) for p, m in self.models.items()}

    def predict(
        self,
        spectra: npt.NDArray[np.float32],
        axis: Axis,
        quantity: Quantity,
        scale: Scale,
        properties: Sequence[str],
        *,
        check_time: Callable[[], None] = lambda: None,
        executor: Executor | None = None,
    ) -> dict[str, dict[str, Any]]:
        """Predict several properties of spectra as they were measured.

        Parameters
        ----------
        spectra : ndarray of float32, shape (n_samples, n_bands)
        axis, quantity, scale
            Of the spectra; each model gets them in its own, without extrapolation.
        properties : sequence of str
            Among those of the models.
        check_time : callable
            Called before every piece of work; raises to stop.
        executor : Executor, optional
            Works on pieces side by side.

        Returns
        -------
        dict of dict
            By property, the columns of :meth:`SoilModel.columns_of`.

        Raises
        ------
        BadInput
            When the spectra do not cover a model's axis.
        """
        answers: dict[str, dict[str, Any]] = {}
        for group in self._groups(properties):
            first = self.models[group[0]]

            def work(start: int, group: Sequence[str] = group, first: SoilModel = first) -> list[Any]:
                check_time()
                part = matrix_in(spectra[start : start + CHUNK], quantity, scale, first.quantity)
                with np.errstate(all="ignore"):  # what a damaged spectrum does to numbers is told in words
                    return self._piece(matrix_on(part, axis, first.axis), group)

            if not axis.to_unit(first.axis.unit).covers(first.axis):
                matrix_on(spectra[:1], axis, first.axis)  # says why, before any work
            starts = range(0, len(spectra), CHUNK)
            mapped = executor.map if executor is not None and len(starts) > 1 else map
            pieces = list(mapped(partial(work), starts))
            for i, prop in enumerate(group):
                scaled = np.concatenate([p[i][0] for p in pieces])
                names = pieces[0][i][1]
                measures = {m: np.concatenate([p[i][1][m] for p in pieces]) for m in names}
                answers[prop] = self.models[prop].columns_of(scaled, measures)
        return {p: answers[p] for p in properties}

    def _groups(self, properties: Sequence[str]) -> list[list[str]]:
        """Properties whose models see spectra alike, together."""
        groups: dict[Any, list[str]] = {}
        for prop in properties:
            model = self.models[prop]
            groups.setdefault((model.axis, model.quantity), []).append(prop)
        return list(groups.values())

    def _piece(
        self, spectra: npt.NDArray[np.float32], properties: Sequence[str]
    ) -> list[tuple[FloatArray, dict[str, FloatArray]]]:
        treated = Treated(spectra)
        distances: dict[str, FloatArray] = {}
        found = []
        for prop in properties:
            terms = self._compiled[prop]
            value = np.full(len(spectra), terms.intercept)
            for linear in terms.linear:
                value += treated.by(linear.steps) @ linear.coefficients
            for radial in terms.radial:
                places = radial.landmarks
                if places.key not in distances:
                    distances[places.key] = places.squared_distances(treated)
                value += np.exp(-radial.gamma * distances[places.key]) @ radial.dual
            if terms.whole is not None:
                value += terms.whole.predict(treated.by(()))
            domain = self.models[prop].domain
            found.append((value, domain.measures_of(treated.by(domain.pretreatment.steps))))
        return found


def _sharing(terms: Compiled, seen: dict[str, Landmarks]) -> Compiled:
    """Let models that have the same landmarks keep them once."""
    radial = [Radial(seen.setdefault(r.landmarks.key, r.landmarks), r.gamma, r.dual) for r in terms.radial]
    return Compiled(terms.intercept, terms.linear, tuple(radial), terms.whole)
