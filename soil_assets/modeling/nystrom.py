"""Kernel features from landmarks: kernel regression whose statistics add up over batches.

Belongs here: landmark features and the predictor they end in. Does not belong here: sums (``additive``) and
choosing among candidates (``selection``).

With landmarks z_1..z_m and K_zz = U S U', phi(x) = inv(sqrt(S)) U' k(z, x) has inner products that approximate the
Gaussian kernel (Williams & Seeger 2001, NIPS 13, 682); ridge on phi is kernel ridge at the cost of m features,
whatever the number of samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.modeling.kernels import squared_distances
from soil_assets.modeling.pretreatment import Pretreatment

FloatArray = npt.NDArray[np.float64]
Arrays = Mapping[str, npt.NDArray[Any]]
_FLOOR = 1e-8  # of the largest eigenvalue: directions below it are noise of the kernel matrix
_CHUNK = 2_000_000


@dataclass(frozen=True, eq=False)
class LandmarkFeatures:
    """A fixed feature map.

    Parameters
    ----------
    pretreatment : Pretreatment
    landmarks : ndarray, shape (n_landmarks, n_treated_bands)
        Pre-treated.
    gamma : float
        Of exp(-gamma d2).
    whitening : ndarray, shape (n_landmarks, n_features)
    """

    pretreatment: Pretreatment
    landmarks: FloatArray
    gamma: float
    whitening: FloatArray

    @classmethod
    def fit(
        cls, spectra: FloatArray, pretreatment: Pretreatment, n_landmarks: int, width: float, seed: int
    ) -> LandmarkFeatures:
        """Draw landmarks from spectra, shape (n, n_bands); the kernel's width is relative to their distances."""
        n = len(spectra)
        if n < 2:
            raise BadInput("landmarks need at least two spectra", found=str(n))
        rows = np.sort(np.random.default_rng(seed).permutation(n)[:n_landmarks])
        landmarks = pretreatment.apply(spectra[rows])
        squared = squared_distances(landmarks, landmarks)
        gamma = width / (float(np.median(squared[np.triu_indices(len(rows), 1)])) or 1.0)
        values, vectors = np.linalg.eigh(np.exp(-gamma * squared))
        kept = values > _FLOOR * values[-1]
        return cls(pretreatment, landmarks, gamma, vectors[:, kept] / np.sqrt(values[kept]))

    @property
    def n_features(self) -> int:
        """Number of features."""
        return int(self.whitening.shape[1])

    def kernel(self, spectra: npt.ArrayLike) -> FloatArray:
        """Return k(x, z), shape (n, n_landmarks)."""
        treated = self.pretreatment.apply(spectra)
        values = np.empty((len(treated), len(self.landmarks)))
        step = max(1, _CHUNK // len(self.landmarks))
        for start in range(0, len(treated), step):
            part = slice(start, start + step)
            values[part] = np.exp(-self.gamma * squared_distances(treated[part], self.landmarks))
        return values

    def transform(self, spectra: npt.ArrayLike) -> FloatArray:
        """Return features, shape (n, n_features)."""
        return np.asarray(self.kernel(spectra) @ self.whitening)

    def predictor(self, coefficients: FloatArray, intercept: float) -> LandmarkPredictor:
        """Turn coefficients on features into a predictor over landmarks."""
        dual = self.whitening @ coefficients
        return LandmarkPredictor(self.pretreatment, self.landmarks, self.gamma, dual, intercept)


@dataclass(frozen=True, eq=False)
class LandmarkPredictor:
    """Predicts sum_j dual_j exp(-gamma d2(x, z_j)) + intercept."""

    pretreatment: Pretreatment
    landmarks: FloatArray
    gamma: float
    dual: FloatArray
    intercept: float

    def predict(self, spectra: FloatArray, sensors: FloatArray | None = None) -> FloatArray:
        """Return predictions, shape (n_samples,); spectra alone count."""
        empty = np.empty((len(self.landmarks), 0))
        features = LandmarkFeatures(self.pretreatment, self.landmarks, self.gamma, empty)
        return np.asarray(features.kernel(spectra) @ self.dual + self.intercept)

    def facts(self) -> dict[str, Any]:
        """JSON-ready facts."""
        return {
            "kind": "landmarks",
            "pretreatment": self.pretreatment.to_dict(),
            "gamma": self.gamma,
            "intercept": self.intercept,
        }

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays of the artifact."""
        return {"landmarks": self.landmarks, "dual": self.dual}

    @classmethod
    def from_parts(cls, facts: Mapping[str, Any], arrays: Arrays) -> LandmarkPredictor:
        """Build from facts and arrays."""
        return cls(
            Pretreatment.from_dict(facts["pretreatment"]),
            arrays["landmarks"],
            float(facts["gamma"]),
            arrays["dual"],
            float(facts["intercept"]),
        )
