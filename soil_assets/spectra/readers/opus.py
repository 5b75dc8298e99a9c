"""Bruker OPUS files.

Belongs here: blocks, their choice, and what the header tells.
Does not belong here: conversions between quantities (``readers.quantities``, ``spectra.harmonise``).

The layout (header, directory of 12-byte entries, blocks; parameters as name, type, size, value) follows the
package brukeropus 1.4 (MIT), which is what the values are tested against. It is not called here: on a
damaged parameter block (negative size) it never returns, and a damaged point count makes it ask for any
amount of memory.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.spectra.readers.binary import Window, clean_text
from soil_assets.spectra.readers.quantities import settle
from soil_assets.spectra.readers.rows import scan_row, shared
from soil_assets.spectra.readers.scans import ReadOptions, Scans
from soil_assets.spectra.readers.source import Source

MAGIC = b"\n\n\xfe\xfe"
#: Ratioed blocks that hold a spectrum, best first: key as brukeropus and OPUS users call it, and what it is.
_SPECTRA = {
    4: ("a", "absorbance"),
    15: ("logr", "absorbance"),
    12: ("r", "reflectance"),
    6: ("km", "kubelka-munk"),
    5: ("t", "transmittance"),
    16: ("atr", "ATR"),
    10: ("ra", "Raman"),
    11: ("e", "emission"),
    17: ("pas", "photoacoustic"),
}
_STATUS, _INSTRUMENT, _ACQUISITION, _ORIGIN = 1, 2, 3, 10
_RATIOED, _REFERENCE = 3, 2


@dataclass(frozen=True)
class _Block:
    """An entry of the directory: ``kind`` of parameters (0: data) about ``data`` of a ``role``."""

    role: int
    kind: int
    data: int
    derivative: int
    extra: int
    start: int
    size: int


@dataclass(frozen=True, eq=False)
class _Spectrum:
    key: str
    what: str
    start: int
    values: npt.NDArray[np.float32]
    positions: npt.NDArray[np.float64]
    axis_unit: str
    status: dict[str, Any]


def read_opus(source: Source, raw: bytes, options: ReadOptions) -> Scans:
    """Read the result spectrum of an OPUS file.

    Absorbance is taken before reflectance; of two absorbance blocks the one written last, which is the
    atmosphere-compensated one. ``options.spectra`` names another block (``a``, ``a_2``, ``r`` ...). A file
    with reflectance only stays reflectance, and that is said.

    Raises
    ------
    BadInput
        When the file is cut off or damaged, or holds no result spectrum.
    """
    window = Window(raw, source.name, "OPUS")
    blocks = _directory(window)
    spectra = _spectra(window, blocks)
    chosen, said = _choose(spectra, window, options.spectra, blocks)
    facts = _facts(window, blocks)
    values, quantity, scale, converted = settle(chosen.what, chosen.values, source.name, percent=False)
    row = scan_row(
        source,
        sample_name=facts.get("snm"),
        instrument=facts.get("ins"),
        instrument_serial=facts.get("srn"),
        operator=facts.get("cnm"),
        scan_date=_date(chosen.status),
    )
    return Scans(
        source.name,
        [row],
        values[None, :],
        chosen.positions,
        "nm" if chosen.axis_unit == "MI" else "cm-1",
        quantity,
        scale,
        {"format": "Bruker OPUS", "block": chosen.key, **shared(row)},
        said + converted,
    )


def _directory(window: Window) -> list[_Block]:
    start, room, count = window.unpack("<3i", 12, "the header")
    if not 0 < count <= room <= 10_000:
        raise window.damaged(
            "its directory", f"{count} of {room} entries", "a directory of the file's blocks"
        )
    entries = window.array("<i4", 3 * count, start, "the directory").reshape(-1, 3)
    blocks = []
    for code, size, offset in entries.tolist():
        if offset <= 0:
            break
        blocks.append(
            _Block(
                (code >> 2) & 3,
                (code >> 4) & 63,
                (code >> 10) & 127,
                (code >> 17) & 3,
                (code >> 19) & 7,
                offset,
                size * 4,
            )
        )
    return blocks


def _parameters(window: Window, block: _Block) -> dict[str, Any]:
    """Return a parameter block as name (lower case) to int, float or text."""
    window.need(block.start, block.size, "a parameter block")
    raw, at, end = window.raw, block.start, block.start + block.size
    found: dict[str, Any] = {}
    while at + 8 <= end:
        name = raw[at : at + 3]
        if name == b"END":
            break
        kind, words = struct.unpack_from("<2h", raw, at + 4)
        at += 8
        size = words * 2
        if size < 0 or at + size > end:
            raise window.damaged("a parameter", f"{name!r} of {size} bytes", "a parameter inside its block")
        key = name.decode("latin-1").lower()
        if kind == 0 and size >= 4:
            found[key] = struct.unpack_from("<i", raw, at)[0]
        elif kind == 1 and size >= 8:
            found[key] = struct.unpack_from("<d", raw, at)[0]
        else:
            found[key] = clean_text(raw[at : at + size].split(b"\0", 1)[0].decode("latin-1"))
        at += size
    return found


def _spectra(window: Window, blocks: list[_Block]) -> list[_Spectrum]:
    """Return the result spectra, the one written last first."""
    statuses = [b for b in blocks if b.kind == _STATUS and b.role == _RATIOED and b.data in _SPECTRA]
    data = [
        b for b in blocks if b.kind == 0 and b.role == _RATIOED and b.data in _SPECTRA and b.derivative == 0
    ]
    data = sorted((b for b in data if b.extra == 0), key=lambda b: -b.start)
    parameters = {b.start: _parameters(window, b) for b in statuses}
    spectra: list[_Spectrum] = []
    for block in data:
        same = [
            parameters[s.start] for s in statuses if (s.data, s.derivative, s.extra) == (block.data, 0, 0)
        ]
        if not same:
            continue
        window.need(block.start, block.size, "a spectrum")
        status = same[0] if len(same) == 1 else _matching(window, block, same)
        key, what = _SPECTRA[block.data]
        number = sum(s.key.split("_")[0] == key for s in spectra)
        spectra.append(_spectrum(window, block, status, key if number == 0 else f"{key}_{number + 1}", what))
    return spectra


def _spectrum(window: Window, block: _Block, status: dict[str, Any], key: str, what: str) -> _Spectrum:
    count, first, last = status.get("npt"), status.get("fxv"), status.get("lxv")
    if not isinstance(count, int) or not isinstance(first, float) or not isinstance(last, float):
        raise window.damaged("a spectrum's header", "no point count or range", "NPT, FXV and LXV")
    if count < 2 or count * 4 > block.size:
        raise window.damaged(
            "a spectrum's point count", count, f"2 to {block.size // 4}, as the block has room for"
        )
    dtype = "<i4" if status.get("dpf") == 2 else "<f4"
    factor = status.get("csf", 1.0)
    values = window.array(dtype, count, block.start, "a spectrum").astype(np.float32)
    if isinstance(factor, float) and factor != 1.0:
        values = values * np.float32(factor)
    unit = str(status.get("dxu", "WN"))
    if unit not in ("WN", "MI"):
        raise BadInput(
            "the OPUS spectrum's axis is neither wavenumber nor wavelength",
            file=window.file,
            found=unit,
            expected="WN or MI",
        )
    positions = window.even_axis(first, last, count)
    return _Spectrum(
        key, what, block.start, values, positions * 1000.0 if unit == "MI" else positions, unit, status
    )


def _matching(window: Window, block: _Block, candidates: list[dict[str, Any]]) -> dict[str, Any]:
    """Of several headers of one kind, the one whose extremes are those of the data."""
    for status in candidates:
        count = status.get("npt")
        if isinstance(count, int) and 0 < count * 4 <= block.size:
            values = window.array("<f4", count, block.start, "a spectrum") * np.float32(
                status.get("csf", 1.0)
            )
            with np.errstate(invalid="ignore"):
                if (
                    np.float32(status.get("mxy", np.nan)) == values.max()
                    and np.float32(status.get("mny", np.nan)) == values.min()
                ):
                    return status
    return candidates[0]


def _choose(
    spectra: list[_Spectrum], window: Window, wanted: str | None, blocks: list[_Block]
) -> tuple[_Spectrum, tuple[str, ...]]:
    if not spectra:
        raise BadInput(
            "the OPUS file holds no result spectrum",
            file=window.file,
            found=_contents(blocks),
            expected="an absorbance or reflectance block",
            mend="in OPUS, compute and save the absorbance (AB) or reflectance (REFL) spectrum",
        )
    if wanted is not None:
        for spectrum in spectra:
            if spectrum.key == wanted:
                return spectrum, ()
        raise BadInput(
            "no such block in the OPUS file",
            file=window.file,
            found=", ".join(s.key for s in spectra),
            expected=wanted,
        )
    order = list(dict.fromkeys(key for key, _ in _SPECTRA.values()))
    chosen = min(spectra, key=lambda s: (order.index(s.key.split("_")[0]), -s.start))
    same = [s.key for s in spectra if s.what == chosen.what and s is not chosen]
    said: list[str] = []
    if same:
        said.append(f"of several {chosen.what} blocks the one written last (atmosphere-compensated) is taken")
    if chosen.what == "reflectance":
        said.append(
            "the OPUS file holds reflectance and no absorbance; A = log10(1/R) where absorbance is needed"
        )
    return chosen, tuple(said)


def _contents(blocks: list[_Block]) -> str:
    """Name the data blocks there are, for the message that none of them can be used."""
    roles = {1: "sample", 2: "reference", 3: "result"}
    kinds = {1: "spectrum", 2: "interferogram", 3: "phase", 7: "trace", 8: "interferograms", 9: "spectra"}
    kinds |= {code: what for code, (_, what) in _SPECTRA.items()} | {19: "result of arithmetics"}
    forms = {2: " series", 4: " (compact form)"}
    names = [
        f"{roles.get(b.role, '')} {kinds.get(b.data, f'block of kind {b.data}')}{forms.get(b.extra, '')}".strip()
        for b in blocks
        if b.kind == 0 and b.data not in (0, 13)
    ]
    return ", ".join(dict.fromkeys(names)) or "no data"


def _facts(window: Window, blocks: list[_Block]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for block in blocks:
        if block.kind in (_INSTRUMENT, _ORIGIN) and block.role != _REFERENCE:
            facts |= _parameters(window, block)
    return facts


def _date(status: dict[str, Any]) -> str | None:
    date, time = str(status.get("dat", "")), str(status.get("tim", ""))
    day = re.fullmatch(r"(\d{2})/(\d{2})/(\d{4})", date) or re.fullmatch(r"(\d{4})/(\d{2})/(\d{2})", date)
    if day is None:
        return None
    parts = day.groups() if len(day[1]) == 4 else day.groups()[::-1]
    clock = re.match(r"(\d{2}:\d{2}:\d{2})(?:\.\d+)?(?:\s*\(GMT([+-]\d{1,2})\))?", time)
    if clock is None:
        return "-".join(parts)
    zone = f"{int(clock[2]):+03d}:00" if clock[2] else ""
    return f"{'-'.join(parts)}T{clock[1]}{zone}"
