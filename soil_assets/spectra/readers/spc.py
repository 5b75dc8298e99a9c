"""Thermo/Galactic SPC files: the current format (little- and big-endian) and the old one of Lab Calc.

Belongs here: main header, sub-headers, the integer and float forms of the ordinates.
Does not belong here: the log book and the directory of sub-files, which add nothing to the spectra.

Layout: Galactic Industries, "Universal Data Format Specification" (1997) and its header file SPC.H. It is read here
since the one kept package for it, spc-io 0.2, fails on 5 of 19 sample files (the old format among them); where it
reads a file, the tests compare.
"""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.spectra.axis import AxisUnit
from soil_assets.spectra.readers.binary import Window
from soil_assets.spectra.readers.quantities import settle
from soil_assets.spectra.readers.rows import scan_row, shared
from soil_assets.spectra.readers.scans import ReadOptions, Scans
from soil_assets.spectra.readers.source import Source

NEW_LITTLE, NEW_BIG, OLD = 0x4B, 0x4C, 0x4D
_HEADER_BYTES, _OLD_HEADER_BYTES, _SUB_BYTES = 512, 224, 32
_TSPREC, _TMULTI, _TXYXYS, _TXVALS = 1, 4, 64, 128
_FLOAT = -128
_X_UNITS: dict[int, tuple[AxisUnit, float]] = {1: ("cm-1", 1.0), 2: ("nm", 1000.0), 3: ("nm", 1.0)}
_X_NAMES = {
    4: "seconds", 5: "minutes", 6: "Hz", 9: "mass", 10: "ppm", 13: "Raman shift", 14: "eV", 18: "°C",
    255: "interferogram",
}  # fmt: skip
_Y_KINDS = {
    0: "unknown", 1: "interferogram", 2: "absorbance", 3: "kubelka-munk", 4: "counts", 12: "absorbance",
    128: "transmittance", 129: "reflectance",
}  # fmt: skip


def read_spc(source: Source, raw: bytes, options: ReadOptions) -> list[Scans]:
    """Read every spectrum of an SPC file.

    Raises
    ------
    BadInput
        When the file is cut off or damaged, or is no spectrum over wavelength or wavenumber.
    """
    window = Window(raw, source.name, "SPC")
    window.need(0, _OLD_HEADER_BYTES + _SUB_BYTES, "the header")
    if raw[1] == OLD:
        return _read_old(source, window, options)
    return _read_new(source, window, "<" if raw[1] == NEW_LITTLE else ">", options)


def _read_new(source: Source, window: Window, order: str, options: ReadOptions) -> list[Scans]:
    flags, _, _, exponent, count, first, last, subs = window.unpack(f"{order}BBBbIddI", 0, "the header")
    x_code, y_code, _, _, date = window.unpack(f"{order}4BI", 28, "the header")
    unit, factor = _axis_unit(x_code, window, options)
    at = _HEADER_BYTES
    subs = max(subs, 1)
    if subs > len(window) // _SUB_BYTES:
        raise window.damaged(
            "its number of spectra", subs, f"at most {len(window) // _SUB_BYTES}, as it has room for"
        )
    positions: npt.NDArray[np.float64] | None = None
    if not flags & _TXYXYS:
        _check_count(window, count)
        if flags & _TXVALS:
            positions = window.array(f"{order}f4", count, at, "the axis").astype(np.float64)
            at += 4 * count
        else:
            positions = window.even_axis(first, last, count)
    facts = {"instrument": window.text(45, 9), "scan_date": _date(date), "comment": window.text(88, 130)}
    spectra, axes = [], []
    for _ in range(subs):
        _, sub_exponent, _ = window.unpack(f"{order}BbH", at, "a spectrum's header")
        (points,) = window.unpack(f"{order}I", at + 16, "a spectrum's header")
        at += _SUB_BYTES
        points = points if flags & _TXYXYS else count
        if flags & _TXYXYS:
            _check_count(window, points)
            axes.append(window.array(f"{order}f4", points, at, "an axis").astype(np.float64))
            at += 4 * points
        power = sub_exponent if flags & _TMULTI else exponent
        values, used = _ordinates(window, order, at, points, power, bool(flags & _TSPREC))
        spectra.append(values)
        at += used
    kind = _Y_KINDS.get(y_code, f"ordinate of code {y_code}")
    axes = axes if positions is None else [positions] * subs
    return _scans(source, spectra, axes, unit, factor, kind, facts)


