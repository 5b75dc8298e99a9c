"""Which verdict of a check stands: the newest about the same bytes, made by the same code from the same inputs.

Belongs here: reading the event log. Does not belong here: what follows from a verdict (``defs.gates``); entering one
(``defs.verdict_events``).

The newest entry of a check need not be a verdict: a run that was cancelled or killed leaves its plan, and a
materialization without a verdict. Neither says anything about bytes that were judged before. And the materialization
that Dagster notes with a verdict is the newest of its moment, which with two runs at once may be the other run's.
"""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord

#: Tags of a materialization that make it what it is, beside the versions of its inputs.
_IDENTITY = ("dagster/data_version", "dagster/code_version")
#: Tags of a materialization that say which version of each input it was made from.
INPUT_TAG = "dagster/input_data_version/"
_PAGE = 20
#: Materializations of one partition that a verdict is looked for among.
_MATERIALIZATIONS = 50


def materialization(
    instance: dg.DagsterInstance, asset: str, partition: str | None = None
) -> dg.EventLogRecord | None:
    """Return the latest materialization of an asset (partition)."""
    records = _materializations(instance, asset, partition, 1)
    return records[0] if records else None


def standing_verdict(
    instance: dg.DagsterInstance,
    asset: str,
    check: str,
    partition: str | None,
    latest: dg.EventLogRecord,
) -> AssetCheckEvaluation | None:
    """Return the newest verdict of a check about what ``latest`` is, or None when there is none.

    Parameters
    ----------
    latest : EventLogRecord
        The latest materialization of the asset (partition).
    """
    made: list[dg.EventLogRecord] = []
    cursor: int | None = None
    while True:
        page = _executions(instance, asset, check, partition, cursor)
        about = []
        for record in page:
            verdict = record.evaluation
            if not isinstance(verdict, AssetCheckEvaluation):
                continue
            if not _of(record, verdict, latest):
                made = made or list(_materializations(instance, asset, partition, _MATERIALIZATIONS))
                judged = _judged_by(record, verdict, made)
                if judged is None or _identity(judged) != _identity(latest):
                    continue
            about.append((record.event.timestamp if record.event else record.create_timestamp, verdict))
        if about:
            return max(about, key=lambda dated: dated[0])[1]
        if len(page) < _PAGE:
            return None
        cursor = page[-1].id


def newest_run_failed(instance: dg.DagsterInstance, asset: str, check: str, partition: str | None) -> bool:
    """Whether the newest run that was to come to a verdict failed before it did."""
    newest = _executions(instance, asset, check, partition, None)[:1]
    if not newest or isinstance(newest[0].evaluation, AssetCheckEvaluation):
        return False
    run = instance.get_run_by_id(newest[0].run_id)
    return run is not None and run.status is dg.DagsterRunStatus.FAILURE


def _of(record: AssetCheckExecutionRecord, verdict: AssetCheckEvaluation, latest: dg.EventLogRecord) -> bool:
    """Whether the run of a verdict made this very materialization, and no other came between."""
    target = verdict.target_materialization_data
    return target is not None and target.storage_id == latest.storage_id and record.run_id == latest.run_id


def _judged_by(
    record: AssetCheckExecutionRecord, verdict: AssetCheckEvaluation, made: Sequence[dg.EventLogRecord]
) -> dg.EventLogRecord | None:
    """Return what a verdict is about: what its own run made, else what the verdict names."""
    for one in made:
        if one.run_id == record.run_id:
            return one
    target = verdict.target_materialization_data
    return next((one for one in made if target is not None and one.storage_id == target.storage_id), None)


def _identity(record: dg.EventLogRecord) -> tuple[tuple[str, str], ...]:
    """Return what makes two materializations the same value; its own number where it has no data version."""
    tags = (record.asset_materialization.tags if record.asset_materialization else None) or {}
    if _IDENTITY[0] not in tags:
        return (("storage_id", str(record.storage_id)),)
    return tuple(sorted((k, v) for k, v in tags.items() if k in _IDENTITY or k.startswith(INPUT_TAG)))


def _materializations(
    instance: dg.DagsterInstance, asset: str, partition: str | None, limit: int
) -> Sequence[dg.EventLogRecord]:
    wanted = dg.AssetRecordsFilter(
        asset_key=dg.AssetKey(asset), asset_partitions=None if partition is None else [partition]
    )
    return instance.fetch_materializations(wanted, limit=limit).records


def _executions(
    instance: dg.DagsterInstance, asset: str, check: str, partition: str | None, cursor: int | None
) -> Sequence[AssetCheckExecutionRecord]:
    return instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey(asset), check),
        limit=_PAGE,
        cursor=cursor,
        partition_filter=PartitionKeyFilter(key=partition),
    )
