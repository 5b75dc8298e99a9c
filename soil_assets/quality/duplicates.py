"""Scans that are there twice: exact and near copies, inside a batch and against what earlier batches brought.

Belongs here: finding copies and saying of what. Does not belong here: replicates, which are different scans
of one sample (``quality.replicates``).

A near copy is the same scan exported again: rounded, resampled, offset or scaled. Its distance is the root
mean square difference of SNV absorbance spectra; over 3,700 real spectra of 19 sets no two different scans
came nearer than 0.0023, while rounding and resampling stay under 0.001.

The search never compares all pairs: a k-d tree finds the pairs whose signatures (``quality.known``) are
near, and only they are compared band by band. Signatures never lengthen a distance, so nothing near can be
missed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.errors import BadInput
from soil_assets.quality.known import KnownSpectra, Rows, signatures
from soil_assets.quality.replicates import snv
from soil_assets.spectra.batch import SpectralBatch, SpectraMatrix
from soil_assets.spectra.harmonise import to_quantity

Floats = npt.NDArray[np.float64]

#: Scans fetched at a time, and compared at a time: what is near lies in few files, each is read once for many.
_FETCHED_ROWS, _COMPARED_ROWS = 2048, 256
#: What float32 spectra add to a projected distance.
_ROUNDING = 2e-5


def fingerprints(spectra: SpectraMatrix) -> list[bytes | None]:
    """Return a digest of each row's values, equal for equal spectra; None for a row without any number."""
    rows = np.ascontiguousarray(spectra, dtype=np.float32)
    some = np.logical_or.reduce(np.isfinite(rows), axis=1)
    # Adding 0 turns -0.0 into 0.0, which compares equal but has other bytes.
    return [
        hashlib.blake2b((row + np.float32(0)).data, digest_size=16).digest() if s else None
        for row, s in zip(rows, some, strict=True)
    ]


def copies_within(batch: SpectralBatch, harmonised: SpectralBatch, rows: Rows, near: float) -> pd.DataFrame:
    """Say for each scan of a batch which earlier scan of it it copies.

    Parameters
    ----------
    batch : SpectralBatch
        As landed; exact copies are told here, whatever else is wrong with a scan.
    harmonised : SpectralBatch
        Scans on the model's axis; near copies are told here.
    rows : ndarray of int
        Rows of ``harmonised`` in ``batch``.
    near : float
        RMS of SNV absorbance up to which two scans are one (the policy's ``near_copy_distance``).

    Returns
    -------
    DataFrame
        ``copy_of`` (text or None), ``copied_as`` (text or None: a later scan under another id copies this
        one, so one of the two ids is wrong).
    """
    earlier: dict[int, tuple[int, float]] = {}
    first: dict[bytes, int] = {}
    for row, key in enumerate(fingerprints(batch.spectra)):
        if key is not None and first.setdefault(key, row) != row:
            earlier[row] = (first[key], 0.0)
    fresh = np.array([i for i, row in enumerate(rows) if int(row) not in earlier], dtype=np.intp)
    for i, j, distance in _near_pairs(harmonised.take(fresh), near):
        earlier[int(rows[fresh[i]])] = (int(rows[fresh[j]]), distance)
    ids = batch.samples["sample_id"]
    texts: dict[str, list[str | None]] = {"copy_of": [None] * len(batch), "copied_as": [None] * len(batch)}
    for row, (other, distance) in earlier.items():
        texts["copy_of"][row] = _says(distance, place(batch.samples, other))
        if pd.notna(ids[row]) and pd.notna(ids[other]) and ids[row] != ids[other]:
            texts["copied_as"][other] = _says(distance, place(batch.samples, row))
    return pd.DataFrame({name: pd.array(column, dtype=object) for name, column in texts.items()})


def landed_before(
    harmonised: SpectralBatch, rows: Rows, known: KnownSpectra, count: int, near: float
) -> list[str | None]:
    """Say for each of ``count`` landed scans which known scan it copies, exactly or nearly; None for none.

    Two scans are one up to an RMS of SNV absorbance of ``near`` (the policy's ``near_copy_distance``).

    Raises
    ------
    BadInput
        When the known scans lie on another axis.
    """
    if known.axis != harmonised.axis:
        raise BadInput(
            "the known scans lie on another axis than the model",
            found=known.axis.describe(),
            expected=harmonised.axis.describe(),
            mend="harmonise them again, and index them again",
        )
    out: list[str | None] = [None] * count
    if not len(known) or not len(harmonised):
        return out
    from scipy.spatial import cKDTree

    tree = cKDTree(known.signatures.astype(np.float64), balanced_tree=False, compact_nodes=False)
    balls = tree.query_ball_point(signatures(harmonised).astype(np.float64), near + _ROUNDING)
    mine = np.repeat(np.arange(len(balls)), [len(b) for b in balls])
    theirs = np.array([j for ball in balls for j in ball], dtype=np.intp)
    if not theirs.size:
        return out
    candidates, inverse = np.unique(theirs, return_inverse=True)
    distance = _distances(_absorbance(harmonised), mine, known.spectra, candidates, inverse)
    for k in np.argsort(-distance, kind="stable"):  # the nearest is written last
        if distance[k] <= near:
            out[int(rows[mine[k]])] = _says(float(distance[k]), place(known.samples, int(theirs[k])))
    return out


