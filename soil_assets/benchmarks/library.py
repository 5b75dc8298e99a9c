"""A simulated spectral library made of real spectra, for benches of time and memory only.

Belongs here: resampling real mid-infrared spectra with noise to any size. Does not belong here: anything whose
accuracy is reported.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch

FloatArray = npt.NDArray[np.float64]
_SOURCES = ("NRW.115", "NRW.62", "NRW.42")
PROPERTIES = ("clay", "ph", "soc", "clay_to_soc")


class Library:
    """Batches drawn from real LimeSoDa spectra on an axis of ``n_bands`` bands; the same number, the same batch.

    Every spectrum is a mixture of two real ones of one field plus smooth noise of 1e-3 absorbance; the four
    targets are the same mixture of the real values plus noise.
    """

    def __init__(self, n_bands: int = 1701, sources: tuple[str, ...] = _SOURCES) -> None:
        from soil_assets.spectra.embedded import limesoda
        from soil_assets.spectra.harmonise import harmonise

        self.axis = Axis(np.linspace(3796.0, 552.0, n_bands), "cm-1")
        batches = [harmonise(limesoda(s), self.axis, "absorbance") for s in sources]
        self._spectra = np.concatenate([b.spectra for b in batches])
        self._field = np.repeat(np.arange(len(batches)), [len(b) for b in batches])
        clay, ph, soc = (np.concatenate([b.property_values(p) for b in batches]) for p in PROPERTIES[:3])
        self._targets = np.column_stack([clay, ph, soc, clay / soc])

    def arrays(self, number: int, n: int) -> tuple[npt.NDArray[np.float32], FloatArray]:
        """Return spectra (n, n_bands) and targets (n, 4) of batch ``number``."""
        rng = np.random.default_rng([20260101, number])
        first = rng.integers(0, len(self._field), n)
        shuffled = np.array([rng.choice(np.flatnonzero(self._field == f)) for f in np.unique(self._field)])
        second = np.where(rng.random(n) < 0.5, rng.permutation(first), shuffled[self._field[first]])
        second = np.where(self._field[second] == self._field[first], second, first)
        share = rng.random(n)
        noise = np.cumsum(rng.normal(scale=1e-4, size=(n, self._spectra.shape[1])), axis=1, dtype=np.float64)
        noise = (noise - noise.mean(axis=1, keepdims=True)) * 0.2 + rng.normal(scale=3e-4, size=noise.shape)
        spectra = share[:, None] * self._spectra[first] + (1 - share)[:, None] * self._spectra[second] + noise
        targets = share[:, None] * self._targets[first] + (1 - share)[:, None] * self._targets[second]
        return spectra.astype(np.float32), targets * (1.0 + 0.05 * rng.normal(size=targets.shape))

    def batch(self, number: int, n: int) -> SpectralBatch:
        """Return the same as a :class:`SpectralBatch`."""
        import pandas as pd

        spectra, targets = self.arrays(number, n)
        samples = pd.DataFrame(targets, columns=list(PROPERTIES))
        samples.insert(0, "sample_id", [f"b{number}-{i}" for i in range(n)])
        return SpectralBatch(samples, spectra, self.axis, "absorbance")
