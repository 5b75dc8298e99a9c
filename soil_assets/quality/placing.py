"""Bringing landed scans onto the model's axis: which of them can be, and how ragged ends are kept out.

Belongs here: choosing and cropping scans before they are harmonised. Does not belong here: resampling itself
(``spectra.harmonise``) and saying what is wrong with the others (``quality.spectrum_rules``).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.quality.spectrum_rules import LEAST_BANDS, MAX_STEP_RATIO
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import Quantity, SpectralBatch
from soil_assets.spectra.harmonise import harmonise

#: Bands kept beyond each end of the model's range: a cubic spline forgets a knot by a factor 0.27 a band.
_MARGIN_BANDS = 16


def placeable(figures: pd.DataFrame, axis: Axis) -> npt.NDArray[np.bool_]:
    """Tell which scans can be brought onto the model's axis: whole, covering it, fine enough for a spline.

    The rules ``missing_bands``, ``covers_model_range`` and ``too_coarse`` say the same to a person.
    """
    fine = (figures["band_step"] <= MAX_STEP_RATIO * axis.step) & (figures["bands"] >= LEAST_BANDS)
    return np.asarray((figures["missing_bands"] == 0) & (figures["uncovered"] <= axis.step * 1e-6) & fine)


def place_on(
    batch: SpectralBatch, rows: npt.NDArray[np.intp], axis: Axis, quantity: Quantity
) -> SpectralBatch:
    """Return the scans ``rows`` of a batch in ``quantity`` on ``axis``; every one of them must be placeable."""
    chosen = batch if rows.size == len(batch) else batch.take(rows)
    if not rows.size:
        return replace(no_scans(axis, quantity), samples=chosen.samples, origin=chosen.origin)
    return harmonise(_without_ragged_ends(chosen, axis), axis, quantity)


def no_scans(axis: Axis, quantity: Quantity) -> SpectralBatch:
    """Return a batch without scans."""
    nobody = pd.DataFrame({"sample_id": pd.Series([], dtype=object)})
    return SpectralBatch(nobody, np.empty((0, len(axis)), np.float32), axis, quantity)


def _without_ragged_ends(batch: SpectralBatch, axis: Axis) -> SpectralBatch:
    # Bands outside the model's range may be missing (a detector's ragged end): they must not reach the spline.
    finite: npt.NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(batch.spectra), axis=0)
    if finite.all():
        return batch
    positions = batch.axis.to_unit(axis.unit).values
    ascending = positions if positions[0] < positions[-1] else positions[::-1]
    finite = finite if ascending is positions else finite[::-1]
    first = max(int(np.searchsorted(ascending, axis.low, side="right")) - 1, 0)
    last = min(int(np.searchsorted(ascending, axis.high, side="left")), len(ascending) - 1)
    before, after = np.flatnonzero(~finite[:first]), np.flatnonzero(~finite[last + 1 :])
    first = max(first - _MARGIN_BANDS, int(before[-1]) + 1 if before.size else 0)
    last = min(last + _MARGIN_BANDS, last + int(after[0]) if after.size else len(ascending) - 1)
    keep = slice(first, last + 1)
    if ascending is not positions:
        keep = slice(len(positions) - 1 - last, len(positions) - first)
    return replace(batch, spectra=batch.spectra[:, keep], axis=Axis(batch.axis.values[keep], batch.axis.unit))
