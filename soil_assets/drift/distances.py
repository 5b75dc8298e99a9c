"""Distances between the rows of a pool, and which rows lie next to each other.

Belongs here: what depends on the rows alone. Does not belong here: which rows are called the batch (``labellings``),
and what is tested (``two_sample``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

#: Nearest rows that each row links to.
NEIGHBOURS = 3


def pairwise(points: FloatArray) -> npt.NDArray[np.float32]:
    """Return all Euclidean distances between ``points`` of shape (n, n_dims), shape (n, n)."""
    from scipy.spatial.distance import pdist, squareform

    return np.asarray(squareform(pdist(points).astype(np.float32)))


def nearest_rows(points: FloatArray, count: int = NEIGHBOURS) -> IntArray:
    """Return the rows of the ``count`` nearest others of each point, shape (n, count), in no order."""
    distances = pairwise(points)
    np.fill_diagonal(distances, np.inf)
    count = min(count, len(points) - 1)
    return np.argpartition(distances, count - 1, axis=1)[:, :count]
