"""A benchmark sample among the training samples stops training, whatever it is called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from soil_assets.benchmarks.frozen_sets import definition
from soil_assets.defs.gates import gate_records, materialization
from soil_assets.spectra.batch import SpectralBatch, concatenate
from soil_assets.spectra.embedded import limesoda
from soil_assets.spectra.parquet import from_parquet, to_parquet
from soil_assets_tests.conftest import make_platform


def frozen_with(folder: Path, *guilty: SpectralBatch) -> str:
    """Freeze the golden reference with some more samples and return its definition."""
    field = limesoda("NRW.115")
    reference = field.take(field.samples["fold"].isin([1, 2, 3, 4, 5]).to_numpy())
    to_parquet(concatenate([reference, *guilty]), folder / "batch.parquet")
    batch = from_parquet(folder / "batch.parquet")
    facts = definition("nrw115-reference").model_dump(mode="json") | {
        "source": "batch.parquet",
        "folds": [],
        "sha256": batch.content_hash(),
        "samples": len(batch),
    }
    (folder / "reference.yaml").write_text(yaml.safe_dump(facts), encoding="utf-8")
    return str(folder / "reference.yaml")


def benchmark_samples(**columns: object) -> SpectralBatch:
    field = limesoda("NRW.115")
    found = field.take(field.samples["fold"].isin([8, 9]).to_numpy()).take([2, 3])
    return found.with_samples(found.samples.assign(**columns))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("guilty", "kind"),
    [
        (benchmark_samples(), "id"),
        (benchmark_samples(sample_id=["x1", "x2"]), "spectrum"),
    ],
    ids=["by id", "by spectrum"],
)
def test_a_leak_stops_training(tmp_path: Path, guilty: SpectralBatch, kind: str) -> None:
    house = make_platform(tmp_path / "home", reference=frozen_with(tmp_path, guilty))
    try:
        assert house.run("reference_spectra,benchmark_spectra").success
        outcome = house.run("training_set,trained_models", "clay")
        assert not outcome.success
        [record] = gate_records(house.instance, "training_set", ["no_benchmark_leakage"])
        assert record.passed is False
        made = materialization(house.instance, "training_set")
        assert made is not None
        assert made.asset_materialization is not None
        listed = str(made.asset_materialization.metadata["benchmark_leaks"].value)
        assert f"| {kind} |" in listed
        assert listed.count("NRW.115") >= 2
        assert materialization(house.instance, "trained_models", "clay") is None
    finally:
        house.instance.dispose()


def test_without_a_leak_it_goes_on(tmp_path: Path) -> None:
    house = make_platform(tmp_path / "home", reference=frozen_with(tmp_path))
    try:
        assert house.run("reference_spectra,benchmark_spectra").success
        assert house.run("training_set").success
        assert np.all(
            [r.passed for r in gate_records(house.instance, "training_set", ["no_benchmark_leakage"])]
        )
    finally:
        house.instance.dispose()
