"""Spectral pre-treatments as data: chains of steps, what they are called, and how they are written down.

Belongs here: steps with their parameters, chains, names in an artifact. Does not belong here: the arithmetic
(``pretreatment_steps``), reading names from a recipe (``pretreatment_names``) and conversions of axis or quantity
(``spectra.harmonise``).

Every step but scatter correction (``msc``) sees one spectrum at a time. ``msc`` needs a reference, the mean of the
training spectra: :meth:`Pretreatment.fitted` gives it one, and learners call that on the spectra they train on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.modeling import pretreatment_steps
from soil_assets.modeling.pretreatment_steps import FITTED, PARAMETERS

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Step:
    """One correction and its parameters.

    Parameters
    ----------
    name : {"snv", "msc", "savgol", "detrend", "average", "reflectance", "continuum", "mask"}
        Standard normal variate; multiplicative scatter correction; Savitzky-Golay smoothing or derivative; removal
        of a polynomial baseline; averaging of neighbouring bands; absorbance to reflectance; division by the
        upper convex hull; leaving bands out.
    parameters : mapping of str to int
        ``savgol``: ``window``, ``polyorder``, ``deriv``. ``detrend``: ``order``.
        ``average``: ``bands``, about how many bands remain (a whole number of bands is averaged each time).
        ``mask``: ``start``, ``stop``, the positions of the first band left out and of the next one kept.
    reference : tuple of float
        Of ``msc`` once it is fitted; empty otherwise.
    """

    name: str
    parameters: Mapping[str, int] = field(default_factory=dict)
    reference: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        expected = PARAMETERS.get(self.name)
        if expected is None:
            raise BadInput("unknown pre-treatment step", found=self.name, expected=", ".join(PARAMETERS))
        if set(self.parameters) != expected:
            raise BadInput(
                f"wrong parameters of pre-treatment step {self.name}",
                found=", ".join(sorted(self.parameters)) or "none",
                expected=", ".join(sorted(expected)) or "none",
            )
        if self.reference and self.name not in FITTED:
            raise BadInput(f"pre-treatment step {self.name} has no reference")
        if self.name == "savgol":
            window, polyorder, deriv = (self.parameters[k] for k in ("window", "polyorder", "deriv"))
            if window < 3 or window % 2 == 0 or not 0 <= deriv <= polyorder < window:
                raise BadInput(
                    "impossible Savitzky-Golay parameters",
                    found=f"window {window}, polyorder {polyorder}, deriv {deriv}",
                    expected="an odd window of at least 3, and deriv <= polyorder < window",
                )
        if self.name == "mask" and not 0 <= self.parameters["start"] < self.parameters["stop"]:
            raise BadInput("an empty mask", found=f"{dict(self.parameters)}", expected="0 <= start < stop")

    def __hash__(self) -> int:
        return hash((self.name, tuple(sorted(self.parameters.items())), self.reference))


@dataclass(frozen=True)
class Pretreatment:
    """A short chain of steps, applied left to right.

    Parameters
    ----------
    name : str
        Short name for tables, such as ``snv + savgol1(11)``.
    steps : tuple of Step
        Empty means: the spectrum as it is.
    """

    name: str
    steps: tuple[Step, ...] = ()

    def apply(self, spectra: npt.ArrayLike) -> FloatArray:
        """Return pre-treated spectra, using numpy only.

        Parameters
        ----------
        spectra : array_like, shape (n_samples, n_bands)
            Intensities on an even axis.

        Returns
        -------
        ndarray of float64, shape (n_samples, n_bands), fewer bands after ``average`` and ``mask``
            A flat spectrum has no standard normal variate: its row is NaN.

        Raises
        ------
        BadInput
            When the spectra have too few bands, or a step has not been fitted.
        """
        treated = np.array(spectra, dtype=np.float64, ndmin=2)
        for step in self.steps:
            treated = pretreatment_steps.apply(step, treated)
        return treated

    @property
    def needs_fit(self) -> bool:
        """Whether a step still lacks its reference."""
        return any(s.name in FITTED and not s.reference for s in self.steps)

    def fitted(self, spectra: npt.ArrayLike) -> Pretreatment:
        """Return the chain with every reference taken from these training spectra; itself when none is needed."""
        if not self.needs_fit:
            return self
        treated = np.array(spectra, dtype=np.float64, ndmin=2)
        steps = []
        for step in self.steps:
            if step.name in FITTED and not step.reference:
                step = replace(step, reference=tuple(float(v) for v in treated.mean(axis=0)))
            steps.append(step)
            treated = pretreatment_steps.apply(step, treated)
        return Pretreatment(self.name, tuple(steps))

    def transformer(self) -> Any:
        """Return the same chain as a scikit-learn pipeline of chemotools transformers."""
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import FunctionTransformer

        if not self.steps:
            return FunctionTransformer()
        return make_pipeline(*(pretreatment_steps.transformer(step) for step in self.steps))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready form; :meth:`from_dict` reads it back."""
        return {"name": self.name, "steps": [_step_to_dict(s) for s in self.steps]}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Pretreatment:
        """Read what :meth:`to_dict` wrote.

        Raises
        ------
        BadInput
            For an unknown step or parameter.
        """
        return cls(str(raw["name"]), tuple(_step_from_dict(s) for s in raw["steps"]))


