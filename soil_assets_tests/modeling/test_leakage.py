from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from soil_assets.errors import BadInput
from soil_assets.modeling.leakage import benchmark_leakage
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch, concatenate

Parts = tuple[SpectralBatch, SpectralBatch]


def renamed(batch: SpectralBatch, prefix: str = "new") -> SpectralBatch:
    return batch.with_samples(batch.samples.assign(sample_id=[f"{prefix}-{i}" for i in range(len(batch))]))


def test_disjoint_samples_do_not_leak(parts: Parts) -> None:
    assert benchmark_leakage(parts[0], parts[1]).empty


@pytest.mark.parametrize("seed", range(5))
def test_no_false_leak_in_other_splits(field: SpectralBatch, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(field))
    assert benchmark_leakage(field.take(order[:80]), field.take(order[80:])).empty


def test_the_same_id_leaks(parts: Parts) -> None:
    guilty = parts[1].take([4])
    shuffled = dataclasses.replace(guilty, spectra=guilty.spectra[:, ::-1])
    found = benchmark_leakage(concatenate([parts[0], shuffled]), parts[1])
    assert found["kind"].tolist() == ["id"]
    assert found["benchmark_row"].tolist() == [5]


def test_the_same_profile_leaks(parts: Parts) -> None:
    training = parts[0].with_samples(parts[0].samples.assign(profile=[f"p{i}" for i in range(len(parts[0]))]))
    benchmark = parts[1].with_samples(
        parts[1].samples.assign(profile=[f"q{i}" for i in range(len(parts[1]))])
    )
    benchmark.samples.loc[2, "profile"] = "P7 "
    found = benchmark_leakage(training, benchmark)
    assert found["kind"].tolist() == ["profile"]
    assert found["training_row"].tolist() == [8]


@pytest.mark.parametrize(
    "disguise",
    [
        lambda x: x,
        lambda x: x * 1.3 + 0.2,
        lambda x: np.round(x, 4),
        lambda x: x + np.random.default_rng(0).normal(scale=2e-4, size=x.shape),
    ],
    ids=["copy", "rescaled", "rounded", "noisy"],
)
def test_a_renamed_spectrum_leaks(parts: Parts, disguise: object) -> None:
    guilty = renamed(parts[1].take([3, 9]))
    guilty = dataclasses.replace(guilty, spectra=disguise(guilty.spectra))  # type: ignore[operator]
    found = benchmark_leakage(concatenate([parts[0], guilty]), parts[1])
    assert found["kind"].tolist() == ["spectrum", "spectrum"]
    assert found["benchmark_row"].tolist() == [4, 10]
    assert (found["distance"] <= found["limit"]).all()


def test_other_axes_are_refused(parts: Parts) -> None:
    other = dataclasses.replace(parts[0], axis=Axis.regular(3000, 1378, 2, "cm-1"))
    with pytest.raises(BadInput, match="cannot be compared"):
        benchmark_leakage(other, parts[1])
