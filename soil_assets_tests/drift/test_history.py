from __future__ import annotations

import numpy as np
import pytest

from soil_assets.config import DriftPolicy
from soil_assets.drift.control_charts import (
    chart,
    check_chart,
    cusum_run_length,
    ewma_run_length,
    limits,
)
from soil_assets.drift.history import pooled_with_predecessors, successive
from soil_assets.drift.profile import ReferenceProfile
from soil_assets.errors import BadInput
from soil_assets.spectra.batch import SpectralBatch


def test_run_lengths_agree_with_published_ones() -> None:
    # Lucas & Saccucci (1990): EWMA, weight 0.2, limit 2.859 -> 370; Montgomery: CUSUM, k 0.5, h 4.77 -> 370.
    assert ewma_run_length(2.859) == pytest.approx(370, rel=0.02)
    assert cusum_run_length(4.77) == pytest.approx(370, rel=0.02)
    assert ewma_run_length(2.859, shift=1.0) == pytest.approx(9.8, rel=0.1)
    assert cusum_run_length(4.77, shift=1.0) == pytest.approx(9.9, rel=0.1)


def test_limits_give_the_run_length_asked_for() -> None:
    ewma_limit, cusum_limit = limits(200.0)
    assert ewma_run_length(ewma_limit) == pytest.approx(200, rel=0.01)
    assert cusum_run_length(cusum_limit) == pytest.approx(200, rel=0.01)


def test_false_alarms_come_no_more_often_than_stated() -> None:
    rng = np.random.default_rng(1)
    lengths = []
    for _ in range(150):
        alarms = chart(rng.standard_normal(600), run_length=50).alarms
        lengths.append(int(np.flatnonzero(alarms)[0]) + 1 if alarms.any() else 600)
    assert np.mean(lengths) > 50 * 0.8
    assert np.mean(lengths) < 50 * 3


def test_a_lasting_shift_is_found_and_its_direction_said() -> None:
    z = np.random.default_rng(2).standard_normal(60)
    z[30:] -= 1.5
    found = chart(z)
    assert not found.alarms[:30].any()
    assert found.alarms[30:45].any()
    assert "downwards" in found.words()
    assert "no trend" in chart(z[:30]).words()
    with pytest.raises(BadInput, match="finite"):
        chart([0.0, np.nan])


def test_check_scans_have_limits_that_know_their_small_baseline() -> None:
    rng = np.random.default_rng(3)
    alarms = [check_chart(rng.normal(5, 0.1, 11), baseline=10, rate=0.05).outside[-1] for _ in range(1500)]
    assert 0.03 < np.mean(alarms) < 0.07
    shifted = np.concatenate([rng.normal(5, 0.1, 20), rng.normal(5.7, 0.1, 10)])
    found = check_chart(shifted, baseline=12)
    assert found.outside[20:].sum() >= 5
    assert "beyond the limits" in found.words()
    assert "baseline" in check_chart(shifted[:10]).words()
    with pytest.raises(BadInput, match="baseline"):
        check_chart(shifted[:4])
    with pytest.raises(BadInput, match="do not vary"):
        check_chart(np.ones(12))


def test_small_batches_are_pooled_until_they_can_be_judged(field: SpectralBatch) -> None:
    policy = DriftPolicy(min_samples=10)
    parts = [(f"b{i}", field.take(np.arange(4 * i, 4 * i + 4))) for i in range(4)]
    pooled, names = pooled_with_predecessors(parts[3][1], parts[:3], policy)
    assert names == ("b1", "b2")
    assert len(pooled) == 12
    alone, none = pooled_with_predecessors(field.take(np.arange(20)), parts[:3], policy)
    assert (len(alone), none) == (20, ())
    short, all_names = pooled_with_predecessors(parts[1][1], parts[:1], policy)
    assert (len(short), all_names) == (8, ("b0",))


def test_a_lamp_that_ages_shows_over_batches(
    profile: ReferenceProfile, field: SpectralBatch, split: tuple[SpectralBatch, SpectralBatch]
) -> None:
    unseen = field.take(~field.sample_ids.isin(split[0].sample_ids).to_numpy())
    order = np.random.default_rng(5).permutation(len(unseen))
    parts = [(f"b{i}", unseen.take(order[10 * i : 10 * i + 10])) for i in range(5)]
    assert not successive(profile, parts).alarming
    rng = np.random.default_rng(6)
    noisier = [
        (
            name,
            SpectralBatch(
                b.samples, b.spectra + rng.normal(0, 2e-5 * i, b.spectra.shape), b.axis, b.quantity
            ),
        )
        for i, (name, b) in enumerate(parts)
    ]
    found = successive(profile, noisier)
    assert any("noise" in name for name in found.alarming)
    assert "slow trend" in found.words()
    with pytest.raises(BadInput, match="no batch"):
        successive(profile, [])
