"""A model's predictor in a form that answers fast, and only where it says exactly what the predictor says.

Belongs here: folding and sharing. Does not belong here: several models and their spectra (``serving.together``).

Savitzky-Golay, detrending and averaging are linear, so a linear model's coefficients are carried back through them
at loading: w'S x = (S'w)'x. Models of one training set share pre-treatments and, in stacks, landmarks; a request
treats its spectra once a distinct step, and measures each distinct set of distances once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from soil_assets.modeling.nystrom import LandmarkPredictor
from soil_assets.modeling.predictors import LinearPredictor, Predictor, StackPredictor
from soil_assets.modeling.pretreatment import Pretreatment, Step
from soil_assets.serving.quick import Chain, Domain, chain_of

FloatArray = npt.NDArray[np.float64]
Steps = tuple[Step, ...]
_LINEAR_STEPS = ("savgol", "detrend", "average")
_PROBES = 8
_SAME = 1e-8


class Shared:
    """Spectra, and whatever the models of a request need of them, each worked out once."""

    def __init__(self, spectra: npt.NDArray[Any]) -> None:
        self._spectra: FloatArray = np.asarray(spectra, dtype=np.float64)
        self._treated: dict[Chain, FloatArray] = {}
        self._distances: dict[str, FloatArray] = {}
        self._measures: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self._spectra)

    def treated(self, chain: Chain) -> FloatArray:
        """Return the spectra after the steps of ``chain``."""
        if chain.before is None:
            return self._spectra
        found = self._treated.get(chain)
        if found is None:
            found = self._treated[chain] = chain.last(self.treated(chain.before))
        return found

    def distances(self, places: Landmarks) -> FloatArray:
        """Return squared distances from landmarks, shape (n_spectra, n_landmarks)."""
        if places.key not in self._distances:
            self._distances[places.key] = places.squared_distances(self)
        return self._distances[places.key]

    def measures(self, domain: Domain) -> dict[str, FloatArray]:
        """Return t2, q and distance, each of shape (n_spectra,)."""
        found: dict[str, FloatArray] | None = self._measures.get(domain.key)
        if found is None:
            found = self._measures[domain.key] = domain.measures(self.treated(domain.chain))
        return found

    def measures_of_one(self, domain: Domain) -> tuple[float, float, float]:
        """Return t2, q and distance of the only spectrum."""
        found: tuple[float, float, float] | None = self._measures.get(domain.key)
        if found is None:
            found = self._measures[domain.key] = domain.measures_of_one(self.treated(domain.chain))
        return found


class Answering(Protocol):
    """What predicts on the modelling scale."""

    def value(self, shared: Shared) -> FloatArray:
        """Return predictions, shape (n_spectra,)."""
        ...


@dataclass(frozen=True, eq=False)
class AsItIs:
    """A predictor of a kind that has no faster form."""

    predictor: Predictor

    def value(self, shared: Shared) -> FloatArray:
        """See :class:`Answering`."""
        return self.predictor.predict(shared.treated(chain_of(())))


@dataclass(frozen=True, eq=False)
class Linear:
    """Pre-treatment, then one coefficient a band."""

    chain: Chain
    coefficients: FloatArray


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Training spectra that distances are measured from, treated, centred and scaled as the new ones will be."""

    chain: Chain
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
        return cls(chain_of(steps), centre, scale, landmarks, (landmarks**2).sum(axis=1), digest.hexdigest())

    def squared_distances(self, shared: Shared) -> FloatArray:
        """Return squared distances, shape (n_spectra, n_landmarks)."""
        spectra = shared.treated(self.chain) - self.centre
        if self.scale is not None:
            spectra /= self.scale
        squared = spectra @ self.landmarks.T
        squared *= -2.0
        squared += self.squares
        squared += (spectra**2).sum(axis=1)[:, None]
        return np.maximum(squared, 0.0, out=squared)


@dataclass(frozen=True, eq=False)
class Radial:
    """Sum over landmarks of dual_i exp(-gamma sum_p weight_p d2_p); one place of weight 1 for a plain kernel."""

    places: tuple[Landmarks, ...]
    weights: tuple[float, ...]
    gamma: float
    dual: FloatArray


@dataclass(frozen=True, eq=False)
class Terms:
    """A predictor as a sum of linear and radial terms."""

    intercept: float
    linear: tuple[Linear, ...] = ()
    radial: tuple[Radial, ...] = ()

    def value(self, shared: Shared) -> FloatArray:
        """See :class:`Answering`."""
        value = np.full(len(shared), self.intercept)
        for linear in self.linear:
            value += shared.treated(linear.chain) @ linear.coefficients
        for radial in self.radial:
            exponent = -radial.gamma * radial.weights[0] * shared.distances(radial.places[0])
            for place, weight in zip(radial.places[1:], radial.weights[1:], strict=True):
                exponent -= radial.gamma * weight * shared.distances(place)
            value += np.exp(exponent, out=exponent) @ radial.dual
        return value