def _step_to_dict(step: Step) -> dict[str, Any]:
    reference = {"reference": list(step.reference)} if step.reference else {}
    return {"name": step.name, **step.parameters, **reference}


def _step_from_dict(raw: Mapping[str, Any]) -> Step:
    parameters = {k: int(v) for k, v in raw.items() if k not in ("name", "reference")}
    return Step(str(raw["name"]), parameters, tuple(float(v) for v in raw.get("reference", ())))


def snv() -> Step:
    """Standard normal variate (Barnes et al. 1989, Appl. Spectrosc. 43, 772)."""
    return Step("snv")


def savgol(window: int, polyorder: int, deriv: int) -> Step:
    """Savitzky-Golay filter (Savitzky & Golay 1964, Anal. Chem. 36, 1627), polynomial fit at the two ends."""
    return Step("savgol", {"window": window, "polyorder": polyorder, "deriv": deriv})


def detrend(order: int) -> Step:
    """Subtract a polynomial baseline of that order (Barnes et al. 1989)."""
    return Step("detrend", {"order": order})


def average(bands: int) -> Step:
    """Average neighbouring bands until about ``bands`` remain: less noise, less work, same features."""
    return Step("average", {"bands": bands})


def msc() -> Step:
    """Multiplicative scatter correction (Geladi, MacDougall & Martens 1985, Appl. Spectrosc. 39, 491)."""
    return Step("msc")


def reflectance() -> Step:
    """Turn absorbance, log10(1/R), into reflectance."""
    return Step("reflectance")


def continuum() -> Step:
    """Divide reflectance by its upper convex hull (Clark & Roush 1984, J. Geophys. Res. 89, 6329)."""
    return Step("continuum")


def mask(start: int, stop: int) -> Step:
    """Leave out the bands from position ``start`` up to, not including, ``stop``."""
    return Step("mask", {"start": start, "stop": stop})


def chain(*steps: Step) -> Pretreatment:
    """Name a chain after its steps."""
    return Pretreatment(" + ".join(_step_name(s) for s in steps) or "none", steps)


def _step_name(step: Step) -> str:
    p = step.parameters
    if step.name == "savgol":
        return f"savgol{p['deriv']}({p['window']})"
    return step.name + (f"({', '.join(str(v) for v in p.values())})" if p else "")


#: What the PLS learner chooses among unless a recipe says otherwise.
DEFAULT_PRETREATMENTS: tuple[Pretreatment, ...] = (
    chain(),
    chain(snv()),
    chain(savgol(11, 2, 1)),
    chain(snv(), savgol(11, 2, 1)),
    chain(snv(), savgol(21, 2, 1)),
    chain(snv(), savgol(15, 3, 2)),
)
