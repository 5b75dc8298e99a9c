"""A stretch of the flow over all partitions: what CI and DVC ask for with one command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import dagster as dg
import pytest

from soil_assets.adapters.dvc import directory_hash
from soil_assets.config import Settings
from soil_assets.defs import run
from soil_assets.defs.by_hand import Step
from soil_assets.defs.gates import materialization
from soil_assets.defs.landing_zone import all_files
from soil_assets.defs.pipeline import add_landed_batches, materialize_each, record, standing
from soil_assets.defs.staleness import stored_data_version
from soil_assets.demo.batches import DEMO_BATCHES, land
from soil_assets_tests.conftest import Platform, make_platform

QUICK = {
    "axis": {"start": 3796, "stop": 1000, "step": 12},
    "policy": {"drift": {"permutations": 199}, "model": {"bootstrap": 200}},
    "recipe": {"max_components": 3, "folds": 3},
}


def each(platform: Platform, selection: str, *, only_stale: bool = False, **landing: object) -> list[Step]:
    settings = platform.settings.model_copy(
        update={"landing": platform.settings.landing.model_copy(update=landing)}
    )
    return list(
        materialize_each(platform.definitions, platform.instance, settings, selection, only_stale=only_stale)
    )


def made(steps: list[Step]) -> list[tuple[str, str | None]]:
    return [(s.what, s.partition) for s in steps]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    return make_platform(tmp_path_factory.mktemp("pipeline"), **QUICK)


@pytest.fixture(scope="module")
def judged(platform: Platform) -> list[Step]:
    for batch in DEMO_BATCHES:
        if batch.name in ("same-field", "short-range"):
            land(batch, platform.landing)
    return each(platform, "drift_reports")


def test_every_batch_is_run_after_what_it_needs_and_a_gate_holds_only_what_is_behind_it(
    judged: list[Step],
) -> None:
    steps = made(judged)
    assert ("drift_reports", "same-field") in steps
    assert ("validated_batches", "short-range") in steps or ("raw_spectra", "short-range") in steps
    order = [asset for asset, partition in steps if partition in (None, "same-field")]
    assert order.index("reference_spectra") < order.index("validated_batches") < order.index("drift_reports")
    assert "training_set" not in order


def test_what_became_of_a_run_is_read_in_pages_however_long_its_log(
    platform: Platform, judged: list[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = next(s.outcome for s in judged if len(s.outcome.checks) > 3)
    monkeypatch.setattr(run, "_PAGE", 2)
    assert run.outcome_of(platform.instance, first.run_id, first.success) == first
    assert first.materialized


def test_what_is_up_to_date_is_made_again_only_where_it_was_asked_for(
    platform: Platform, judged: list[Step]
) -> None:
    assert made(each(platform, "drift_reports", only_stale=True)) == []
    again = made(each(platform, "drift_reports"))
    assert {asset for asset, _ in again} == {"drift_reports"}


def test_a_batch_whose_bytes_changed_is_judged_again(platform: Platform, judged: list[Step]) -> None:
    lab = Path(platform.landing.where("same-field/lab.csv"))
    kept = lab.read_bytes()
    lab.write_bytes(kept + b"extra,1,1,1\n")
    steps = made(each(platform, "drift_reports", only_stale=True))
    lab.write_bytes(kept)
    assert steps == [(a, "same-field") for a in ("raw_spectra", "validated_batches", "drift_reports")]
    each(platform, "drift_reports", only_stale=True)


def test_the_record_tells_versions_and_verdicts_and_no_time(platform: Platform, judged: list[Step]) -> None:
    def told() -> str:
        found = record(
            platform.definitions, platform.instance, platform.settings, "reference_spectra,validated_batches"
        )
        return json.dumps(found, sort_keys=True)

    first = told()
    each(platform, "validated_batches")
    assert told() == first
    found = json.loads(first)
    assert set(found["validated_batches"]) == {"same-field", "short-range"}
    assert found["validated_batches"]["same-field"]["checks"]["schema"]["passed"] is True
    assert found["reference_spectra"]["all"]["data_version"]


def test_a_batch_that_left_the_repository_is_no_partition_any_more(tmp_path: Path) -> None:
    platform = make_platform(tmp_path)
    try:
        for name in ("one", "two"):
            platform.landing.write(f"{name}/spectra.csv", b"x")
            platform.landing.write(f"{name}/_SUCCESS", b"")
        assert add_landed_batches(platform.instance, platform.settings) == ["one", "two"]
        shutil.rmtree(platform.landing.where("two"))
        # A landing zone may be cleared of what was copied.
        assert add_landed_batches(platform.instance, platform.settings) == ["one"]
        assert set(platform.instance.get_dynamic_partitions("batch")) == {"one", "two"}
        whole = Settings.model_validate({**platform.settings.model_dump(), "landing": {"complete": True}})
        add_landed_batches(platform.instance, whole)
        assert set(platform.instance.get_dynamic_partitions("batch")) == {"one"}
    finally:
        platform.instance.dispose()


def test_a_batch_under_dvc_is_read_under_its_dvc_version(tmp_path: Path) -> None:
    platform = make_platform(tmp_path, **QUICK)
    try:
        land(next(b for b in DEMO_BATCHES if b.name == "same-field"), platform.landing)
        md5 = directory_hash(all_files(platform.landing, "same-field"))
        platform.landing.write("same-field.dvc", f"outs:\n- md5: {md5}\n  path: same-field\n".encode())
        [step] = each(platform, "raw_spectra")
        assert step.outcome.success, step.outcome.errors
        assert stored_data_version(platform.instance, "raw_spectra", "same-field") == f"dvc:{md5}"
    finally:
        platform.instance.dispose()


def test_a_run_that_ended_before_its_verdict_is_no_pass_and_is_done_again(
    platform: Platform, judged: list[Step]
) -> None:
    """What a kill behind the value leaves: nothing of it looks out of date, and no gate has said a word."""
    held = ["drift_reports.batch_drift of short-range"]
    before = standing(platform.definitions, platform.instance, platform.settings, "drift_reports")
    assert (before.held, before.open) == (held, [])
    latest = materialization(platform.instance, "drift_reports", "same-field")
    assert latest is not None
    assert latest.asset_materialization is not None
    tags = {**(latest.asset_materialization.tags or {}), "dagster/data_version": "of a run that was killed"}
    platform.instance.report_runless_asset_event(
        dg.AssetMaterialization("drift_reports", partition="same-field", tags=tags)
    )
    now = standing(platform.definitions, platform.instance, platform.settings, "drift_reports")
    assert now.held == held
    assert now.open
    assert all("drift_reports." in reason and "of same-field" in reason for reason in now.open)
    steps = each(platform, "drift_reports", only_stale=True)
    assert [(s.what, s.partition, s.why) for s in steps] == [
        ("drift_reports", "same-field", "its gates gave no verdict")
    ]
    after = standing(platform.definitions, platform.instance, platform.settings, "drift_reports")
    assert (after.held, after.open) == (held, [])


def test_what_was_never_made_is_no_pass(platform: Platform, judged: list[Step]) -> None:
    never = standing(platform.definitions, platform.instance, platform.settings, "training_set")
    assert never.open == ["benchmark_spectra of all was never materialized"]


def test_a_folder_that_cannot_be_taken_stops_no_other(tmp_path: Path) -> None:
    platform = make_platform(tmp_path)
    try:
        for name in ("good", "not a key!"):
            platform.landing.write(f"{name}/spectra.csv", b"x")
            platform.landing.write(f"{name}/_SUCCESS", b"")
        assert add_landed_batches(platform.instance, platform.settings) == ["good"]
    finally:
        platform.instance.dispose()