def place(samples: pd.DataFrame, row: int) -> str:
    """Say where a scan stands: its sample and its batch, file, row or scan."""
    record = samples.iloc[row]
    sample = f"sample {record['sample_id']}" if pd.notna(record["sample_id"]) else "a scan without id"
    where = [f"{label} {record[c]}" for c, label in _PLACES if c in samples.columns and pd.notna(record[c])]
    return f"{sample} ({', '.join(where) or f'row {row + 1}'})"


_PLACES: Sequence[tuple[str, str]] = (
    ("batch", "batch"), ("source_file", "file"), ("source_row", "row"), ("scan_id", "scan"),
)  # fmt: skip


def _near_pairs(harmonised: SpectralBatch, near: float) -> list[tuple[int, int, float]]:
    """Return (scan, earlier scan, distance) for every scan that nearly copies an earlier one."""
    count = len(harmonised)
    if count < 2:
        return []
    from scipy.spatial import cKDTree

    points = signatures(harmonised).astype(np.float64)
    tree = cKDTree(points)
    found: list[tuple[int, int, float]] = []
    pending = np.arange(count)
    neighbours = 8
    # A scan is settled by its nearest neighbours unless all of them lie in the ball: then more are asked for.
    # So a batch of ten thousand near copies costs as many comparisons as scans, not as pairs.
    while pending.size:
        k = min(neighbours, count)
        _, nearest = tree.query(points[pending], k=k, distance_upper_bound=near + _ROUNDING)
        earlier = (nearest < count) & (nearest < pending[:, None])
        hit, slot = np.nonzero(earlier)
        mine, theirs = pending[hit], nearest[hit, slot]
        candidates, inverse = np.unique(theirs, return_inverse=True)
        distance = _distances(_absorbance(harmonised), mine, _absorbance(harmonised), candidates, inverse)
        best: dict[int, tuple[int, float]] = {}
        for i, j, d in zip(mine, theirs, distance, strict=True):
            if d <= near and d < best.get(int(i), (0, np.inf))[1]:
                best[int(i)] = (int(j), float(d))
        found += [(i, j, d) for i, (j, d) in best.items()]
        full = (nearest < count).all(axis=1) & (k < count)
        settled = np.isin(pending, np.fromiter(best, dtype=np.intp, count=len(best)))
        pending = pending[full & ~settled]
        neighbours *= 8
    return found


def _absorbance(batch: SpectralBatch) -> Callable[[Rows], SpectraMatrix]:
    return lambda rows: to_quantity(batch.take(rows), "absorbance").spectra


def _distances(
    left: Callable[[Rows], SpectraMatrix],
    mine: Rows,
    right: Callable[[Rows], SpectraMatrix],
    candidates: Rows,
    inverse: npt.NDArray[Any],
) -> Floats:
    """Return exact distances of pairs: scan ``mine[k]`` of left, ``candidates[inverse[k]]`` of right."""
    out = np.empty(len(mine))
    order = np.argsort(inverse, kind="stable")
    for start in range(0, len(order), _FETCHED_ROWS):
        fetched = order[start : start + _FETCHED_ROWS]
        needed, local = np.unique(inverse[fetched], return_inverse=True)
        theirs = right(candidates[needed])
        for first in range(0, len(fetched), _COMPARED_ROWS):
            rows = slice(first, first + _COMPARED_ROWS)
            difference = snv(left(mine[fetched[rows]])) - snv(theirs[local[rows]])
            out[fetched[rows]] = np.sqrt(np.einsum("ij,ij->i", difference, difference) / difference.shape[1])
    return out


def _says(distance: float, where: str) -> str:
    if distance == 0.0:
        return f"the same spectrum as {where}"
    apart = f"distance {distance:.1g}, where different scans lie 0.002 or more apart"
    return f"nearly the same spectrum as {where}: {apart}"
