"""Pre-treatments in few passes over a spectrum; domain and intervals of one spectrum without the cost of arrays of one.

Belongs here: forms that say what ``modeling`` says, faster, and that leave everything else to ``modeling``: steps of
another kind, many spectra's intervals, spectra outside the domain, missing values.
Does not belong here: predictors (``serving.compiled``), what the numbers mean (``modeling.model``).
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from soil_assets.modeling import pretreatment_steps
from soil_assets.modeling.applicability import MEASURES, ApplicabilityDomain
from soil_assets.modeling.difficulty import FAR
from soil_assets.modeling.intervals import level_name
from soil_assets.modeling.pretreatment import Step

if TYPE_CHECKING:
    from soil_assets.modeling.model import SoilModel

FloatArray = npt.NDArray[np.float64]
Steps = tuple[Step, ...]


class Chain:
    """Steps as one thing that is the same object wherever the same steps are meant: hashing steps takes long.

    Parameters
    ----------
    before : Chain or None
        All steps but the last; None for the chain without steps.
    steps : tuple of Step
    """

    __slots__ = ("before", "steps")

    def __init__(self, before: Chain | None, steps: Steps) -> None:
        self.before = before
        self.steps = steps

    def last(self, spectra: FloatArray) -> FloatArray:
        """Apply the last step to what the steps before it gave, shape (n, n_bands)."""
        step = self.steps[-1]
        return _QUICK.get(step.name, _as_modelled)(spectra, step)


@lru_cache(maxsize=512)
def chain_of(steps: Steps) -> Chain:
    """Return the chain of these steps, always the same one while it is remembered."""
    return Chain(chain_of(steps[:-1]) if steps else None, steps)


def _as_modelled(spectra: FloatArray, step: Step) -> FloatArray:
    return pretreatment_steps.apply(step, spectra)


def _snv(spectra: FloatArray, step: Step) -> FloatArray:
    n_bands = spectra.shape[1]
    centred = spectra - (np.add.reduce(spectra, axis=1) / n_bands)[:, None]
    spread = np.sqrt(np.einsum("ij,ij->i", centred, centred) / n_bands)
    if not (spread > 0.0).all():  # a flat spectrum, or a missing value
        return _as_modelled(spectra, step)
    centred /= spread[:, None]
    return np.asarray(centred)


def _savgol(spectra: FloatArray, step: Step) -> FloatArray:
    window = step.parameters["window"]
    if spectra.shape[1] < window:
        return _as_modelled(spectra, step)  # says why not
    first, middle, last = _taps(window, step.parameters["polyorder"], step.parameters["deriv"])
    half = window // 2
    filtered = np.empty_like(spectra)
    filtered[:, :half] = spectra[:, :window] @ first.T
    filtered[:, -half:] = spectra[:, -window:] @ last.T
    for row, into in zip(spectra, filtered, strict=True):  # a spectrum at a time stays in the nearest cache
        into[half:-half] = np.correlate(row, middle, "valid")
    return filtered


@lru_cache(maxsize=64)
def _taps(window: int, polyorder: int, deriv: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weights of the first bands, of every band between, and of the last ones: what the step gives for impulses."""
    step = Step("savgol", {"window": window, "polyorder": polyorder, "deriv": deriv})
    weights = pretreatment_steps.apply(step, np.eye(window)).T
    half = window // 2
    return weights[:half].copy(), weights[half].copy(), weights[half + 1 :].copy()


_QUICK = {"snv": _snv, "savgol": _savgol}


class Domain:
    """An applicability domain, measured once for all models that have the same one.

    Parameters
    ----------
    domain : ApplicabilityDomain
    """

    def __init__(self, domain: ApplicabilityDomain) -> None:
        self.domain = domain
        self.chain = chain_of(domain.pretreatment.steps)
        self._spread = np.sqrt(domain.variances)
        self._squares = (domain.landmarks**2).sum(axis=1)
        steps = [(s.name, sorted(s.parameters.items()), s.reference) for s in self.chain.steps]
        digest = hashlib.sha256(repr(steps).encode())
        for part in (domain.mean, domain.loadings, domain.variances, domain.landmarks):
            digest.update(repr(part.shape).encode() + part.tobytes())
        self.key = digest.hexdigest()

    def measures(self, treated: FloatArray) -> dict[str, FloatArray]:
        """Return t2, q and distance of treated spectra, as :meth:`ApplicabilityDomain.measures_of` does."""
        return self.domain.measures_of(treated)

    def measures_of_one(self, treated: FloatArray) -> tuple[float, float, float]:
        """Return t2, q and distance of one treated spectrum, shape (1, n_treated_bands)."""
        centred = treated[0] - self.domain.mean
        scores = centred @ self.domain.loadings
        whitened = scores / self._spread
        t2 = float(whitened @ whitened)
        q = float(centred @ centred) - float(scores @ scores)
        squared = self.domain.landmarks @ whitened
        squared *= -2.0
        squared += self._squares
        nearest = t2 + float(squared.min())
        # A comparison with NaN is false: what is missing stays missing.
        return t2, 0.0 if q < 0.0 else q, math.sqrt(0.0 if nearest < 0.0 else nearest)


class Columns:
    """A model's columns of one spectrum that lies inside its domain and range; for others the model is asked.

    Inside, nothing widens an interval and there is no reason to give: what remains is the difficulty and the way
    back to the property's unit.

    Parameters
    ----------
    model : SoilModel
    """

    def __init__(self, model: SoilModel) -> None:
        self.model = model
        self._limits = tuple(float(model.domain.limits[m]) for m in MEASURES)
        self._low, self._high = (float(v) for v in model.training["scaled_range"])
        halves = [model.half_widths[v] for v in model.levels]
        self._steps = np.array([0.0, *(s * h for h in halves for s in (-1.0, 1.0))])
        self._names = ("value", *(f"{e}_{level_name(v)}" for v in model.levels for e in ("lower", "upper")))
        d = model.difficulty
        self._slopes = tuple(zip(d.slopes.tolist(), d.centre.tolist(), d.spread.tolist(), strict=True))

    def of_one(self, scaled: float, measures: tuple[float, float, float]) -> dict[str, Any]:
        """Return the columns of :meth:`SoilModel.columns_of`, lists of one.

        Parameters
        ----------
        scaled : float
            On the modelling scale.
        measures : (t2, q, distance)
        """
        t2, q, distance = measures
        limits = self._limits
        if (
            0.0 < t2 <= limits[0]
            and 0.0 < q <= limits[1]
            and 0.0 < distance <= limits[2]
            and self._low <= scaled <= self._high
        ):
            logs = (scaled, math.log(t2), math.log(q), math.log(distance))
            exponent = 0.0
            for feature, (slope, centre, spread) in zip(logs, self._slopes, strict=True):
                exponent += slope * min(max((feature - centre) / spread, -FAR), FAR)
            values = self.model.to_unit(scaled + self._steps * math.exp(exponent)).tolist()
            found: dict[str, Any] = {n: [v] for n, v in zip(self._names, values, strict=True)}
            found |= {"t2": [t2], "q": [q], "distance": [distance], "inside": [True], "reason": [""]}
            return found
        arrays = {m: np.array([v]) for m, v in zip(MEASURES, measures, strict=True)}
        columns = self.model.columns_of(np.array([scaled]), arrays)
        return {n: v if isinstance(v, list) else v.tolist() for n, v in columns.items()}
