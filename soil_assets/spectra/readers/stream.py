"""Clean wide tables, fast: blocks of whole lines parsed side by side into one float32 matrix.

Belongs here: cutting text into blocks, and Arrow's parser. Does not belong here: rows that Arrow refuses
(``readers.careful``), and what the columns mean.

A table of 20,000 x 1,701 never exists as a table: at any time a few blocks of text are in memory besides
the matrix.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from soil_assets.spectra.readers.careful import RowReader, split_block
from soil_assets.spectra.readers.matrix import GrowingMatrix
from soil_assets.spectra.readers.scans import ReadOptions
from soil_assets.spectra.readers.source import Source
from soil_assets.spectra.readers.text import MISSING_WORDS, Dialect

_BLOCK_BYTES = 16 << 20
_MOST_WORKERS = 4


class NotCleanError(Exception):
    """Arrow refused the table; the careful reader says why."""


def stream_table(
    source: Source, dialect: Dialect, rows: RowReader, options: ReadOptions
) -> tuple[npt.NDArray[np.float32], list[npt.NDArray[Any]]]:
    """Read the rows after the header.

    A block in which Arrow finds a word among numbers or a row of the wrong length is read cell by cell by
    ``rows``, which then knows what to say of it; the other blocks stay fast.

    Returns
    -------
    (ndarray of float32, list of ndarray of object)
        The matrix, shape (n_rows, n_bands), and the other columns as text.

    Raises
    ------
    NotCleanError
        When blocks cannot be told apart safely: quoted cells in a block that is not clean, a text that is
        not UTF-8.
    BadInput
        When most rows do not fit the header.
    """
    if dialect.separator == " " or dialect.encoding != "utf-8":
        raise NotCleanError
    parse = _parser(dialect, rows)
    matrix = GrowingMatrix(len(rows.bands))
    texts: list[list[npt.NDArray[Any]]] = [[] for _ in rows.others]
    parsed: deque[tuple[memoryview, Future[Any]]] = deque()
    written: deque[Future[None]] = deque()
    size = source.path.stat().st_size if source.path is not None else 0

    def make_room(count: int, length: int) -> None:
        if matrix.room < count:
            while written:  # nobody may write while the matrix moves
                written.popleft().result()
            matrix.grow(count, int(count * size / length * 1.02) if not matrix.rows else 0)

    def place() -> None:
        text, future = parsed.popleft()
        table = future.result()
        if table is None:
            block = list(split_block(text, dialect))
            make_room(len(block), len(text))
            for column, cells in zip(texts, rows.read(block, matrix, source.name), strict=True):
                column.append(cells)
            return
        make_room(table.num_rows, len(text))
        for i, column in enumerate(texts):
            column.append(table.column(len(rows.bands) + i).to_numpy())
        written.append(pool.submit(_write, table, matrix.take(table.num_rows)))
        while len(written) > workers:
            written.popleft().result()

    # Arrow and NumPy let go of the interpreter: blocks are parsed and written side by side, and placed in
    # order.
    workers = min(_MOST_WORKERS, os.cpu_count() or 1)
    with source.unpacked(options.limits.total_bytes) as stream, ThreadPoolExecutor(workers) as pool:
        for text in _blocks(stream, dialect):
            parsed.append((text, pool.submit(parse, text)))
            if len(parsed) > workers:
                place()
        while parsed:
            place()
        while written:
            written.popleft().result()
    rows.judge(matrix.rows, source.name)
    return matrix.matrix(), [np.concatenate(c) if c else np.empty(0, object) for c in texts]


def _parser(dialect: Dialect, rows: RowReader) -> Callable[[memoryview], Any]:
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    names = [f"c{i}" for i in range(len(rows.header))]
    wanted = [names[i] for i in rows.bands]
    types = dict.fromkeys(names, pa.string()) | dict.fromkeys(wanted, pa.float32())
    reading = arrow_csv.ReadOptions(use_threads=False, block_size=1 << 30, column_names=names)
    parsing = arrow_csv.ParseOptions(delimiter=dialect.separator)
    converting = arrow_csv.ConvertOptions(
        column_types=types,
        null_values=list(MISSING_WORDS),
        strings_can_be_null=True,
        decimal_point=dialect.decimal,
        include_columns=wanted + [names[i] for i in rows.others],
    )

    def parse(text: memoryview) -> Any:
        """Return Arrow's table, or None for a block that has to be read cell by cell."""
        try:
            return arrow_csv.read_csv(pa.BufferReader(pa.py_buffer(text)), reading, parsing, converting)
        except (pa.ArrowException, UnicodeDecodeError) as error:
            # Inside quotes a line may go on in the next block: then only the whole file can be read.
            if b'"' in bytes(text):
                raise NotCleanError from error
            return None

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
