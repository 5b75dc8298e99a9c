from __future__ import annotations

import json

import numpy as np
import pytest

from soil_assets.drift.damage import expected_damage, measured_damage
from soil_assets.errors import BadInput


def test_errors_as_expected_are_harmless_and_larger_ones_harmful() -> None:
    rng = np.random.default_rng(1)
    reference, observed = rng.normal(0, 1, 900), rng.normal(20, 4, 900)
    same = measured_damage("clay", observed, observed + rng.normal(0, 1, 900), reference)
    assert same.verdict == "harmless"
    worse = measured_damage("clay", observed, observed + rng.normal(0.5, 2, 900), reference)
    assert worse.verdict == "harmful"
    assert worse.ratio_low < worse.ratio < worse.ratio_high
    assert worse.bias == pytest.approx(0.5, abs=0.25)
    few = measured_damage("clay", observed[:9], observed[:9] + rng.normal(0, 1.3, 9), reference)
    assert few.verdict == "cannot tell"
    assert json.loads(json.dumps(worse.to_dict()))["n"] == 900


def test_the_interval_of_the_ratio_covers_one_when_nothing_changed() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for k in range(200):
        errors = rng.normal(0, 2, 60)
        found = measured_damage("ph", np.zeros(40), rng.normal(0, 2, 40), errors, seed=k)
        covered += found.ratio_low <= 1 <= found.ratio_high
    assert covered >= 180


def test_grouped_samples_widen_the_interval() -> None:
    rng = np.random.default_rng(3)
    by_site = np.repeat(rng.normal(0, 1, 10), 10)
    alone = measured_damage("soc", np.zeros(100), by_site, rng.normal(0, 1, 300))
    grouped = measured_damage(
        "soc", np.zeros(100), by_site, rng.normal(0, 1, 300), groups=np.repeat(np.arange(10), 10)
    )
    assert grouped.ratio_high - grouped.ratio_low > alone.ratio_high - alone.ratio_low


def test_expected_errors_grow_with_distance_and_end_with_knowledge() -> None:
    rng = np.random.default_rng(4)
    distances = rng.exponential(1, 500)
    errors = rng.normal(0, 1, 500) * (0.5 + distances)
    near = expected_damage("clay", rng.exponential(1, 60).clip(max=3), distances, errors)
    far = expected_damage("clay", rng.uniform(2.5, 3.5, 60), distances, errors)
    assert near.verdict != "harmful"
    assert far.verdict == "harmful"
    assert far.rmse > 2 * near.rmse
    beyond = expected_damage("clay", np.full(20, 100.0), distances, errors)
    assert beyond.unknown_share == 1.0
    assert beyond.verdict == "cannot tell"
    assert "nothing is known" in beyond.words


def test_too_little_to_estimate_from_is_refused() -> None:
    with pytest.raises(BadInput, match="at least 8"):
        measured_damage("clay", [1.0] * 5, [1.0] * 5, np.ones(50))
    with pytest.raises(BadInput, match="at least 40"):
        expected_damage("clay", [1.0], np.ones(10), np.ones(10))
    with pytest.raises(BadInput, match="differ in length"):
        measured_damage("clay", [1.0], [1.0, 2.0], np.ones(50))
