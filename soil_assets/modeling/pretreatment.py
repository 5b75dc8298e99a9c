"""Spectral pre-treatments as data, in a chemotools form to train with and a numpy form to predict with.

Belongs here: per-spectrum corrections and derivatives, and what they are called in an artifact.
Does not belong here: anything fitted on several spectra (each step here sees one spectrum at a time, so no
validation fold can leak through it) and conversions of axis or quantity (``spectra.harmonise``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Step:
    """One correction and its parameters.

    Parameters
    ----------
    name : {"snv", "savgol", "detrend", "average"}
        Standard normal variate; Savitzky-Golay smoothing or derivative; removal of a polynomial baseline;
        averaging of neighbouring bands.
    parameters : mapping of str to int
        ``savgol``: ``window``, ``polyorder``, ``deriv``. ``detrend``: ``order``.
        ``average``: ``bands``, about how many bands remain (a whole number of bands is averaged each time).
    """

    name: str
    parameters: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        expected = _PARAMETERS.get(self.name)
        if expected is None:
            raise BadInput("unknown pre-treatment step", found=self.name, expected=", ".join(_PARAMETERS))
        if set(self.parameters) != expected:
            raise BadInput(
                f"wrong parameters of pre-treatment step {self.name}",
                found=", ".join(sorted(self.parameters)) or "none",
                expected=", ".join(sorted(expected)) or "none",
            )
        if self.name == "savgol":
            window, polyorder, deriv = (self.parameters[k] for k in ("window", "polyorder", "deriv"))
            if window < 3 or window % 2 == 0 or not 0 <= deriv <= polyorder < window:
                raise BadInput(
                    "impossible Savitzky-Golay parameters",
                    found=f"window {window}, polyorder {polyorder}, deriv {deriv}",
                    expected="an odd window of at least 3, and deriv <= polyorder < window",
                )

    def __hash__(self) -> int:
        return hash((self.name, tuple(sorted(self.parameters.items()))))


_PARAMETERS: dict[str, set[str]] = {
    "snv": set(),
    "savgol": {"window", "polyorder", "deriv"},
    "detrend": {"order"},
    "average": {"bands"},
}


@dataclass(frozen=True)
class Pretreatment:
    """A short chain of steps, applied left to right to every spectrum by itself.

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
        ndarray of float64, shape (n_samples, n_bands), fewer bands after ``average``
            A flat spectrum has no standard normal variate: its row is NaN.

        Raises
        ------
        BadInput
            When the spectra have fewer bands than a window.
        """
        treated = np.array(spectra, dtype=np.float64, ndmin=2)
        for step in self.steps:
            treated = _NUMPY_FORM[step.name](treated, step.parameters)
        return treated

    def transformer(self) -> Any:
        """Return the same chain as a scikit-learn pipeline of chemotools transformers."""
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import FunctionTransformer

        if not self.steps:
            return FunctionTransformer()
        return make_pipeline(*(_chemotools(step) for step in self.steps))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready form; :meth:`from_dict` reads it back."""
        return {"name": self.name, "steps": [{"name": s.name, **s.parameters} for s in self.steps]}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Pretreatment:
        """Read what :meth:`to_dict` wrote.

        Raises
        ------
        BadInput
            For an unknown step or parameter.
        """
        steps = tuple(
            Step(str(s["name"]), {k: int(v) for k, v in s.items() if k != "name"}) for s in raw["steps"]
        )
        return cls(str(raw["name"]), steps)


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


def chain(*steps: Step) -> Pretreatment:
    """Name a chain after its steps."""
    return Pretreatment(" + ".join(_step_name(s) for s in steps) or "none", steps)


def _step_name(step: Step) -> str:
    p = step.parameters
    if step.name == "savgol":
        return f"savgol{p['deriv']}({p['window']})"
    return step.name + (f"({', '.join(str(v) for v in p.values())})" if p else "")


# -- numpy form ------------------------------------------------------------------------------------------


def _apply_snv(spectra: FloatArray, _: Mapping[str, int]) -> FloatArray:
    centred = spectra - spectra.mean(axis=1, keepdims=True)
    spread = spectra.std(axis=1, keepdims=True)
    return np.asarray(np.divide(centred, spread, out=np.full_like(centred, np.nan), where=spread > 0))


