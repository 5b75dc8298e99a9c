from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from soil_assets.errors import BadInput
from soil_assets.modeling.leakage import benchmark_leakage
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch, concatenate
from soil_assets_tests.shared import DATA

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
        lambda x: x + np.linspace(0.0, 0.3, x.shape[1]),
        lambda x: x + np.random.default_rng(0).normal(scale=2e-4, size=x.shape),
    ],
    ids=["copy", "rescaled", "rounded", "tilted", "noisy"],
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


def test_a_tiny_benchmark_is_searched_too(parts: Parts) -> None:
    tiny = parts[1].take([4, 7])
    found = benchmark_leakage(concatenate([parts[0], renamed(tiny)]), tiny)
    assert found["kind"].tolist() == ["spectrum", "spectrum"]
    assert benchmark_leakage(parts[0], tiny).empty
    with pytest.raises(BadInput, match="too few spectra"):
        benchmark_leakage(parts[0].take([0, 1]), tiny)


def test_flat_spectra_neither_leak_nor_stop_the_search(parts: Parts) -> None:
    spectra = parts[1].spectra.copy()
    spectra[0] = 0.5
    benchmark = dataclasses.replace(parts[1], spectra=spectra)
    found = benchmark_leakage(concatenate([parts[0], renamed(benchmark.take([0, 6]))]), benchmark)
    assert found["benchmark_row"].tolist() == [7]


LIBRARIES = {
    "kssl": DATA / "kssl_mir_500" / "kssl_toy_mir.parquet",
    "nirsoil": DATA / "nirsoil" / "nirsoil.parquet",
    "afsis": DATA / "afsis_mir_113" / "afspec.parquet",
}


@pytest.mark.shared
@pytest.mark.parametrize("name", LIBRARIES)
def test_real_libraries_leak_nothing_but_what_was_planted(name: str) -> None:
    file = LIBRARIES[name]
    if not file.exists():
        pytest.skip("the library is not on this machine")
    table = pd.read_parquet(file)
    bands = sorted((c for c in table.columns if str(c).replace(".", "", 1).isdigit()), key=float)
    bands = [b for b in bands if table[b].notna().mean() > 0.99]  # AfSIS lacks its last band in most rows
    spectra = table[bands].to_numpy(dtype=np.float32)
    spectra = spectra[np.isfinite(spectra).all(axis=1)]
    axis = Axis(np.array([float(b) for b in bands]), "nm" if name == "nirsoil" else "cm-1")
    samples = pd.DataFrame({"sample_id": [f"s{i}" for i in range(len(spectra))]})
    batch = SpectralBatch(samples, spectra, axis, "absorbance")
    order = np.random.default_rng(0).permutation(len(batch))
    cut = len(batch) // 5
    benchmark, training = batch.take(order[:cut]), batch.take(order[cut:])
    assert benchmark_leakage(training, benchmark).empty
    planted = renamed(benchmark.take([1, 5, 11]), "elsewhere")
    planted = dataclasses.replace(planted, spectra=np.round(planted.spectra * 1.02 + 0.01, 4))
    found = benchmark_leakage(concatenate([training, planted]), benchmark)
    assert found["benchmark_row"].tolist() == [2, 6, 12]
    assert set(found["kind"]) == {"spectrum"}