def _read_old(source: Source, window: Window, options: ReadOptions) -> list[Scans]:
    flags, _, exponent, count, first, last = window.unpack("<BBhfff", 0, "the header")
    x_code, y_code, year, month, day, hour, minute = window.unpack("<BBHBBBB", 16, "the header")
    unit, factor = _axis_unit(x_code, window, options)
    if not np.isfinite(count) or count != int(count):
        raise window.damaged("its point count", count, "a whole number")
    points = int(count)
    _check_count(window, points)
    positions = window.even_axis(first, last, points)
    date = _calendar(_full_year(year & 0x0FFF), month, day, hour, minute)
    facts = {"scan_date": date, "comment": window.text(64, 130)}
    spectra = []
    at = _OLD_HEADER_BYTES
    while True:
        _, sub_exponent, _ = window.unpack("<BbH", at, "a spectrum's header")
        at += _SUB_BYTES
        power = sub_exponent if flags & _TMULTI else exponent
        if power == _FLOAT or flags & _TSPREC:
            values, used = _ordinates(window, "<", at, points, power, bool(flags & _TSPREC))
        else:
            # Old files keep the high 16-bit word of an integer first.
            words = window.array("<u2", 2 * points, at, "a spectrum").reshape(-1, 2).astype(np.int64)
            whole = ((words[:, 0] << 16) | words[:, 1]).astype(np.uint32).view(np.int32)
            values, used = _scaled(window, whole, power, 32), 4 * points
        spectra.append(values)
        at += used
        if not flags & _TMULTI or at + _SUB_BYTES + used > len(window):
            break
    kind = _Y_KINDS.get(y_code, f"ordinate of code {y_code}")
    return _scans(source, spectra, [positions] * len(spectra), unit, factor, kind, facts)


def _check_count(window: Window, count: int) -> None:
    if not 2 <= count <= len(window):
        raise window.damaged("its point count", count, f"2 to {len(window)}")


def _ordinates(
    window: Window, order: str, at: int, points: int, power: int, short: bool
) -> tuple[npt.NDArray[np.float32], int]:
    if power == _FLOAT:
        return window.array(f"{order}f4", points, at, "a spectrum").astype(np.float32), 4 * points
    if short:
        return _scaled(window, window.array(f"{order}i2", points, at, "a spectrum"), power, 16), 2 * points
    return _scaled(window, window.array(f"{order}i4", points, at, "a spectrum"), power, 32), 4 * points


def _scaled(window: Window, whole: npt.NDArray[Any], power: int, bits: int) -> npt.NDArray[np.float32]:
    # Fixed-point fractions: the exponent says where the binary point stands.
    if abs(power) > 100:
        raise window.damaged("the exponent of its ordinates", power, "-100 to 100")
    return (whole.astype(np.float64) * 2.0 ** (power - bits)).astype(np.float32)


def _axis_unit(code: int, window: Window, options: ReadOptions) -> tuple[AxisUnit | None, float]:
    if code in _X_UNITS:
        return _X_UNITS[code]
    if code == 0:
        return options.axis_unit, 1.0
    raise BadInput(
        "the SPC file is not a spectrum over wavelength or wavenumber",
        file=window.file,
        found=_X_NAMES.get(code, f"an axis of code {code}"),
        expected="cm-1, µm or nm",
        mend="leave the file out of the batch",
    )


def _scans(
    source: Source,
    spectra: list[npt.NDArray[np.float32]],
    axes: list[npt.NDArray[np.float64]],
    unit: AxisUnit | None,
    factor: float,
    kind: str,
    facts: dict[str, Any],
) -> list[Scans]:
    if unit is None:
        raise BadInput(
            "the SPC file does not say whether its axis is wavelength or wavenumber",
            file=source.name,
            found=f"an arbitrary axis, {axes[0][0]:g} to {axes[0][-1]:g}",
            mend="state it: axis_unit: cm-1 or nm",
        )
    parts = []
    same = all(axis is axes[0] for axis in axes)
    blocks = [np.stack(spectra)] if same else [s[None, :] for s in spectra]
    row = scan_row(source, **facts)
    number = 0
    for block, axis in zip(blocks, axes, strict=False):
        rows = []
        for _ in range(len(block)):
            number += 1
            several = {
                "sample_id": f"{row['sample_id']}-{number}",
                "scan_id": f"{source.basename}#{number}",
                "source_row": number,
            }
            rows.append(row | several if len(spectra) > 1 else row)
        values, quantity, scale, said = settle(kind, block, source.name)
        parts.append(
            Scans(
                source.name, rows, values, axis * factor, unit, quantity, scale,
                {"format": "Galactic SPC", **shared(row)}, said,
            )
        )  # fmt: skip
    return parts


def _full_year(year: int) -> int:
    return year + 1900 if year < 100 else year


def _date(packed: int) -> str | None:
    return _calendar(packed >> 20, (packed >> 16) & 15, (packed >> 11) & 31, (packed >> 6) & 31, packed & 63)


def _calendar(year: int, month: int, day: int, hour: int, minute: int) -> str | None:
    try:
        return datetime.datetime(year, month, day, hour, minute).isoformat()
    except ValueError:
        return None
