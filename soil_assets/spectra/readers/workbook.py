"""Excel workbooks (.xlsx, .xlsm).

Belongs here: sheets and their cells. Does not belong here: what a table's columns mean (``readers.columns``).
"""

from __future__ import annotations

import io
import warnings
import zipfile
from typing import Any

import numpy as np

from soil_assets.errors import BadInput
from soil_assets.spectra.readers.columns import choose_run
from soil_assets.spectra.readers.pairs import looks_like_pairs, scans_of_columns
from soil_assets.spectra.readers.scans import ReadOptions, Scans
from soil_assets.spectra.readers.sniff import NotSpectraError
from soil_assets.spectra.readers.source import Source, too_large
from soil_assets.spectra.readers.table import PlainTable, plain_table, samples_table, scans_of
from soil_assets.spectra.readers.text import MISSING_WORDS, is_number

_ASIDE = "leave it out of the batch"
#: A workbook's cells are Python objects: more of them than this are a table for CSV or Parquet.
_MOST_CELLS = 20_000_000


def read_workbook(source: Source, raw: bytes, options: ReadOptions) -> list[Scans | PlainTable]:
    """Read every sheet (or ``options.sheet``) of a workbook; formulas give their stored results.

    Raises
    ------
    BadInput
        When the workbook is damaged or too large, or there is no such sheet.
    """
    import openpyxl

    _check_size(raw, source, options)
    try:
        with warnings.catch_warnings():
            # Style and extension warnings say nothing about cells.
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=True)
            sheets = {sheet.title: _rows(sheet, source) for sheet in book.worksheets}
            book.close()
    except BadInput:
        raise
    except Exception as error:  # noqa: BLE001  (openpyxl meets damaged XML with any exception there is)
        raise BadInput(
            "not a readable workbook",
            file=source.name,
            found=" ".join(f"{type(error).__name__}: {error}".split())[:120],
            mend="open it and save it again as .xlsx",
        ) from None
    if options.sheet is not None and options.sheet not in sheets:
        raise BadInput("no such sheet", file=source.name, found=", ".join(sheets), expected=options.sheet)
    if options.sheet is not None:
        sheets = {options.sheet: sheets[options.sheet]}
    found = []
    for title, rows in sheets.items():
        if len(rows) < 2:
            continue
        named = source if len(sheets) == 1 else Source(f"{source.name}#{title}", source.opener, source.path)
        found.append(_sheet(named, rows, options))
    if not found:
        raise BadInput("the workbook holds no table", file=source.name, found=", ".join(sheets) or "no sheet")
    return found


def _check_size(raw: bytes, source: Source, options: ReadOptions) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            total = sum(member.file_size for member in archive.infolist())
            names = set(archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise BadInput("a damaged or cut workbook", file=source.name, found=str(error)[:120]) from None
    if "word/document.xml" in names or "ppt/presentation.xml" in names:
        raise NotSpectraError("not a spectra file", file=source.name, found="an Office document", mend=_ASIDE)
    if "content.xml" in names:
        raise BadInput(
            "an OpenDocument file, which has no reader here",
            file=source.name,
            expected=".xlsx or CSV",
            mend="save the table as .xlsx or CSV",
        )
    if total > options.limits.file_bytes * 4:
        raise too_large(source.name, options.limits.file_bytes * 4)


def _rows(sheet: Any, source: Source) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    cells = 0
    for row in sheet.iter_rows(values_only=True):
        cells += len(row)
        if cells > _MOST_CELLS:
            raise BadInput(
                "the workbook is larger than is read",
                file=source.name,
                found=f"more than {_MOST_CELLS:,} cells",
                mend="save the table as CSV or Parquet",
            )
        if any(cell is not None and str(cell).strip() for cell in row):
            rows.append(row)
    width = max((_last(row) for row in rows), default=0)
    return [(*row[:width], *[None] * (width - len(row))) for row in rows]


def _last(row: tuple[Any, ...]) -> int:
    return max((i + 1 for i, cell in enumerate(row) if cell is not None), default=0)


def _sheet(source: Source, rows: list[tuple[Any, ...]], options: ReadOptions) -> Scans | PlainTable:
    header = [_text(cell) for cell in rows[0]]
    body = rows if all(is_number(h) for h in header if h) else rows[1:]
    names = header if body is not rows else None
    if looks_like_pairs(names, [[_text(c) for c in row] for row in body[:40]]):
        return scans_of_columns(source, names, body, (), {}, options, "workbook, one row a band")
    run = choose_run(header, source.name, options.spectra)
    if run is None:
        cells = [[_cell(c) for c in row] for row in rows[1:]]
        return plain_table(source.name, header, cells)
    spectra = np.full((len(rows) - 1, run.indices.size), np.nan, np.float32)
    strange = []
    for place, row in enumerate(rows[1:]):
        cells_of_row = [row[i] for i in run.indices]
        try:
            spectra[place] = np.array([np.nan if c is None else c for c in cells_of_row], dtype=np.float64)
        except (TypeError, ValueError):
            for band, cell in enumerate(cells_of_row):
                number = _number(cell)
                spectra[place, band] = np.nan if number is None else number
                if number is None and _text(cell) not in MISSING_WORDS:
                    strange.append(f"row {place + 1}, column {header[run.indices[band]]}: {_text(cell)!r}")
    said: tuple[str, ...] = ()
    if strange:
        more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""
        said = (f"cells that are not numbers are left empty ({'; '.join(strange[:3])}{more})",)
    bands = set(run.indices.tolist())
    others = [i for i in range(len(header)) if i not in bands]
    texts = [np.array([_cell(row[i]) for row in rows[1:]], dtype=object) for i in others]
    samples, ids = samples_table(source.name, [header[i] for i in others], texts, options, len(rows) - 1)
    return scans_of(source.name, run, samples, spectra, header, (), ids + said, "workbook")


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))  # Excel keeps every number as a float: an id of 17 must not become 17.0
    return str(cell).strip()


def _cell(cell: Any) -> str | None:
    text = _text(cell)
    return None if text in MISSING_WORDS else text


def _number(cell: Any) -> float | None:
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        return float(cell)
    text = _text(cell)
    return float(text.replace(",", ".")) if is_number(text) else None
