"""Runs that would judge a batch again: the elder run judges, the younger one ends before it does anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from soil_assets.defs.build import assets_of, blocking_of
from soil_assets.defs.dead_runs import DIED_TAG
from soil_assets.defs.gates import gate_records
from soil_assets.defs.run import run_selection
from soil_assets.defs.twins import TWIN_TAG, elder_twin, stop_if_answered
from soil_assets_tests.conftest import Platform, make_platform
from soil_assets_tests.defs.batches import folds, land_as
from soil_assets_tests.defs.receivers import Webhook, listening
from soil_assets_tests.defs.test_alerts import tick

REQUEST = {"dagster/run_key": "b1:abc", "dagster/sensor_name": "new_batches"}


@pytest.fixture
def landed(tmp_path: Path) -> Iterator[Platform]:
    made = make_platform(tmp_path)
    land_as(made.landing, "b1", folds(6))
    made.instance.add_dynamic_partitions("batch", ["b1"])
    yield made
    made.instance.dispose()


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with listening() as hook:
        monkeypatch.setenv("SOIL_ALERT_URLS", hook.address)
        yield hook


def asked(platform: Platform, **tags: str) -> dg.DagsterRun:
    outcome = run_selection(platform.definitions, platform.instance, "raw_spectra", "b1", REQUEST | tags)
    run = platform.instance.get_run_by_id(outcome.run_id)
    assert run is not None
    return run


def test_the_younger_run_ends_and_nobody_is_told(landed: Platform, webhook: Webhook) -> None:
    cursor = tick(landed, None)
    elder, younger = asked(landed), asked(landed)
    assert (elder.status, younger.status) == (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE)
    assert younger.tags[TWIN_TAG] == elder.run_id
    records = landed.instance.fetch_materializations(dg.AssetKey("raw_spectra"), limit=10).records
    assert [r.run_id for r in records] == [elder.run_id]
    assert elder_twin(landed.instance, elder) is None
    tick(landed, cursor)
    assert not webhook.taken


def test_what_died_or_failed_is_no_elder(landed: Platform) -> None:
    first = asked(landed)
    landed.instance.add_run_tags(first.run_id, {DIED_TAG: "done again"})
    second = asked(landed)
    assert second.status is dg.DagsterRunStatus.SUCCESS
    assert TWIN_TAG not in second.tags


def test_another_request_or_a_person_is_not_stopped(landed: Platform) -> None:
    asked(landed)
    other = asked(landed, **{"dagster/run_key": "b1:def"})
    assert other.status is dg.DagsterRunStatus.SUCCESS
    by_hand = run_selection(landed.definitions, landed.instance, "raw_spectra", "b1")
    assert by_hand.success
    again = landed.instance.create_run_for_job(
        landed.definitions.resolve_job_def("judge_batch"), tags=REQUEST, parent_run_id=other.run_id,
        root_run_id=other.run_id,
    )  # fmt: skip
    assert elder_twin(landed.instance, again) is None, "a person starts a finished run again"


AUTOMATIC = {"dagster/from_automation_condition": "true"}
JUDGING = "raw_spectra,validated_batches,drift_reports"


@pytest.fixture
def judged(tmp_path: Path) -> Iterator[Platform]:
    made = make_platform(tmp_path)
    land_as(made.landing, "b1", folds(6))
    made.instance.add_dynamic_partitions("batch", ["b1"])
    assert run_selection(made.definitions, made.instance, "reference_spectra").success
    assert run_selection(made.definitions, made.instance, JUDGING, "b1").success
    yield made
    made.instance.dispose()


def materialized(platform: Platform) -> int:
    key = dg.AssetKey("drift_reports")
    return len(platform.instance.fetch_materializations(key, limit=10).records)


def verdicts(platform: Platform) -> list[bool | None]:
    checks = blocking_of(assets_of(platform.settings))
    return [
        r.passed
        for asset in ("validated_batches", "drift_reports")
        for r in gate_records(platform.instance, asset, checks[asset], "b1")
    ]


@pytest.mark.parametrize("selection", ["drift_reports", "validated_batches,drift_reports"])
def test_what_automation_asks_for_and_is_there_is_not_done_again(judged: Platform, selection: str) -> None:
    before = verdicts(judged)
    outcome = run_selection(judged.definitions, judged.instance, selection, "b1", AUTOMATIC)
    run = judged.instance.get_run_by_id(outcome.run_id)
    assert run is not None
    assert TWIN_TAG in run.tags
    assert materialized(judged) == 1
    assert verdicts(judged) == before
    assert None not in before, "the verdicts stand, also in the eyes of the gates"


def test_automation_judges_what_has_changed(judged: Platform) -> None:
    land_as(judged.landing, "b1", folds(7))
    assert run_selection(judged.definitions, judged.instance, "raw_spectra", "b1").success
    both = "validated_batches,drift_reports"
    assert run_selection(judged.definitions, judged.instance, both, "b1", AUTOMATIC).success
    assert materialized(judged) == 2


def test_a_value_without_its_verdict_is_judged(judged: Platform) -> None:
    from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable as Checks

    with judged.instance.event_log_storage.index_connection() as conn:  # type: ignore[attr-defined]
        conn.execute(Checks.delete().where(Checks.c.check_name == "batch_drift"))
    assert run_selection(judged.definitions, judged.instance, "drift_reports", "b1", AUTOMATIC).success
    assert materialized(judged) == 2


def test_a_person_judges_again(judged: Platform) -> None:
    assert run_selection(judged.definitions, judged.instance, "drift_reports", "b1").success
    assert materialized(judged) == 2


def test_an_elder_run_that_judges_now_is_waited_for(judged: Platform) -> None:
    """Of two runs for one batch the younger looks when the elder is over."""
    job = judged.definitions.resolve_job_def("judge_batch")
    tags = AUTOMATIC | {"dagster/partition": "b1"}
    asked = {"asset_selection": frozenset({dg.AssetKey("drift_reports")})}
    elder = judged.instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED, **asked)
    younger = judged.instance.create_run_for_job(job, tags=tags, **asked)
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            judged.instance.report_run_failed(elder)

    with pytest.raises(dg.Failure, match="has judged the batch as it is now"):
        stop_if_answered(judged.instance, younger, sleep)
    assert len(waited) == 3
    with pytest.raises(dg.Failure):
        stop_if_answered(judged.instance, elder, sleep)
    assert len(waited) == 3, "an elder run does not wait for a younger one"
