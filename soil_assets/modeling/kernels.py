"""Kernel ridge regression whose validation needs no refit.

Belongs here: kernels, one eigendecomposition a kernel, closed-form predictions of left-out folds for all
penalties at once. Does not belong here: which kernels are combined (``stack``).

With an unpenalised intercept the kernel is centred, and G = U diag(1/(s + lambda)) U' over the eigenvectors
orthogonal to the constant. The error that samples F would have had, had they been left out, is
inv(G_FF) (G y)_F: exactly that of a refit without them (An, Liu & Venkatesh 2007, Pattern Recogn. 40),
so whole groups can be left out at the cost of small linear systems.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Penalties tried, relative to the mean eigenvalue of the centred kernel.
PENALTIES: FloatArray = 10.0 ** np.arange(-7.0, 1.01, 0.5)


def squared_distances(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return squared Euclidean distances, shape (n_a, n_b)."""
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2.0 * a @ b.T
    return np.asarray(np.maximum(squared, 0.0))


@dataclass(frozen=True, eq=False)
class KernelRidge:
    """A kernel, centred and decomposed once; every penalty and every left-out fold follows by arithmetic.

    Parameters
    ----------
    values : ndarray, shape (n - 1,)
        Eigenvalues of the centred kernel, without that of the constant.
    vectors : ndarray, shape (n, n - 1)
    column_means : ndarray, shape (n,)
        Of the kernel before centring.
    """

    values: FloatArray
    vectors: FloatArray
    column_means: FloatArray

    @classmethod
    def of(cls, kernel: FloatArray) -> KernelRidge:
        """Centre and decompose a symmetric kernel, shape (n, n)."""
        means = kernel.mean(axis=0)
        centred = kernel - means - means[:, None] + means.mean()
        # The constant gets the smallest eigenvalue by far, so that it can be left out by position.
        shift = float(np.trace(centred)) / len(kernel)
        values, vectors = np.linalg.eigh((centred + centred.T) / 2.0 - shift / len(kernel))
        return cls(np.maximum(values[1:], 0.0), vectors[:, 1:], means)

    @property
    def scale(self) -> float:
        """Mean eigenvalue: penalties are relative to it."""
        return float(self.values.sum() / len(self.vectors))

    def left_out(self, target: FloatArray, folds: Sequence[IntArray]) -> FloatArray:
        """Predict every sample without its fold, averaged over several assignments of folds.

        Parameters
        ----------
        target : ndarray, shape (n,)
        folds : sequence of ndarray, shape (n,)
            Each a fold of every sample.

        Returns
        -------
        ndarray, shape (n_penalties, n)
        """
        damped = 1.0 / (self.values + PENALTIES[:, None] * max(self.scale, 1e-300))
        dual = (damped * (self.vectors.T @ target)) @ self.vectors.T
        errors = np.zeros_like(dual)
        for fold in folds:
            for k in range(int(fold.max()) + 1):
                out = np.flatnonzero(fold == k)
                rows = self.vectors[out]
                inverse = (rows[None, :, :] * damped[:, None, :]) @ rows.T
                errors[:, out] += np.linalg.solve(inverse, dual[:, out, None])[:, :, 0]
        return np.asarray(target - errors / len(folds))

    def dual(self, target: FloatArray, penalty: float) -> tuple[FloatArray, float]:
        """Return dual coefficients (they sum to zero) and the intercept that goes with the raw kernel."""
        damped = 1.0 / (self.values + penalty * max(self.scale, 1e-300))
        coefficients = self.vectors @ (damped * (self.vectors.T @ target))
        return np.asarray(coefficients), float(target.mean() - self.column_means @ coefficients)
