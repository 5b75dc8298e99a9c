"""A scan that landed before is found again, in whichever batch it was, and a batch never meets its own past."""

from __future__ import annotations

import numpy as np

from soil_assets.defs.io import load_value
from soil_assets.spectra.batch import SpectralBatch, concatenate
from soil_assets.spectra.embedded import limesoda
from soil_assets_tests.conftest import Platform
from soil_assets_tests.defs.batches import folds, land_as


def with_copy() -> SpectralBatch:
    """Fold 7 and one scan of fold 6 under another id, a little noisier, as if measured twice."""
    copy = folds(6)().take([3])
    copy.samples["sample_id"] = ["copied"]
    noise = np.random.default_rng(1).normal(0.0, 1e-5, copy.spectra.shape).astype(np.float32)
    return concatenate(
        [folds(7)(), SpectralBatch(copy.samples, copy.spectra + noise, copy.axis, "reflectance")]
    )


def with_benchmark_scan() -> SpectralBatch:
    field = limesoda("NRW.115")
    hidden = field.take(field.samples["fold"].isin([8]).to_numpy()).take([0])
    hidden.samples["sample_id"] = ["renamed"]
    return concatenate([folds(10)(), hidden])


def test_scans_of_earlier_batches_and_of_the_benchmark_are_found(platform: Platform) -> None:
    assert platform.run("reference_spectra,benchmark_spectra").success
    for name, make in (("b1", folds(6)), ("b2", with_copy), ("b3", with_benchmark_scan)):
        land_as(platform.landing, name, make)
        platform.judge(name)
    held = {n: load_value(platform.soil.data, "validated_batches", n).quarantine for n in ("b1", "b2", "b3")}
    assert held["b1"].empty
    assert held["b2"]["sample_id"].tolist() == ["copied"]
    assert "b1" in held["b2"]["found"].iloc[0]
    assert held["b3"]["sample_id"].tolist() == ["renamed"]
    assert "benchmark_spectra" in held["b3"]["found"].iloc[0]
    platform.judge("b1")
    again = load_value(platform.soil.data, "validated_batches", "b1")
    assert again.quarantine.empty, "landing again is no duplicate of itself"


def counted_again() -> SpectralBatch:
    """Fold 7 under the ids of fold 6, as from a lab that numbers every batch alike."""
    batch, earlier = folds(7)(), folds(6)()
    n = min(len(batch), len(earlier))
    samples = batch.samples.iloc[:n].assign(sample_id=earlier.sample_ids[:n])
    return batch.take(np.arange(n)).with_samples(samples)


def test_an_id_that_an_earlier_batch_used_for_another_soil_is_doubted(platform: Platform) -> None:
    assert platform.run("reference_spectra,benchmark_spectra").success
    for name, make in (("b1", folds(6)), ("b2", counted_again)):
        land_as(platform.landing, name, make)
        platform.judge(name)
    first, second = (load_value(platform.soil.data, "validated_batches", n) for n in ("b1", "b2"))
    assert "id_reused" not in set(first.findings["rule"])
    told = second.findings[second.findings["rule"] == "id_reused"].iloc[0]
    assert told["severity"] == "warning"
    assert "ids that came before with results have others now" in told["found"]
    assert second.counts["quarantined"] == 0
    platform.judge("b1")
    again = load_value(platform.soil.data, "validated_batches", "b1")
    assert "id_reused" in set(again.findings["rule"]), "both batches are doubtful once both are there"
