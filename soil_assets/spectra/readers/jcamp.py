"""JCAMP-DX files of infrared, near infrared and visible spectra.

Belongs here: labelled data records, compound (LINK) files, units. Does not belong here: decoding the
compressed ordinates (``readers.asdf``), other kinds of spectra (NMR, mass, Raman), which are refused by
name.

Format: McDonald & Wilks 1988, Applied Spectroscopy 42, 151-162 (JCAMP-DX 4.24). It is read here since the one kept
package for it, jcamp 1.3, fails on two of 15 sample files and loses its place in a third.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.spectra.axis import AxisUnit
from soil_assets.spectra.readers.asdf import decode_pairs, decode_table
from soil_assets.spectra.readers.quantities import settle
from soil_assets.spectra.readers.rows import scan_row, shared
from soil_assets.spectra.readers.scans import ReadOptions, Scans
from soil_assets.spectra.readers.source import Source
from soil_assets.spectra.readers.text import decode

_USABLE = re.compile(r"INFRARED|\bIR\b|\bNIR\b|\bUV|\bVIS|ULTRAVIOLET|VISIBLE", re.IGNORECASE)
_OTHER = re.compile(r"NMR|MASS|RAMAN|CHROMATO|FLUORESC|IMS|POWDER|EPR|ESR|INTERFEROGRAM", re.IGNORECASE)
_TABLES = {"XYDATA": "X++(Y..Y)", "XYPOINTS": "XY..XY"}
_X_UNITS: tuple[tuple[str, AxisUnit, float], ...] = (
    (r"1/CM|CM-1|CM\^-1|WAVENUMBERS?", "cm-1", 1.0),
    (r"NANOMETERS?|NM|NANOMETRES?|WAVELENGTH \(NM\)", "nm", 1.0),
    (r"MICROMETERS?|MICROMETRES?|MICRONS?|UM|µM", "nm", 1000.0),
)
_Y_KINDS = (
    (r"ABSORBANCE.*|ABS|LOG\(?1/R\)?|A\.U\.", "absorbance"),
    (r"(%|PERCENT )?\s*REFLECTANCE|%R", "reflectance"),
    (r"(%|PERCENT )?\s*TRANSMITTANCE|%T|TRANSMISSION", "transmittance"),
    (r"KUBELKA[- ]?MUNK.*", "kubelka-munk"),
    (r"ARBITRARY.*|", "unknown"),
)


@dataclass
class _Block:
    """One spectrum's records: labels (squeezed, upper case) to text, and the lines of its data table."""

    labels: dict[str, str] = field(default_factory=dict)
    table: str | None = None
    form: str = ""
    lines: list[str] = field(default_factory=list)
    ended: bool = False

    def number(self, label: str) -> float | None:
        """Return a label's number, decimal comma allowed."""
        match = re.match(r"\s*([+-]?[\d.,]+(?:[eE][+-]?\d+)?)", self.labels.get(label, ""))
        if match is None:
            return None
        try:
            value = float(match[1].replace(",", "."))
        except ValueError:
            return None
        return value if np.isfinite(value) else None


def read_jcamp(source: Source, raw: bytes, options: ReadOptions) -> list[Scans]:
    """Read every spectrum of a JCAMP-DX file.

    Point count, abscissa checks and ordinate checks of the format are all tested.

    Raises
    ------
    BadInput
        When the file is cut off, a check of the format fails, or it holds another kind of data.
    """
    del options
    text, _ = decode(raw)
    blocks = [b for b in _blocks(text) if b.table is not None or "DATATYPE" in b.labels]
    spectra = [b for b in blocks if b.labels.get("DATATYPE", "").strip().upper() != "LINK"]
    if not spectra:
        raise BadInput(
            "the JCAMP-DX file holds no data",
            file=source.name,
            expected="a block with ##XYDATA= or ##XYPOINTS=",
            mend="export the spectrum again",
        )
    parts = []
    for number, block in enumerate(spectra, start=1):
        parts.append(_scan(block, source, number if len(spectra) > 1 else None))
    return parts


def _blocks(text: str) -> list[_Block]:
    blocks: list[_Block] = []
    current: _Block | None = None
    label = ""
    for line in text.splitlines():
        comment = line.find("$$")
        stripped = (line if comment < 0 else line[:comment]).strip()
        if stripped.startswith("##") and "=" in stripped:
            name, value = stripped[2:].split("=", 1)
            label = re.sub(r"[\s\-/_]", "", name).upper()
            if label == "TITLE" or current is None:
                current = _Block()
                blocks.append(current)
            if label == "END":
                current.ended = True
            elif label in _TABLES or label in ("PEAKTABLE", "NTUPLES", "PEAKASSIGNMENTS"):
                current.table, current.form = label, value.strip()
            else:
                current.labels.setdefault(label, value.strip())
        elif current is not None and stripped:
            if label == current.table:
                current.lines.append(stripped)
            elif label in current.labels and len(current.labels[label]) < 10_000:
                current.labels[label] += " " + stripped
    return blocks


