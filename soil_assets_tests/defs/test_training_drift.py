"""All batches together against the golden reference, and what the report makes of it."""

from __future__ import annotations

import pytest

from soil_assets.defs.evidence import together
from soil_assets.defs.io import load_value
from soil_assets.demo.batches import DEMO_BATCHES, land
from soil_assets_tests.conftest import Platform, make_platform
from soil_assets_tests.defs.test_pipeline import QUICK, each


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    made = make_platform(tmp_path_factory.mktemp("together"), **QUICK)
    each(made, "training_drift")
    return made


def test_without_a_batch_there_is_nothing_to_judge(platform: Platform) -> None:
    assert load_value(platform.soil.data, "training_drift")["n"] == 0
    [check] = together(platform.instance, platform.soil, adds_data=True)
    assert check.passed is True
    assert not check.blocking


def test_batches_that_were_taken_are_judged_as_one_sample(platform: Platform) -> None:
    [batch] = [b for b in DEMO_BATCHES if b.name == "same-field"]
    land(batch, platform.landing)
    each(platform, "training_drift")
    found = load_value(platform.soil.data, "training_drift")
    assert found["n"] == len(load_value(platform.soil.data, "validated_batches", "same-field").accepted)
    [check] = together(platform.instance, platform.soil, adds_data=True)
    assert check.passed is True
    assert "all batches together" in check.summary


def test_a_change_that_adds_data_is_held_when_all_of_it_drifts(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    from soil_assets.defs import evidence

    drifted = {"verdict": "fail", "n": 30, "reasons": ["the spectra differ around 1632 cm-1"]}
    monkeypatch.setattr(evidence, "load_value", lambda *_: drifted)
    [adding] = together(platform.instance, platform.soil, adds_data=True)
    assert (adding.passed, adding.blocking) == (False, True)
    [other] = together(platform.instance, platform.soil, adds_data=False)
    assert (other.passed, other.blocking) == (False, False)
