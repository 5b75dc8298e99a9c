"""What a soil spectrum shows at known bands: water, CO2, noise of each detector, wavelength shift.

Belongs here: measures on harmonised spectra in absorbance, vectorised over scans.
Does not belong here: what is normal (``quality.reference_figures``) and limits (``quality.rules``).

Heights are in absorbance units, above the straight line between two shoulders. Soil shows water and hydroxyl
near 1415 and 1920 nm, and near 3400 and 1640 cm-1 (Stenberg et al. 2010, Adv. Agron. 107, 163; Soriano-Disla
et al. 2014, Appl. Spectrosc. Rev. 49, 139), always as a peak in absorbance and so as a dip in reflectance;
carbon dioxide in the beam path absorbs near 2350 cm-1, where soil has no band.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from soil_assets.spectra.axis import Axis, AxisUnit

Floats = npt.NDArray[np.float64]

#: Mean absolute value of the calmest 90 % of a standard normal variable: 2 (phi(0) - phi(1.6449)) / 0.9.
_CALM_MEAN = 0.6573
#: Largest wavelength shift that is looked for, in bands.
MAX_SHIFT = 6
#: Second derivatives are taken over this many bands to each side: narrower ones see mostly noise.
_GAP = 2
#: Below this correlation with the template a shift cannot be told.
MIN_SHIFT_CORRELATION = 0.6


@dataclass(frozen=True)
class Band:
    """A band and the shoulders that its height is measured from, each a mean over +- ``half_width``."""

    name: str
    unit: AxisUnit
    centre: float
    shoulders: tuple[float, float]
    half_width: float


#: Water bands, the strongest of each region first.
WATER = (
    Band("water_1920nm", "nm", 1920, (1830, 2130), 6),
    Band("water_1415nm", "nm", 1415, (1340, 1500), 6),
    Band("water_3400cm", "cm-1", 3400, (2600, 3750), 12),
    Band("water_1640cm", "cm-1", 1640, (1560, 1750), 6),
)
CO2 = (Band("co2_2350cm", "cm-1", 2350, (2280, 2420), 8),)

#: Detectors of a field spectrometer change near 1000 and 1830 nm; an FTIR scan has one.
_DETECTORS: dict[AxisUnit, tuple[tuple[str, float, float], ...]] = {
    "nm": (("vnir", 0, 1000), ("swir1", 1000, 1830), ("swir2", 1830, np.inf)),
    "cm-1": (("ir", 0, np.inf),),
}


def band_heights(
    absorbance: npt.NDArray[np.float32], axis: Axis, bands: tuple[Band, ...]
) -> dict[str, Floats]:
    """Return the height of each band that the axis covers, shape (n_scans,) each."""
    out = {}
    for band in bands:
        if band.unit != axis.unit:
            continue
        masks = [np.abs(axis.values - p) <= band.half_width for p in (band.centre, *band.shoulders)]
        if not all(m.any() for m in masks):
            continue
        centre, low, high = (absorbance[:, m].mean(axis=1, dtype=np.float64) for m in masks)
        share = (band.centre - band.shoulders[0]) / (band.shoulders[1] - band.shoulders[0])
        out[band.name] = centre - ((1 - share) * low + share * high)
    return out


def detector_noise(absorbance: npt.NDArray[np.float32], axis: Axis) -> dict[str, Floats]:
    """Return the noise of each detector: a robust standard deviation from the second difference.

    The second difference of white noise has variance 6 (1 + 4 + 1). Its standard deviation is taken from the
    mean absolute value of the calmest 90 % of the bands, which leaves out the few where soil curves strongly.
    """
    out = {}
    for name, low, high in _DETECTORS[axis.unit]:
        inside = np.flatnonzero((axis.values > low) & (axis.values <= high))
        if inside.size < 20:
            continue
        part = absorbance[:, inside[0] : inside[-1] + 1]
        second = np.abs(part[:, 2:] - 2 * part[:, 1:-1] + part[:, :-2])
        kept = int(0.9 * second.shape[1])
        calm = np.partition(second, kept, axis=1)[:, :kept]
        out[f"noise_{name}"] = calm.mean(axis=1, dtype=np.float64) / (_CALM_MEAN * np.sqrt(6.0))
    return out


def shift_template(absorbance: npt.NDArray[np.float32]) -> Floats:
    """Return the spectrum that shifts are measured against: the median of SNV spectra, shape (n_bands,)."""
    spectra = absorbance.astype(np.float64)
    spectra -= spectra.mean(axis=1, keepdims=True)
    deviation = spectra.std(axis=1, keepdims=True)
    return np.asarray(np.median(spectra / np.where(deviation > 0, deviation, 1.0), axis=0))


def band_shifts(absorbance: npt.NDArray[np.float32], template: Floats) -> Floats:
    """Return each scan's shift along the axis against ``template``, in bands; NaN where it cannot be told.

    Second derivatives (where bands are sharp and broad soil variation is gone) are correlated at whole lags;
    a parabola through the best three gives the fraction.
    """
    bands = template.size
    if bands < 8 * MAX_SHIFT:
        return np.full(len(absorbance), np.nan)
    curve = _curvature(template[None, :])[0]
    stop = curve.size - MAX_SHIFT
    lags = range(-MAX_SHIFT, MAX_SHIFT + 1)
    shifted = np.stack([curve[MAX_SHIFT + k : stop + k] for k in lags])
    curves = _curvature(absorbance.astype(np.float64))[:, MAX_SHIFT:stop]
    correlation = _unit_rows(curves) @ _unit_rows(shifted).T
    best = np.clip(correlation.argmax(axis=1), 1, 2 * MAX_SHIFT - 1)
    rows = np.arange(len(best))
    before, at, after = (correlation[rows, best + k] for k in (-1, 0, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        fraction = 0.5 * (before - after) / (before - 2 * at + after)
    # A scan that equals the template from k bands on has its bands k earlier.
    shift = -(best - MAX_SHIFT + np.clip(np.nan_to_num(fraction), -1, 1))
    return np.asarray(np.where(at >= MIN_SHIFT_CORRELATION, shift, np.nan))


def _curvature(spectra: Floats) -> Floats:
    return spectra[:, 2 * _GAP :] - 2 * spectra[:, _GAP:-_GAP] + spectra[:, : -2 * _GAP]


def _unit_rows(rows: Floats) -> Floats:
    centred = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.where(length > 0, length, 1.0))
