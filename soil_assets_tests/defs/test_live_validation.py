"""The live model validated again: as registered, exchanged, changed by code, on another benchmark, or not there."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from soil_assets.defs.by_hand import bring_up_to_date
from soil_assets.defs.io import load_value
from soil_assets.defs.live_validation import live_version
from soil_assets.defs.run import RunOutcome, run_job
from soil_assets_tests.conftest import Platform, make_platform

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

#: Coarser than soil.yaml's: everything is real, and quicker.
COARSE = {"start": 3796, "stop": 552, "step": 16, "unit": "cm-1", "quantity": "absorbance"}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform whose first clay model went through its gates into the registry."""
    made = make_platform(Path(tmp_path_factory.mktemp("live")), axis=COARSE)
    for step in bring_up_to_date(made.definitions, made.instance, made.settings):
        assert step.outcome.success, step
    try:
        yield made
    finally:
        made.instance.dispose()


def validated(house: Platform) -> tuple[RunOutcome, dict[str, Any]]:
    outcome = house.run("live_model_validations", "clay")
    return outcome, {c.check: c for c in outcome.checks}


def tag(house: Platform, key: str, value: str | None) -> None:
    """Set or remove a tag of version 1 in the registry's own file."""
    with sqlite3.connect(f"{house.settings.home}/mlflow.db") as registry:
        registry.execute("DELETE FROM model_version_tags WHERE key = ?", (key,))
        if value is not None:
            registry.execute(
                "INSERT INTO model_version_tags (key, value, name, version, workspace) "
                "SELECT ?, ?, name, version, workspace FROM model_versions WHERE name = 'soil-clay'",
                (key, value),
            )
    registry.close()


def tags(house: Platform) -> dict[str, str]:
    live = live_version(house.soil, "clay")
    assert live is not None
    return dict(live.found.tags)


def test_a_model_that_is_what_it_was_passes_and_says_which_it_is(house: Platform) -> None:
    outcome, checks = validated(house)
    assert outcome.success, outcome
    assert checks["still_as_registered"].summary == "soil-clay version 1 (staging): as registered"
    assert all(c.passed for c in checks.values())
    told = load_value(house.soil.data, "live_model_validations", "clay")
    candidate = load_value(house.soil.data, "benchmark_evaluations", "clay")
    assert told["evaluation"]["metrics"] == candidate["metrics"]
    assert told["registered"]["rmse"] == candidate["metrics"]["rmse"]


def test_figures_that_changed_fail_the_blocking_check_and_name_both(house: Platform) -> None:
    kept = tags(house)["soil.benchmark_metrics"]
    figures = json.loads(kept)
    tag(house, "soil.benchmark_metrics", json.dumps({**figures, "rmse": figures["rmse"] * 0.99}))
    try:
        outcome, checks = validated(house)
    finally:
        tag(house, "soil.benchmark_metrics", kept)
    assert not outcome.success
    assert not checks["still_as_registered"].passed
    assert f"rmse is {figures['rmse']:.4g}, registered with {figures['rmse'] * 0.99:.4g}" in (
        checks["still_as_registered"].summary
    )
    assert not outcome.errors, "a gate said no; nothing broke"


def test_a_version_of_older_days_is_compared_by_the_text_that_it_has(house: Platform) -> None:
    kept = tags(house)
    tag(house, "soil.benchmark_metrics", None)
    try:
        outcome, checks = validated(house)
        assert outcome.success
        assert checks["still_as_registered"].summary.endswith("as registered")
        tag(house, "soil.benchmark_rmse", "99 % (n = 22)")
        outcome, checks = validated(house)
        assert not checks["still_as_registered"].passed
        tag(house, "soil.benchmark_rmse", None)
        outcome, checks = validated(house)
        assert outcome.success
        assert "not judged" in checks["still_as_registered"].summary
    finally:
        for key in ("soil.benchmark_metrics", "soil.benchmark_rmse"):
            tag(house, key, kept[key])


def test_exchanged_files_fail_the_check_in_words(house: Platform) -> None:
    kept = tags(house)["soil.model_sha256"]
    tag(house, "soil.model_sha256", "0" * 64)
    try:
        outcome, checks = validated(house)
    finally:
        tag(house, "soil.model_sha256", kept)
    assert not outcome.success
    assert not checks["still_as_registered"].passed
    assert "not the model that was registered" in checks["still_as_registered"].summary
    assert not outcome.errors


