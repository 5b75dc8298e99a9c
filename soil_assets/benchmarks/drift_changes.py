"""What can go wrong with a batch, applied to real spectra: the power side of the drift bench.

Belongs here: the changes and how strong they are. Does not belong here: detecting them.
Every change is applied to absorbance, scan by scan, with the strength stated in its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from soil_assets.drift.features import noise
from soil_assets.drift.signatures import WATER_BANDS
from soil_assets.spectra.batch import SpectralBatch

FloatArray = npt.NDArray[np.float64]
Change = Callable[[SpectralBatch, SpectralBatch | None, np.random.Generator], SpectralBatch]

#: Depth of the main water band that stands for 'wetter': 0.10 absorbance at 3400 cm-1 (0.045 at 1640 cm-1),
#: or 0.05 at 1940 nm (0.025 at 1450 nm). Scans differ in it by a standard deviation of 30 %.
WATER_DEPTH = {"cm-1": 0.10, "nm": 0.05}
_WATER_SPREAD = 0.30


def wetter(depth_factor: float) -> Change:
    """Add a water spectrum whose bands are moved, widened and reweighted at random.

    The detector's own idea of water must not be the thing it is tested with: every band of the literature
    values is displaced by a standard deviation of 0.5 % of its position, its width changed by 15 % and its
    height by 25 %.
    """

    def change(batch: SpectralBatch, _: SpectralBatch | None, rng: np.random.Generator) -> SpectralBatch:
        x, unit = batch.axis.values, batch.axis.unit
        spectrum = np.zeros_like(x)
        for centre, width, height in WATER_BANDS[unit]:
            moved = centre * (1 + 0.005 * rng.standard_normal())
            wide = width * np.exp(0.15 * rng.standard_normal())
            spectrum += (
                height * np.exp(0.25 * rng.standard_normal()) * np.exp(-0.5 * ((x - moved) / wide) ** 2)
            )
        depth = WATER_DEPTH[unit] * depth_factor * (1 + _WATER_SPREAD * rng.standard_normal(len(batch)))
        main = WATER_BANDS[unit][0][0]
        anchor = np.interp(main, *_ascending(x, spectrum)) if x.min() <= main <= x.max() else 1.0
        return _with(batch, _absorbance(batch) + depth[:, None] * spectrum / anchor)

    return change


def shifted(channels: int) -> Change:
    """Move every scan by whole channels; the edge repeats its last value."""

    def change(batch: SpectralBatch, _: SpectralBatch | None, rng: np.random.Generator) -> SpectralBatch:
        spectra = np.roll(_absorbance(batch), channels, axis=1)
        spectra[:, :channels] = spectra[:, [channels]]
        return _with(batch, spectra)

    return change


def noisier(factor: float) -> Change:
    """Add white noise so that each scan's noise (fourth differences) is ``factor`` times its own."""

    def change(batch: SpectralBatch, _: SpectralBatch | None, rng: np.random.Generator) -> SpectralBatch:
        spectra = _absorbance(batch)
        sigma = np.median(noise(spectra), axis=1, keepdims=True) * np.sqrt(factor**2 - 1)
        return _with(batch, spectra + sigma * rng.standard_normal(spectra.shape))

    return change


def scattered(share: float) -> Change:
    """Multiply every scan by 1 + ``share`` times a standard normal (path length, packing)."""

    def change(batch: SpectralBatch, _: SpectralBatch | None, rng: np.random.Generator) -> SpectralBatch:
        return _with(batch, _absorbance(batch) * (1 + share * rng.standard_normal((len(batch), 1))))

    return change


def stray_light(share: float) -> Change:
    """Add ``share`` of the incoming light to what the detector sees."""

    def change(batch: SpectralBatch, _: SpectralBatch | None, rng: np.random.Generator) -> SpectralBatch:
        reflectance = np.power(10.0, -_absorbance(batch))
        return _with(batch, -np.log10((reflectance + share) / (1 + share)))

    return change


def foreign(count: int) -> Change:
    """Replace ``count`` scans by scans of another set."""

    def change(batch: SpectralBatch, other: SpectralBatch | None, rng: np.random.Generator) -> SpectralBatch:
        if other is None:
            raise ValueError("foreign scans are needed")
        spectra = batch.spectra.copy()
        rows = rng.choice(len(other), count, replace=False)
        spectra[rng.choice(len(batch), count, replace=False)] = other.spectra[rows]
        return replace(batch, spectra=spectra)

    return change


def scaled(factor: float) -> Change:
    """Multiply the first property that the batch carries (a wrong unit, or oxide for element)."""

    def change(batch: SpectralBatch, _: SpectralBatch | None, rng: np.random.Generator) -> SpectralBatch:
        name = next(c for c in ("soc", "som", "clay") if c in batch.samples.columns)
        return batch.with_samples(batch.samples.assign(**{name: batch.samples[name] * factor}))

    return change


@dataclass(frozen=True)
class Planned:
    """A change, whether the goal holds it to a power, and what it needs."""

    change: Change
    held: bool
    needs_foreign: bool = False
    needs_property: bool = False


CHANGES: Mapping[str, Planned] = {
    "wetter (0.10 at 3400 cm-1, 0.05 at 1940 nm)": Planned(wetter(1.0), held=True),
    "shift of 2 channels": Planned(shifted(2), held=True),
    "detector noise x3": Planned(noisier(3.0), held=True),
    "property in the wrong unit (x10)": Planned(scaled(10.0), held=True, needs_property=True),
    "5 of 20 foreign": Planned(foreign(5), held=True, needs_foreign=True),
    "wetter, half of that": Planned(wetter(0.5), held=False),
    "wetter, a fifth of that": Planned(wetter(0.2), held=False),
    "shift of 1 channel": Planned(shifted(1), held=False),
    "scatter 5 %": Planned(scattered(0.05), held=False),
    "stray light 1 %": Planned(stray_light(0.01), held=False),
    "property x2 (K2O for K and the like)": Planned(scaled(2.0), held=False, needs_property=True),
    "2 of 20 foreign": Planned(foreign(2), held=False, needs_foreign=True),
    "5 of 20 foreign, the set that resembles most": Planned(foreign(5), held=False, needs_foreign=True),
}


def _absorbance(batch: SpectralBatch) -> FloatArray:
    return batch.spectra.astype(np.float64)


def _with(batch: SpectralBatch, spectra: FloatArray) -> SpectralBatch:
    return replace(batch, spectra=spectra.astype(np.float32))


def _ascending(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    return (x, y) if x[0] < x[-1] else (x[::-1], y[::-1])


def natural_direction(batch: SpectralBatch, component: int = 0) -> FloatArray:
    """Return one standard deviation along a principal component of the set's own spectra, shape (n_bands,).

    A change along natural variation looks like other soils of the same kind; no test can have power against
    it beyond that of a shift in the mean of one variable.
    """
    centred = _absorbance(batch) - _absorbance(batch).mean(axis=0)
    _, singular, right = np.linalg.svd(centred, full_matrices=False)
    return np.asarray(right[component] * singular[component] / np.sqrt(len(batch) - 1))


def along_nature(direction: FloatArray, deviations: float) -> Change:
    """Move every scan by ``deviations`` standard deviations along a natural direction."""

    def change(batch: SpectralBatch, _: SpectralBatch | None, rng: np.random.Generator) -> SpectralBatch:
        return _with(batch, _absorbance(batch) + deviations * direction)

    return change
