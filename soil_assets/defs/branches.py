"""What a branch deployment knows of production: a record of every materialization and verdict, kept with the data.

A branch has a Dagster instance of its own, empty at first. Production writes beside its values what its event log says
of each asset partition (``records/``); a branch takes these records over, so that it judges again only what its own
code, or its own batches, change. It reads production's storage and never its database.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluation,
    AssetCheckEvaluationTargetMaterializationData,
)

from soil_assets.config import Settings
from soil_assets.defs.gates import materialization
from soil_assets.defs.partitions import BATCH, BATCHES
from soil_assets.errors import BadInput
from soil_assets.storage import Store, safe_key

#: A tick writes or takes over at most this many records; the rest waits for the next tick.
RECORDS_A_TICK = 200
_RECORDS = "records"
_WHOLE = "_whole"  # an asset without partitions


@dataclass(frozen=True)
class Record:
    """One materialization and the verdicts about it.

    Attributes
    ----------
    tags : mapping
        Its data version, code version and the versions of its inputs, as dagster stored them.
    checks : mapping
        By name: whether it passed, its severity, what it said.
    """

    asset: str
    partition: str | None
    run_id: str
    tags: Mapping[str, str]
    checks: Mapping[str, Mapping[str, Any]]


def record_of(
    instance: dg.DagsterInstance, graph: Any, asset: dg.AssetKey, partition: str | None
) -> Record | None:
    """Return what the event log says of an asset (partition), or None when it was never materialized."""
    from dagster._core.event_api import PartitionKeyFilter

    name = asset.path[-1]
    latest = materialization(instance, name, partition)
    if latest is None or latest.asset_materialization is None:
        return None
    checks = {}
    for key in graph.get(asset).check_keys:
        history = instance.event_log_storage.get_asset_check_execution_history(
            key, limit=1, partition_filter=PartitionKeyFilter(key=partition)
        )
        said = history[0].evaluation if history else None
        if not isinstance(said, AssetCheckEvaluation):
            continue
        target = said.target_materialization_data
        if target is None or target.storage_id == latest.storage_id:
            checks[key.name] = {
                "passed": said.passed,
                "severity": said.severity.value,
                "blocking": bool(said.blocking),
                "description": said.description or "",
            }
    # Pointers into this instance's event log mean nothing in another.
    tags = {k: v for k, v in (latest.asset_materialization.tags or {}).items() if "event_pointer" not in k}
    return Record(name, partition, latest.run_id, tags, checks)


def write_records_sensor(settings: Settings) -> dg.SensorDefinition:
    """Keep ``records/`` up to date with the event log; outside branch deployments."""

    @dg.sensor(
        name="keep_records",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Writes what the event log says of each asset partition beside its value, for branch deployments.",
    )
    def keep_records(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        definitions = context.repository_def
        assert definitions is not None  # noqa: S101  # given in every tick, real or built
        store = Store(settings.url("data"))
        known: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
        written = 0
        for asset, partition in asset_partitions(context.instance, definitions.asset_graph):
            record = record_of(context.instance, definitions.asset_graph, asset, partition)
            if record is None:
                continue
            key = _key(record.asset, partition)
            state = (
                f"{record.run_id[:8]}:{len(record.checks)}:{sum(c['passed'] for c in record.checks.values())}"
            )
            if known.get(key) != state:
                store.write_json(key, asdict(record))
                known[key] = state
                written += 1
                if written == RECORDS_A_TICK:
                    break
        context.update_cursor(json.dumps(known, sort_keys=True))
        return dg.SkipReason(f"{written} records written, {len(known)} in all")

    return keep_records


def adopt_records_sensor(settings: Settings) -> dg.SensorDefinition:
    """Take production's records over into this branch's instance."""

    @dg.sensor(
        name="adopt_records",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Makes production's batches and verdicts known here, until this branch judges them itself.",
    )
    def adopt_records(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        definitions = context.repository_def
        assert definitions is not None  # noqa: S101  # given in every tick, real or built
        taken = adopt(context.instance, definitions.asset_graph, Store(settings.main_url("data")))
        return dg.SkipReason(f"{taken} records taken over from production")

    return adopt_records


def adopt(instance: dg.DagsterInstance, graph: Any, main: Store, limit: int = RECORDS_A_TICK) -> int:
    """Report production's materializations and verdicts that this instance knows nothing of; return how many.

    What the branch materialized itself is left alone. Upstream assets come first, so that nothing looks newer than
    what was made from it.
    """
    taken = 0
    known = set(instance.get_dynamic_partitions(BATCH))
    for asset in graph.toposorted_asset_keys:
        name = asset.path[-1]
        for key in main.files(f"{_RECORDS}/{name}"):
            record = _read(main, key)
            if record is None or materialization(instance, name, record.partition) is not None:
                continue
            batch = record.partition if graph.get(asset).partitions_def == BATCHES else None
            if batch is not None and batch not in known:
                instance.add_dynamic_partitions(BATCH, [batch])
                known.add(batch)
            _report(instance, asset, record, graph)
            taken += 1
            if taken == limit:
                return taken
    return taken


def asset_partitions(instance: dg.DagsterInstance, graph: Any) -> Iterator[tuple[dg.AssetKey, str | None]]:
    """Yield every asset that can be materialized with each of its partitions, upstream first."""
    for asset in graph.toposorted_asset_keys:
        node = graph.get(asset)
        if not node.is_materializable:
            continue
        if node.partitions_def is None:
            yield asset, None
        else:
            for partition in node.partitions_def.get_partition_keys(dynamic_partitions_store=instance):
                yield asset, partition


def remove_branch(settings: Settings, branch: str) -> list[str]:
    """Delete what a closed branch wrote; return the folders that went. Production's are out of reach.

    Raises
    ------
    BadInput
        When ``branch`` could be anything but one folder below ``branches/``.
    """
    from soil_assets.branch_store import BRANCHES
    from soil_assets.storage import file_system

    safe_key(branch, "branch name")
    gone = []
    for kind in ("data", "reports"):
        folder = f"{settings.main_url(kind)}/{BRANCHES}/{branch}"
        fs, path = file_system(folder)
        if fs.exists(path):
            fs.rm(path, recursive=True)
            gone.append(folder)
    return gone


def _report(instance: dg.DagsterInstance, asset: dg.AssetKey, record: Record, graph: Any) -> None:
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            asset,
            partition=record.partition,
            tags=dict(record.tags),
            metadata={"taken_over_from": "production"},
        )
    )
    latest = materialization(instance, record.asset, record.partition)
    assert latest is not None  # noqa: S101  # reported a line above
    target = AssetCheckEvaluationTargetMaterializationData(
        storage_id=latest.storage_id, run_id=latest.run_id, timestamp=latest.timestamp
    )
    declared = {key.name for key in graph.get(asset).check_keys}
    for name, said in record.checks.items():
        if name in declared:  # a check that this branch's code no longer has says nothing here
            instance.report_runless_asset_event(
                AssetCheckEvaluation(
                    asset_key=asset,
                    check_name=name,
                    passed=bool(said["passed"]),
                    severity=dg.AssetCheckSeverity(said["severity"]),
                    description=str(said["description"]),
                    blocking=bool(said["blocking"]),
                    partition=record.partition,
                    target_materialization_data=target,
                    metadata={},
                )
            )


def _read(main: Store, key: str) -> Record | None:
    """Return a record, or None for a file that is none: main's newer code may keep them in another form."""
    try:
        record = Record(**main.read_json(key))
        if record.partition is not None:
            safe_key(record.partition, "partition")
    except (TypeError, ValueError, BadInput):
        return None
    return record


def _key(asset: str, partition: str | None) -> str:
    return f"{_RECORDS}/{asset}/{_WHOLE if partition is None else safe_key(partition, 'partition')}.json"
