"""Component spaces: whitened principal-component scores of a pool of scans.

Belongs here: scores, squared distances in the space (T2) and out of it (Q).
Does not belong here: the frozen limits of single samples (``modeling.applicability``).

Components are fitted to reference and batch *together*. Components fitted to the reference alone describe its
own scans better than any new one, however alike, so that with 50 reference scans an unchanged batch looks
foreign; in a pooled space no row knows which side it is on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from soil_assets.drift.distances import pairwise

FloatArray = npt.NDArray[np.float64]

MAX_COMPONENTS = 30
_ROBUST_COMPONENTS = 8
_MAD_TO_SD = 0.6744897501960817
#: Rows of the pool needed for each component.
_ROWS_PER_COMPONENT = 4
#: Size of a matrix from which a few of its eigenvectors cost less than all.
_SUBSET_FROM = 200
#: Components below this share of the first one's variance are rounding.
_SMALLEST = 1e-10
#: Nothing varies when the first component holds less than this share of the sum of squares before centring.
_ROUNDING = 1e-13


@dataclass(frozen=True, eq=False)
class PooledSpace:
    """Scores of a pool.

    Parameters
    ----------
    scores : ndarray, shape (n_rows, n_components)
        Whitened: every column has mean 0 and mean square 1.
    t2, q : ndarray, shape (n_rows,)
        Squared length of the whitened scores, and of what the components leave over.
    loadings : ndarray, shape (n_components, n_columns)
        Orthonormal directions.
    variances : ndarray, shape (n_components,)
        Mean square of each unscaled score.
    """

    scores: FloatArray
    t2: FloatArray
    q: FloatArray
    loadings: FloatArray
    variances: FloatArray

    @cached_property
    def distances(self) -> npt.NDArray[np.float32]:
        """Distances between all rows' scores, shape (n_rows, n_rows)."""
        return pairwise(self.scores)

    def take(self, rows: npt.NDArray[np.intp]) -> PooledSpace:
        """Return the space with the same rows in another order."""
        taken = PooledSpace(self.scores[rows], self.t2[rows], self.q[rows], self.loadings, self.variances)
        # Known distances are put in order, which costs a quarter of finding them again.
        vars(taken)["distances"] = self.distances[np.ix_(rows, rows)]
        return taken

    def robust_distances(self) -> FloatArray:
        """Return squared distances in the first components, medians in place of means, shape (n_rows,)."""
        return robust_distances(self.scores[:, :_ROBUST_COMPONENTS])


def robust_distances(values: FloatArray) -> FloatArray:
    """Sum of squared robust deviations of every row of ``values``, shape (n_rows, n_columns).

    A handful of foreign scans in the pool takes over a component and inflates its standard deviation, which
    hides them from T2; the median absolute deviation of that component stays what it was.
    """
    return np.asarray((robust_scores(values) ** 2).sum(axis=1))


def robust_scores(values: FloatArray) -> FloatArray:
    """Return (value - median) / (scaled median absolute deviation) by column."""
    centred = values - np.median(values, axis=0)
    spread = np.maximum(np.median(np.abs(centred), axis=0) / _MAD_TO_SD, 1e-6)
    return np.asarray(centred / spread)


def component_count(rows: int, columns: int) -> int:
    """Return how many components a pool of ``rows`` supports."""
    return max(1, min(MAX_COMPONENTS, rows // _ROWS_PER_COMPONENT, columns))


def pooled_space(values: FloatArray, components: int | None = None) -> PooledSpace | None:
    """Fit components to all rows of ``values``, shape (n_rows, n_columns); None when nothing varies."""
    rows, columns = values.shape
    centred = values - values.mean(axis=0)
    total = float(np.einsum("ij,ij->", values, values))
    wanted = components or component_count(rows, columns)
    if rows <= columns:
        squares, left = _leading(centred @ centred.T, wanted)
        kept = _kept(squares, wanted, total)
        if not kept:
            return None
        unscaled = left[:, :kept] * np.sqrt(squares[:kept])
        loadings = (centred.T @ left[:, :kept] / np.sqrt(squares[:kept])).T
    else:
        squares, right = _leading(centred.T @ centred, wanted)
        kept = _kept(squares, wanted, total)
        if not kept:
            return None
        loadings = right[:, :kept].T
        unscaled = centred @ loadings.T
    variances = squares[:kept] / rows
    scores = unscaled / np.sqrt(variances)
    q = np.maximum(np.einsum("ij,ij->i", centred, centred) - np.einsum("ij,ij->i", unscaled, unscaled), 0.0)
    # eigh leaves a direction's sign open; the largest loading is made positive so that plots do not flip.
    largest = loadings[np.arange(kept), np.abs(loadings).argmax(axis=1)]
    signs = np.where(largest < 0, -1.0, 1.0)
    return PooledSpace(scores * signs, (scores**2).sum(axis=1), q, loadings * signs[:, None], variances)


def _leading(product: FloatArray, wanted: int) -> tuple[FloatArray, FloatArray]:
    """Return the largest eigenvalues of a symmetric matrix, falling, and their vectors."""
    size = len(product)
    if size < _SUBSET_FROM:
        squares, vectors = np.linalg.eigh(product)
    else:
        from scipy.linalg import eigh

        squares, vectors = eigh(product, subset_by_index=(size - min(wanted, size), size - 1))
    return squares[::-1], vectors[:, ::-1]


def _kept(squares: FloatArray, wanted: int, total: float) -> int:
    # Centring equal rows leaves rounding, not zeros.
    if not squares[0] > _ROUNDING * total:
        return 0
    return int(min(wanted, (squares > _SMALLEST * squares[0]).sum()))
