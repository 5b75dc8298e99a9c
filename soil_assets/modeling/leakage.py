"""Is a benchmark sample among the training samples, under its own name or another?

Belongs here: leaks by id, by profile and by near-identical spectrum. Does not belong here: duplicates inside
one batch (``quality``), evidence of whole batches (``disguised_copies``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.errors import BadInput
from soil_assets.modeling.disguised_copies import suspicions
from soil_assets.modeling.pretreatment import Pretreatment, average, chain, savgol, snv
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.harmonise import to_quantity

FloatArray = npt.NDArray[np.float64]

COLUMNS = ("kind", "benchmark_id", "training_id", "benchmark_row", "training_row", "distance", "limit")
#: Two ways of looking at spectra, and the share of the median nearest-neighbour distance inside the benchmark below
#: which two spectra are one scan. Over 18 real sets (random fifths against the rest, 20 times; 3,300 comparisons for
#: NIRsoil, whose 825 soils lie closest) the first finds every copy that was rescaled and rounded to four digits and
#: takes one pair for a copy that is none; the second sees through a tilted baseline too, and takes no pair for one.
#: (SC.93 of LimeSoDa holds a true duplicate.) A second aliquot of one soil on the same instrument lies at 0.8 and more
#: (yamsys, 94 soils): a repeat measurement is found by id or profile only.
NEAR_IDENTICAL_SHARE = 0.03
_VIEWS = (chain(average(150), snv()), chain(average(150), savgol(11, 2, 1), snv()))
_CHUNK = 2_000_000
_MOST_FOR_TYPICAL = 2000


def benchmark_leakage(training: SpectralBatch, benchmark: SpectralBatch) -> pd.DataFrame:
    """List the benchmark samples that the training data already hold.

    Parameters
    ----------
    training, benchmark : SpectralBatch
        On one axis and in one quantity.

    Returns
    -------
    DataFrame
        Columns ``kind`` (``id``, ``profile``, ``spectrum`` or ``disguise``), ids and rows (from 1) of both, for spectra
        the ``distance`` with its ``limit``, and for disguises the ratio of the distances to the nearest and second
        nearest benchmark soil. Empty when nothing leaks.

    Raises
    ------
    BadInput
        When axes or quantities differ, or there are fewer than three spectra to tell a typical distance from:
        spectra that cannot be compared are not 'no leak'.
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
        _by_batch(training, benchmark),
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
    found = [_seen_alike(view, training, benchmark) for view in _VIEWS]
    together = pd.concat([f for f in found if len(f)] or found[:1], ignore_index=True)
    return together.drop_duplicates(["benchmark_row"]).sort_values("benchmark_row", ignore_index=True)


def _by_batch(training: SpectralBatch, benchmark: SpectralBatch) -> pd.DataFrame:
    """Rows of batches that hold benchmark soils in disguise; the golden reference tells what is usual."""
    if "batch" not in training.samples.columns:
        return pd.DataFrame(columns=list(COLUMNS))
    ours = to_quantity(benchmark, "absorbance").spectra.astype(np.float64)
    theirs = to_quantity(training, "absorbance").spectra.astype(np.float64)
    trained = np.flatnonzero(_varies(training) & np.isfinite(theirs).all(axis=1))
    rows = np.flatnonzero(_varies(benchmark) & np.isfinite(ours).all(axis=1))
    soils = np.unique(benchmark.sample_ids.astype(str), return_inverse=True)[1]
    tables = []
    for suspicion in suspicions(
        theirs[trained], training.samples["batch"].to_numpy(dtype=object)[trained], ours[rows], soils[rows]
    ):
        pairs = list(zip(rows[suspicion.soils].tolist(), trained[suspicion.rows].tolist(), strict=True))
        table = _table("disguise", pairs, training, benchmark)
        table["distance"] = suspicion.ratios
        tables.append(table)
    if not tables:
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.concat(tables, ignore_index=True).drop_duplicates(["training_row"], ignore_index=True)


def _seen_alike(view: Pretreatment, training: SpectralBatch, benchmark: SpectralBatch) -> pd.DataFrame:
    ours, theirs = view.apply(benchmark.spectra), view.apply(training.spectra)
    usable = _varies(benchmark) & np.isfinite(ours).all(axis=1)
    trained = np.flatnonzero(_varies(training) & np.isfinite(theirs).all(axis=1))
    if not usable.any() or trained.size == 0:
        return pd.DataFrame(columns=list(COLUMNS))
    # A typical distance needs three spectra: with fewer in the benchmark, the training spectra tell it.
    typical = ours[usable] if usable.sum() >= 3 else theirs[trained][:_MOST_FOR_TYPICAL]
    if len(typical) < 3:
        raise BadInput(
            "too few spectra to tell a copy from a similar soil",
            found=f"{int(usable.sum())} benchmark and {trained.size} training spectra",
            expected="at least three in one of them",
            mend="use a larger benchmark",
        )
    limit = NEAR_IDENTICAL_SHARE * float(np.median(_nearest(typical, typical, exclude_self=True)[0]))
    rows = np.flatnonzero(usable)
    distance, neighbour = _nearest(ours[usable], theirs[trained], exclude_self=False)
    near = np.flatnonzero(distance <= limit)
    pairs = [(int(rows[i]), int(trained[neighbour[i]])) for i in near]
    table = _table("spectrum", pairs, training, benchmark)
    table["distance"], table["limit"] = distance[near], limit
    return table


def _varies(batch: SpectralBatch) -> npt.NDArray[np.bool_]:
    """Tell which spectra have a shape at all: all flat ones are alike."""
    return np.asarray(np.ptp(batch.spectra, axis=1) > 1e-6)


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
