"""A comparison in plain words: what moved, by how much, where.

Belongs here: sentences. Does not belong here: any decision; every figure comes from the tests or ``explain``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from soil_assets.drift.explain import Amount
from soil_assets.drift.report import Band
from soil_assets.spectra.axis import Axis

FloatArray = npt.NDArray[np.float64]

_POWERS = (10.0, 100.0, 1000.0)


def bands_in_words(bands: tuple[Band, ...], axis: Axis) -> str:
    """Say where spectra differ, for example ``around 3400 and 1640 cm-1``."""
    if not bands:
        return "no single band"
    unit = axis.unit
    peaks = [f"{b.peak:.0f}" for b in bands]
    listed = peaks[0] if len(peaks) == 1 else ", ".join(peaks[:-1]) + " and " + peaks[-1]
    return f"around {listed} {unit} (up to {abs(bands[0].difference):.1f} reference standard deviations)"


def cause_in_words(amount: Amount, axis: Axis) -> str:
    """Say a likely cause with its size."""
    size, name = amount.amount, amount.signature.name
    if name == "water":
        return (
            f"the batch is {'wetter' if size > 0 else 'drier'} than the reference: {_water_bands(size, axis)}"
        )
    if name == "shift":
        step = axis.step if axis.ascending else -axis.step
        return f"the wavelength axis is shifted by {size:+.1f} channels ({size * step:+.1f} {axis.unit})"
    if name == "offset":
        return f"the baseline is offset by {size:+.3f} absorbance"
    if name == "tilt":
        return f"the baseline is tilted by {size:+.3f} absorbance over the axis"
    if name == "gain":
        return f"the spectra are {size * 100:+.0f} % in strength (path length, packing)"
    if size > 0:
        return f"the signal holds about {size * 100:.1f} % stray light that the reference does not have"
    return f"the signal holds about {-size * 100:.1f} % less stray light than the reference"


def _water_bands(size: float, axis: Axis) -> str:
    wanted = (3400, 1640) if axis.unit == "cm-1" else (1940, 1450)
    seen = [str(w) for w in wanted if axis.low <= w <= axis.high]
    where = f"bands {' and '.join(seen)} {axis.unit}" if seen else "the water bands lie outside the axis"
    return f"{size:+.3f} absorbance at the main water band ({where})"


def noise_in_words(ratio: float) -> str:
    """Say how noise changed."""
    return f"detector noise is {ratio:.1f} times the reference's" if ratio >= 1 else (
        f"detector noise fell to {ratio * 100:.0f} % of the reference's"
    )  # fmt: skip


def shift_in_words(what: str, reference: FloatArray, batch: FloatArray) -> str:
    """Say how a column of numbers moved, with medians; suspect a unit factor where the ratio is one."""
    before, after = float(np.median(reference)), float(np.median(batch))
    said = f"{what} moved: median {before:.4g} in the reference, {after:.4g} in the batch"
    if before > 0 and after > 0:
        ratio = after / before
        factor = unit_factor(reference, batch)
        if factor:
            return f"{said}; that is close to a factor {factor}: a wrong unit?"
        if abs(ratio - 1) >= 0.005:
            way = "up" if ratio > 1 else "down"
            return f"{what} {way} {abs(ratio - 1) * 100:.0f} % (median {before:.4g} to {after:.4g})"
    return said


def unit_factor(reference: FloatArray, batch: FloatArray) -> str | None:
    """Return the power of ten between two columns of numbers, None where the step is none or other soils explain it."""
    before, after = float(np.median(reference)), float(np.median(batch))
    if not (before > 0 and after > 0):
        return None
    logs = np.log10(reference[reference > 0])
    for wanted in _POWERS:
        for factor, name in ((wanted, f"{wanted:g}"), (1 / wanted, f"1/{wanted:g}")):
            # Only a factor that leaves hardly any overlap speaks of a unit and not of other soils.
            apart = abs(np.log10(factor)) > 0.5 * (np.quantile(logs, 0.95) - np.quantile(logs, 0.05))
            if 0.6 < after / before / factor < 1.67 and apart:
                return name
    return None


def category_in_words(name: str, reference: npt.NDArray[np.str_], batch: npt.NDArray[np.str_]) -> str:
    """Say which category values are new or changed most."""
    before, after = _shares(reference), _shares(batch)
    new = [value for value in after if value not in before]
    if new:
        return f"{name}: {', '.join(new[:3])} {'does' if len(new) == 1 else 'do'} not occur in the reference"
    moved = max(sorted(set(before) | set(after)), key=lambda v: abs(after.get(v, 0.0) - before.get(v, 0.0)))
    return f"{name}: share of {moved} went from {before.get(moved, 0.0):.0%} to {after.get(moved, 0.0):.0%}"


def _shares(values: npt.NDArray[np.str_]) -> Mapping[str, float]:
    known = values[values != ""]
    names, counts = np.unique(known, return_counts=True)
    return {str(n): float(c / max(known.size, 1)) for n, c in zip(names, counts, strict=True)}
