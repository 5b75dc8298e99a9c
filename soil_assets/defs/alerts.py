"""The sensor that finds a person: failed gates and runs, warnings, sensors that fail, assets that grew too old.

Belongs here: reading the event log since the last tick. A failing check that does not block fails no run, so a
run-failure sensor would stay silent about it; this one reads the check records themselves.
"""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from soil_assets.config import Settings
from soil_assets.defs.twins import TWIN_TAG
from soil_assets.reporting.alerts import Alert, due, message

#: Records that a tick reads at most of each check, of failed runs and of ages.
RECORDS_A_TICK = 500
#: A verdict is stored a moment after its time stamp; a tick looks back this far, and remembers what it has seen.
LOOK_BACK_SECONDS = 300.0

_RUN_FAILED = dg.DagsterEventType.RUN_FAILURE
_AGED = dg.DagsterEventType.FRESHNESS_STATE_CHANGE


@dataclass
class _Place:
    """How far the event log was read: the sensor's cursor."""

    since: float
    seen: list[str] = field(default_factory=list)
    runs: str | None = None
    ages: int = 0
    sent: dict[str, float] = field(default_factory=dict)


def alerts_sensor(settings: Settings) -> dg.SensorDefinition:
    """Tell what went wrong since the last tick, one message a tick, each thing once in its quiet time.

    The cursor moves only after the message was taken: a receiver that is down makes the tick fail, and the next
    tick tells the same again. What happened before the sensor's first tick is history and not told.
    """

    @dg.sensor(
        # No target: a tick launches nothing, and assets of different partitions make no job together.
        name="alerts",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells people of failed gates and runs, warnings, sensors that fail, assets that are too old.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        addresses = settings.alerts.addresses()
        if not addresses:
            return dg.SkipReason("SOIL_ALERT_URLS names nobody to tell")
        definitions = context.repository_def
        assert definitions is not None  # noqa: S101  # given in every tick, real or built
        log = _EventLog(context.instance, definitions.asset_graph.asset_check_keys, settings)
        if not context.cursor:
            context.update_cursor(json.dumps(vars(log.newest())))
            return dg.SkipReason("from now on: what happened earlier is not told")
        place = _Place(**json.loads(context.cursor))
        now = time.time()
        found = list(log.after(place, now))
        if not settings.alerts.warnings:
            found = [a for a in found if a.urgent]
        tell, quiet, place.sent = due(found, place.sent, now, 60 * settings.alerts.cooldown_minutes)
        if tell:
            from soil_assets.adapters.notify import send

            said = message(tell, quiet, settings.deployment)
            send(addresses, said.title, said.body, urgent=said.urgent)
        context.update_cursor(json.dumps(vars(place)))
        return dg.SkipReason(f"{len(tell)} told, {quiet} told a moment ago")

    return alerts


class _EventLog:
    """Alerts out of the instance's event log."""

    def __init__(
        self, instance: dg.DagsterInstance, checks: Iterable[dg.AssetCheckKey], settings: Settings
    ) -> None:
        self.instance = instance
        self.checks = sorted(checks)
        self.limits = settings.watch.days()
        self.ui_url = settings.alerts.ui_url.rstrip("/")

    def newest(self) -> _Place:
        """Return the place after everything that happened."""
        place = _Place(since=time.time())
        for _ in self._verdicts(place, place.since):
            pass
        runs = self.instance.fetch_run_status_changes(_RUN_FAILED, limit=1)
        place.runs = runs.cursor if runs.records else None
        ages = self.instance.event_log_storage.get_event_records(dg.EventRecordsFilter(_AGED), limit=1)
        place.ages = ages[0].storage_id if ages else 0
        return place

    def after(self, place: _Place, now: float) -> Iterator[Alert]:
        """Yield what happened after ``place``, and move it on."""
        yield from self._verdicts(place, now)
        runs = self.instance.fetch_run_status_changes(
            _RUN_FAILED, limit=RECORDS_A_TICK, cursor=place.runs, ascending=True
        )
        place.runs = runs.cursor if runs.records else place.runs
        for record in runs.records:
            yield from self._run(record.event_log_entry)
        # Ages have no public reader; the storage knows them as asset events.
        for record in self.instance.event_log_storage.get_event_records(
            dg.EventRecordsFilter(_AGED, after_cursor=place.ages), limit=RECORDS_A_TICK, ascending=True
        ):
            place.ages = record.storage_id
            yield from self._age(record.event_log_entry)
        yield from self._ticks()

    def _verdicts(self, place: _Place, now: float) -> Iterator[Alert]:
        seen = set(place.seen)
        recent = []
        for key in self.checks:
            for record in reversed(
                self.instance.event_log_storage.get_asset_check_execution_history(
                    key, limit=RECORDS_A_TICK, status={AssetCheckExecutionRecordStatus.FAILED}
                )
            ):
                at = record.event.timestamp if record.event else record.create_timestamp
                if at < place.since - LOOK_BACK_SECONDS:
                    continue
                # The row of a planned check is filled in when it is judged: its number says nothing of when.
                name = f"{record.id}@{at}"
                if at >= now - LOOK_BACK_SECONDS:
                    recent.append(name)
                evaluation = record.evaluation
                if name not in seen and isinstance(evaluation, AssetCheckEvaluation):
                    yield self._verdict(evaluation)
        place.since, place.seen = now, recent

    def _verdict(self, said: AssetCheckEvaluation) -> Alert:
        asset = said.asset_key.to_user_string()
        return Alert(
            "warning" if said.severity is dg.AssetCheckSeverity.WARN else "gate",
            f"{asset}.{said.check_name}",
            said.partition or "",
            said.description or "",
            self._address(f"assets/{asset}?view=checks&checkDetail={said.check_name}"),
        )

    def _run(self, entry: dg.EventLogEntry) -> Iterator[Alert]:
        run = self.instance.get_run_by_id(entry.run_id)
        if run is None or TWIN_TAG in run.tags or self._only_a_gate_said_no(entry.run_id):
            return
        event = entry.dagster_event
        yield Alert(
            "run",
            "assets by automation" if run.job_name.startswith("__") else run.job_name,
            run.tags.get("dagster/partition", ""),
            (event.message if event else None) or "",
            self._address(f"runs/{entry.run_id}"),
        )

    def _only_a_gate_said_no(self, run_id: str) -> bool:
        """Whether a blocking check ended the run: that check's own alert tells it better."""
        steps = self.instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
        events: list[Any] = [step.event_log_entry.dagster_event for step in steps]
        errors = [event.step_failure_data.error for event in events if event]
        return bool(errors) and all(e and e.cls_name == "DagsterAssetCheckFailedError" for e in errors)

    def _ticks(self) -> Iterator[Alert]:
        """Yield each sensor and schedule whose newest tick failed: what it watches over is watched no more.

        Told again after the quiet time for as long as it lasts; one tick that failed between two good ones is not.
        """
        for state in self.instance.all_instigator_state():
            newest = self.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
            if state.instigator_name != "alerts" and newest and newest[0].is_failure:
                error = newest[0].error
                while error is not None and error.cause is not None:
                    error = error.cause
                name, kind = state.instigator_name, state.instigator_type.value.lower()
                yield Alert(
                    "tick",
                    f"{kind} {name}",
                    "",
                    error.message.strip() if error else "",
                    self._address("automation"),
                )

    def _age(self, entry: dg.EventLogEntry) -> Iterator[Alert]:
        change = entry.dagster_event.event_specific_data if entry.dagster_event else None
        if isinstance(change, FreshnessStateChange) and change.new_state is FreshnessState.FAIL:
            asset = change.key.to_user_string()
            days = self.limits.get(asset)
            yield Alert(
                "freshness",
                asset,
                "",
                "older than its freshness policy allows"
                if days is None
                else f"not made for {days:g} days or more (watch.stale_after_days)",
                self._address(f"assets/{asset}"),
            )

    def _address(self, page: str) -> str:
        return f"{self.ui_url}/{page}" if self.ui_url else ""