def _apply_savgol(spectra: FloatArray, parameters: Mapping[str, int]) -> FloatArray:
    window, polyorder, deriv = (parameters[k] for k in ("window", "polyorder", "deriv"))
    n_bands = spectra.shape[1]
    if n_bands < window:
        raise BadInput(
            "fewer bands than the Savitzky-Golay window", found=str(n_bands), expected=f">= {window}"
        )
    weights = _savgol_weights(window, polyorder, deriv)
    half = window // 2
    filtered = np.empty_like(spectra)
    inner = filtered[:, half : n_bands - half]
    inner[:] = weights[half, 0] * spectra[:, : n_bands - 2 * half]
    for tap in range(1, window):  # over the window's few taps, never over bands
        inner += weights[half, tap] * spectra[:, tap : n_bands - 2 * half + tap]
    filtered[:, :half] = spectra[:, :window] @ weights[:half].T
    filtered[:, n_bands - half :] = spectra[:, -window:] @ weights[half + 1 :].T
    return filtered


@lru_cache(maxsize=64)
def _savgol_weights(window: int, polyorder: int, deriv: int) -> FloatArray:
    """Weights, shape (window, window): row i gives the derivative at position i of the fitted polynomial."""
    # On [-1, 1] the design is well conditioned; the chain rule brings the derivative back to one band's step.
    half = window // 2
    position = np.arange(-half, half + 1) / half
    fit = np.linalg.pinv(np.vander(position, polyorder + 1, increasing=True))
    derived = np.zeros((window, polyorder + 1))
    for power in range(deriv, polyorder + 1):
        factor = float(np.prod(np.arange(power - deriv + 1, power + 1)))
        derived[:, power] = factor * position ** (power - deriv)
    weights = derived @ fit / half**deriv
    weights.setflags(write=False)
    return np.asarray(weights)


def _apply_detrend(spectra: FloatArray, parameters: Mapping[str, int]) -> FloatArray:
    basis, _ = np.linalg.qr(np.vander(np.linspace(-1, 1, spectra.shape[1]), parameters["order"] + 1))
    return np.asarray(spectra - (spectra @ basis) @ basis.T)


def _apply_average(spectra: FloatArray, parameters: Mapping[str, int]) -> FloatArray:
    n, n_bands = spectra.shape
    width = max(1, round(n_bands / parameters["bands"]))
    kept = n_bands // width
    return np.asarray(spectra[:, : kept * width].reshape(n, kept, width).mean(axis=2))


_NUMPY_FORM: dict[str, Callable[[FloatArray, Mapping[str, int]], FloatArray]] = {
    "snv": _apply_snv,
    "savgol": _apply_savgol,
    "detrend": _apply_detrend,
    "average": _apply_average,
}


# -- chemotools form -------------------------------------------------------------------------------------


def _chemotools(step: Step) -> Any:
    if step.name == "snv":
        from chemotools.scatter import StandardNormalVariate

        return StandardNormalVariate()
    if step.name == "savgol":
        from chemotools.derivative import SavitzkyGolay

        p = step.parameters
        return SavitzkyGolay(
            window_length=p["window"], polyorder=p["polyorder"], deriv=p["deriv"], mode="interp"
        )
    if step.name == "average":
        from functools import partial

        from sklearn.preprocessing import FunctionTransformer

        return FunctionTransformer(partial(_apply_average, parameters=step.parameters))
    from chemotools.baseline import PolynomialCorrection

    return PolynomialCorrection(order=step.parameters["order"])


#: What the PLS learner chooses among unless a recipe says otherwise.
DEFAULT_PRETREATMENTS: tuple[Pretreatment, ...] = (
    chain(),
    chain(snv()),
    chain(savgol(11, 2, 1)),
    chain(snv(), savgol(11, 2, 1)),
    chain(snv(), savgol(21, 2, 1)),
    chain(snv(), savgol(15, 3, 2)),
)


def by_name(
    names: Sequence[str], among: Sequence[Pretreatment] = DEFAULT_PRETREATMENTS
) -> tuple[Pretreatment, ...]:
    """Return pre-treatments by their names.

    Raises
    ------
    BadInput
        When a name is not among the known ones.
    """
    known = {p.name: p for p in among}
    missing = [n for n in names if n not in known]
    if missing:
        raise BadInput("unknown pre-treatment", found=", ".join(missing), expected=", ".join(known))
    return tuple(known[n] for n in names)
