"""Batches of any number and size from the reference's field, dropped as a lab would: for benches of the platform.

Belongs here: making them of real spectra, and writing them into a landing zone. Does not belong here: timing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.benchmarks.frozen_sets import definition
from soil_assets.demo.batches import DemoBatch, land
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.embedded import limesoda
from soil_assets.storage import Store

_LAB = ("clay", "ph", "soc")
_BENCHMARK = "nrw115-benchmark"


class FieldBatches:
    """Batches of NRW.115; the same number and size, the same batch, and no scan twice.

    A scan is a mixture of a real one with some of a second one of the field, with a smooth change of 1e-3 in
    reflectance, so that its noise is the instrument's; its lab values are the same mixture. Samples of the official
    benchmark take no part: a mixture with little of a second sample is a leak to the gate on leakage.
    """

    def __init__(self) -> None:
        field = limesoda("NRW.115")
        kept = ~field.samples["fold"].isin(definition(_BENCHMARK).folds).to_numpy()
        self._field = field.take(np.flatnonzero(kept))
        self._values = self._field.samples[list(_LAB)].to_numpy(dtype=np.float64)

    def make(self, number: int, n: int) -> SpectralBatch:
        """Return batch ``number`` with ``n`` scans."""
        rng = np.random.default_rng([20260101, number])
        first = rng.permutation(np.resize(rng.permutation(len(self._field)), n))
        second = rng.integers(0, len(self._field), n)
        share = rng.uniform(0.05, 0.25, n)[:, None]
        spectra = (1 - share) * self._field.spectra[first] + share * self._field.spectra[second]
        spectra = spectra * (1.0 + self._smooth(rng, n))
        samples = pd.DataFrame(
            (1 - share) * self._values[first] + share * self._values[second], columns=list(_LAB)
        ).round(3)
        samples.insert(0, "sample_id", [f"F{number:05d}-{i:05d}" for i in range(n)])
        return SpectralBatch(
            samples,
            spectra.astype(np.float32),
            self._field.axis,
            self._field.quantity,
            scale=self._field.scale,
            origin=self._field.origin,
        )

    def drop(self, landing: Store, name: str, number: int, n: int) -> None:
        """Land batch ``number`` under ``name``; it is whole when this returns."""
        land(DemoBatch(name, "field batch", lambda: self.make(number, n)), landing)

    def _smooth(self, rng: np.random.Generator, n: int) -> npt.NDArray[np.float64]:
        """Return a slow wave along the axis for every scan."""
        along = np.linspace(0.0, 1.0, len(self._field.axis))[None, :]
        waves = rng.uniform(0.5, 2.0, (n, 1)) * along + rng.uniform(0.0, 1.0, (n, 1))
        return np.asarray(rng.uniform(0.2, 1.0, (n, 1)) * 1e-3 * np.sin(2 * np.pi * waves))
