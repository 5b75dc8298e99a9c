"""Bring a batch onto the axis and quantity that a model sees, without ever extrapolating.

Belongs here: unit, quantity and resolution conversions of whole batches.
Does not belong here: scatter corrections and derivatives (``modeling``), or judging quality (``quality``).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from soil_assets.errors import BadInput
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import Quantity, SpectralBatch

#: Reflectance at or below this has no usable logarithm; a detector never reads 0.01 % honestly.
REFLECTANCE_FLOOR = 1e-4


def to_fraction(batch: SpectralBatch) -> SpectralBatch:
    """Return reflectance as a fraction (0..1)."""
    if batch.scale == "fraction":
        return batch
    return replace(batch, spectra=batch.spectra / np.float32(100), scale="fraction")


def to_quantity(batch: SpectralBatch, quantity: Quantity) -> SpectralBatch:
    """Convert between reflectance R and absorbance A = log10(1/R)."""
    batch = to_fraction(batch)
    if batch.quantity == quantity:
        return batch
    if quantity == "absorbance":
        spectra = -np.log10(np.maximum(batch.spectra, np.float32(REFLECTANCE_FLOOR)))
    else:
        spectra = np.power(np.float32(10), -batch.spectra)
    return replace(batch, spectra=spectra, quantity=quantity)


def resample(batch: SpectralBatch, axis: Axis) -> SpectralBatch:
    """Resample onto ``axis`` by a cubic spline through the measured bands; a scan with a gap becomes NaN.

    Raises
    ------
    BadInput
        When either end of ``axis`` lies outside the measured range; both ranges are in the message.
    """
    if batch.axis == axis:
        return batch
    source = batch.axis.to_unit(axis.unit)
    if not source.covers(axis):
        raise BadInput(
            "the spectra do not cover the range that is needed (spectra are never extrapolated)",
            found=f"{source.low:g} to {source.high:g} {axis.unit}",
            expected=f"{axis.low:g} to {axis.high:g} {axis.unit}",
            mend="measure the full range, or use a model trained on the range that was measured",
        )
    from scipy.interpolate import make_interp_spline

    positions, spectra = source.values, batch.spectra.astype(np.float64)
    if not source.ascending:
        positions, spectra = positions[::-1], spectra[:, ::-1]
    inside = np.clip(axis.values, source.low, source.high)
    # A spline through a missing band is missing everywhere: such a scan becomes NaN, and only it.
    whole = np.isfinite(spectra).all(axis=1)
    resampled = np.full((len(batch), len(axis)), np.nan, dtype=np.float32)
    if whole.any():
        resampled[whole] = make_interp_spline(positions, spectra[whole].T, k=3)(inside).T
    return replace(batch, spectra=resampled, axis=axis)


def harmonise(batch: SpectralBatch, axis: Axis, quantity: Quantity) -> SpectralBatch:
    """Convert to ``quantity``, then resample onto ``axis``: what every gate after landing works on."""
    return resample(to_quantity(batch, quantity), axis)
