"""Kernel ridge and kernel principal component regression whose validation needs no refit.

Belongs here: kernels, one eigendecomposition a kernel, closed-form predictions of left-out folds for all
settings at once. Does not belong here: which kernels are combined (``stack``).

With an unpenalised intercept the kernel is centred, and G = U diag(g) U' over the eigenvectors orthogonal to the
constant: g = 1/(s + lambda) for a ridge penalty lambda, and g = 0 for the leading k components, 1 for the others, for
least squares on k principal components. The error that samples F would have had, had they been left out, is
inv(G_FF) (G y)_F: for ridge exactly that of a refit without them (An, Liu & Venkatesh 2007, Pattern Recogn. 40), for
components that of a refit on the components of all training spectra. Whole groups are left out at the cost of
small linear systems.
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


#: Numbers of principal components tried, after the penalties.
COMPONENTS = tuple(range(1, 16))


def squared_distances(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return squared Euclidean distances, shape (n_a, n_b)."""
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2.0 * a @ b.T
    return np.asarray(np.maximum(squared, 0.0))


def typical_distances(features: FloatArray) -> tuple[FloatArray, float]:
    """Return squared distances of samples from one another, shape (n, n), and their median, the unit of widths."""
    squared = squared_distances(features, features)
    return squared, float(np.median(squared[np.triu_indices(len(squared), 1)])) or 1.0


def linear_kernel(features: FloatArray) -> tuple[FloatArray, float]:
    """Return products of samples, shape (n, n), divided by their mean square, and that divisor."""
    kernel = features @ features.T
    scale = float(np.trace(kernel)) / len(kernel) or 1.0
    return kernel / scale, scale


def band_spread(x: FloatArray) -> FloatArray:
    """Return the standard deviation of every band, shape (n_bands,); of constant ones what can be divided by."""
    spread = x.std(axis=0)
    typical = float(spread.mean()) if spread.size else 0.0
    return np.asarray(np.maximum(spread, 1e-6 * typical if typical > 0 else 1.0))


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

    def left_out(
        self, targets: FloatArray, folds: Sequence[IntArray], components: Sequence[int] = ()
    ) -> FloatArray:
        """Predict every sample without its fold, averaged over several assignments of folds.

        Parameters
        ----------
        targets : ndarray, shape (n,) or (n, n_targets)
        folds : sequence of ndarray, shape (n,)
            Each a fold of every sample.
        components : sequence of int
            Numbers of principal components tried beside the penalties; those that some fold cannot support
            predict infinity.

        Returns
        -------
        ndarray, shape (n_settings, n) or (n_settings, n, n_targets)
            Settings are the penalties, then the numbers of components.
        """
        columns = targets if targets.ndim == 2 else targets[:, None]
        damped = 1.0 / (self.values + PENALTIES[:, None] * max(self.scale, 1e-300))
        if components:
            beyond = np.arange(self.values.size) < self.values.size - np.asarray(components)[:, None]
            damped = np.concatenate([damped, beyond.astype(np.float64)])
        along = self.vectors.T @ columns
        dual = np.matmul(self.vectors, damped[:, :, None] * along)
        errors = np.zeros_like(dual)
        for fold in folds:
            for k in range(int(fold.max()) + 1):
                out = np.flatnonzero(fold == k)
                rows = self.vectors[out]
                inverse = (rows[None, :, :] * damped[:, None, :]) @ rows.T
                # Repeated spectra can make the projection singular; this is far below any penalty's effect.
                inverse[len(PENALTIES) :, np.arange(out.size), np.arange(out.size)] += 1e-9
                errors[:, out] += np.linalg.solve(inverse, dual[:, out])
        found = columns - errors / len(folds)
        largest = max(int(np.bincount(fold).max()) for fold in folds)
        for place, count in enumerate(components):
            if count >= len(self.vectors) - largest - 1 or count > self._rank:
                found[len(PENALTIES) + place] = np.inf
        return np.asarray(found if targets.ndim == 2 else found[:, :, 0])

    def duals(self, target: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return dual coefficients and intercepts at every penalty, shapes (n_penalties, n) and (n_penalties,)."""
        along = (self.vectors.T @ target) / (self.values + PENALTIES[:, None] * max(self.scale, 1e-300))
        coefficients = along @ self.vectors.T
        return np.asarray(coefficients), np.asarray(target.mean() - coefficients @ self.column_means)

    @property
    def _rank(self) -> int:
        return int((self.values > 1e-10 * max(float(self.values.max(initial=0.0)), 1e-300)).sum())

    def dual(
        self, target: FloatArray, setting: int, components: Sequence[int] = ()
    ) -> tuple[FloatArray, float]:
        """Return dual coefficients (they sum to zero) and the intercept that goes with the raw kernel.

        Parameters
        ----------
        target : ndarray, shape (n,)
        setting : int
            Position among the penalties, then the numbers of components, as in :meth:`left_out`.
        components : sequence of int
        """
        along = self.vectors.T @ target
        if setting < len(PENALTIES):
            along = along / (self.values + PENALTIES[setting] * max(self.scale, 1e-300))
        else:
            count = components[setting - len(PENALTIES)]
            leading = np.arange(self.values.size) >= self.values.size - count
            along = np.where(leading, along / np.maximum(self.values, 1e-300), 0.0)
        coefficients = self.vectors @ along
        return np.asarray(coefficients), float(target.mean() - self.column_means @ coefficients)
