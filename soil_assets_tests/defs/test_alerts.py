"""The alert sensor through real ticks, with a mail server and a webhook on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.events.log import EventLogEntry

from soil_assets.adapters.notify import NotDelivered
from soil_assets.errors import BadInput
from soil_assets_tests.conftest import Platform, make_platform
from soil_assets_tests.defs.batches import land_garbage
from soil_assets_tests.defs.receivers import Webhook, listening, receiving_mail


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with listening() as hook:
        monkeypatch.setenv("SOIL_ALERT_URLS", hook.address)
        yield hook


def tick(platform: Platform, cursor: str | None) -> str:
    context = dg.build_sensor_context(
        instance=platform.instance, cursor=cursor, repository_def=platform.definitions.get_repository_def()
    )
    platform.definitions.resolve_sensor_def("alerts")(context)
    return context.cursor or ""


def warn(platform: Platform, batch: str, summary: str) -> None:
    platform.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey("drift_reports"),
            check_name="applicability",
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            partition=batch,
            metadata={},
            description=summary,
        )
    )


def test_a_refused_batch_is_told_once_and_not_as_a_failed_run(platform: Platform, webhook: Webhook) -> None:
    cursor = tick(platform, None)
    land_garbage(platform.landing, "b1")
    assert not platform.judge("b1").success
    cursor = tick(platform, cursor)
    [said] = webhook.taken
    assert "1 failed" in said["title"]
    assert "b1" in said["message"]
    assert "Run failed" not in said["message"]
    tick(platform, cursor)
    assert len(webhook.taken) == 1


def test_history_is_not_told(platform: Platform, webhook: Webhook) -> None:
    warn(platform, "old", "long ago")
    cursor = tick(platform, None)
    tick(platform, cursor)
    assert webhook.taken == []


def test_a_warning_that_fails_no_run_is_told_with_a_link(tmp_path: Path, webhook: Webhook) -> None:
    platform = make_platform(tmp_path, alerts={"ui_url": "https://soil.example"})
    cursor = tick(platform, None)
    warn(platform, "b2", "12 of 40 soils are outside the domain")
    tick(platform, cursor)
    [said] = webhook.taken
    assert "12 of 40 soils" in said["message"]
    assert "https://soil.example/assets/drift_reports" in said["message"]
    platform.instance.dispose()


def test_warnings_can_be_left_out(tmp_path: Path, webhook: Webhook) -> None:
    platform = make_platform(tmp_path, alerts={"warnings": False})
    cursor = tick(platform, None)
    warn(platform, "b2", "something")
    tick(platform, cursor)
    assert webhook.taken == []
    platform.instance.dispose()


def test_nothing_is_lost_while_the_receiver_is_down(platform: Platform, webhook: Webhook) -> None:
    cursor = tick(platform, None)
    warn(platform, "b3", "moved")
    webhook.down = True
    with pytest.raises(NotDelivered) as told:
        tick(platform, cursor)
    assert "127.0.0.1" not in str(told.value)
    webhook.down = False
    tick(platform, cursor)
    assert len(webhook.taken) == 1


def test_an_asset_that_grew_too_old_is_told(platform: Platform, webhook: Webhook) -> None:
    cursor = tick(platform, None)
    change = FreshnessStateChange(
        key=dg.AssetKey("decision_report"),
        new_state=FreshnessState.FAIL,
        previous_state=FreshnessState.PASS,
        state_change_timestamp=1.0,
    )
    platform.instance.store_event(
        EventLogEntry(
            error_info=None,
            level=20,
            user_message="",
            run_id="",
            timestamp=1.0,
            dagster_event=DagsterEvent(
                DagsterEventType.FRESHNESS_STATE_CHANGE.value, job_name="", event_specific_data=change
            ),
        )
    )
    tick(platform, cursor)
    [said] = webhook.taken
    assert "decision" in said["message"]
    assert "Too old" in said["message"]


def test_a_failed_run_is_told(platform: Platform, webhook: Webhook) -> None:
    @dg.op
    def breaks() -> None:
        raise RuntimeError("disk on fire")

    @dg.job
    def nightly() -> None:
        breaks()

    cursor = tick(platform, None)
    nightly.execute_in_process(instance=platform.instance, raise_on_error=False)
    tick(platform, cursor)
    [said] = webhook.taken
    assert "nightly" in said["message"]


def test_by_mail(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving_mail() as box:
        monkeypatch.setenv("SOIL_ALERT_URLS", box.address)
        cursor = tick(platform, None)
        warn(platform, "b5", "wetter than the reference")
        tick(platform, cursor)
    assert "1 to look at" in str(box.letters[0]["Subject"])
    assert "wetter than the reference" in box.text()


def test_a_wrong_address_is_named_by_its_place_only(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOIL_ALERT_URLS", "secret-token-no-scheme")
    cursor = tick(platform, None)
    warn(platform, "b6", "x")
    with pytest.raises(BadInput) as told:
        tick(platform, cursor)
    assert "secret-token" not in str(told.value)
    assert "SOIL_ALERT_URLS" in str(told.value)


def test_nobody_to_tell_is_no_error(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOIL_ALERT_URLS", raising=False)
    warn(platform, "b7", "x")
    assert tick(platform, None) == ""
