"""Clean wide tables, fast: blocks of whole lines parsed side by side into one float32 matrix.

Belongs here: cutting text into blocks, Arrow's parser, the growing matrix. Does not belong here: tables
that Arrow refuses (``readers.table``), and what the columns mean.

A table of 20,000 x 1,701 never exists as a table: at any time a few blocks of text are in memory besides
the matrix.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from soil_assets.spectra.readers.scans import ReadOptions
from soil_assets.spectra.readers.source import Source
from soil_assets.spectra.readers.text import MISSING_WORDS, Dialect

_BLOCK_BYTES = 16 << 20
_MOST_WORKERS = 4


class NotCleanError(Exception):
    """Arrow refused the table; the careful reader says why."""


def stream_table(
    source: Source,
    dialect: Dialect,
    columns: int,
    bands: Sequence[int],
    others: Sequence[int],
    options: ReadOptions,
) -> tuple[npt.NDArray[np.float32], list[npt.NDArray[Any]]]:
    """Read the rows after the header.

    Parameters
    ----------
    columns : int
        Columns of the table.
    bands, others : sequence of int
        Which of them are spectral bands, and which are not.

    Returns
    -------
    (ndarray of float32, list of ndarray of object)
        The matrix, shape (n_rows, n_bands), and the other columns as text.

    Raises
    ------
    NotCleanError
        When a cell of a band is no number, a row has too few or too many cells, or the text is not UTF-8.
    """
    if dialect.separator == " " or dialect.encoding != "utf-8":
        raise NotCleanError
    parse = _parser(dialect, columns, bands, others)
    matrix = GrowingMatrix(len(bands))
    texts: list[list[npt.NDArray[Any]]] = [[] for _ in others]
    parsed: deque[tuple[int, Future[Any]]] = deque()
    written: deque[Future[None]] = deque()
    size = source.path.stat().st_size if source.path is not None else 0

    def place() -> None:
        length, future = parsed.popleft()
        table = future.result()
        if matrix.room < table.num_rows:
            while written:  # nobody may write while the matrix moves
                written.popleft().result()
            matrix.grow(table.num_rows, int(table.num_rows * size / length * 1.02) if not matrix.rows else 0)
        for i, column in enumerate(texts):
            column.append(table.column(len(bands) + i).to_numpy())
        written.append(pool.submit(_write, table, matrix.take(table.num_rows)))
        while len(written) > workers:
            written.popleft().result()

    # Arrow and NumPy let go of the interpreter: blocks are parsed and written side by side, and placed in
    # order.
    workers = min(_MOST_WORKERS, os.cpu_count() or 1)
    with source.unpacked(options.limits.total_bytes) as stream, ThreadPoolExecutor(workers) as pool:
        for text in _blocks(stream, dialect):
            parsed.append((len(text), pool.submit(parse, text)))
            if len(parsed) > workers:
                place()
        while parsed:
            place()
        while written:
            written.popleft().result()
    return matrix.matrix(), [np.concatenate(c) if c else np.empty(0, object) for c in texts]


class GrowingMatrix:
    """Rows of a float32 matrix whose number is not known; growing remaps pages where the system can."""

    def __init__(self, bands: int) -> None:
        self._bands, self.rows = bands, 0
        self._buffer = np.empty((0, bands), np.float32)

    @property
    def room(self) -> int:
        """Rows that fit without growing."""
        return len(self._buffer) - self.rows

    def grow(self, more: int, expected: int = 0) -> None:
        """Make room for ``more`` rows, or for all that are ``expected``; unused pages cost no memory."""
        if not self.rows:
            self._buffer = np.empty((max(more, expected), self._bands), np.float32)
        else:
            rows = max(self.rows + more, int(len(self._buffer) * 1.25))
            self._buffer.resize((rows, self._bands), refcheck=False)

    def take(self, count: int) -> npt.NDArray[np.float32]:
        """Return the next ``count`` rows, to be written."""
        rows = self._buffer[self.rows : self.rows + count]
        self.rows += count
        return rows

    def append(self, row: npt.NDArray[np.float32]) -> None:
        """Add one row."""
        if not self.room:
            self.grow(1)
        self.take(1)[0] = row

    def matrix(self) -> npt.NDArray[np.float32]:
        """Return the rows, without the room left over."""
        self._buffer.resize((self.rows, self._bands), refcheck=False)
        return self._buffer


def _parser(
    dialect: Dialect, columns: int, bands: Sequence[int], others: Sequence[int]
) -> Callable[[memoryview], Any]:
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    names = [f"c{i}" for i in range(columns)]
    wanted = [names[i] for i in bands]
    types = dict.fromkeys(names, pa.string()) | dict.fromkeys(wanted, pa.float32())
    reading = arrow_csv.ReadOptions(use_threads=False, block_size=1 << 30, column_names=names)
    parsing = arrow_csv.ParseOptions(delimiter=dialect.separator)
    converting = arrow_csv.ConvertOptions(
        column_types=types,
        null_values=list(MISSING_WORDS),
        strings_can_be_null=True,
        decimal_point=dialect.decimal,
        include_columns=wanted + [names[i] for i in others],
    )

    def parse(text: memoryview) -> Any:
        try:
            return arrow_csv.read_csv(pa.BufferReader(pa.py_buffer(text)), reading, parsing, converting)
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise NotCleanError from error

    return parse


def _write(table: Any, rows: npt.NDArray[np.float32]) -> None:
    if len(rows):
        bands = table.select(range(rows.shape[1])).combine_chunks().to_batches()[0]
        rows[:] = bands.to_tensor(null_to_nan=True, row_major=True).to_numpy()


def _blocks(stream: BinaryIO, dialect: Dialect) -> Iterator[memoryview]:
    """Yield blocks of whole lines, the byte-order mark and the header taken off."""
    skip = dialect.skipped + 1
    rest = b""
    stream.read(dialect.mark)
    while True:
        block = bytearray(len(rest) + _BLOCK_BYTES)
        block[: len(rest)] = rest
        got = stream.readinto(memoryview(block)[len(rest) :]) or 0  # type: ignore[attr-defined]
        end = len(rest) + got
        start = 0
        while skip and (line := block.find(b"\n", start, end)) >= 0:
            start, skip = line + 1, skip - 1
        cut = block.rfind(b"\n", start, end) + 1
        if not got:
            if skip:
                raise NotCleanError  # lines end in some other way
            if bytes(block[start:end]).strip():
                yield memoryview(block)[start:end]
            return
        if skip or cut <= start:
            rest = bytes(block[start:end])
            continue
        yield memoryview(block)[start:cut]
        rest = bytes(block[cut:end])
