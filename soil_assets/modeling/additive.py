"""Cross-products that add up: linear learners whose refit costs the new batch, not the history.

Belongs here: sums over samples, adding and taking away batches, and ridge or PLS solved from the sums alone.
Does not belong here: which features the sums are of (``nystrom``) and when a batch counts.

All that a linear least-squares learner needs of its data are n, sum x, sum y, X'X, X'y, y'y. They add over
batches and subtract for leaving one out; the memory is that of the features, whatever the number of samples.
Sums are kept about a fixed origin (a point near the data), since X'X of uncentred data loses digits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CrossProducts:
    """Sums over samples of features x (about ``origin``) and one target y.

    Parameters
    ----------
    n : int
        Number of samples.
    origin : ndarray, shape (n_features,)
        Subtracted from every x before summing; sums about different origins cannot be added.
    sum_x : ndarray, shape (n_features,)
    sum_y : float
    xx : ndarray, shape (n_features, n_features)
    xy : ndarray, shape (n_features,)
    yy : float
    """

    n: int
    origin: FloatArray
    sum_x: FloatArray
    sum_y: float
    xx: FloatArray
    xy: FloatArray
    yy: float

    @classmethod
    def of(cls, features: FloatArray, target: FloatArray, origin: FloatArray) -> CrossProducts:
        """Sum one batch: features of shape (n, n_features), target of shape (n,)."""
        x = features - origin
        return cls(
            int(target.size), origin, x.sum(axis=0), float(target.sum()), x.T @ x, x.T @ target,
            float(target @ target),
        )  # fmt: skip

    def __add__(self, other: CrossProducts) -> CrossProducts:
        return self._combine(other, 1)

    def __sub__(self, other: CrossProducts) -> CrossProducts:
        return self._combine(other, -1)

    def _combine(self, other: CrossProducts, sign: int) -> CrossProducts:
        if not np.array_equal(self.origin, other.origin):
            raise BadInput(
                "sums about different origins cannot be combined",
                mend="compute the statistics of every batch with one origin",
            )
        n = self.n + sign * other.n
        if n < 0:
            raise BadInput(
                "more samples taken away than there are", found=str(other.n), expected=f"<= {self.n}"
            )
        return CrossProducts(
            n,
            self.origin,
            self.sum_x + sign * other.sum_x,
            self.sum_y + sign * other.sum_y,
            self.xx + sign * other.xx,
            self.xy + sign * other.xy,
            self.yy + sign * other.yy,
        )

    def centred(self) -> tuple[FloatArray, FloatArray, float]:
        """Return centred X'X, X'y and y'y."""
        if self.n < 2:
            raise BadInput("too few samples in the sums", found=str(self.n), expected="at least 2")
        xx = self.xx - np.outer(self.sum_x, self.sum_x / self.n)
        xy = self.xy - self.sum_x * (self.sum_y / self.n)
        return xx, xy, float(self.yy - self.sum_y**2 / self.n)

    def intercept(self, coefficients: FloatArray) -> FloatArray:
        """Return the intercept for raw features of coefficients, shape (..., n_features)."""
        mean = self.origin + self.sum_x / self.n
        return np.asarray(self.sum_y / self.n - coefficients @ mean)


def total(parts: Iterable[CrossProducts]) -> CrossProducts:
    """Add up the sums of several batches, in the given order."""
    listed = list(parts)
    if not listed:
        raise BadInput("no batch to sum")
    result = listed[0]
    for part in listed[1:]:
        result = result + part
    return result


def ridge(sums: CrossProducts, penalty: float) -> tuple[FloatArray, float]:
    """Ridge coefficients and intercept; the penalty is relative to the mean eigenvalue of centred X'X.

    Returns
    -------
    (coefficients, intercept) : (ndarray of shape (n_features,), float)
    """
    from scipy.linalg import cho_factor, cho_solve

    xx, xy, _ = sums.centred()
    xx[np.diag_indices_from(xx)] += penalty * np.trace(xx) / len(xx)
    coefficients = cho_solve(cho_factor(xx, overwrite_a=True, check_finite=False), xy, check_finite=False)
    return coefficients, float(sums.intercept(coefficients))


