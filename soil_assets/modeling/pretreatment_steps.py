"""What each pre-treatment step does to spectra: in numpy to predict with, in chemotools to check against.

Belongs here: the arithmetic of one step. Does not belong here: chains of steps and their names (``pretreatment``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput

if TYPE_CHECKING:
    from soil_assets.modeling.pretreatment import Step

FloatArray = npt.NDArray[np.float64]

#: Names of the parameters of every step.
PARAMETERS: dict[str, set[str]] = {
    "snv": set(),
    "msc": set(),
    "savgol": {"window", "polyorder", "deriv"},
    "detrend": {"order"},
    "average": {"bands"},
    "reflectance": set(),
    "continuum": set(),
    "mask": {"start", "stop"},
}
#: Steps that are linear in the spectrum, without an offset.
LINEAR = ("savgol", "detrend", "average", "mask")
#: Steps that learn a reference from the training spectra.
FITTED = ("msc",)


def apply(step: Step, spectra: FloatArray) -> FloatArray:
    """Return treated spectra, shape (n, n_bands), fewer bands after ``average`` and ``mask``.

    A row is NaN where the step is not defined for it, such as the variate of a flat spectrum.

    Raises
    ------
    BadInput
        When the spectra have too few bands for the step, or it has not been fitted.
    """
    return _NUMPY_FORM[step.name](spectra, step)


def _snv(spectra: FloatArray, _: Step) -> FloatArray:
    centred = spectra - spectra.mean(axis=1, keepdims=True)
    spread = spectra.std(axis=1, keepdims=True)
    return np.asarray(np.divide(centred, spread, out=np.full_like(centred, np.nan), where=spread > 0))


def _msc(spectra: FloatArray, step: Step) -> FloatArray:
    """Fit every spectrum to the reference by a line and take the line away."""
    if not step.reference:
        raise BadInput("scatter correction needs a reference of training spectra", mend="call fitted() first")
    reference = np.asarray(step.reference)
    if reference.size != spectra.shape[1]:
        raise BadInput(
            "spectra do not have the bands of the scatter correction's reference",
            found=str(spectra.shape[1]),
            expected=str(reference.size),
        )
    centred = reference - reference.mean()
    slope = (spectra @ centred)[:, None] / float(centred @ centred)
    offset = spectra.mean(axis=1, keepdims=True) - slope * reference.mean()
    return np.asarray(
        np.divide(spectra - offset, slope, out=np.full_like(spectra, np.nan), where=np.abs(slope) > 1e-12)
    )


def _savgol(spectra: FloatArray, step: Step) -> FloatArray:
    window, polyorder, deriv = (step.parameters[k] for k in ("window", "polyorder", "deriv"))
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


def _detrend(spectra: FloatArray, step: Step) -> FloatArray:
    basis, _ = np.linalg.qr(np.vander(np.linspace(-1, 1, spectra.shape[1]), step.parameters["order"] + 1))
    return np.asarray(spectra - (spectra @ basis) @ basis.T)


def average_width(n_bands: int, wanted: int) -> int:
    """Return how many neighbours are averaged so that about ``wanted`` of ``n_bands`` remain."""
    return max(1, round(n_bands / wanted))


def _average(spectra: FloatArray, step: Step) -> FloatArray:
    n, n_bands = spectra.shape
    width = average_width(n_bands, step.parameters["bands"])
    kept = n_bands // width
    return np.asarray(spectra[:, : kept * width].reshape(n, kept, width).mean(axis=2))


def _reflectance(spectra: FloatArray, _: Step) -> FloatArray:
    return np.asarray(10.0**-spectra)


def _mask(spectra: FloatArray, step: Step) -> FloatArray:
    start, stop = step.parameters["start"], step.parameters["stop"]
    if stop > spectra.shape[1] or stop - start >= spectra.shape[1]:
        raise BadInput(
            "a mask does not fit the spectra",
            found=f"bands {start} to {stop}",
            expected=f"some of {spectra.shape[1]} bands, not all",
        )
    return np.concatenate([spectra[:, :start], spectra[:, stop:]], axis=1)


def _continuum(spectra: FloatArray, _: Step) -> FloatArray:
    """Divide every reflectance spectrum by its upper convex hull."""
    removed = np.full_like(spectra, np.nan)
    for row in np.flatnonzero(np.isfinite(spectra).all(axis=1) & (spectra > 0.0).all(axis=1)):
        removed[row] = spectra[row] / upper_hull(spectra[row])
    return removed


def upper_hull(values: FloatArray) -> FloatArray:
    """Return the upper convex hull of one spectrum, shape (n_bands,), over even bands.

    Chords are split at the band that stands out most above each, all chords at once (quickhull: Barber, Dobkin &
    Huhdanpaa 1996, ACM Trans. Math. Softw. 22, 469), until no band stands above its chord.
    """
    n = values.size
    position = np.arange(n)
    corners = np.unique(np.array([0, n - 1]))
    tolerance = 1e-12 * (float(np.abs(values).max()) + 1e-300)
    while True:
        hull = np.interp(position, corners, values[corners])
        above = values - hull
        above[corners] = 0.0
        highest = np.maximum.reduceat(above, corners)
        chord = np.searchsorted(corners, position, side="right") - 1
        new = np.flatnonzero((above > tolerance) & (above == highest[chord]))
        if new.size == 0:
            return np.asarray(np.maximum(hull, values))
        corners = np.union1d(corners, new)


_NUMPY_FORM: dict[str, Callable[[FloatArray, Step], FloatArray]] = {
    "snv": _snv,
    "msc": _msc,
    "savgol": _savgol,
    "detrend": _detrend,
    "average": _average,
    "reflectance": _reflectance,
    "continuum": _continuum,
    "mask": _mask,
}


def transformer(step: Step) -> Any:
    """Return the step as a scikit-learn transformer, of chemotools where it has one."""
    p = step.parameters
    if step.name == "snv":
        from chemotools.scatter import StandardNormalVariate

        return StandardNormalVariate()
    if step.name == "msc":
        from chemotools.scatter import MultiplicativeScatterCorrection

        return MultiplicativeScatterCorrection(
            reference=np.asarray(step.reference) if step.reference else None
        )
    if step.name == "savgol":
        from chemotools.derivative import SavitzkyGolay

        return SavitzkyGolay(
            window_length=p["window"], polyorder=p["polyorder"], deriv=p["deriv"], mode="interp"
        )
    if step.name == "detrend":
        from chemotools.baseline import PolynomialCorrection

        return PolynomialCorrection(order=p["order"])
    from sklearn.preprocessing import FunctionTransformer

    return FunctionTransformer(partial(_on_arrays, step=step))


def _on_arrays(spectra: FloatArray, step: Step) -> FloatArray:
    return apply(step, np.asarray(spectra, dtype=np.float64))
