"""Runs that would judge a batch again: of two daemons that tick at once, or of one that looked while it was judged.

Belongs here: knowing the run that answers the same, and stopping the other. Does not belong here: what is asked for
(``sensors``, ``conditions``); launching one run twice (``launching``).

Dagster looks whether a request's run is there and then makes it; two daemons may both look before either makes. And a
tick of the automation reads first what was materialized and then what is in progress: a batch whose judging ended in
between looks as if its drift report were older than its scans. Runs stand in the instance before they do anything, so
that the younger one always finds the elder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg

from soil_assets.defs.dead_runs import died, selection_of
from soil_assets.defs.gates import gate_records
from soil_assets.defs.staleness import stored_data_version, version_of_partitions
from soil_assets.defs.verdicts import INPUT_TAG, materialization

TWIN_TAG = "soil/twin_of"
_RUN_KEY, _SENSOR, _PARTITION = "dagster/run_key", "dagster/sensor_name", "dagster/partition"
_AUTOMATIC = "dagster/from_automation_condition"
#: Runs of these stand for nothing.
_OVER = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.CANCELING)
_UNDER_WAY = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED)
#: An elder run that takes longer is not waited for.
PATIENCE = 900.0
_LOOK_SECONDS = 1.0


def stop_if_twin(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Let a run end before it does anything when an elder one answers the same request.

    Raises
    ------
    dagster.Failure
        Naming the elder run; nobody is told of it by the alerts, and its plans leave no mark on the batch.
    """
    elder = elder_twin(instance, run)
    if elder is not None:
        _stop(instance, run, elder, "answers the same request; two daemons asked for it at once")


def stop_if_answered(
    instance: dg.DagsterInstance, run: dg.DagsterRun, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Let a run that automation asked for end when others have judged the batch as it is now.

    It waits for elder runs of the batch that are under way, for what they judge may be just what is asked for.

    Raises
    ------
    dagster.Failure
        As :func:`stop_if_twin`.
    """
    partition = run.tags.get(_PARTITION)
    if _AUTOMATIC not in run.tags or partition is None:
        return
    end = time.monotonic() + PATIENCE
    while _elders_under_way(instance, run) and time.monotonic() < end:
        sleep(_LOOK_SECONDS)
    by = answered_by(instance, run, partition)
    if by is not None:
        _stop(instance, run, by, "has judged the batch as it is now")


def elder_twin(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str | None:
    """Return the run that answers the same request of a sensor and was made before ``run``, or None.

    A run that a person started again, or that is done again after a crash, is no twin.
    """
    key, sensor = run.tags.get(_RUN_KEY), run.tags.get(_SENSOR)
    if not key or not sensor or run.parent_run_id:
        return None
    same = dg.RunsFilter(job_name=run.job_name, tags={_RUN_KEY: key, _SENSOR: sensor})
    for record in instance.get_run_records(same, ascending=True):
        if record.dagster_run.run_id == run.run_id:
            return None
        if record.dagster_run.status not in _OVER and not died(record.dagster_run):
            return record.dagster_run.run_id
    return None


def answered_by(instance: dg.DagsterInstance, run: dg.DagsterRun, partition: str) -> str | None:
    """Return the run that materialized and judged last what ``run`` is asked for, of the inputs as they are now.

    None when an input has changed since, or a check has no verdict about it.
    """
    checks: dict[str, list[str]] = {}
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED):
        plan: Any = entry.dagster_event and entry.dagster_event.event_specific_data
        checks.setdefault(plan.asset_key.path[-1], []).append(plan.check_name)
    by = None
    for asset in selection_of(run):
        made = materialization(instance, asset, partition)
        if made is None or made.asset_materialization is None or not checks.get(asset):
            return None
        if not _of_these_inputs(instance, made.asset_materialization.tags or {}, partition):
            return None
        if any(r.passed is None for r in gate_records(instance, asset, checks[asset], partition)):
            return None
        by = made.run_id
    return by


def _of_these_inputs(instance: dg.DagsterInstance, tags: Mapping[str, str], partition: str) -> bool:
    used = {k.removeprefix(INPUT_TAG): v for k, v in tags.items() if k.startswith(INPUT_TAG)}
    for asset, version in used.items():
        own = stored_data_version(instance, asset, partition)
        now = stored_data_version(instance, asset) if own is None else version_of_partitions([own])
        if now != version:
            return False
    return bool(used)


def _elders_under_way(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    mine = set(selection_of(run))
    same = dg.RunsFilter(tags={_PARTITION: run.tags[_PARTITION]})
    for record in instance.get_run_records(same, ascending=True):
        elder = record.dagster_run
        if elder.run_id == run.run_id:
            return False
        of_it = not elder.asset_selection or mine & set(selection_of(elder))
        if of_it and elder.status in _UNDER_WAY and not died(elder):
            return True
    return False


def _stop(instance: dg.DagsterInstance, run: dg.DagsterRun, other: str, why: str) -> None:
    instance.add_run_tags(run.run_id, {TWIN_TAG: other})
    _forget_plans(instance, run.run_id)
    raise dg.Failure(f"run {other} {why}", allow_retries=False)


def _forget_plans(instance: dg.DagsterInstance, run_id: str) -> None:
    """Take away what a run had planned: as the newest of a check it would stand before the verdict."""
    from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable as Checks
    from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Events
    from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return
    planned = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value
    for connection in (storage.run_connection(run_id), storage.index_connection()):
        with connection as conn:
            of_run = Events.c.run_id == run_id
            conn.execute(Events.delete().where(of_run, Events.c.dagster_event_type == planned))
    with storage.index_connection() as conn:
        conn.execute(Checks.delete().where(Checks.c.run_id == run_id, Checks.c.execution_status == "PLANNED"))
