"""Batches and gates in figures: what landed and became of it, which gates say no, how long a verdict takes.

Belongs here: counting check records. They are read in bulk: a query a check, whatever the number of batches.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecordStatus,
    AssetCheckPartitionInfo,
)

from soil_assets.adapters.prometheus import Family
from soil_assets.defs.gates import BATCH_CHAIN, blocking_checks, select_batches
from soil_assets.defs.partitions import BATCH
from soil_assets.defs.resources import Soil

#: What a batch can be, in the order of the gates; ``accepted``: it drifts, and a person took it all the same.
STATUSES = ("passed", "accepted", "unreadable", "refused", "drifting", "unfinished")
_HELD_BY = dict(zip(BATCH_CHAIN, ("unreadable", "refused", "drifting"), strict=True))
RESULTS = ("passed", "failed", "warned", "pending")
SHARES = (0.5, 0.95, 1.0)
#: Batches whose way to a verdict counts.
NEWEST = 100
#: Records that are read of a check at most.
RECORDS = 20_000
_PAGE = 1000

FAMILIES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "soil_batches": ("Batches, by what became of them.", ("status",)),
    "soil_scans": (
        "Scans of all batches: landed = accepted + quarantined + waiting (for a verdict on their batch).",
        ("state",),
    ),
    "soil_gates": (
        "Partitions (or 1 for an asset without) of an asset, by what a check says of their newest version.",
        ("asset", "check", "result"),
    ),
    "soil_batch_verdict_seconds": (
        "Time from a batch's last file in the landing zone to its verdict within which a share of the "
        f"{NEWEST} newest batches got it.",
        ("share",),
    ),
    "soil_batch_waiting_seconds": (
        "Age of the oldest batch that landed and has no verdict yet; 0: none.",
        (),
    ),
}


@dataclass(frozen=True)
class _Said:
    """One evaluation of a check on a batch."""

    batch: str
    at: float
    facts: Mapping[str, float]


def tell_gates(
    found: Mapping[str, Family], instance: dg.DagsterInstance, assets: Sequence[dg.AssetsDefinition]
) -> None:
    """Count the newest verdict of every check."""
    specs = {spec.key: spec for asset in assets for spec in asset.check_specs}
    counts: dict[dg.AssetCheckKey, Counter[str]] = {key: Counter() for key in specs}
    batches = set(instance.get_dynamic_partitions(BATCH))
    for info in _infos(instance, list(specs)):
        of_batch = info.check_key.asset_key.path[-1] in BATCH_CHAIN
        if not of_batch or info.partition_key in batches:  # a batch that was removed counts no more
            counts[info.check_key][_result(info, bool(specs[info.check_key].blocking))] += 1
    for key, count in sorted(counts.items()):
        no = "failed" if specs[key].blocking else "warned"
        for result in RESULTS:
            if result in ("passed", no, "pending"):
                found["soil_gates"].add(key.asset_key.path[-1], key.name, result, figure=count.get(result, 0))


def tell(
    found: Mapping[str, Family],
    instance: dg.DagsterInstance,
    assets: Sequence[dg.AssetsDefinition],
    soil: Soil,
) -> None:
    """Count batches and scans, and measure how long verdicts take."""
    batches = set(instance.get_dynamic_partitions(BATCH))
    statuses = statuses_of(instance, assets, soil, batches)
    count = Counter(statuses.values())
    for status in STATUSES:
        found["soil_batches"].add(status, figure=count.get(status, 0))
    landed, judged, drifted = (
        list(_evaluations(instance, asset, check, batches))
        for asset, check in (
            ("raw_spectra", "readable"),
            ("validated_batches", "quarantine"),
            ("drift_reports", "batch_drift"),
        )
    )
    _tell_scans(found["soil_scans"], _newest(landed), _newest(judged))
    _tell_times(found, statuses, _newest(landed), [*landed, *judged], drifted)


def statuses_of(
    instance: dg.DagsterInstance,
    assets: Sequence[dg.AssetsDefinition],
    soil: Soil,
    batches: Iterable[str],
) -> dict[str, str]:
    """Return what became of each batch: ``gates.select_batches`` for thousands, in a query a check."""
    checks = blocking_checks(spec for asset in assets for spec in asset.check_specs)
    keys = [dg.AssetCheckKey(dg.AssetKey(a), c) for a in BATCH_CHAIN for c in checks.get(a, ())]
    said: dict[tuple[str, str], set[str]] = {}
    for info in _infos(instance, keys):
        place = (info.check_key.asset_key.path[-1], info.partition_key or "")
        said.setdefault(place, set()).add(_result(info, blocking=True))
    made = {
        asset: instance.event_log_storage.get_materialized_partitions(dg.AssetKey(asset))
        for asset in BATCH_CHAIN
    }
    accepted = soil.accepted_batches()
    found = {}
    for batch in batches:
        found[batch] = "passed"
        for asset in BATCH_CHAIN:
            results = said.get((asset, batch), {"pending"})
            if "failed" in results:
                found[batch] = _HELD_BY[asset]
                if asset == "drift_reports" and batch in accepted and _accepts(instance, accepted, batch):
                    found[batch] = "accepted"
                break
            if batch not in made[asset] or "pending" in results:
                # The plan of a cancelled run may stand before a verdict: what looks unfinished is read one by one.
                found[batch] = "passed" if _stands(instance, checks, accepted, batch) else "unfinished"
                break
    return found


def _stands(
    instance: dg.DagsterInstance,
    checks: Mapping[str, list[str]],
    accepted: Mapping[str, Mapping[str, str]],
    batch: str,
) -> bool:
    return bool(select_batches(instance, checks, accepted, only=[batch]).taken)


def _accepts(instance: dg.DagsterInstance, accepted: Mapping[str, Mapping[str, str]], batch: str) -> bool:
    from soil_assets.defs.staleness import stored_data_version

    return accepted[batch].get("content") == stored_data_version(instance, "raw_spectra", batch)


def _infos(instance: dg.DagsterInstance, keys: list[dg.AssetCheckKey]) -> Sequence[AssetCheckPartitionInfo]:
    return instance.event_log_storage.get_asset_check_partition_info(keys)


def _result(info: AssetCheckPartitionInfo, blocking: bool) -> str:
    target = info.latest_target_materialization_storage_id
    older = target is not None and info.latest_materialization_storage_id not in (None, target)
    if older:
        return "pending"
    if info.latest_execution_status is AssetCheckExecutionRecordStatus.SUCCEEDED:
        return "passed"
    if info.latest_execution_status is AssetCheckExecutionRecordStatus.FAILED:
        return "failed" if blocking else "warned"
    return "pending"  # planned, or its run broke before a verdict


def _evaluations(instance: dg.DagsterInstance, asset: str, check: str, batches: set[str]) -> Iterator[_Said]:
    """Yield a check's evaluations on batches that are still there, newest first."""
    key, cursor, read = dg.AssetCheckKey(dg.AssetKey(asset), check), None, 0
    while read < RECORDS:
        records = instance.event_log_storage.get_asset_check_execution_history(key, _PAGE, cursor)
        for record in records:
            said = record.evaluation
            if isinstance(said, AssetCheckEvaluation) and record.event and record.partition in batches:
                yield _Said(str(record.partition), record.event.timestamp, _numbers(said.metadata))
        if len(records) < _PAGE:
            return
        cursor, read = records[-1].id, read + len(records)


