"""Tables cell by cell: whatever stands in them, every row is kept.

Belongs here: rows of the wrong length, words among numbers, other encodings. Does not belong here: clean
tables, which are read faster (``readers.stream``).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.spectra.readers.columns import BandColumns
from soil_assets.spectra.readers.scans import ReadOptions
from soil_assets.spectra.readers.source import Source
from soil_assets.spectra.readers.stream import GrowingMatrix
from soil_assets.spectra.readers.text import MISSING_WORDS, Dialect

#: After so many rows, a table most of whose rows do not fit its header is given up.
_ENOUGH_ROWS = 200
_LONGEST_CELL = 1 << 20


def read_carefully(
    source: Source,
    dialect: Dialect,
    header: list[str],
    run: BandColumns,
    others: list[int],
    options: ReadOptions,
) -> tuple[npt.NDArray[np.float32], list[npt.NDArray[Any]], tuple[str, ...]]:
    """Read the rows after the header.

    A row with too few or too many cells keeps its text and gets an empty (NaN) spectrum; a cell that is no
    number is NaN. Both are said.

    Returns
    -------
    (ndarray of float32, list of ndarray of object, tuple of str)
        The matrix, the columns that are not bands (None where missing), and what was found.

    Raises
    ------
    BadInput
        When most rows do not fit the header.
    """
    rows = GrowingMatrix(run.indices.size)
    texts: list[list[Any]] = [[] for _ in others]
    misfits: list[str] = []
    strange: list[str] = []
    for number, cells in enumerate(fitting_rows(source, dialect, len(header), options), start=1):
        if _fits(cells, len(header)):
            spectrum, bad = _numbers([cells[i] for i in run.indices], dialect.decimal)
            names = [(header[run.indices[i]], cells[run.indices[i]]) for i in bad[:3]]
            strange += [f"row {number}, column {name}: {cell!r}" for name, cell in names]
        else:
            misfits.append(f"row {number} has {len(cells)} cells instead of {len(header)}")
            spectrum = np.full(run.indices.size, np.nan, np.float32)
        rows.append(spectrum)
        for column, index in zip(texts, others, strict=True):
            column.append(text_or_none(cells[index]) if index < len(cells) else None)
    said = []
    if misfits:
        said.append(f"spectra are left empty: {_few(misfits)}")
    if strange:
        said.append(f"cells that are not numbers are left empty: {_few(strange)}")
    if dialect.encoding != "utf-8":
        said.append(f"the text is in {dialect.encoding}, not UTF-8")
    return rows.matrix(), [np.array(c, dtype=object) for c in texts], tuple(said)


def fitting_rows(source: Source, dialect: Dialect, width: int, options: ReadOptions) -> Iterator[list[str]]:
    """Yield the rows after the header, blank ones left out.

    Raises
    ------
    BadInput
        When most rows do not have ``width`` cells: then the header or the separator is not the table's.
    """
    misfits = number = 0
    for number, cells in enumerate(_cells(source, dialect, options), start=1):
        misfits += not _fits(cells, width)
        if number == _ENOUGH_ROWS and misfits * 2 > number:
            break
        yield cells
    if number >= 4 and misfits * 2 > number:
        raise BadInput(
            "the table's rows do not fit its header",
            file=source.name,
            found=f"{misfits} of {number} rows with another number of cells",
            expected=f"{width} cells a row, as the header has",
            mend="export the table again with one separator throughout",
        )


def text_or_none(cell: str) -> str | None:
    """Return a cell's text; None when it stands for a missing value."""
    if cell.strip() in MISSING_WORDS:
        return None
    try:
        cell.encode("utf-8")
    except UnicodeEncodeError:
        # A byte that is not UTF-8 came through as a surrogate; labs' other encoding is Windows-1252.
        return cell.encode("utf-8", "surrogateescape").decode("cp1252", "replace")
    return cell


def _fits(cells: list[str], width: int) -> bool:
    return len(cells) == width or (len(cells) > width and not any(cell.strip() for cell in cells[width:]))


def _cells(source: Source, dialect: Dialect, options: ReadOptions) -> Iterator[list[str]]:
    with source.unpacked(options.limits.total_bytes) as stream:
        errors = "surrogateescape" if dialect.encoding == "utf-8" else "replace"
        lines = io.TextIOWrapper(stream, encoding=dialect.encoding, errors=errors, newline="")
        if dialect.mark:
            lines.read(1)
        for _ in range(dialect.skipped + 1):
            lines.readline()
        if dialect.separator == " ":
            yield from (line.split() for line in lines if line.strip())
            return
        csv.field_size_limit(_LONGEST_CELL)
        reader = csv.reader(lines, delimiter=dialect.separator)
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise BadInput(
                    "not a readable table", file=source.name, row=reader.line_num, found=str(error)
                ) from None
            if any(cell.strip() for cell in cells):
                yield cells


def _numbers(cells: list[str], decimal: str) -> tuple[npt.NDArray[np.float32], list[int]]:
    if decimal == ",":
        cells = [cell.replace(",", ".") for cell in cells]
    try:
        return np.array(cells, dtype=np.float64).astype(np.float32), []
    except ValueError:
        pass
    values = np.full(len(cells), np.nan)
    bad = []
    for i, cell in enumerate(cells):
        try:
            values[i] = float(cell)
        except ValueError:
            if cell.strip() not in MISSING_WORDS:
                bad.append(i)
    return values.astype(np.float32), bad


def _few(listed: list[str]) -> str:
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return "; ".join(listed[:3]) + more
