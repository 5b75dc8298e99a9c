"""Reading the gates: which batches may be trained on, and whether a property's lineage is clean.

Two places cannot leave this to Dagster's own gating. ``training_set`` is unpartitioned and fans in over all
batches: declarative automation would request it right after one batch failed, and never while one is missing. And
``registered_versions`` must know that *every* blocking check of its lineage passed, in whichever run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dagster as dg

from soil_assets.defs.partitions import BATCH

#: Assets of one batch, in order; a batch may be trained on when all of their blocking checks passed.
BATCH_CHAIN = ("raw_spectra", "validated_batches", "drift_reports")


@dataclass(frozen=True)
class GateRecord:
    """The latest verdict of one blocking check on one asset partition.

    ``passed`` is None while there is no verdict about the latest materialization.
    """

    asset: str
    check: str
    passed: bool | None
    summary: str = ""


@dataclass(frozen=True)
class BatchSelection:
    """Batches that training takes, and those it leaves with the reason."""

    taken: tuple[str, ...]
    left: Mapping[str, str]


def materialization(
    instance: dg.DagsterInstance, asset: str, partition: str | None = None
) -> dg.EventLogRecord | None:
    """Return the latest materialization of an asset (partition)."""
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(
            asset_key=dg.AssetKey(asset), asset_partitions=None if partition is None else [partition]
        ),
        limit=1,
    ).records
    return records[0] if records else None


def gate_records(
    instance: dg.DagsterInstance, asset: str, checks: Iterable[str], partition: str | None = None
) -> list[GateRecord]:
    """Return the verdicts of ``checks`` about the latest materialization of an asset (partition)."""
    from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation
    from dagster._core.event_api import PartitionKeyFilter

    latest = materialization(instance, asset, partition)
    results = []
    for check in checks:
        history = instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(dg.AssetKey(asset), check),
            limit=1,
            partition_filter=PartitionKeyFilter(key=partition),
        )
        passed: bool | None = None
        summary = "no verdict yet"
        evaluation = history[0].evaluation if history else None
        if isinstance(evaluation, AssetCheckEvaluation) and latest is not None:
            target = evaluation.target_materialization_data
            if target is None or target.storage_id == latest.storage_id:
                passed = evaluation.passed or evaluation.severity is dg.AssetCheckSeverity.WARN
                summary = evaluation.description or ""
            else:
                summary = "judged an older version only"
        elif history:
            run = instance.get_run_by_id(history[0].run_id)
            if run is not None and run.status is dg.DagsterRunStatus.FAILURE:
                summary = "its run failed before a verdict"
        results.append(GateRecord(asset, check, passed, summary))
    return results


def blocking_checks(specs: Iterable[dg.AssetCheckSpec]) -> dict[str, list[str]]:
    """Return the names of blocking checks by asset."""
    by_asset: dict[str, list[str]] = {}
    for spec in specs:
        if spec.blocking:
            by_asset.setdefault(spec.asset_key.path[-1], []).append(spec.name)
    return by_asset


def why_not(records: Iterable[GateRecord]) -> str | None:
    """Return in words what keeps a lineage from going on, or None when every record passed."""
    failed = [r for r in records if r.passed is False]
    open_ = [r for r in records if r.passed is None]
    if failed:
        return "; ".join(f"{r.asset}.{r.check} failed: {r.summary}" for r in failed)
    if open_:
        return "; ".join(f"{r.asset}.{r.check}: {r.summary}" for r in open_)
    return None


def select_batches(
    instance: dg.DagsterInstance,
    checks: Mapping[str, list[str]],
    accepted: Mapping[str, Mapping[str, str]] | None = None,
    only: Iterable[str] | None = None,
) -> BatchSelection:
    """Choose the batches that training may take.

    A batch is taken when it was materialized through the whole chain and every blocking check about its latest
    version passed, or when a person accepted that very content (``accepted``) although its drift gate held it. Missing
    partitions are tolerated and listed. ``only`` restricts the question to some batches.
    """
    taken, left = [], {}
    for batch in sorted(instance.get_dynamic_partitions(BATCH) if only is None else only):
        reason = None
        for asset in BATCH_CHAIN:
            if materialization(instance, asset, batch) is None:
                reason = f"{asset} was never materialized"
                break
            reason = why_not(gate_records(instance, asset, checks.get(asset, ()), batch))
            if reason and asset == "drift_reports" and _accepted(instance, accepted or {}, batch):
                reason = None
            if reason:
                break
        if reason is None:
            taken.append(batch)
        else:
            left[batch] = reason
    return BatchSelection(tuple(taken), left)


def _accepted(instance: dg.DagsterInstance, accepted: Mapping[str, Mapping[str, str]], batch: str) -> bool:
    """Whether a person accepted the content that is landed now: an altered batch needs another look."""
    record = materialization(instance, "raw_spectra", batch)
    if batch not in accepted or record is None or record.asset_materialization is None:
        return False
    tags = record.asset_materialization.tags or {}
    return accepted[batch].get("content") == tags.get("dagster/data_version")
