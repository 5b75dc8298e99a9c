"""PerkinElmer spectra (.sp): the member format ``PEPE`` and the older ``PE IR`` with a text header.

Belongs here: one-dimensional spectra. Does not belong here: the history, which is not read.

``PEPE`` is a tree of members, each a 16-bit number and a 32-bit size, as the package specio (BSD-3)
documents it. ``PE IR`` is lines of text down to ``#GR`` (units, scale, offset, start, step, count,
extremes) and whole numbers after ``#DATA``; both state the extremes of the ordinates, which are checked.
"""

from __future__ import annotations

import re
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.spectra.axis import AxisUnit
from soil_assets.spectra.readers.binary import Window, clean_text
from soil_assets.spectra.readers.quantities import settle
from soil_assets.spectra.readers.rows import scan_row, shared
from soil_assets.spectra.readers.scans import ReadOptions, Scans
from soil_assets.spectra.readers.source import Source

MEMBER_MAGIC, TEXT_MAGIC = b"PEPE", b"PE IR"
_SPECTRUM = 120
_RANGE, _EXTREMES, _COUNT, _X_LABEL, _Y_LABEL, _DATA, _NAME = (
    0x8B72,
    0x8B73,
    0x8B75,
    0x8B77,
    0x8B78,
    0x8B7C,
    0x8B81,
)
_X_UNITS: dict[str, tuple[AxisUnit, float]] = {
    "cm-1": ("cm-1", 1.0), "nm": ("nm", 1.0), "um": ("nm", 1000.0), "micron": ("nm", 1000.0),
    "microns": ("nm", 1000.0),
}  # fmt: skip
_Y_KINDS = {
    "a": ("absorbance", False), "abs": ("absorbance", False), "%t": ("transmittance", True),
    "t": ("transmittance", False), "%r": ("reflectance", True), "r": ("reflectance", False),
    "k/m": ("kubelka-munk", False), "km": ("kubelka-munk", False),
}  # fmt: skip


def read_perkin(source: Source, raw: bytes, options: ReadOptions) -> Scans:
    """Read the spectrum of a PerkinElmer .sp file.

    Raises
    ------
    BadInput
        When the file is cut off or damaged, or is not a spectrum of absorbance, reflectance or transmittance.
    """
    del options
    window = Window(raw, source.name, "PerkinElmer")
    return _read_members(source, window) if raw.startswith(MEMBER_MAGIC) else _read_text(source, window)


def _read_members(source: Source, window: Window) -> Scans:
    found = _members(window)
    missing = [
        name for name, key in (("range", _RANGE), ("count", _COUNT), ("data", _DATA)) if key not in found
    ]
    if missing:
        raise window.damaged("its members", f"no {', '.join(missing)}", "a spectrum's range, count and data")
    first, last = _numbers(window, found[_RANGE], "<2d")
    low, high = _numbers(window, found[_EXTREMES], "<2d") if _EXTREMES in found else (np.nan, np.nan)
    (count,) = _numbers(window, found[_COUNT], "<i")
    # A member's value starts with a two-byte type; a list's then says its size in bytes.
    data = found[_DATA]
    if count < 2 or len(data) < 6 + 8 * count:
        raise window.damaged(
            "its point count", count, f"2 to {max(0, len(data) - 6) // 8}, as the file has room for"
        )
    values = np.frombuffer(data, "<f8", count, 6)
    facts = {"sample_name": _label(found.get(_NAME, b""))}
    x_unit, y_unit = _label(found.get(_X_LABEL, b"")), _label(found.get(_Y_LABEL, b""))
    return _scans(source, window, values, (first, last), x_unit, y_unit, (low, high), facts)


def _members(window: Window) -> dict[int, bytes]:
    """Return the members of the file's first spectrum by their number."""
    at = 44
    while at + 6 <= len(window):
        kind, size = struct.unpack_from("<Hi", window.raw, at)
        window.need(at + 6, size, "a member")
        if kind == _SPECTRUM:
            break
        at += 6 + size
    else:
        raise window.damaged("its members", "no spectrum", "a one-dimensional spectrum")
    end = at + 6 + size
    at += 6
    found: dict[int, bytes] = {}
    while at + 6 <= end:
        kind, size = struct.unpack_from("<Hi", window.raw, at)
        window.need(at + 6, size, "a member")
        found.setdefault(kind, window.raw[at + 6 : at + 6 + size])
        at += 6 + size
    return found


def _numbers(window: Window, member: bytes, form: str) -> tuple[Any, ...]:
    if len(member) < 2 + struct.calcsize(form):
        raise window.damaged("a member", f"{len(member)} bytes", f"{2 + struct.calcsize(form)} bytes")
    return struct.unpack_from(form, member, 2)


def _label(member: bytes) -> str:
    return clean_text(member[4:].decode("latin-1"))


def _read_text(source: Source, window: Window) -> Scans:
    at = window.raw.find(b"#DATA")
    lines = window.raw[: max(at, 0)].decode("latin-1").split("\r\n")
    if at < 0 or "#GR" not in lines:
        raise BadInput(
            "the PerkinElmer file is cut off: it holds no data", file=source.name, expected="#GR and #DATA"
        )
    header = lines[lines.index("#GR") + 1 :]
    try:
        x_unit, y_unit = header[0], header[1]
        scale, offset, first, step = (float(text) for text in header[2:6])
        count, high, low = int(header[6]), float(header[8]), float(header[9])
    except (ValueError, IndexError):
        raise window.damaged(
            "its header", " | ".join(header[:10])[:120], "units, scale, offset, start, step, count"
        ) from None
    if not 2 <= count <= len(window):
        raise window.damaged("its point count", count, f"2 to {len(window)}")
    whole = window.array("<i4", count, at + len(b"#DATA\r\n"), "the spectrum")
    facts = {
        "instrument": lines[20].split(",")[0].title() if len(lines) > 20 else "",
        "operator": lines[7][:40],
    }
    values = whole.astype(np.float64) * scale + offset
    return _scans(
        source, window, values, (first, first + step * (count - 1)), x_unit, y_unit, (low, high), facts
    )


def _scans(
    source: Source,
    window: Window,
    values: npt.NDArray[np.float64],
    ends: tuple[float, float],
    x_unit: str,
    y_unit: str,
    extremes: tuple[float, float],
    facts: dict[str, str],
) -> Scans:
    unit = _X_UNITS.get(x_unit.strip().lower())
    if unit is None:
        raise BadInput(
            "the PerkinElmer spectrum's axis is neither wavenumber nor wavelength",
            file=source.name, found=x_unit[:40] or "nothing", expected="cm-1, nm or µm",
        )  # fmt: skip
    stated, measured = np.array(extremes), np.array([np.nanmin(values), np.nanmax(values)])
    if np.isfinite(stated).all() and np.abs(stated - measured).max() > 1e-4 * max(1.0, np.abs(stated).max()):
        raise window.damaged(
            "its ordinates",
            f"{measured[0]:.6g} to {measured[1]:.6g}",
            f"{stated[0]:.6g} to {stated[1]:.6g}, as its header states",
        )
    kind, percent = _Y_KINDS.get(
        re.sub(r"\s", "", y_unit).lower(), (y_unit[:40] or "an unnamed ordinate", False)
    )
    spectra, quantity, scale, said = settle(kind, values.astype(np.float32), source.name, percent)
    positions = window.even_axis(*ends, values.size) * unit[1]
    row = scan_row(source, **facts)
    origin = {"format": "PerkinElmer sp", **shared(row)}
    return Scans(source.name, [row], spectra[None, :], positions, unit[0], quantity, scale, origin, said)
