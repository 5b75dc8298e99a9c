"""Benchmark soils disguised inside honest batches, and honest batches alone: which are noticed, on real sets.

Belongs here: planting and counting. Does not belong here: the search (``modeling.leakage``).

Each set is split at random into benchmark, honest batch and golden reference; every split draws anew. In a planted
batch, six of 24 soils are the benchmark's, under fresh ids. A set whose soils lie closer to each other than the noise
hides copies in it for any method; the share is given for each set in the details.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.benchmarks.drift_sets import available, read
from soil_assets.benchmarks.harness import Figure
from soil_assets.modeling.leakage import benchmark_leakage
from soil_assets.spectra.batch import SpectralBatch, concatenate
from soil_assets.spectra.embedded import spectral_sets
from soil_assets.spectra.harmonise import to_quantity

Floats = npt.NDArray[np.float64]
Disguise = Callable[[np.random.Generator, Floats, float], Floats]

#: The set of the shipped benchmark; its share is the figure, those of the others are details.
_OWN = "NRW.115"
_BENCHMARK, _BATCH, _PLANTED = 22, 24, 6
_SPLITS, _HONEST_SPLITS = 10, 40
_SIZES = (0.002, 0.004, 0.008)
_FIGURE_SIZE = 0.004


def _white(rng: np.random.Generator, spectra: Floats, size: float) -> Floats:
    return np.asarray(spectra + size * rng.normal(size=spectra.shape))


def _smooth(rng: np.random.Generator, spectra: Floats, size: float) -> Floats:
    from scipy.ndimage import gaussian_filter1d

    share = rng.choice([0.02, 0.05, 0.1])
    noise = gaussian_filter1d(rng.normal(size=spectra.shape), share * spectra.shape[1], axis=1, mode="wrap")
    return np.asarray(spectra + size * noise / noise.std(axis=1, keepdims=True))


def _line(rng: np.random.Generator, spectra: Floats, size: float) -> Floats:
    offset, tilt = (10 * size * rng.normal(size=(len(spectra), 1)) for _ in range(2))
    return np.asarray(spectra + offset + tilt * np.linspace(-1, 1, spectra.shape[1]))


def _shifted(rng: np.random.Generator, spectra: Floats, size: float) -> Floats:
    return np.concatenate([(spectra[:, :-1] + spectra[:, 1:]) / 2, spectra[:, -1:]], axis=1)


def _together(rng: np.random.Generator, spectra: Floats, size: float) -> Floats:
    for disguise in (_shifted, _white, _smooth, _line):
        spectra = disguise(rng, spectra, size)
    return spectra


DISGUISES: dict[str, Disguise] = {
    "white noise": _white,
    "smooth noise": _smooth,
    "offset and tilt": _line,
    "half a step": _shifted,
    "all together": _together,
}


def run() -> tuple[list[Figure], dict[str, Any]]:
    """Plant and search on the embedded sets, and on those beside the checkout."""
    from rich.progress import track

    sets = _sets()
    shares: dict[str, dict[str, float]] = {}
    named, honest = 0, 0
    for name in track(sets, "copies", transient=True):
        batch = sets[name]
        shares[name] = _shares(batch)
        for split in range(_HONEST_SPLITS):
            benchmark, soils, reference = _split(batch, split)
            leaks = benchmark_leakage(_training(reference, soils), benchmark)
            named += int(leaks["kind"].isin(["spectrum", "disguise"]).sum())
            honest += len(soils)
    own = [share for key, share in shares[_OWN].items() if key.endswith(f"{_FIGURE_SIZE:g}")]
    complete = [name for name, share in shares.items() if share[f"all together, {_FIGURE_SIZE:g}"] >= 0.95]
    return [
        Figure(
            "leaks_found",
            float(np.mean(own)),
            "share",
            _SPLITS * len(DISGUISES) * _PLANTED,
            None,
            f"{_OWN}, disguises of {_FIGURE_SIZE:g}; at least 95 % with all together on {len(complete)} of "
            f"{len(shares)} sets",
        ),
        Figure("false_leaks", named / honest, "share", honest, None, f"honest soils of {len(sets)} sets"),
    ], {"leaks_by_set": shares}


def _sets() -> dict[str, SpectralBatch]:
    names = [*spectral_sets(), *(n for n in ("KSSL-500", "NIRsoil", "AfSIS") if available(n))]
    batches = {name: to_quantity(read(name)[0], "absorbance") for name in names}
    usable = {}
    for name, batch in batches.items():
        rows = np.flatnonzero(np.isfinite(batch.spectra).all(axis=1))
        if rows.size >= _BENCHMARK + _BATCH + 20:
            usable[name] = batch.take(rows[: 500 if rows.size > 500 else rows.size])
    return usable


def _split(batch: SpectralBatch, seed: int) -> tuple[SpectralBatch, SpectralBatch, SpectralBatch]:
    order = np.random.default_rng([20260101, seed]).permutation(len(batch))
    cuts = (_BENCHMARK, _BENCHMARK + _BATCH)
    return batch.take(order[: cuts[0]]), batch.take(order[cuts[0] : cuts[1]]), batch.take(order[cuts[1] :])


def _training(reference: SpectralBatch, batch: SpectralBatch) -> SpectralBatch:
    return concatenate([reference.labelled("batch", "reference"), batch.labelled("batch", "june")])


def _shares(batch: SpectralBatch) -> dict[str, float]:
    """Share of planted copies that are named, by disguise and size."""
    shares = {}
    for name, disguise in DISGUISES.items():
        for size in _SIZES:
            hits = []
            for split in range(_SPLITS):
                benchmark, soils, reference = _split(batch, split)
                rng = np.random.default_rng([split, int(size * 1e6)])
                copies = benchmark.take(rng.permutation(len(benchmark))[:_PLANTED])
                spectra = disguise(rng, copies.spectra.astype(np.float64), size).astype(np.float32)
                ids = [f"fresh-{i}" for i in range(_PLANTED)]
                copies = dataclasses.replace(
                    copies.with_samples(copies.samples.assign(sample_id=ids)), spectra=spectra
                )
                planted = concatenate([soils.take(range(_BATCH - _PLANTED)), copies])
                leaks = benchmark_leakage(_training(reference, planted), benchmark)
                hits.append(len(set(ids) & set(leaks["training_id"].astype(str))) / _PLANTED)
            shares[f"{name}, {size:g}"] = float(np.mean(hits))
    return shares
