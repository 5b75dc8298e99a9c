"""A few samples of every batch, kept as they are: what intervals and domain limits are calibrated on.

Belongs here: choosing, joining and storing them. Does not belong here: sums over all samples (``property_sums``).

Sums predict without samples, but an order statistic of errors needs errors of samples. Of every batch at most
``MOST_PER_BATCH`` are kept, those with the lowest hashes of their names: the choice hangs on neither order nor other
batches. Together at most ``MOST`` are kept, of every batch its share, again by the lowest hashes: so that memory and
time do not grow with the history. (After one of more than ``MOST / MOST_PER_BATCH`` batches was dropped, the others'
shares stay as small as they were until everything is summed again; sums are exact all the while.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
MOST_PER_BATCH = 100
MOST = 2000


@dataclass(frozen=True, eq=False)
class CalibrationSample:
    """Kept samples.

    Parameters
    ----------
    batch, group : ndarray of str, shape (n,)
        Where each came from, and what it is left out together with.
    fold : ndarray of int64, shape (n,)
    rank : ndarray of int64, shape (n,)
        Place in its batch by the hash of its name, from 0.
    kernel, bands : ndarray, shapes (n, n_features) and (n, n_averaged_bands)
        Features of each.
    targets : mapping of str to ndarray, shape (n,)
        On the modelling scale; NaN where not known.
    """

    batch: npt.NDArray[np.str_]
    group: npt.NDArray[np.str_]
    fold: IntArray
    rank: IntArray
    kernel: FloatArray
    bands: FloatArray
    targets: Mapping[str, FloatArray]

    def __len__(self) -> int:
        return int(self.fold.size)

    def take(self, rows: npt.NDArray[Any]) -> CalibrationSample:
        """Return the rows that a mask or positions select."""
        return CalibrationSample(
            self.batch[rows], self.group[rows], self.fold[rows], self.rank[rows], self.kernel[rows], self.bands[rows],
            {name: values[rows] for name, values in self.targets.items()},
        )  # fmt: skip

    def without(self, batch: str) -> CalibrationSample:
        """Return the samples of all other batches."""
        return self.take(self.batch != batch)

    def thinned(self, n_batches: int) -> CalibrationSample:
        """Return every batch's share of ``MOST`` samples."""
        kept = self.rank < max(1, MOST // max(1, n_batches))
        return self if kept.all() else self.take(kept)

    @classmethod
    def joined(cls, parts: Sequence[CalibrationSample]) -> CalibrationSample:
        """Return the samples of several batches, in order of batch: whatever the order they were added in."""
        ordered = sorted(parts, key=lambda p: str(p.batch[0]) if len(p) else "")
        together = cls(
            np.concatenate([p.batch for p in ordered]),
            np.concatenate([p.group for p in ordered]),
            np.concatenate([p.fold for p in ordered]),
            np.concatenate([p.rank for p in ordered]),
            np.concatenate([p.kernel for p in ordered]),
            np.concatenate([p.bands for p in ordered]),
            {name: np.concatenate([p.targets[name] for p in ordered]) for name in ordered[0].targets},
        )
        return together.take(np.argsort(together.batch, kind="stable"))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return arrays to store."""
        plain = {name: getattr(self, name) for name in ("batch", "group", "fold", "rank", "kernel", "bands")}
        return {**plain, **{f"target/{name}": values for name, values in self.targets.items()}}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> CalibrationSample:
        """Build from what :meth:`arrays` gave."""
        targets = {k.split("/", 1)[1]: v for k, v in arrays.items() if k.startswith("target/")}
        plain = {k: v for k, v in arrays.items() if not k.startswith("target/")}
        return cls(**plain, targets=targets)


def chosen_rows(names: Sequence[str], seed: int, most: int = MOST_PER_BATCH) -> IntArray:
    """Return the positions of at most ``most`` samples in the order of the hash of their name and place."""
    keys = [hashlib.sha256(f"{seed}|{name}|{i}".encode()).digest() for i, name in enumerate(names)]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__)[:most], dtype=np.int64)