def _scan(block: _Block, source: Source, number: int | None) -> Scans:
    data_type = block.labels.get("DATATYPE", "")
    if _OTHER.search(data_type) or (data_type and not _USABLE.search(data_type)):
        raise BadInput(
            "the JCAMP-DX file is not an infrared, near infrared or visible spectrum",
            file=source.name,
            found=data_type[:60],
            expected="INFRARED SPECTRUM, UV/VIS SPECTRUM or the like",
            mend="leave the file out of the batch",
        )
    if block.table not in _TABLES:
        raise BadInput(
            "the JCAMP-DX file holds no spectrum but another table",
            file=source.name,
            found=f"##{block.table}=",
            expected="##XYDATA= or ##XYPOINTS=",
        )
    unit, factor = _axis_unit(block, source)
    positions, ordinates = _decode(block, source)
    kind, percent = _ordinate_kind(block, source)
    values, quantity, scale, said = settle(kind, ordinates.astype(np.float32), source.name, percent)
    row = scan_row(
        source,
        sample_name=block.labels.get("TITLE", "")[:200],
        instrument=block.labels.get("SPECTROMETERDATASYSTEM", "")[:80],
        scan_date=block.labels.get("LONGDATE", block.labels.get("DATE", ""))[:40],
    )
    if number is not None:
        row |= {
            "sample_id": block.labels.get("TITLE", "")[:200] or f"{row['sample_id']}-{number}",
            "scan_id": f"{source.basename}#{number}",
            "source_row": number,
        }
    origin: dict[str, Any] = {"format": "JCAMP-DX", **shared(row)}
    return Scans(source.name, [row], values[None, :], positions * factor, unit, quantity, scale, origin, said)


def _decode(block: _Block, source: Source) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    x_factor, y_factor = block.number("XFACTOR") or 1.0, block.number("YFACTOR") or 1.0
    points = block.number("NPOINTS")
    if "(XY..XY)" in block.form.replace(" ", "").upper():
        x, y = decode_pairs(block.lines, source.name)
        positions, ordinates = x * x_factor, y * y_factor
    else:
        first, last = block.number("FIRSTX"), block.number("LASTX")
        if first is None or last is None or points is None:
            raise BadInput(
                "the JCAMP-DX file does not say where its points lie",
                file=source.name,
                expected="##FIRSTX=, ##LASTX= and ##NPOINTS=",
            )
        checked = decode_table(block.lines, source.name)
        ordinates = checked.ordinates * y_factor
        _check_points(ordinates.size, points, block, source)
        positions = np.linspace(first, last, ordinates.size)
        checked.check_abscissae(positions / x_factor, source.name)
    _check_points(ordinates.size, points, block, source)
    return positions, ordinates


def _check_points(found: int, stated: float | None, block: _Block, source: Source) -> None:
    if found < 2 or (stated is not None and found != stated):
        raise BadInput(
            "the JCAMP-DX file is cut off or damaged: its point count is not the one it states",
            file=source.name,
            found=f"{found} points{'' if block.ended else ', no ##END='}",
            expected=f"{stated or 2:g} points",
            mend="export or copy the file again",
        )


def _axis_unit(block: _Block, source: Source) -> tuple[AxisUnit, float]:
    stated = block.labels.get("XUNITS", "").strip()
    for pattern, unit, factor in _X_UNITS:
        if re.fullmatch(pattern, stated, re.IGNORECASE):
            return unit, factor
    raise BadInput(
        "the JCAMP-DX file's axis is neither wavenumber nor wavelength",
        file=source.name,
        column="XUNITS",
        found=stated or "nothing",
        expected="1/CM, NANOMETERS or MICROMETERS",
    )


def _ordinate_kind(block: _Block, source: Source) -> tuple[str, bool | None]:
    stated = block.labels.get("YUNITS", "").strip()
    for pattern, kind in _Y_KINDS:
        if re.fullmatch(pattern, stated, re.IGNORECASE):
            return kind, True if re.search("%|percent", stated, re.IGNORECASE) else None
    return stated[:60], None
