"""Wide text tables: one row a scan, one column a band.

Belongs here: CSV and TSV with a header, streamed into one matrix. Does not belong here: what column names
mean (``readers.columns``), how the text is written (``readers.text``), tables with one row a band
(``readers.pairs``).

Clean tables are streamed (``readers.stream``); one that Arrow refuses (a word among numbers, a row too
short) is read again cell by cell (``readers.careful``), which keeps every row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.errors import BadInput
from soil_assets.spectra.readers.careful import RowReader, fitting_rows, read_carefully, text_or_none
from soil_assets.spectra.readers.columns import KNOWN_COLUMNS, BandColumns, choose_run, sample_column, squeeze
from soil_assets.spectra.readers.scans import ReadOptions, Scans
from soil_assets.spectra.readers.sniff import NotSpectraError
from soil_assets.spectra.readers.source import Source
from soil_assets.spectra.readers.stream import NotCleanError, stream_table
from soil_assets.spectra.readers.text import Dialect, is_number, lines_of, split_line

#: Names that a batch uses itself; a table's own column of that name is kept under another.
_RESERVED = ("spectrum", "source_file", "source_row")


@dataclass(frozen=True, eq=False)
class PlainTable:
    """A table without spectra: a laboratory's results, or metadata.

    Parameters
    ----------
    file : str
        The file's name.
    frame : DataFrame
        The cells; columns that are numbers throughout are numeric, all others text.
    """

    file: str
    frame: pd.DataFrame


def read_text_table(
    source: Source, options: ReadOptions, head: bytes, dialect: Dialect
) -> Scans | PlainTable:
    """Read a delimited table with a header.

    Raises
    ------
    BadInput
        When there is no header, or the table is empty.
    """
    header = _header(head, dialect, source.name)
    run = choose_run(header, source.name, options.spectra)
    if run is None:
        return _read_plain(source, dialect, header, options)
    others = _others(header, run)
    rows = RowReader(header, run.indices.tolist(), others, dialect.decimal)
    try:
        spectra, texts = stream_table(source, dialect, rows, options)
    except NotCleanError:
        rows = RowReader(header, run.indices.tolist(), others, dialect.decimal)
        spectra, texts = read_carefully(source, dialect, rows, options)
    said = rows.said()
    if dialect.encoding != "utf-8":
        said = (*said, f"the text is in {dialect.encoding}, not UTF-8")
    samples, ids = samples_table(source.name, [header[i] for i in others], texts, options, len(spectra))
    return scans_of(
        source.name, run, samples, spectra, header, dialect.comments, ids + said, "wide text table"
    )


def _read_plain(source: Source, dialect: Dialect, header: list[str], options: ReadOptions) -> PlainTable:
    try:
        rows = [
            [text_or_none(cell) for cell in row]
            for row in fitting_rows(source, dialect, len(header), options)
        ]
    except BadInput as error:
        # Without spectral columns it is no scan that was lost: a text, or a table that nobody can use.
        raise NotSpectraError(
            error.what, file=error.file, found=error.found, expected=error.expected, mend=error.mend
        ) from None
    return plain_table(source.name, header, rows)


def scans_of(
    file: str,
    run: BandColumns,
    samples: pd.DataFrame,
    spectra: npt.NDArray[np.float32],
    header: Sequence[str],
    comments: Sequence[str],
    said: tuple[str, ...],
    kind: str,
) -> Scans:
    """Put a wide table's parts together; the header's first cell and comments may state units, too."""
    from soil_assets.spectra.readers.columns import quantity_in, unit_in

    words = " / ".join([header[0], *comments])
    if run.quantity == "reflectance" and run.scale is None and "%" in words:
        run = replace(run, scale="percent")
    return Scans(
        file,
        samples,
        spectra,
        run.positions,
        run.axis_unit or unit_in(words),
        run.quantity or quantity_in(words),
        run.scale,
        {"format": kind},
        said,
    )


def plain_table(file: str, header: Sequence[str], rows: Sequence[Sequence[str | None]]) -> PlainTable:
    """Build a table without spectra from its header and rows of text."""
    names = _unique(header)
    columns = [
        np.array([r[i] if i < len(r) else None for r in rows], dtype=object) for i in range(len(names))
    ]
    return PlainTable(file, pd.DataFrame({name: _typed(c) for name, c in zip(names, columns, strict=True)}))


def samples_table(
    file: str, names: list[str], texts: Sequence[Any], options: ReadOptions, count: int
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Build the samples table from the columns that are not bands, and say where the ids were taken from.

    ``texts`` are columns of text (object arrays, None where missing). The id column stays text, so that
    ``007`` keeps its zeros; other columns become numbers where every cell is one.
    """
    free = [f"{name}_given" if name in _RESERVED else name for name in names]
    columns = {name: _typed(values) for name, values in zip(_unique(free), texts, strict=True)}
    keys = list(columns)
    wanted = None
    if options.id_column is not None:
        if options.id_column not in columns:
            raise BadInput(
                "no such id column",
                file=file,
                column=options.id_column,
                found=", ".join(keys[:8]) or "no other column",
            )
        wanted = options.id_column
    elif keys:
        index = sample_column(keys, range(len(keys)), [columns[k].dtype == object for k in keys])
        wanted = keys[index] if index is not None else None
    samples: dict[str, Any] = {"sample_id": pd.array([None] * count, dtype=object)}
    for name, values in zip(keys, texts, strict=True):
        if name == wanted:
            samples["sample_id"] = values
            if name == "id.scan_local_c":
                samples["scan_id"] = values
            continue
        known = KNOWN_COLUMNS.get(squeeze(name))
        if known and known not in samples and known not in keys:
            samples[known] = values  # names stay text in every file, so that batches stack
        elif name not in samples:
            samples[name] = columns[name]
    frame = pd.DataFrame(samples)
    frame["source_file"] = file
    frame["source_row"] = np.arange(1, count + 1)
    if wanted is None:
        return frame, ("no column names the samples",)
    return frame, () if squeeze(wanted) == "sampleid" else (f"sample ids are those of column {wanted}",)