Decomposition = tuple[FloatArray, FloatArray]


def decomposed(sums: CrossProducts) -> Decomposition:
    """Return eigenvalues, shape (n_features,), and eigenvectors of centred X'X: shared by targets of one X."""
    values, vectors = np.linalg.eigh(sums.centred()[0])
    return np.maximum(values, 0.0), vectors


def ridge_path(
    sums: CrossProducts, penalties: FloatArray, decomposition: Decomposition | None = None
) -> tuple[FloatArray, FloatArray]:
    """Ridge for many penalties from one eigendecomposition.

    Parameters
    ----------
    sums : CrossProducts
    penalties : ndarray, shape (n_penalties,)
        Relative to the mean eigenvalue.
    decomposition : tuple, optional
        :func:`decomposed` of the same X, where it is known already.

    Returns
    -------
    (coefficients, intercepts) : arrays of shapes (n_penalties, n_features) and (n_penalties,)
    """
    values, vectors = decomposition or decomposed(sums)
    rotated = vectors.T @ (sums.xy - sums.sum_x * (sums.sum_y / sums.n))
    damped = rotated / (values + penalties[:, None] * values.mean())
    coefficients = damped @ vectors.T
    return coefficients, sums.intercept(coefficients)


@dataclass(frozen=True, eq=False)
class PlsPath:
    """PLS for 1..components, from sums.

    Parameters
    ----------
    coefficients : ndarray, shape (components, n_features)
        Past the numerical rank the last coefficients are carried forward.
    intercepts : ndarray, shape (components,)
        For raw features.
    directions : ndarray, shape (n_fitted, n_features)
        Weights of the components within the rank, each of length 1.
    explained : ndarray, shape (n_fitted,)
        Sum of squares of the target that each component explains.
    """

    coefficients: FloatArray
    intercepts: FloatArray
    directions: FloatArray
    explained: FloatArray


def pls(sums: CrossProducts, components: int) -> PlsPath:
    """PLS from sums: improved kernel algorithm 2 for one target (Dayal & MacGregor 1997, J. Chemom. 11, 73)."""
    xx, remaining, _ = sums.centred()
    n_features = remaining.size
    coefficients = np.zeros((components, n_features))
    directions = np.zeros((components, n_features))
    rotations = np.zeros((components, n_features))
    loadings = np.zeros((components, n_features))
    explained = np.zeros(components)
    beta = np.zeros(n_features)
    first_norm = largest = 0.0
    fitted = components
    for a in range(components):
        norm = float(np.linalg.norm(remaining))
        first_norm = first_norm or norm
        if norm <= 1e-14 * first_norm or norm == 0.0:
            fitted = a
            break
        direction = remaining / norm
        rotation = direction - rotations[:a].T @ (loadings[:a] @ direction)
        image = xx @ rotation
        score_norm = float(rotation @ image)
        largest = max(largest, score_norm)
        if score_norm <= 1e-14 * largest:
            fitted = a
            break
        loading = image / score_norm
        weight = float(rotation @ remaining) / score_norm
        remaining = remaining - loading * (weight * score_norm)
        beta = beta + weight * rotation
        directions[a], rotations[a], loadings[a], coefficients[a] = direction, rotation, loading, beta
        explained[a] = weight**2 * score_norm
    coefficients[fitted:] = beta
    return PlsPath(coefficients, sums.intercept(coefficients), directions[:fitted], explained[:fitted])


def pls_path(sums: CrossProducts, components: int) -> tuple[FloatArray, FloatArray]:
    """Return the coefficients, shape (components, n_features), and intercepts of PLS for 1..components."""
    path = pls(sums, components)
    return path.coefficients, path.intercepts
