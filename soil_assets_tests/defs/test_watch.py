"""Everything that watches is there and runs by itself, and each thing that goes wrong reaches a person."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from soil_assets.config import load_settings
from soil_assets.defs.build import assets_of
from soil_assets.errors import BadInput
from soil_assets_tests.conftest import Platform, make_platform
from soil_assets_tests.defs.batches import folds, land_as, land_garbage
from soil_assets_tests.defs.receivers import listening, receiving_mail
from soil_assets_tests.defs.test_alerts import tick
from soil_assets_tests.defs.ticks import judge_ages, made_long_ago, record_tick

UI = "https://soil.example"
#: What must be noticed, and by which sensor.
SENSORS = {
    "new batches": "new_batches",
    "merged changes": "merged_changes",
    "alias moves": "alias_moves",
    "served traffic": "served_days",
    "gates that passed": "declared_automation",
    "failures, warnings, ages": "alerts",
}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Platform]:
    made = make_platform(tmp_path, alerts={"ui_url": UI})
    try:
        yield made
    finally:
        made.instance.dispose()


def sensors(platform: Platform) -> dict[str, dg.SensorDefinition]:
    return {s.name: s for s in platform.definitions.get_repository_def().sensor_defs}


def test_every_sensor_is_there_and_runs_without_being_switched_on(house: Platform) -> None:
    found = sensors(house)
    assert set(SENSORS.values()) <= set(found)
    for sensor in found.values():
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING, sensor.name
        assert sensor.description, sensor.name
    schedules = house.definitions.get_repository_def().schedule_defs
    assert {s.name: s.default_status for s in schedules} == {"live_models": dg.DefaultScheduleStatus.RUNNING}
    assert "FRESHNESS_DAEMON" in house.instance.get_required_daemon_types()


def test_a_branch_watches_its_own_and_leaves_productions_to_production(tmp_path: Path) -> None:
    branch = make_platform(tmp_path, deployment="branch", branch="pr-1")
    try:
        assert set(sensors(branch)) == {
            "new_batches", "merged_changes", "alerts", "declared_automation", "adopt_records",
        }  # fmt: skip
        assert not policies(branch)
    finally:
        branch.instance.dispose()


def policies(platform: Platform) -> dict[str, Any]:
    specs = [spec for asset in assets_of(platform.settings) for spec in asset.specs]
    return {s.key.path[-1]: s.freshness_policy for s in specs if s.freshness_policy is not None}


def test_the_ages_of_soil_yaml_are_policies(house: Platform) -> None:
    found = policies(house)
    assert set(found) == {"served_predictions", "live_model_validations"}
    window = found["live_model_validations"]
    assert window.fail_window.to_timedelta() == timedelta(days=35)
    assert timedelta(days=31) < window.warn_window.to_timedelta() < timedelta(days=35)


def test_any_asset_can_be_watched_and_a_default_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOIL_MANIFESTS", "https://git.example.org/soil/manifests.git")
    stale = {"raw_spectra": 30, "served_predictions": None}
    made = make_platform(tmp_path, watch={"revalidate": "weekly", "stale_after_days": stale})
    try:
        days = {name: p.fail_window.to_timedelta().days for name, p in policies(made).items()}
    finally:
        made.instance.dispose()
    assert days == {"raw_spectra": 30, "live_model_validations": 9, "staging_releases": 180}


def test_an_asset_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"stale_after_days\.raw_spectre.*raw_spectra"):
        make_platform(tmp_path, watch={"stale_after_days": {"raw_spectre": 3}})


@pytest.mark.parametrize("wrong", ["revalidate: daily", "stale_after_days: {raw_spectra: 0}", "often: true"])
def test_a_wrong_value_is_explained(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "soil.yaml").write_text(f"watch:\n  {wrong}\n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"watch\."):
        load_settings(tmp_path / "soil.yaml", {})


def test_ages_are_judged_by_dagsters_daemon(house: Platform) -> None:
    def state(asset: str) -> str:
        key = dg.AssetKey(asset)
        return str(house.instance.get_freshness_state_records([key])[key].freshness_state.value)

    judge_ages(house)
    assert state("served_predictions") == "UNKNOWN", "what was never made is no alarm"
    made_long_ago(house, "served_predictions", 1.0, "2026-01-01")
    judge_ages(house)
    assert state("served_predictions") == "PASS"


def fails(platform: Platform) -> None:
    @dg.op
    def breaks() -> None:
        raise RuntimeError("disk on fire")

    @dg.job
    def nightly() -> None:
        breaks()

    nightly.execute_in_process(instance=platform.instance, raise_on_error=False)


def refuses(platform: Platform) -> None:
    land_garbage(platform.landing, "b1")
    assert platform.judge("b1").gate_failed


def warns(platform: Platform) -> None:
    """A real batch of a few soils: too small to be judged for drift, which warns."""
    assert platform.run("reference_spectra,benchmark_spectra").success
    land_as(platform.landing, "b2", lambda: folds(6)().take(list(range(4))))
    assert platform.judge("b2").success


def ages(platform: Platform) -> None:
    made_long_ago(platform, "served_predictions", 4.5, "2026-01-01")
    judge_ages(platform)


def is_blind(platform: Platform) -> None:
    record_tick(platform, "new_batches", "s3://soil/landing does not answer")


@pytest.mark.parametrize(
    ("happens", "title", "said", "link"),
    [
        (fails, "1 failed", ("Run failed:", "nightly"), "/runs/"),
        (refuses, "1 failed", ("Gate failed:", "raw_spectra.readable", "b1"), "/assets/raw_spectra"),
        (warns, "to look at", ("Warning:", "drift_reports.judged", "4 soils are too few"), "/assets/drift_reports"),
        (ages, "1 to look at", ("Too old:", "served_predictions", "4 days"), "/assets/served_predictions"),
        (is_blind, "1 failed", ("Cannot look:", "sensor new_batches", "does not answer"), "/automation"),
    ],
    ids=["run failure", "blocking check", "warning check", "stale asset", "failing sensor"],
)  # fmt: skip
def test_it_reaches_a_person_by_mail_and_by_webhook(
    house: Platform,
    monkeypatch: pytest.MonkeyPatch,
    happens: Callable[[Platform], None],
    title: str,
    said: tuple[str, ...],
    link: str,
) -> None:
    with listening() as hook, receiving_mail() as box:
        monkeypatch.setenv("SOIL_ALERT_URLS", f"{hook.address} {box.address}")
        cursor = tick(house, None)
        happens(house)
        cursor = tick(house, cursor)
        tick(house, cursor)
    [posted] = hook.taken
    [letter] = box.letters
    for subject, text in ((posted["title"], posted["message"]), (str(letter["Subject"]), box.text())):
        assert title in subject
        for words in said:
            assert words.replace("_", "") in text.replace("\\", "").replace("_", ""), words
        assert f"{UI}{link}" in text


def test_one_message_groups_what_happened_together(house: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as hook:
        monkeypatch.setenv("SOIL_ALERT_URLS", hook.address)
        cursor = tick(house, None)
        for batch in ("b1", "b2", "b3"):
            land_garbage(house.landing, batch)
            assert house.judge(batch).gate_failed
        fails(house)
        tick(house, cursor)
    [posted] = hook.taken
    assert posted["title"].endswith(": 4 failed, 3 to look at")
    assert posted["message"].replace("\\", "").count("raw_spectra.readable") == 1
    for batch in ("b1", "b2", "b3"):
        assert f"[{batch}](" in posted["message"]


def test_a_sensor_that_recovered_is_not_told(house: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as hook:
        monkeypatch.setenv("SOIL_ALERT_URLS", hook.address)
        cursor = tick(house, None)
        record_tick(house, "new_batches", "a moment's silence")
        record_tick(house, "new_batches", None)
        record_tick(house, "alerts", "the receiver is down")
        tick(house, cursor)
    assert hook.taken == [], "and a message about the messenger would never arrive"
