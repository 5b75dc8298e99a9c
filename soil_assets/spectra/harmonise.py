"""Bring a batch onto the axis and quantity that a model sees, without ever extrapolating.

Belongs here: unit, quantity and resolution conversions of whole batches.
Does not belong here: scatter corrections and derivatives (``modeling``), or judging quality (``quality``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.spectra.axis import Axis

if TYPE_CHECKING:  # a service that works on matrices alone needs no tables
    from soil_assets.spectra.batch import Quantity, Scale, SpectralBatch, SpectraMatrix

#: Reflectance at or below this has no usable logarithm; a detector never reads 0.01 % honestly.
REFLECTANCE_FLOOR = 1e-4
#: A cubic goes through four points; fewer bands hold no spectrum.
FEWEST_BANDS = 4


def to_fraction(batch: SpectralBatch) -> SpectralBatch:
    """Return reflectance as a fraction (0..1)."""
    if batch.scale == "fraction":
        return batch
    return replace(batch, spectra=batch.spectra / np.float32(100), scale="fraction")


def to_quantity(batch: SpectralBatch, quantity: Quantity) -> SpectralBatch:
    """Convert between reflectance R and absorbance A = log10(1/R)."""
    if (batch.quantity, batch.scale) == (quantity, "fraction"):
        return batch
    spectra = matrix_in(batch.spectra, batch.quantity, batch.scale, quantity)
    return replace(batch, spectra=spectra, quantity=quantity, scale="fraction")


def resample(batch: SpectralBatch, axis: Axis) -> SpectralBatch:
    """Resample onto ``axis`` by a cubic spline through the measured bands; a scan with a gap becomes NaN.

    Raises
    ------
    BadInput
        When either end of ``axis`` lies outside the measured range; both ranges are in the message. When fewer than
        four bands were measured.
    """
    if batch.axis == axis:
        return batch
    return replace(batch, spectra=matrix_on(batch.spectra, batch.axis, axis), axis=axis)


def harmonise(batch: SpectralBatch, axis: Axis, quantity: Quantity) -> SpectralBatch:
    """Convert to ``quantity``, then resample onto ``axis``: what every gate after landing works on."""
    return resample(to_quantity(batch, quantity), axis)


def matrix_in(
    spectra: npt.NDArray[np.float32], stated: Quantity, scale: Scale, quantity: Quantity
) -> SpectraMatrix:
    """Return a matrix of the ``stated`` quantity and scale as ``quantity``, a fraction; see :func:`to_quantity`."""
    if scale == "percent":
        spectra = spectra / np.float32(100)
    if stated == quantity:
        return spectra
    if quantity == "absorbance":
        return np.asarray(-np.log10(np.maximum(spectra, np.float32(REFLECTANCE_FLOOR))))
    return np.asarray(np.power(np.float32(10), -spectra))


def matrix_on(spectra: npt.NDArray[np.float32], measured: Axis, axis: Axis) -> SpectraMatrix:
    """Return a matrix measured at ``measured`` on ``axis``; see :func:`resample`."""
    if measured == axis:
        return spectra
    source = measured.to_unit(axis.unit)
    if not source.covers(axis):
        raise BadInput(
            "the spectra do not cover the range that is needed (spectra are never extrapolated)",
            found=f"{source.low:g} to {source.high:g} {axis.unit}",
            expected=f"{axis.low:g} to {axis.high:g} {axis.unit}",
            mend="measure the full range, or use a model trained on the range that was measured",
        )
    if len(source) < FEWEST_BANDS:
        raise BadInput(
            "too few bands were measured to resample them",
            found=f"{len(source)} bands",
            expected=f"at least {FEWEST_BANDS}",
            mend="give every band that the instrument measured",
        )
    from scipy.interpolate import make_interp_spline

    positions, intensities = source.values, spectra.astype(np.float64)
    if not source.ascending:
        positions, intensities = positions[::-1], intensities[:, ::-1]
    inside = np.clip(axis.values, source.low, source.high)
    # A spline through a missing band is missing everywhere: such a scan becomes NaN, and only it.
    whole = np.isfinite(intensities).all(axis=1)
    resampled: npt.NDArray[Any] = np.full((len(spectra), len(axis)), np.nan, dtype=np.float32)
    if whole.any():
        resampled[whole] = make_interp_spline(positions, intensities[whole].T, k=3)(inside).T
    return resampled