def test_another_benchmark_is_told_and_its_figures_are_not_held_against_the_model(house: Platform) -> None:
    kept = tags(house)["soil.evidence"]
    evidence = json.loads(kept)
    evidence["data"]["benchmark_spectra"] = "0" * 64
    figures = tags(house)["soil.benchmark_metrics"]
    tag(house, "soil.evidence", json.dumps(evidence))
    tag(house, "soil.benchmark_metrics", json.dumps({**json.loads(figures), "rmse": 99.0}))
    try:
        outcome, checks = validated(house)
    finally:
        tag(house, "soil.evidence", kept)
        tag(house, "soil.benchmark_metrics", figures)
    assert outcome.success
    assert checks["still_as_registered"].passed
    assert "not judged" in checks["still_as_registered"].summary
    assert not checks["same_benchmark"].passed
    assert checks["same_benchmark"].severity == "WARN"


def test_production_is_looked_at_before_staging(house: Platform) -> None:
    from soil_assets.adapters.registry import promote
    from soil_assets.defs.resources import registry_of
    from soil_assets_tests.delivery.models import ADA

    promote(registry_of(house.settings), "soil-clay", 1, ADA)
    outcome, checks = validated(house)
    assert outcome.success
    assert "(production)" in checks["still_as_registered"].summary


def test_with_nothing_registered_it_says_so_and_does_not_fail(platform: Platform) -> None:
    assert platform.run("benchmark_spectra").success
    outcome, checks = validated(platform)
    assert outcome.success
    assert all(c.passed and "nothing is registered yet" in c.summary for c in checks.values())
    assert load_value(platform.soil.data, "live_model_validations", "clay")["version"] is None
    assert not Path(platform.settings.home, "mlflow.db").exists(), "looking makes no registry"


def requests(platform: Platform) -> list[dg.RunRequest] | str:
    schedule = platform.definitions.resolve_schedule_def("live_models")
    context = dg.build_schedule_context(
        instance=platform.instance,
        scheduled_execution_time=datetime(2026, 12, 1, 4, tzinfo=UTC),
        repository_def=platform.definitions.get_repository_def(),
    )
    asked = schedule.evaluate_tick(context)
    return list(asked.run_requests or []) or str(asked.skip_message)


def test_the_schedule_asks_for_each_property_once_a_month(house: Platform) -> None:
    [asked] = requests(house)
    assert isinstance(asked, dg.RunRequest)
    assert asked.partition_key == "clay"
    assert asked.run_key == "live:clay:2026-12-01"
    schedule = house.definitions.resolve_schedule_def("live_models")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert schedule.cron_schedule == "0 4 1 * *"
    assert run_job(house.definitions, house.instance, "validate_live_models", "clay").success


def test_merged_code_that_computes_otherwise_asks_for_another_look(platform: Platform) -> None:
    def ask() -> set[str]:
        context = dg.build_sensor_context(
            instance=platform.instance, repository_def=platform.definitions.get_repository_def()
        )
        asked = platform.definitions.resolve_sensor_def("merged_changes")(context)
        requests = asked.run_requests or [] if isinstance(asked, dg.SensorResult) else []
        return {f"{r.job_name}[{r.partition_key}]" for r in requests}

    assert platform.run("benchmark_spectra").success
    assert platform.run("live_model_validations", "clay").success
    assert ask() == set()
    platform.instance.report_runless_asset_event(
        dg.AssetMaterialization(
            "live_model_validations", partition="clay", tags={"dagster/code_version": "as it was"}
        )
    )
    assert ask() == {"validate_live_models[clay]"}


def test_the_schedule_says_what_is_missing(platform: Platform) -> None:
    assert requests(platform) == "nothing is registered yet"


@pytest.mark.parametrize(
    "changes", [{"watch": {"revalidate": "never"}}, {"deployment": "branch", "branch": "pr-1"}]
)
def test_no_schedule_where_none_is_wanted(tmp_path: Path, changes: dict[str, Any]) -> None:
    made = make_platform(tmp_path, **changes)
    try:
        assert not list(made.definitions.get_repository_def().schedule_defs)
    finally:
        made.instance.dispose()
