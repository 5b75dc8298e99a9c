"""Thermo OMNIC files: SPA (one spectrum) and SPG (a group of spectra).

Belongs here: the key table, headers, intensities. Does not belong here: interferograms and backgrounds,
which stay unread.

Layout as the SpectroChemPy project documents it (spectrochempy.core.readers.read_omnic, CeCILL-B): 16-byte
keys from byte 304 on; key 2 points to a header, key 3 to the float32 intensities that belong to it, key 107
to a spectrum's title.
"""

from __future__ import annotations

import datetime
import re
from typing import Any

import numpy as np

from soil_assets.errors import BadInput
from soil_assets.spectra.axis import AxisUnit
from soil_assets.spectra.readers.binary import Window
from soil_assets.spectra.readers.quantities import settle
from soil_assets.spectra.readers.rows import scan_row, shared
from soil_assets.spectra.readers.scans import ReadOptions, Scans
from soil_assets.spectra.readers.source import Source

MAGIC = b"Spectral Data File"
_KEYS_AT, _KEY_BYTES, _MOST_KEYS = 304, 16, 10_000
_HEADER, _INTENSITIES, _HISTORY, _TITLE = 2, 3, 27, 107
_X_UNITS: dict[int, tuple[AxisUnit, float]] = {1: ("cm-1", 1.0), 3: ("nm", 1.0), 4: ("nm", 1000.0)}
#: Code of the ordinate: what it is, and whether in percent.
_Y_KINDS = {
    17: ("absorbance", False), 16: ("transmittance", True), 11: ("reflectance", True),
    12: ("absorbance", False),
    20: ("kubelka-munk", False), 21: ("reflectance", False), 22: ("detector signal", False),
    26: ("photoacoustic", False), 31: ("Raman", False),
}  # fmt: skip


def read_omnic(source: Source, raw: bytes, options: ReadOptions) -> list[Scans]:
    """Read every spectrum of an SPA or SPG file.

    Raises
    ------
    BadInput
        When the file is cut off or damaged, or its ordinate is neither absorbance nor reflectance.
    """
    del options
    window = Window(raw, source.name, "OMNIC")
    keys = _keys(window)
    headers = [at for kind, at, _ in keys if kind == _HEADER]
    spectra = [(at, size) for kind, at, size in keys if kind == _INTENSITIES]
    titles = [window.text(at, min(size, 256)) for kind, at, size in keys if kind == _TITLE]
    histories = [raw[at : at + size] for kind, at, size in keys if kind == _HISTORY]
    if not headers or len(headers) != len(spectra):
        raise window.damaged(
            "its table of contents", f"{len(headers)} headers, {len(spectra)} spectra", "as many of each"
        )
    parts = []
    for number, (header, (at, size)) in enumerate(zip(headers, spectra, strict=True)):
        facts: dict[str, Any] = {
            "sample_name": window.text(30, 256),
            "instrument_serial": _serial(histories[number]) if number < len(histories) else None,
            "scan_date": _date(window),
        }
        row = scan_row(source, **facts)
        if len(headers) > 1:
            title = titles[number].split(",")[0].strip() if number < len(titles) else ""
            name = re.sub(r"(?i)\.spa$", "", title) or f"{row['sample_id']}-{number + 1}"
            row |= {"sample_id": name, "scan_id": f"{source.basename}#{number + 1}", "source_row": number + 1}
        parts.append(_spectrum(window, header, at, size, row))
    return parts


def _keys(window: Window) -> list[tuple[int, int, int]]:
    (count,) = window.unpack("<H", 294, "the header")
    if not 0 < count <= _MOST_KEYS:
        raise window.damaged("its table of contents", f"{count} entries", "a table of contents")
    window.need(_KEYS_AT, count * _KEY_BYTES, "the table of contents")
    found = []
    for place in range(count):
        kind, at, size = window.unpack("<HII", _KEYS_AT + place * _KEY_BYTES, "the table of contents")
        found.append((kind & 0xFF, at, size))
    return found


def _spectrum(window: Window, header: int, at: int, size: int, row: dict[str, Any]) -> Scans:
    (count,) = window.unpack("<I", header + 4, "a spectrum's header")
    x_code = window.unpack("<B", header + 8, "a spectrum's header")[0]
    y_code = window.unpack("<B", header + 12, "a spectrum's header")[0]
    first, last = window.unpack("<2f", header + 16, "a spectrum's header")
    if count < 2 or count * 4 > size:
        raise window.damaged("a spectrum's point count", count, f"2 to {size // 4}, as the file has room for")
    if x_code not in _X_UNITS:
        raise BadInput(
            "the OMNIC spectrum's axis is neither wavenumber nor wavelength",
            file=window.file,
            found={2: "data points", 32: "Raman shift"}.get(x_code, f"code {x_code}"),
            expected="cm-1, nm or µm",
        )
    unit, factor = _X_UNITS[x_code]
    kind, percent = _Y_KINDS.get(y_code, (f"ordinate of code {y_code}", False))
    values = window.array("<f4", count, at, "a spectrum").astype(np.float32)
    spectra, quantity, scale, said = settle(kind, values, window.file, percent)
    positions = window.even_axis(first, last, count) * factor
    origin = {"format": "Thermo OMNIC", **shared(row)}
    return Scans(window.file, [row], spectra[None, :], positions, unit, quantity, scale, origin, said)


def _serial(history: bytes) -> str | None:
    found = re.search(rb"(?:Bench Serial Number|rie du banc)\s*:\s*([\w-]+)", history)
    return found[1].decode("latin-1") if found else None


def _date(window: Window) -> str | None:
    (seconds,) = window.unpack("<I", 296, "the header")
    if not seconds:
        return None
    # OMNIC counts seconds from the last day of 1899.
    return (datetime.datetime(1899, 12, 31) + datetime.timedelta(seconds=seconds)).isoformat()
