"""Benchmark soils in disguise inside an honest batch: the batch is suspicious, and batches without them are not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import gaussian_filter1d

from soil_assets.modeling.disguised_copies import (
    ALL_BATCHES,
    FALSE_ALARM_RATE,
    CopySpace,
    batch_probability,
    can_judge,
    nearest_ratios,
    suspicions,
)
from soil_assets.modeling.leakage import benchmark_leakage
from soil_assets.spectra.batch import SpectralBatch, concatenate
from soil_assets.spectra.embedded import limesoda
from soil_assets.spectra.harmonise import to_quantity
from soil_assets_tests.modeling.test_leakage import renamed

Spectra = npt.NDArray[np.float64]
RNG = np.random.default_rng(3)


def smooth(n: int, bands: int) -> Spectra:
    noise = gaussian_filter1d(RNG.normal(size=(n, bands)), 0.03 * bands, axis=1, mode="wrap")
    return np.asarray(noise / noise.std(axis=1, keepdims=True))


def line(n: int, bands: int) -> Spectra:
    return np.asarray(RNG.normal(size=(n, 1)) + RNG.normal(size=(n, 1)) * np.linspace(-1, 1, bands))


def half_step(spectra: Spectra) -> Spectra:
    return np.concatenate([(spectra[:, :-1] + spectra[:, 1:]) / 2, spectra[:, -1:]], axis=1)


DISGUISES: dict[str, Callable[[Spectra], Spectra]] = {
    "white noise": lambda s: s + 0.004 * RNG.normal(size=s.shape),
    "smooth noise": lambda s: s + 0.004 * smooth(*s.shape),
    "stronger smooth noise": lambda s: s + 0.008 * smooth(*s.shape),
    "offset and tilt": lambda s: s + 0.05 * line(*s.shape),
    "half a step": half_step,
    "all": lambda s: (
        half_step(s) + 0.004 * RNG.normal(size=s.shape) + 0.004 * smooth(*s.shape) + 0.05 * line(*s.shape)
    ),
}


@pytest.fixture(scope="module")
def field() -> SpectralBatch:
    return to_quantity(limesoda("NRW.115"), "absorbance")


def parts(field: SpectralBatch, seed: int) -> tuple[SpectralBatch, SpectralBatch, SpectralBatch]:
    """Benchmark, honest batch and golden reference of one field."""
    order = np.random.default_rng(seed).permutation(len(field))
    return field.take(order[:22]), field.take(order[22:46]), field.take(order[46:])


def training(reference: SpectralBatch, **batches: SpectralBatch) -> SpectralBatch:
    labelled = [reference.labelled("batch", "reference")]
    return concatenate([*labelled, *(b.labelled("batch", name) for name, b in batches.items())])


def disguised(batch: SpectralBatch, disguise: str) -> SpectralBatch:
    spectra = DISGUISES[disguise](batch.spectra.astype(np.float64)).astype(np.float32)
    return dataclasses.replace(renamed(batch, "fresh"), spectra=spectra)


@pytest.mark.parametrize("disguise", DISGUISES)
def test_six_disguised_soils_of_24_leak(field: SpectralBatch, disguise: str) -> None:
    benchmark, honest, reference = parts(field, 0)
    batch = concatenate([honest.take(range(18)), disguised(benchmark.take(range(6)), disguise)])
    leaks = benchmark_leakage(training(reference, june=batch), benchmark)
    copies = leaks[leaks["kind"].isin(["disguise", "spectrum"])]
    named = {(row.training_row, row.benchmark_row) for row in copies.itertuples()}
    planted = {(len(reference) + 18 + i + 1, i + 1) for i in range(6)}
    assert planted <= named
    assert len(named) <= 9, "few others are named beside them"


@pytest.mark.parametrize("seed", range(8))
def test_an_honest_batch_of_the_field_does_not_leak(field: SpectralBatch, seed: int) -> None:
    benchmark, honest, reference = parts(field, seed)
    assert benchmark_leakage(training(reference, june=honest), benchmark).empty


def test_copies_spread_over_batches_leak_together(field: SpectralBatch) -> None:
    benchmark, honest, reference = parts(field, 1)
    copies = disguised(benchmark.take(range(6)), "smooth noise")
    batches = {
        f"b{i}": concatenate([honest.take(range(3 * i, 3 * i + 3)), copies.take([i])]) for i in range(6)
    }
    table = training(reference, **batches)
    labels = table.samples["batch"].to_numpy(dtype=object)
    [suspicion] = suspicions(
        table.spectra.astype(np.float64), labels, benchmark.spectra.astype(np.float64), np.arange(22)
    )
    assert suspicion.batch == ALL_BATCHES
    assert len(set(suspicion.rows) & {len(reference) + 4 * i + 3 for i in range(6)}) == 6


def test_too_few_soils_are_not_judged(field: SpectralBatch) -> None:
    benchmark, _, reference = parts(field, 0)
    assert not can_judge(19, 22)
    assert not can_judge(60, 4)
    small = training(reference.take(range(19)), june=disguised(benchmark, "smooth noise"))
    labels = small.samples["batch"].to_numpy(dtype=object)
    assert (
        suspicions(small.spectra.astype(float), labels, benchmark.spectra.astype(float), np.arange(22)) == []
    )


def test_distances_do_not_see_offset_tilt_and_a_small_shift(field: SpectralBatch) -> None:
    benchmark, _, reference = parts(field, 0)
    soils = benchmark.spectra.astype(np.float64)
    space = CopySpace.fit(np.concatenate([soils, reference.spectra.astype(np.float64)]))
    plain = space.distances(soils, soils)
    moved = space.distances(half_step(soils) + 0.3 * line(*soils.shape), soils)
    apart = np.min(plain + np.diag(np.full(len(soils), np.inf)), axis=1)
    assert (np.diag(plain) < 1e-3).all()
    assert (np.diag(moved) < 0.3 * apart).all()


def test_replicates_of_a_soil_are_one_neighbour() -> None:
    distances = np.array([[1.0, 1.1, 4.0]])
    ratios, nearest = nearest_ratios(distances, np.array([0, 0, 1]))
    assert (ratios[0], nearest[0]) == (0.25, 0)


def test_usual_ratios_give_no_small_probability() -> None:
    rng = np.random.default_rng(0)
    usual = rng.beta(6, 2, 100)
    alarms = [batch_probability(rng.beta(6, 2, 24), usual, 24) < FALSE_ALARM_RATE for _ in range(2000)]
    assert sum(alarms) <= 2