def _numbers(metadata: Mapping[str, Any]) -> dict[str, float]:
    values = {name: getattr(value, "value", None) for name, value in metadata.items()}
    return {name: float(v) for name, v in values.items() if isinstance(v, (int, float))}


def _newest(said: Sequence[_Said]) -> dict[str, _Said]:
    return {one.batch: one for one in reversed(said)}


def _tell_scans(scans: Family, landed: Mapping[str, _Said], judged: Mapping[str, _Said]) -> None:
    count: Counter[str] = Counter(landed=0, accepted=0, quarantined=0, waiting=0)
    for batch, one in landed.items():
        n = int(one.facts.get("landed", 0))
        verdict = judged.get(batch)
        count["landed"] += n
        if verdict is None or verdict.at < one.at:
            count["waiting"] += n
        else:
            count["accepted"] += int(verdict.facts.get("accepted", 0))
            count["quarantined"] += int(verdict.facts.get("quarantined", 0))
    for state, n in count.items():
        scans.add(state, figure=n)


def _tell_times(
    found: Mapping[str, Family],
    statuses: Mapping[str, str],
    landed: Mapping[str, _Said],
    earlier: Sequence[_Said],
    drifted: Sequence[_Said],
) -> None:
    """Tell how long batches took, or wait: a batch's verdict is that of the drift gate, or of the gate that held it.

    A batch that is judged again, after a merge for example, counts with its first verdict on what landed.
    """
    waiting, took = 0.0, []
    first: dict[tuple[str, bool], float] = {}
    for at_drift, several in ((True, drifted), (False, earlier)):
        for one in several:
            since = landed[one.batch].facts.get("landed_at") if one.batch in landed else None
            if since is not None and one.at >= since:
                place = (one.batch, at_drift)
                first[place] = min(one.at, first.get(place, one.at))
    for batch, one in landed.items():
        since = one.facts.get("landed_at")
        if since is None:
            continue
        if statuses.get(batch) == "unfinished":
            waiting = max(waiting, time.time() - since)
            continue
        at = first.get((batch, statuses.get(batch) not in ("unreadable", "refused")))
        if at is not None:
            took.append((at, at - since))
    newest = sorted(seconds for _, seconds in sorted(took)[-NEWEST:])
    for share in SHARES if newest else ():
        rank = round(share * (len(newest) - 1))
        found["soil_batch_verdict_seconds"].add(f"{share:g}", figure=newest[rank])
    found["soil_batch_waiting_seconds"].add(figure=waiting)
