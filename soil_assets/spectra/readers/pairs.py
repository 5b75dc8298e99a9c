"""Text with one row a band: two-column exports, several spectra side by side, Spectral Evolution's .sed
files.

Belongs here: tables whose first column is the axis. Does not belong here: tables with one row a scan
(``readers.table``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.spectra.axis import AxisUnit
from soil_assets.spectra.batch import Scale
from soil_assets.spectra.readers.columns import band_runs, quantity_in, unit_in
from soil_assets.spectra.readers.rows import scan_row
from soil_assets.spectra.readers.scans import ReadOptions, Scans
from soil_assets.spectra.readers.source import Source
from soil_assets.spectra.readers.text import Dialect, decode, is_number, lines_of, split_line

#: A table with fewer rows than this is not a spectrum on its side.
_FEWEST_BANDS = 20
#: Columns that stand beside the spectrum in field instruments' exports, and are not it.
_AXIS_WORD = re.compile(r"wave|lambda|\bnm\b|cm-1|cm\^-1|1/cm|\bwvl\b|\bwn\b|\bwl\b", re.IGNORECASE)
_NOT_A_SPECTRUM = re.compile(r"\b(rad|radiance|irradiance|dn|norm|counts|dark|raw|ref\.)", re.IGNORECASE)


def looks_like_pairs(header: Sequence[str] | None, rows: Sequence[Sequence[str]]) -> bool:
    """Whether a table is a spectrum on its side: its first column is an axis.

    A few damaged rows do not hide it: such a file is a damaged spectrum, not some other table. A table
    whose header names bands is not one, though its ids may count up like an axis, unless the header says
    that they are one.
    """
    if header and band_runs(header) and not _AXIS_WORD.search(header[0]):
        return False
    whole = [
        row
        for row in rows
        if len(row) > 1 and is_number(row[0]) and (is_number(row[1]) or not row[1].strip())
    ]
    if len(whole) < max(_FEWEST_BANDS, 0.9 * len(rows)):
        return False
    first = np.array([float(row[0].replace(",", ".")) for row in whole])
    steps = np.diff(first)
    rising = float((steps > 0).mean())
    return bool(first.min() > 0 and first.max() >= 200 and max(rising, 1 - rising) >= 0.9)


def read_pairs(source: Source, raw: bytes, dialect: Dialect, options: ReadOptions) -> Scans:
    """Read a text table whose first column is the axis and whose other columns are scans.

    Raises
    ------
    BadInput
        When a line is cut or a position is not a number.
    """
    text, _ = decode(raw)
    lines = lines_of(text)[dialect.skipped :]
    rows = [split_line(line, dialect.separator) for line in lines if line.strip()]
    header: list[str] | None = None
    if rows and not all(is_number(cell) for cell in rows[0] if cell.strip()):
        header, rows = rows[0], rows[1:]
    return scans_of_columns(source, header, rows, dialect.comments, {}, options, "text, one row a band")


def read_sed(source: Source, raw: bytes, options: ReadOptions) -> Scans:
    """Read a Spectral Evolution .sed file: ``key: value`` lines, ``Data:``, a header, one row a band.

    Raises
    ------
    BadInput
        When there is no data or no reflectance column.
    """
    text, _ = decode(raw)
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line.strip() == "Data:"), None)
    if start is None or start + 2 >= len(lines):
        raise BadInput(
            "the .sed file is cut off: it holds no data",
            file=source.name,
            expected="a line Data: and a table",
        )
    told = dict(re.split(r":\s*", line, maxsplit=1) for line in lines[:start] if ":" in line)
    rows = [line.split("\t") for line in lines[start + 2 :] if line.strip()]
    stated = told.get("Channels", "").strip()
    if stated.isdigit() and int(stated) != len(rows):
        raise BadInput(
            "the .sed file is cut off",
            file=source.name,
            found=f"{len(rows)} bands",
            expected=f"{stated} bands, as its header states",
            mend="copy the file from the instrument again",
        )
    facts = {
        "instrument": told.get("Instrument", "").split("_")[0],
        "instrument_serial": told.get("Instrument", "").partition("_")[2],
        "scan_date": told.get("Date", "").split(",")[0],
    }
    header = lines[start + 1].split("\t")
    if len(header) != len(rows[0]):
        raise BadInput(
            "the .sed file's header does not fit its columns", file=source.name, found=" | ".join(header)
        )
    return scans_of_columns(source, header, rows, (), facts, options, "Spectral Evolution sed", unit="nm")


def scans_of_columns(
    source: Source,
    header: list[str] | None,
    rows: Sequence[Sequence[Any]],
    comments: Sequence[str],
    facts: dict[str, str],
    options: ReadOptions,
    kind: str,
    unit: AxisUnit | None = None,
) -> Scans:
    """Turn rows (one a band) into scans (one a column); columns named as raw signals are left out."""
    width = max(len(row) for row in rows[:_FEWEST_BANDS]) if rows else 0
    if header is not None:
        width = max(width, len(header))
        header = [*header, *[""] * (width - len(header))]
    if width < 2:
        raise BadInput(
            "the table holds an axis and no spectrum", file=source.name, expected="two columns or more"
        )
    positions = _numbers([row[0] if row else None for row in rows], source, "the axis", strict=True)
    columns = list(range(1, width))
    said: list[str] = []
    if header is not None:
        raw = [
            i
            for i in columns
            if _NOT_A_SPECTRUM.search(header[i]) and not re.match(r"(?i)refl", header[i].strip())
        ]
        if raw and len(raw) < len(columns):
            said.append("columns left out: " + ", ".join(header[i].strip() for i in raw))
            columns = [i for i in columns if i not in raw]
    spectra = np.stack(
        [
            _numbers(
                [r[i] if i < len(r) else None for r in rows],
                source,
                header[i] if header else f"column {i + 1}",
            )
            for i in columns
        ]
    )
    names = [header[i].strip() if header else "" for i in columns]
    row = scan_row(source, **facts)
    samples = [row]
    if len(columns) > 1:
        samples = [
            row
            | {
                "sample_id": name or f"{row['sample_id']}-{n}",
                "scan_id": f"{source.basename}#{n}",
                "source_row": n,
            }
            for n, name in enumerate(names, start=1)
        ]
    words = " / ".join([*(header or []), *comments])
    scale: Scale | None = "percent" if "%" in words else None
    quantity = quantity_in(words)
    return Scans(
        source.name,
        samples,
        spectra.astype(np.float32),
        positions,
        unit or unit_in(" / ".join([header[0] if header else "", *comments])),
        quantity,
        scale if quantity == "reflectance" else None,
        {"format": kind, **{k: v for k, v in facts.items() if k in ("instrument", "operator") and v}},
        tuple(said),
    )


def _numbers(
    cells: Sequence[Any], source: Source, what: str, strict: bool = False
) -> npt.NDArray[np.float64]:
    values = np.full(len(cells), np.nan)
    for i, cell in enumerate(cells):
        if isinstance(cell, (int, float)) and not isinstance(cell, bool):
            values[i] = cell
            continue
        text = str(cell if cell is not None else "").strip()
        if is_number(text):
            values[i] = float(text.replace(",", "."))
        elif strict:
            raise BadInput(
                "a band's position is not a number",
                file=source.name,
                row=i + 1,
                column=what,
                found=repr(text[:20]),
            )
    return values
