"""Pre-treatments by the names that people write in soil.yaml.

Belongs here: reading ``snv + savgol1(11)`` into a chain, with masks in the unit of the axis.
Does not belong here: what the steps do (``pretreatment_steps``).

Steps, joined by ``+`` and applied from left to right:

``snv``, ``msc``, ``detrend(order)``, ``average(bands)``, ``savgolD(window)`` or ``savgolD(window, polyorder)`` for
derivative D (polynomials of order D + 1 unless said), ``continuum`` (of reflectance; absorbance is converted
first), ``reflectance``, ``mask(from, to)`` in the axis' unit, ``no_water`` and ``no_co2`` for the bands that water
and carbon dioxide of the air disturb, and ``none``. A mask after a derivative leaves no edge in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.modeling.pretreatment import (
    Pretreatment,
    Step,
    average,
    chain,
    continuum,
    detrend,
    mask,
    msc,
    reflectance,
    savgol,
    snv,
)
from soil_assets.modeling.pretreatment_steps import average_width
from soil_assets.spectra.axis import Axis

FloatArray = npt.NDArray[np.float64]

#: Bands that named masks leave out. Water: overtone and combination of soil moisture in the near infrared (Bowers &
#: Hanks 1965), vapour of the beam's path in the mid infrared. Carbon dioxide: its stretching band.
NAMED_MASKS: dict[str, dict[str, tuple[tuple[float, float], ...]]] = {
    "no_water": {
        "nm": ((1350.0, 1460.0), (1790.0, 1960.0)),
        "cm-1": ((3550.0, 3950.0), (1450.0, 1900.0), (5100.0, 5590.0), (6850.0, 7410.0)),
    },
    "no_co2": {"nm": ((4165.0, 4350.0),), "cm-1": ((2300.0, 2400.0),)},
}
_CALL = re.compile(r"([a-z_]+?)(\d?)\s*(?:\(([^()]*)\))?")
_SPELLING = (
    "none, snv, msc, detrend(order), average(bands), savgolD(window[, polyorder]), continuum, reflectance, "
    "mask(from, to), no_water, no_co2, joined by +"
)


def parse_all(
    names: Iterable[str], axis: Axis, quantity: Literal["absorbance", "reflectance"]
) -> tuple[Pretreatment, ...]:
    """Read several pre-treatments; see the module for the spelling.

    Raises
    ------
    BadInput
        For a step that is unknown, misspelt or cannot work on this axis, or the same pre-treatment twice.
    """
    found = tuple(parse(name, axis, quantity) for name in names)
    listed = [p.name for p in found]
    twice = [n for n in listed if listed.count(n) > 1]
    if twice:
        raise BadInput("a pre-treatment is listed twice", found=twice[0])
    return found


def parse(name: str, axis: Axis, quantity: Literal["absorbance", "reflectance"]) -> Pretreatment:
    """Read one pre-treatment for spectra of that axis and quantity; its name is kept as written."""
    bands = np.asarray(axis.values, dtype=np.float64)
    steps: list[Step] = []
    for word in name.split("+"):
        new, bands = _steps(word.strip(), name, bands, axis.unit, quantity, steps)
        steps += new
    return Pretreatment(" + ".join(w.strip() for w in name.split("+")), chain(*steps).steps)


def _steps(
    word: str, name: str, bands: FloatArray, unit: str, quantity: str, before: list[Step]
) -> tuple[list[Step], FloatArray]:
    if word in NAMED_MASKS:
        return _masks(NAMED_MASKS[word][unit], bands, word, name, required=False)
    match = _CALL.fullmatch(word)
    if match is None:
        raise _misspelt(word, name)
    verb, order, inside = match.group(1), match.group(2), match.group(3)
    numbers = _numbers(inside, word, name)
    whole = [int(v) for v in numbers] if all(float(v).is_integer() for v in numbers) else None
    if verb == "mask" and not order and len(numbers) == 2:
        return _masks(((min(numbers), max(numbers)),), bands, word, name, required=True)
    if order and verb != "savgol":
        raise _misspelt(word, name)
    match (verb, whole):
        case ("none", []):
            return [], bands
        case ("snv", []):
            return [snv()], bands
        case ("msc", []):
            return [msc()], bands
        case ("detrend", [degree]) if 0 <= degree <= 10:
            return [detrend(degree)], bands
        case ("average", [wanted]) if wanted >= 2:
            width = average_width(bands.size, wanted)
            kept = bands.size // width
            return [average(wanted)], bands[: kept * width].reshape(kept, width).mean(axis=1)
        case ("savgol", [window]) if order:
            return [savgol(window, int(order) + 1, int(order))], bands
        case ("savgol", [window, polyorder]) if order:
            return [savgol(window, polyorder, int(order))], bands
        case ("reflectance", []) if quantity == "absorbance" and not before:
            return [reflectance()], bands
        case ("continuum", []) if not before or before[-1].name in ("reflectance", "average"):
            converted = quantity == "reflectance" or any(s.name == "reflectance" for s in before)
            return [continuum()] if converted else [reflectance(), continuum()], bands
    raise _misspelt(word, name)


def _numbers(inside: str | None, word: str, name: str) -> list[float]:
    if inside is None:
        return []
    try:
        numbers = [float(v) for v in inside.split(",")]
    except ValueError:
        raise _misspelt(word, name) from None
    if not all(np.isfinite(v) for v in numbers):
        raise _misspelt(word, name)
    return numbers


def _masks(
    ranges: tuple[tuple[float, float], ...], bands: FloatArray, word: str, name: str, *, required: bool
) -> tuple[list[Step], FloatArray]:
    steps: list[Step] = []
    for low, high in ranges:
        inside = np.flatnonzero((bands >= low) & (bands <= high))
        if inside.size == 0:
            continue
        if inside.size == bands.size:
            raise BadInput("a mask leaves no band", found=f"{word} in {name!r}")
        steps.append(mask(int(inside[0]), int(inside[-1]) + 1))
        bands = np.delete(bands, inside)
    if required and not steps:
        raise BadInput(
            "a mask lies outside the axis", found=f"{word} in {name!r}", expected="bands that the model sees"
        )
    return steps, bands


def _misspelt(word: str, name: str) -> BadInput:
    return BadInput(
        "a pre-treatment that is not understood", found=f"{word!r} in {name!r}", expected=_SPELLING
    )
