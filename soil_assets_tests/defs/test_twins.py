"""Two daemons that ask at once: the elder run judges, the younger one ends before it does anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from soil_assets.defs.dead_runs import DIED_TAG
from soil_assets.defs.run import run_selection
from soil_assets.defs.twins import TWIN_TAG, elder_twin
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
