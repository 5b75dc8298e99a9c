"""Replicate scans stay in the validated batch and become one row a sample in the training set, or not, as set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from soil_assets.defs.io import load_value
from soil_assets.spectra.batch import SpectralBatch
from soil_assets_tests.conftest import make_platform
from soil_assets_tests.defs.batches import folds, land_as


def measured_thrice() -> SpectralBatch:
    """Fold 6, every sample filled and scanned three times: the level differs a little, and a detector's noise."""
    once = folds(6)()
    rows = np.repeat(np.arange(len(once)), 3)
    rng = np.random.default_rng(3)
    level = rng.normal(1.0, 0.02, (rows.size, 1))
    noise = rng.normal(0.0, 4e-5, (rows.size, once.spectra.shape[1]))
    scans = once.take(rows)
    return replace(scans, spectra=(scans.spectra * level + noise).astype(np.float32))


@pytest.mark.parametrize("setting", ["average", "keep"])
def test_replicates_in_training(tmp_path: Path, setting: str) -> None:
    # The added noise is drift, and the gate says so; here it may pass.
    platform = make_platform(tmp_path, replicates=setting, policy={"drift": {"when_drift": "warn"}})
    try:
        assert platform.run("reference_spectra,benchmark_spectra").success
        land_as(platform.landing, "thrice", measured_thrice)
        assert platform.judge("thrice").success
        accepted = load_value(platform.soil.data, "validated_batches", "thrice").accepted
        scans, soils = len(accepted), accepted.sample_ids.nunique()
        assert scans > soils == 12, "replicates are kept in the batch"
        assert platform.run("training_set").success
        training = load_value(platform.soil.data, "training_set")
        taken = soils if setting == "average" else scans
        assert (training.samples["batch"] == "thrice").sum() == taken
        assert len(training) == 58 + taken
    finally:
        platform.instance.dispose()
