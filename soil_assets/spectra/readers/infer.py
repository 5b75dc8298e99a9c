"""What a file does not say, guessed from the numbers, with the reason in words.

Belongs here: axis unit, quantity and scale of spectra that come without them.
Does not belong here: judging whether spectra are plausible (``quality``).

The guesses rest on soil itself. Water and hydroxyl absorb near 1414, 1930 and 2200 nm and clay's hydroxyl
near 3620 cm-1 (Stenberg et al. 2010, Adv. Agron. 107, 163-215), so an absorbance curve bends up there and a
reflectance curve down.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.spectra.axis import Axis, AxisUnit
from soil_assets.spectra.batch import Quantity, Scale

#: (left shoulder, band, right shoulder) in nm.
_BANDS_NM = (
    (1340.0, 1414.0, 1500.0),
    (1850.0, 1930.0, 2060.0),
    (2130.0, 2206.0, 2240.0),
    (2700.0, 2762.0, 2900.0),
)
#: No absorbance of soil has its 95th percentile over 5; no reflectance in percent has it under.
_PERCENT_FROM = 5.0
#: Beyond this the numbers are detector counts: even a poor white reference gives no more percent.
_NO_RATIO = 400.0


def infer_unit(positions: npt.NDArray[np.float64]) -> tuple[AxisUnit, str]:
    """Return the unit that such band positions have, and why.

    Soil is measured at 350-2550 nm (visible and near infrared) or 400-4000 cm-1 (mid infrared, up to 12,500
    cm-1 in Fourier-transform near infrared): beyond 3000 it can only be wavenumbers.
    """
    low, high = float(np.min(positions)), float(np.max(positions))
    described = f"positions {low:g} to {high:g}"
    if high > 3000:
        return "cm-1", f"{described}; wavelengths of soil spectrometers end near 2550 nm"
    return "nm", f"{described}; wavenumbers would reach beyond 3000 cm-1"


def infer_quantity(spectra: npt.NDArray[Any], axis: Axis) -> tuple[Quantity, str]:
    """Return whether ``spectra``, shape (n_scans, n_bands), are absorbance or reflectance, and why.

    Raises
    ------
    BadInput
        When they can be neither.
    """
    high = _typical_high(spectra)
    if high > _NO_RATIO:
        raise BadInput(
            "the numbers are neither absorbance nor reflectance",
            found=f"a typical scan reaches {high:.4g}",
            expected="absorbance (to 5) or reflectance as fraction (to 1) or percent (to 100)",
            mend="export absorbance or reflectance instead of counts, or state quantity and scale",
        )
    if high > _PERCENT_FROM:
        return "reflectance", f"values reach {high:.3g}, far over any absorbance"
    bend, where = _bend(spectra, axis)
    if bend > 0:
        return "absorbance", f"the curve rises at the absorption bands near {where}"
    if bend < 0:
        return "reflectance", f"the curve falls at the absorption bands near {where}"
    usual: Quantity = "absorbance" if axis.unit == "cm-1" else "reflectance"
    return (
        usual,
        f"what instruments with an axis in {axis.unit} usually write; no absorption band in range tells",
    )


def percent_suspected(spectra: npt.NDArray[Any]) -> tuple[bool, str]:
    """Return whether most scans look like percent reflectance, and why."""
    high = _typical_high(spectra)
    return high > _PERCENT_FROM, f"a typical scan reaches {high:.3g}"


def suspicions(
    spectra: npt.NDArray[Any], axis: Axis, quantity: Quantity, scale: Scale, unit_stated: bool
) -> list[str]:
    """Return, in words, what is stated of spectra and does not look like it: a person should look again."""
    found = []
    bend, where = _bend(spectra, axis)
    looks: Quantity = "absorbance" if bend > 0 else "reflectance"
    if bend and looks != quantity:
        turn = "rises" if bend > 0 else "falls"
        found.append(
            f"stated as {quantity}, but the curve {turn} at the absorption bands near {where}: {looks}?"
        )
    high = _typical_high(spectra)
    if quantity == "reflectance" and scale == "fraction" and high > _PERCENT_FROM:
        found.append(f"stated as fraction, but a typical scan reaches {high:.3g}: percent?")
    if quantity == "reflectance" and scale == "percent" and 0 < high < 1.5:
        found.append(f"stated as percent, but a typical scan reaches only {high:.3g}: fraction?")
    if unit_stated and axis.unit == "nm" and axis.high > 3000:
        found.append(f"stated in nm, but the axis reaches {axis.high:g}: wavenumbers in cm-1?")
    if unit_stated and axis.unit == "cm-1" and axis.low >= 340 and 2300 <= axis.high <= 2600:
        found.append(
            f"stated in cm-1, but {axis.low:g} to {axis.high:g} is the range of a vis-NIR instrument: nm?"
        )
    return found


def _typical_high(spectra: npt.NDArray[Any]) -> float:
    """Median over scans of each scan's 95th percentile: a few odd scans do not move it."""
    if spectra.size == 0:
        return 0.0
    rows = spectra[:: max(1, len(spectra) // 500)]
    rows = rows[np.isfinite(rows).any(axis=1)]
    if not len(rows):
        return 0.0
    with np.errstate(invalid="ignore"):
        clean = np.where(np.isfinite(rows), rows, np.nan)
    return float(np.median(np.nanquantile(clean.astype(np.float64), 0.95, axis=1)))


def _bend(spectra: npt.NDArray[Any], axis: Axis) -> tuple[float, str]:
    """Sum over bands of the median height above the line between the shoulders, relative to the level."""
    if spectra.size == 0:
        return 0.0, ""
    positions = axis.to_unit("nm").values
    order = np.argsort(positions)
    positions = positions[order]
    rows = np.asarray(spectra[:: max(1, len(spectra) // 500)], dtype=np.float64)[:, order]
    total, named = 0.0, []
    for left, centre, right in _BANDS_NM:
        at = [int(np.abs(positions - wanted).argmin()) for wanted in (left, centre, right)]
        off = np.abs(positions[at] - (left, centre, right)).max()
        if off > 0.15 * (right - left):
            continue  # out of range, or measured too coarsely to show the band
        a, b, c = rows[:, at[0]], rows[:, at[1]], rows[:, at[2]]
        share = (centre - left) / (right - left)
        height = b - (a + share * (c - a))
        height = height[np.isfinite(height)]
        if not height.size:
            continue
        score = float(np.median(height)) / (float(np.median(np.abs(b[np.isfinite(b)]))) + 1e-9)
        total += score
        named.append(f"{centre:g} nm" if axis.unit == "nm" else f"{1e7 / centre:.0f} cm-1")
    return (total, ", ".join(named)) if abs(total) > 0.005 else (0.0, "")
