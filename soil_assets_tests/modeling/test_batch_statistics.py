from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from soil_assets.errors import BadInput
from soil_assets.modeling.batch_statistics import BatchStatistics
from soil_assets.modeling.nystrom import LandmarkFeatures
from soil_assets.modeling.pretreatment import average, chain, snv
from soil_assets.spectra.batch import SpectralBatch, concatenate
from soil_assets.spectra.catalogue import BUILT_IN

PROPERTIES = [BUILT_IN[p] for p in ("clay", "ph", "soc")]


@pytest.fixture(scope="module")
def features(field: SpectralBatch) -> LandmarkFeatures:
    return LandmarkFeatures.fit(field.spectra[:40].astype(float), chain(average(100), snv()), 40, 0.1, 1)


@pytest.fixture(scope="module")
def batches(field: SpectralBatch) -> list[SpectralBatch]:
    soc = field.property_values("soc").copy()
    soc[::7] = np.nan  # measured on fewer samples than the others
    holed = field.with_samples(field.samples.assign(soc=soc))
    return [holed.take(i) for i in np.array_split(np.arange(len(field)), 4)]


def test_sums_of_batches_are_the_full_refit(
    features: LandmarkFeatures, batches: list[SpectralBatch], field: SpectralBatch
) -> None:
    parts = [BatchStatistics.of(features, b, PROPERTIES) for b in batches]
    added = (parts[0] + parts[1] + parts[2] + parts[3]).release(features, 1e-3)
    refit = BatchStatistics.of(features, concatenate(batches), PROPERTIES).release(features, 1e-3)
    spectra = field.spectra.astype(float)
    for name in ("clay", "ph", "soc"):
        one, other = added[name].predict(spectra), refit[name].predict(spectra)
        assert np.max(np.abs(one - other) / np.abs(other)) < 1e-8
    clay = field.property_values("clay")
    assert ((added["clay"].predict(spectra) - clay) ** 2).mean() < 0.2 * clay.var()


def test_a_batch_taken_away_leaves_no_trace(features: LandmarkFeatures, batches: list[SpectralBatch]) -> None:
    parts = [BatchStatistics.of(features, b, PROPERTIES) for b in batches]
    without = parts[0] + parts[1] + parts[2] - parts[1]
    direct = parts[0] + parts[2]
    for name in direct.sums:
        assert without.sums[name].n == direct.sums[name].n
        assert np.allclose(without.sums[name].xx, direct.sums[name].xx, rtol=1e-9, atol=1e-9)


def test_stored_and_read_back(
    features: LandmarkFeatures, batches: list[SpectralBatch], tmp_path: Path
) -> None:
    statistics = BatchStatistics.of(features, batches[0], PROPERTIES)
    statistics.save(tmp_path / "b.npz")
    loaded = BatchStatistics.load(tmp_path / "b.npz")
    assert loaded.sums["clay"].xx is loaded.sums["ph"].xx  # the same samples: one matrix
    assert loaded.sums["soc"].xx is not loaded.sums["ph"].xx
    for name, sums in statistics.sums.items():
        assert np.array_equal(sums.xx, loaded.sums[name].xx)
        assert (sums.n, sums.sum_y, sums.yy) == (
            loaded.sums[name].n,
            loaded.sums[name].sum_y,
            loaded.sums[name].yy,
        )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.npz"]


def test_other_features_or_properties_are_refused(
    features: LandmarkFeatures, batches: list[SpectralBatch]
) -> None:
    other = LandmarkFeatures.fit(batches[0].spectra.astype(float), features.pretreatment, 20, 0.1, 2)
    statistics = BatchStatistics.of(features, batches[0], PROPERTIES)
    with pytest.raises(BadInput, match="cannot be combined"):
        _ = statistics + BatchStatistics.of(other, batches[1], PROPERTIES)
    with pytest.raises(BadInput, match="cannot be combined"):
        _ = statistics + BatchStatistics.of(features, batches[1], PROPERTIES[:2])
    with pytest.raises(BadInput, match="other features"):
        statistics.release(other, 1.0)
