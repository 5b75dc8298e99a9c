"""Scans that are there twice: exact copies inside a batch and against what earlier batches brought.

Belongs here: finding copies. Does not belong here: replicates, which are different scans of one sample.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.spectra.batch import SpectralBatch, SpectraMatrix


def fingerprints(spectra: SpectraMatrix) -> list[bytes | None]:
    """Return a digest of each row's values, equal for equal spectra; None for a row without any number."""
    rows = np.ascontiguousarray(spectra, dtype=np.float32) + np.float32(0)  # -0.0 becomes 0.0
    some = np.isfinite(rows).any(axis=1)
    return [
        hashlib.blake2b(row.data, digest_size=16).digest() if s else None
        for row, s in zip(rows, some, strict=True)
    ]


def repeats_within(batch: SpectralBatch) -> list[str | None]:
    """Say for each scan which earlier scan of the batch it copies exactly; None for the first of its kind."""
    first: dict[bytes, int] = {}
    out: list[str | None] = []
    for row, key in enumerate(fingerprints(batch.spectra)):
        if key is None:
            out.append(None)
        elif key in first:
            out.append(f"the same spectrum as {place(batch.samples, first[key])}")
        else:
            first[key] = row
            out.append(None)
    return out


def landed_before(
    spectra: SpectraMatrix, rows: npt.NDArray[np.intp], known: SpectralBatch, count: int
) -> list[str | None]:
    """Say for each scan of a batch which known scan it copies exactly.

    Parameters
    ----------
    spectra : ndarray of float32, shape (n, n_bands)
        Harmonised scans.
    rows : ndarray of int, shape (n,)
        Their rows in the batch.
    known : SpectralBatch
        Accepted scans of earlier batches, on the same axis.
    count : int
        Scans in the batch.
    """
    earlier = {key: i for i, key in reversed(list(enumerate(fingerprints(known.spectra)))) if key is not None}
    out: list[str | None] = [None] * count
    for row, key in zip(rows, fingerprints(spectra), strict=True):
        if key is not None and key in earlier:
            out[int(row)] = f"the same spectrum as {place(known.samples, earlier[key])}"
    return out


def place(samples: pd.DataFrame, row: int) -> str:
    """Say where a scan stands: its sample and its batch, file or row."""
    record = samples.iloc[row]
    sample = f"sample {record['sample_id']}" if pd.notna(record["sample_id"]) else "a scan without id"
    where = [f"{label} {record[c]}" for c, label in _PLACES if c in samples.columns and pd.notna(record[c])]
    return f"{sample} ({', '.join(where)})" if where else f"{sample} (row {row + 1})"


_PLACES: Sequence[tuple[str, str]] = (
    ("batch", "batch"),
    ("source_file", "file"),
    ("source_row", "row"),
    ("scan_id", "scan"),
)
