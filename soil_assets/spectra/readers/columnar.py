"""Parquet files: our stored batches, and wide tables that others wrote.

Belongs here: Parquet. Does not belong here: the stored form itself (``spectra.parquet``).
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from soil_assets.errors import BadInput
from soil_assets.spectra.parquet import DAMAGE, from_parquet, is_batch_file
from soil_assets.spectra.readers.columns import choose_run
from soil_assets.spectra.readers.scans import ReadOptions, Scans
from soil_assets.spectra.readers.source import Source
from soil_assets.spectra.readers.table import PlainTable, samples_table, scans_of


def read_columnar(source: Source, options: ReadOptions) -> Scans | PlainTable:
    """Read a Parquet file.

    Raises
    ------
    BadInput
        When it is damaged or its bands are not numbers.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    raw: Any = source.path if source.path is not None else io.BytesIO(source.read(options.limits.total_bytes))
    try:
        schema = pq.read_schema(raw)
        if hasattr(raw, "seek"):
            raw.seek(0)
        if is_batch_file(schema.metadata):
            return _stored(raw, source)
        header = list(schema.names)
        run = choose_run(header, source.name, options.spectra)
        table = pq.read_table(raw, page_checksum_verification=True)
        if run is None:
            return PlainTable(source.name, table.to_pandas().convert_dtypes(convert_string=False))
    except BadInput:
        raise
    except (pa.ArrowException, *DAMAGE) as error:
        raise BadInput(
            "not a readable Parquet file",
            file=source.name,
            found=(str(error).splitlines() or ["damaged"])[0][:200],
            mend="copy or write the file again",
        ) from None
    try:
        matrix = np.empty((table.num_rows, run.indices.size), np.float32)
        for place, index in enumerate(run.indices):
            matrix[:, place] = table.column(int(index)).cast(pa.float64(), safe=False).to_numpy()
    except pa.ArrowException as error:
        raise BadInput(
            "a band is not a column of numbers", file=source.name, found=str(error)[:200]
        ) from None
    bands = set(run.indices.tolist())
    others = [i for i in range(len(header)) if i not in bands]
    cells = [
        np.array([None if v is None else v for v in table.column(i).to_pylist()], dtype=object)
        for i in others
    ]
    samples, ids = samples_table(
        source.name, [header[i] for i in others], [_as_text(c) for c in cells], options, table.num_rows
    )
    return scans_of(source.name, run, samples, matrix, header, (), ids, "wide Parquet table")


def _stored(raw: Any, source: Source) -> Scans:
    batch = from_parquet(raw)
    samples = batch.samples.assign(source_file=source.name, source_row=np.arange(1, len(batch) + 1))
    return Scans(
        source.name, samples, batch.spectra, batch.axis.values, batch.axis.unit, batch.quantity, batch.scale,
        {**batch.origin, "format": "stored batch"},
    )  # fmt: skip


def _as_text(cells: Any) -> Any:
    # Text keeps ids as they are; numbers are told from text again by the samples table.
    return np.array([None if v is None or v != v else str(v) for v in cells], dtype=object)
