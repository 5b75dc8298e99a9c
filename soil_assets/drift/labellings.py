"""Relabellings of a pool: which rows are called 'the batch'.

Belongs here: drawing them, of single rows or of whole groups. Does not belong here: statistics
(``two_sample``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import comb

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.intp]

#: Elements of the largest temporary array.
_BLOCK = 4_000_000


@dataclass(frozen=True, eq=False)
class Labellings:
    """The true labelling of a pool and random ones.

    Parameters
    ----------
    rows : ndarray of int, shape (1 + n_permutations, n_largest)
        Row numbers called 'the batch'; the first labelling is the true one. Shorter ones are padded with -1.
    pool : int
        Number of rows in the pool.
    smallest_p : float
        Smallest p-value that the number of distinct labellings allows.
    """

    rows: IntArray
    pool: int
    smallest_p: float

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def sizes(self) -> IntArray:
        """Rows called 'the batch' in each labelling, shape (1 + n_permutations,)."""
        return np.asarray((self.rows >= 0).sum(axis=1), dtype=np.intp)

    @property
    def even(self) -> bool:
        """Whether all labellings have the same size."""
        return bool((self.rows >= 0).all())


@lru_cache(maxsize=8)
def even_labellings(pool: int, batch: int, permutations: int, seed: int) -> Labellings:
    """Draw labellings of single rows; the batch's rows are the last ``batch`` rows of the pool."""
    generator = np.random.default_rng([seed, pool, batch])
    rows = np.empty((permutations + 1, batch), dtype=np.intp)
    rows[0] = np.arange(pool - batch, pool)
    step = max(1, _BLOCK // pool)
    for start in range(1, permutations + 1, step):
        stop = min(start + step, permutations + 1)
        keys = generator.random((stop - start, pool), dtype=np.float32)
        rows[start:stop] = np.argpartition(keys, batch - 1, axis=1)[:, :batch]
    rows.setflags(write=False)
    return Labellings(rows, pool, _smallest_p(pool, batch, permutations))


def grouped_labellings(groups: IntArray, batch: int, permutations: int, seed: int) -> Labellings:
    """Draw labellings of whole groups, so that a batch is compared with the spread between groups.

    Parameters
    ----------
    groups : ndarray of int, shape (n_pool,)
        Group of every row; groups of the batch (the last ``batch`` rows) are not those of the reference.
    batch, permutations, seed : int
        As for :func:`even_labellings`.
    """
    codes, inverse = np.unique(groups, return_inverse=True)
    chosen = np.unique(inverse[-batch:])
    if codes.size == groups.size:
        return even_labellings(groups.size, batch, permutations, seed)
    members = [np.flatnonzero(inverse == g) for g in range(codes.size)]
    generator = np.random.default_rng([seed, groups.size, batch, codes.size])
    drawn = [np.arange(groups.size - batch, groups.size)]
    for _ in range(permutations):
        picked = generator.choice(codes.size, chosen.size, replace=False)
        drawn.append(np.concatenate([members[g] for g in picked]))
    rows = np.full((permutations + 1, max(map(len, drawn))), -1, dtype=np.intp)
    for i, labelled in enumerate(drawn):
        rows[i, : len(labelled)] = labelled
    return Labellings(rows, groups.size, _smallest_p(codes.size, chosen.size, permutations))


def _smallest_p(units: int, batch: int, permutations: int) -> float:
    # comb() of a large pool is an integer that no float holds
    return 1.0 / min(permutations + 1, comb(units, batch))
