"""Reading the gates: which batches may be trained on, and whether a property's lineage is clean.

Two places cannot leave this to Dagster's own gating. ``training_set`` is unpartitioned and fans in over all
batches: declarative automation would request it right after one batch failed, and never while one is missing. And
``registered_versions`` must know that *every* blocking check of its lineage passed, in whichever run.

A verdict is about bytes, not about a run: ``defs.verdicts`` says which verdict stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dagster as dg

from soil_assets.defs.partitions import BATCH
from soil_assets.defs.verdicts import materialization as materialization
from soil_assets.defs.verdicts import newest_run_failed, standing_verdict

#: Assets of one batch, in order; a batch may be trained on when all of their blocking checks passed.
BATCH_CHAIN = ("raw_spectra", "validated_batches", "drift_reports")
NO_VERDICT = "no verdict yet"


@dataclass(frozen=True)
class GateRecord:
    """The verdict of one check that stands about one asset partition.

    ``passed`` is None while there is no verdict about the bytes of the latest materialization.
    """

    asset: str
    check: str
    passed: bool | None
    summary: str = ""


@dataclass(frozen=True)
class BatchSelection:
    """Batches that training takes, and those it leaves with the reason.

    ``refused`` are those of ``left`` that a gate said no to; the others have no verdict.
    """

    taken: tuple[str, ...]
    left: Mapping[str, str]
    refused: frozenset[str] = frozenset()


def gate_records(
    instance: dg.DagsterInstance, asset: str, checks: Iterable[str], partition: str | None = None
) -> list[GateRecord]:
    """Return the verdicts of ``checks`` that stand about an asset (partition) as it is now."""
    latest = materialization(instance, asset, partition)
    records = []
    for check in checks:
        verdict = None if latest is None else standing_verdict(instance, asset, check, partition, latest)
        if verdict is not None:
            passed = verdict.passed or verdict.severity is dg.AssetCheckSeverity.WARN
            records.append(GateRecord(asset, check, passed, verdict.description or ""))
        elif newest_run_failed(instance, asset, check, partition):
            records.append(GateRecord(asset, check, None, "its run failed before a verdict"))
        else:
            records.append(GateRecord(asset, check, None, NO_VERDICT))
    return records


def open_gates(instance: dg.DagsterInstance, checks: Mapping[str, list[str]], batch: str) -> list[str]:
    """Return what of a batch has no verdict yet, up to the first gate that said no; empty for a judged batch."""
    return _way_of(instance, checks, batch)[1]


def judged_at(instance: dg.DagsterInstance, checks: Mapping[str, list[str]], batch: str) -> str | None:
    """Return the asset at which the judging of a batch came to its end, or None while a verdict is missing."""
    asset, waiting = _way_of(instance, checks, batch)
    return None if waiting else asset


def _way_of(
    instance: dg.DagsterInstance, checks: Mapping[str, list[str]], batch: str
) -> tuple[str, list[str]]:
    """Return how far a batch came, and what has no verdict there."""
    for asset in BATCH_CHAIN:
        if materialization(instance, asset, batch) is None:
            return asset, [f"{asset} was never materialized"]
        records = gate_records(instance, asset, checks.get(asset, ()), batch)
        waiting = [f"{r.asset}.{r.check}: {r.summary}" for r in records if r.passed is None]
        if waiting or any(r.passed is False for r in records):
            break
    return asset, waiting


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
    withdrawn: Mapping[str, Mapping[str, str]] | None = None,
) -> BatchSelection:
    """Choose the batches that training may take.

    A batch is taken when it was materialized through the whole chain and every blocking check about its latest
    version passed, or when a person accepted that very content (``accepted``) although its drift gate held it. Missing
    partitions are tolerated and listed. ``only`` restricts the question to some batches. One of which a person withdrew
    that very content (``withdrawn``) is refused, whatever its gates say.
    """
    taken, left, refused = [], {}, set()
    for batch in sorted(instance.get_dynamic_partitions(BATCH) if only is None else only):
        reason = None
        if _decided(instance, withdrawn or {}, batch):
            left[batch] = "withdrawn by {who}: {why}".format_map((withdrawn or {})[batch])
            refused.add(batch)
            continue
        for asset in BATCH_CHAIN:
            if materialization(instance, asset, batch) is None:
                reason = f"{asset} was never materialized"
                break
            records = gate_records(instance, asset, checks.get(asset, ()), batch)
            reason = why_not(records)
            if reason and asset == "drift_reports" and _decided(instance, accepted or {}, batch):
                reason = None
            if reason:
                refused |= {batch} if any(r.passed is False for r in records) else set()
                break
        if reason is None:
            taken.append(batch)
        else:
            left[batch] = reason
    return BatchSelection(tuple(taken), left, frozenset(refused))


def _decided(instance: dg.DagsterInstance, decisions: Mapping[str, Mapping[str, str]], batch: str) -> bool:
    """Whether a person decided about the content that is landed now: an altered batch needs another look."""
    if batch not in decisions:
        return False
    record = materialization(instance, "raw_spectra", batch)
    if record is None or record.asset_materialization is None:
        return False
    tags = record.asset_materialization.tags or {}
    return decisions[batch].get("content") == tags.get("dagster/data_version")