@dataclass(frozen=True, eq=False)
class Blend:
    """A weighted mean of two, the second brought back from its own scale."""

    plain: Terms
    logged: Terms
    share: float
    back: Callable[[FloatArray], FloatArray]

    def value(self, shared: Shared) -> FloatArray:
        """See :class:`Answering`."""
        back = self.back(self.logged.value(shared))
        return np.asarray((1.0 - self.share) * self.plain.value(shared) + self.share * back)


def compiled(predictor: Predictor, bands: int) -> Answering:
    """Return the fastest form of a predictor that answers its probes as it does itself; at worst itself.

    The comparison is what keeps this honest: a predictor that learns something new is used as it is until this
    module knows of it.
    """
    form = _form(predictor, bands)
    probes = _probes(predictor, bands)
    with np.errstate(all="ignore"):
        same = np.allclose(
            form.value(Shared(probes)), predictor.predict(probes), rtol=_SAME, atol=_SAME, equal_nan=True
        )
    return form if same else AsItIs(predictor)


def _form(predictor: Predictor, bands: int) -> Answering:
    if isinstance(predictor, LinearPredictor):
        terms = _folded(predictor.pretreatment.steps, predictor.coefficients, bands)
        return Terms(predictor.intercept, (terms,))
    if isinstance(predictor, LandmarkPredictor):
        zero = np.zeros(predictor.landmarks.shape[1])
        places = Landmarks.of(predictor.pretreatment.steps, zero, None, predictor.landmarks)
        return Terms(predictor.intercept, (), (Radial((places,), (1.0,), predictor.gamma, predictor.dual),))
    if isinstance(predictor, StackPredictor):
        return _stack(predictor, bands)
    from soil_assets.modeling.blend import BlendPredictor

    if isinstance(predictor, BlendPredictor):
        return Blend(
            _stack(predictor.plain, bands),
            _stack(predictor.logged, bands),
            predictor.share,
            lambda scaled: predictor.log.backward(scaled, predictor.residuals),
        )
    return AsItIs(predictor)


def _stack(predictor: StackPredictor, bands: int) -> Terms:
    intercept, linear, radial = predictor.intercept, [], []
    training = Shared(predictor.landmarks)
    standard: list[Landmarks] = []
    for number, part in enumerate(predictor.parts):
        steps = part.pretreatment.steps
        if part.coefficients.any():
            intercept -= float(part.centre @ part.coefficients)
            linear.append(_folded(steps, part.coefficients, bands))
        for standardised in (False, True):
            terms = [t for t in part.terms if t.standardised == standardised]
            joint = standardised and bool(predictor.joint_terms) and number < predictor.joint_scale.size
            if terms or joint:
                scale = part.spread if standardised else None
                places = Landmarks.of(steps, part.centre, scale, training.treated(chain_of(steps)))
                radial += [Radial((places,), (1.0,), t.gamma, t.dual) for t in terms]
                if joint:
                    standard.append(places)
    weights = tuple(float(w) for w in predictor.joint_scale)
    radial += [Radial(tuple(standard), weights, t.gamma, t.dual) for t in predictor.joint_terms]
    return Terms(intercept, tuple(linear), tuple(radial))


def _folded(steps: Steps, coefficients: FloatArray, bands: int) -> Linear:
    first = len(steps)
    while first > 0 and steps[first - 1].name in _LINEAR_STEPS:
        first -= 1
    if first == len(steps) or (first > 0 and _narrows(steps[:first], bands)):
        return Linear(chain_of(steps), coefficients)
    return Linear(
        chain_of(steps[:first]), Pretreatment("", steps[first:]).apply(np.eye(bands)) @ coefficients
    )


def _narrows(steps: Steps, bands: int) -> bool:
    """Whether steps change the number of bands, so that what follows cannot be folded on the axis itself."""
    ramp = np.linspace(0.2, 0.8, bands)[None, :] ** 2
    return bool(Pretreatment("", steps).apply(ramp).shape[1] != bands)


def _probes(predictor: Predictor, bands: int) -> FloatArray:
    """Return spectra near to which a predictor has something to say: training spectra that it kept, or smooth ones."""
    kept = getattr(getattr(predictor, "plain", predictor), "landmarks", None)
    if kept is not None and kept.ndim == 2 and kept.shape[1] == bands:
        rows = np.asarray(kept[:_PROBES], dtype=np.float64)
        return np.vstack([rows, 0.5 * (rows + rows[::-1])])
    rng = np.random.default_rng(20260101)
    smooth = np.cumsum(rng.normal(size=(_PROBES, bands)), axis=1) / bands
    return np.asarray(0.5 + 0.3 * smooth)


def sharing(answering: Answering, seen: dict[str, Landmarks]) -> Answering:
    """Let models that have the same landmarks keep them once."""
    if isinstance(answering, Blend):
        plain, logged = sharing(answering.plain, seen), sharing(answering.logged, seen)
        assert isinstance(plain, Terms) and isinstance(logged, Terms)  # noqa: S101, PT018  # terms stay terms
        return replace(answering, plain=plain, logged=logged)
    if not isinstance(answering, Terms):
        return answering
    return replace(
        answering,
        radial=tuple(
            replace(r, places=tuple(seen.setdefault(p.key, p) for p in r.places)) for r in answering.radial
        ),
    )