def _header(head: bytes, dialect: Dialect, file: str) -> list[str]:
    lines = lines_of(head[dialect.mark :].decode(dialect.encoding, errors="replace"))
    cells = split_line(lines[dialect.skipped], dialect.separator)
    if sum(map(is_number, cells)) == len(cells):
        raise BadInput(
            "the table has no header, so its band positions are not known",
            file=file,
            row=1,
            found=", ".join(cells[:4]) + (" ..." if len(cells) > 4 else ""),
            expected="a first row that names the columns: sample_id, then wavelengths or wavenumbers",
            mend="export the table with its header",
        )
    return cells


def _others(header: Sequence[str], run: BandColumns) -> list[int]:
    bands = set(run.indices.tolist())
    return [i for i in range(len(header)) if i not in bands]


def _typed(values: npt.NDArray[Any]) -> Any:
    """Return a column as numbers when every cell that is not missing is one (and none begins with a zero)."""
    present = [v for v in values if v is not None]
    if not present or not all(is_number(v) and not _coded(v) for v in present):
        return values
    decimal = [v.replace(",", ".") if isinstance(v, str) else v for v in values]
    numbers = pd.to_numeric(pd.Series(decimal, dtype=object), errors="coerce")
    return numbers.to_numpy()


def _coded(text: str) -> bool:
    stripped = text.strip()
    return len(stripped) > 1 and stripped[0] == "0" and stripped[1].isdigit()


def _unique(names: Sequence[str]) -> list[str]:
    """Return the names, blanks named by their place and repeated ones numbered."""
    seen: dict[str, int] = {}
    out = []
    for place, name in enumerate(names, start=1):
        name = name.strip() or f"column_{place}"
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return out
