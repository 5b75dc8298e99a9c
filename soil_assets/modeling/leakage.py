"""Is a benchmark sample among the training samples, under its own name or another?

Belongs here: leaks by id, by profile and by near-identical spectrum. Does not belong here: duplicates inside
one batch (``quality``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.errors import BadInput
from soil_assets.modeling.pretreatment import chain, savgol, snv
from soil_assets.spectra.batch import SpectralBatch

FloatArray = npt.NDArray[np.float64]

COLUMNS = ("kind", "benchmark_id", "training_id", "benchmark_row", "training_row", "distance", "limit")
_PRETREATMENT = chain(snv(), savgol(11, 2, 1))
#: Share of the median nearest-neighbour distance inside the benchmark below which two spectra are one scan.
#: Different soils come no nearer than 0.09 of it (NIRsoil, 825 soils), 0.19 (KSSL, 500) and 0.30 (15 LimeSoDa
#: sets, where the one exception, SC.93 at 0.000, is a true duplicate); a scan that was copied, rescaled,
#: rounded to four digits or given a little noise lies below 0.03. A second aliquot of one soil on the same
#: instrument lies at 0.8 and more (yamsys, 94 soils): a repeat measurement is found by id or profile only.
NEAR_IDENTICAL_SHARE = 0.05
_CHUNK = 2_000_000


def benchmark_leakage(training: SpectralBatch, benchmark: SpectralBatch) -> pd.DataFrame:
    """List the benchmark samples that the training data already hold.

    Parameters
    ----------
    training, benchmark : SpectralBatch
        On one axis and in one quantity.

    Returns
    -------
    DataFrame
        Columns ``kind`` (``id``, ``profile`` or ``spectrum``), ids and rows (from 1) of both, and for spectra
        the ``distance`` with its ``limit``. Empty when nothing leaks.

    Raises
    ------
    BadInput
        When axes or quantities differ: spectra that cannot be compared are not 'no leak'.
    """
    if training.axis != benchmark.axis or (training.quantity, training.scale) != (
        benchmark.quantity,
        benchmark.scale,
    ):
        raise BadInput(
            "training and benchmark spectra cannot be compared",
            found=repr(training),
            expected=repr(benchmark),
            mend="harmonise both first (soil_assets.spectra.harmonise)",
        )
    found = [
        _by_column(training, benchmark, "sample_id", "id"),
        _by_column(training, benchmark, "profile", "profile"),
        _by_spectrum(training, benchmark),
    ]
    kept = [f for f in found if len(f)]
    return pd.concat(kept, ignore_index=True) if kept else pd.DataFrame(columns=list(COLUMNS))


def _by_column(training: SpectralBatch, benchmark: SpectralBatch, column: str, kind: str) -> pd.DataFrame:
    if column not in training.samples.columns or column not in benchmark.samples.columns:
        return pd.DataFrame(columns=list(COLUMNS))
    known: dict[str, int] = {}
    for row, value in enumerate(training.samples[column]):
        if pd.notna(value):
            known.setdefault(str(value).strip().lower(), row)
    pairs = [
        (row, known[str(value).strip().lower()])
        for row, value in enumerate(benchmark.samples[column])
        if pd.notna(value) and str(value).strip().lower() in known
    ]
    return _table(kind, pairs, training, benchmark)


def _by_spectrum(training: SpectralBatch, benchmark: SpectralBatch) -> pd.DataFrame:
    if len(training) == 0 or len(benchmark) < 3:
        # With fewer than three benchmark spectra there is no typical distance to measure against.
        return pd.DataFrame(columns=list(COLUMNS))
    ours = _PRETREATMENT.apply(benchmark.spectra)
    theirs = _PRETREATMENT.apply(training.spectra)
    usable = np.isfinite(ours).all(axis=1)
    trained = np.flatnonzero(np.isfinite(theirs).all(axis=1))
    if usable.sum() < 3 or trained.size == 0:
        return pd.DataFrame(columns=list(COLUMNS))
    within, _ = _nearest(ours[usable], ours[usable], exclude_self=True)
    limit = NEAR_IDENTICAL_SHARE * float(np.median(within))
    rows = np.flatnonzero(usable)
    distance, neighbour = _nearest(ours[usable], theirs[trained], exclude_self=False)
    near = np.flatnonzero(distance <= limit)
    pairs = [(int(rows[i]), int(trained[neighbour[i]])) for i in near]
    table = _table("spectrum", pairs, training, benchmark)
    table["distance"], table["limit"] = distance[near], limit
    return table


def _nearest(a: FloatArray, b: FloatArray, *, exclude_self: bool) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Distance to and position of the nearest row of ``b`` for each row of ``a``."""
    squares = (b**2).sum(axis=1)
    distance, position = np.empty(len(a)), np.empty(len(a), dtype=np.intp)
    step = max(1, _CHUNK // len(b))
    for start in range(0, len(a), step):
        part = a[start : start + step]
        squared = (part**2).sum(axis=1)[:, None] + squares - 2.0 * part @ b.T
        if exclude_self:
            squared[np.arange(len(part)), np.arange(start, start + len(part))] = np.inf
        best = np.argmin(squared, axis=1)
        # The difference itself, since a2 + b2 - 2ab loses its digits exactly where spectra are alike.
        distance[start : start + step] = np.sqrt(((part - b[best]) ** 2).sum(axis=1))
        position[start : start + step] = best
    return distance, position


def _table(
    kind: str, pairs: list[tuple[int, int]], training: SpectralBatch, benchmark: SpectralBatch
) -> pd.DataFrame:
    ours, theirs = benchmark.sample_ids, training.sample_ids
    rows = [(kind, ours.iloc[b], theirs.iloc[t], b + 1, t + 1, np.nan, np.nan) for b, t in pairs]
    return pd.DataFrame(rows, columns=list(COLUMNS))
