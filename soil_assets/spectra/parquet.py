"""A :class:`SpectralBatch` as one Parquet file, and back, exactly.

Belongs here: the stored form of a batch: the samples table as ordinary columns, the matrix as one
fixed-size list column, axis, quantity, scale and origin as JSON in the schema's metadata. Does not belong
here: Parquet files that others wrote (``readers.columnar``) and where files are kept.
"""

from __future__ import annotations

import json
import os
import uuid
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from soil_assets.errors import BadInput
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.storage import file_system

#: Name of the matrix's column and of the metadata key that marks a file as ours.
SPECTRUM_COLUMN = "spectrum"
METADATA_KEY = b"soil_assets.batch"
SCHEMA_VERSION = 1
#: A row group holds about this many bytes of matrix: one group (and so no copy on reading) for most batches.
_ROW_GROUP_BYTES = 1 << 30


def to_parquet(batch: SpectralBatch, target: str | os.PathLike[str] | BinaryIO) -> None:
    """Write ``batch`` to a path or an open binary file.

    A path is written under a temporary name beside it and moved into place, so a half-written file is never
    seen.

    Raises
    ------
    BadInput
        When a samples column cannot be stored as it is (mixed types, a name used twice or reserved).
    """
    import pyarrow.parquet as pq

    table = _to_table(batch)
    rows = max(1, _ROW_GROUP_BYTES // max(1, batch.spectra.shape[1] * 4))
    settings: dict[str, Any] = {
        "row_group_size": rows,
        "compression": "zstd",
        "compression_level": 1,
        "write_page_checksum": True,
    }
    # Neighbouring bands share sign, exponent and leading bits: split by byte, they pack a fifth smaller. A
    # dictionary or statistics of them would only cost time.
    settings["use_byte_stream_split"] = [f"{SPECTRUM_COLUMN}.list.element"]
    settings["use_dictionary"] = settings["write_statistics"] = [
        c for c in table.column_names if c != SPECTRUM_COLUMN
    ]
    if not isinstance(target, (str, os.PathLike)):
        pq.write_table(table, target, **settings)
        return
    final = Path(target)
    partial = final.with_name(f".{final.name}.{uuid.uuid4().hex}.partial")
    try:
        with partial.open("wb") as stream:
            pq.write_table(table, stream, **settings)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(final)
    finally:
        partial.unlink(missing_ok=True)


#: What JSON, NumPy and pandas raise on a damaged file, besides Arrow's own errors.
DAMAGE = (
    OSError, ValueError, TypeError, LookupError, AttributeError, NotImplementedError, MemoryError, ArithmeticError,
)  # fmt: skip


def from_parquet(source: str | os.PathLike[str] | BinaryIO) -> SpectralBatch:
    """Read what :func:`to_parquet` wrote, from a path, a URL or an open file.

    The matrix is a view of Arrow's memory, not a copy. Every page's checksum is verified.

    Raises
    ------
    BadInput
        When the file is missing, damaged, or not one of ours.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = str(source) if isinstance(source, (str, os.PathLike)) else getattr(source, "name", "(stream)")
    try:
        with _opened(source) as stream:
            table = pq.read_table(stream, page_checksum_verification=True)
        raw = (table.schema.metadata or {}).get(METADATA_KEY)
        if raw is not None and SPECTRUM_COLUMN in table.column_names:
            return _from_table(table, json.loads(raw), str(name))
    except BadInput:
        raise
    except FileNotFoundError:
        raise BadInput("no such file", file=name) from None
    except (pa.ArrowException, *DAMAGE) as error:
        raise BadInput(
            "not a readable Parquet file",
            file=name,
            found=_first_line(error),
            mend="copy or write the file again",
        ) from None
    raise BadInput(
        "a Parquet file, but not a stored batch",
        file=name,
        found=f"{table.num_columns} columns, no batch metadata",
        expected="a file written by soil_assets",
        mend="read it as a table with soil_assets.spectra.read",
    )


def is_batch_file(metadata: dict[bytes, bytes] | None) -> bool:
    """Whether a Parquet schema's metadata marks a stored batch."""
    return METADATA_KEY in (metadata or {})


def _opened(source: str | os.PathLike[str] | BinaryIO) -> Any:
    """Return a context with the source: a URL is opened through fsspec, anything else by Arrow itself."""
    if isinstance(source, str) and "://" in source:
        fs, path = file_system(source)
        return fs.open(path, "rb")
    return nullcontext(source)


def _to_table(batch: SpectralBatch) -> Any:
    import pyarrow as pa

    samples = batch.samples
    names = list(samples.columns)
    for name in names:
        if not isinstance(name, str) or name == SPECTRUM_COLUMN or names.count(name) > 1:
            raise BadInput(
                "a samples column cannot be stored",
                column=repr(name),
                expected=f"text names, each once, none of them {SPECTRUM_COLUMN!r}",
                mend="rename the column",
            )
    try:
        table = pa.Table.from_pandas(samples, preserve_index=False)
    except pa.ArrowException as error:
        raise BadInput(
            "a samples column holds values of several types",
            found=_first_line(error),
            mend="make the column all text or all numbers",
        ) from None
    values = pa.array(batch.spectra.reshape(-1))
    spectrum = pa.FixedSizeListArray.from_arrays(values, batch.spectra.shape[1])
    facts = {
        "version": SCHEMA_VERSION,
        "axis": {"unit": batch.axis.unit, "values": batch.axis.values.tolist()},
        "quantity": batch.quantity,
        "scale": batch.scale,
        "origin": dict(batch.origin),
        # Arrow knows one kind of missing value, pandas two: remember which one stood in an object column.
        "nan_columns": [n for n in names if samples[n].dtype == object and _has_nan(samples[n])],
    }
    table = table.append_column(SPECTRUM_COLUMN, spectrum)
    return table.replace_schema_metadata(
        {**(table.schema.metadata or {}), METADATA_KEY: json.dumps(facts).encode()}
    )


def _from_table(table: Any, facts: dict[str, Any], name: str) -> SpectralBatch:
    if facts.get("version") != SCHEMA_VERSION:
        raise BadInput(
            "stored by another version of soil_assets",
            file=name,
            found=f"schema version {facts.get('version')}",
            expected=f"schema version {SCHEMA_VERSION}",
        )
    bands = len(facts["axis"]["values"])
    chunks = [c.values.to_numpy()[c.offset * bands : (c.offset + len(c)) * bands] for c in
              table.column(SPECTRUM_COLUMN).chunks]  # fmt: skip
    if len(chunks) == 1:
        flat = chunks[0]
    else:
        flat = np.concatenate(chunks) if chunks else np.empty(0, np.float32)
    samples = table.drop_columns([SPECTRUM_COLUMN]).to_pandas()
    for column in facts["nan_columns"]:
        samples[column] = samples[column].where(samples[column].notna(), np.nan)
    axis = Axis(np.array(facts["axis"]["values"]), facts["axis"]["unit"])
    return SpectralBatch(
        samples, flat.reshape(-1, bands), axis, facts["quantity"], facts["scale"], facts["origin"]
    )


def _has_nan(column: pd.Series[Any]) -> bool:
    return any(isinstance(v, float) and v != v for v in column)


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
