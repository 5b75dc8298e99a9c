"""Tables cell by cell: whatever stands in them, every row is kept.

Belongs here: rows of the wrong length, words among numbers, other encodings. Does not belong here: clean
tables, which are read faster (``readers.stream``).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.spectra.readers.matrix import GrowingMatrix
from soil_assets.spectra.readers.scans import ReadOptions
from soil_assets.spectra.readers.source import Source
from soil_assets.spectra.readers.text import MISSING_WORDS, Dialect

#: After so many rows, a table most of whose rows do not fit its header is given up.
_ENOUGH_ROWS = 200
_LONGEST_CELL = 1 << 20


class RowReader:
    """Reads rows cell by cell, and remembers what was strange about them.

    A row with too few or too many cells keeps its text and gets an empty (NaN) spectrum; a cell that is no
    number is NaN.

    Parameters
    ----------
    header : list of str
        Names of the columns.
    bands, others : list of int
        Which columns are spectral bands, and which are not.
    decimal : str
        Decimal point or comma.
    """

    def __init__(self, header: list[str], bands: list[int], others: list[int], decimal: str) -> None:
        self.header, self.bands, self.others = header, bands, others
        self._decimal = decimal
        self._misfits: list[str] = []
        self._strange: list[str] = []

    def read(self, rows: Iterable[list[str]], matrix: GrowingMatrix, file: str) -> list[npt.NDArray[Any]]:
        """Append rows to ``matrix`` and return the columns that are not bands (None where missing).

        Raises
        ------
        BadInput
            When, after enough rows, most do not fit the header.
        """
        texts: list[list[str | None]] = [[] for _ in self.others]
        for cells in rows:
            matrix.append(self._spectrum(cells, matrix.rows + 1))
            for column, index in zip(texts, self.others, strict=True):
                column.append(text_or_none(cells[index]) if index < len(cells) else None)
            if matrix.rows == _ENOUGH_ROWS:
                self.judge(matrix.rows, file)
        return [np.array(column, dtype=object) for column in texts]

    def judge(self, count: int, file: str) -> None:
        """Refuse a table most of whose rows do not fit.

        Raises
        ------
        BadInput
            Then the header or the separator is not the table's.
        """
        _judge(len(self._misfits), count, len(self.header), file)

    def said(self) -> tuple[str, ...]:
        """Return what was strange, in words."""
        said = []
        if self._misfits:
            said.append(f"spectra are left empty: {_few(self._misfits)}")
        if self._strange:
            said.append(f"cells that are not numbers are left empty: {_few(self._strange)}")
        return tuple(said)

    def _spectrum(self, cells: list[str], number: int) -> npt.NDArray[np.float32]:
        if not _fits(cells, len(self.header)):
            self._misfits.append(f"row {number} has {len(cells)} cells instead of {len(self.header)}")
            return np.full(len(self.bands), np.nan, np.float32)
        spectrum, bad = _numbers([cells[i] for i in self.bands], self._decimal)
        named = [(self.header[self.bands[i]], cells[self.bands[i]]) for i in bad[:3]]
        self._strange += [f"row {number}, column {name}: {cell!r}" for name, cell in named]
        return spectrum


def read_carefully(
    source: Source, dialect: Dialect, rows: RowReader, options: ReadOptions
) -> tuple[npt.NDArray[np.float32], list[npt.NDArray[Any]]]:
    """Read the rows after the header, the whole table cell by cell.

    Returns
    -------
    (ndarray of float32, list of ndarray of object)
        The matrix, and the columns that are not bands.

    Raises
    ------
    BadInput
        When most rows do not fit the header.
    """
    matrix = GrowingMatrix(len(rows.bands))
    texts = rows.read(_cells(source, dialect, options), matrix, source.name)
    rows.judge(matrix.rows, source.name)
    return matrix.matrix(), texts


def split_block(text: memoryview, dialect: Dialect) -> Iterator[list[str]]:
    """Yield the rows of a block of whole lines without quotes, blank ones left out."""
    lines = io.StringIO(bytes(text).decode("utf-8", "surrogateescape"), newline="")
    for cells in csv.reader(lines, delimiter=dialect.separator):
        if any(cell.strip() for cell in cells):
            yield cells


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
    _judge(misfits, number, width, source.name)


def _judge(misfits: int, count: int, width: int, file: str) -> None:
    if count >= 4 and misfits * 2 > count:
        raise BadInput(
            "the table's rows do not fit its header",
            file=file,
            found=f"{misfits} of {count} rows with another number of cells",
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
