"""What a branch deployment knows of production: a record of every materialization and verdict, kept with the data.

A branch has a Dagster instance of its own, empty at first. Production writes beside its values what its event log says
of each asset partition (``records/``); a branch takes these records over, so that it judges again only what its own
code, or its own batches, change. It reads production's storage and never its database.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation

from soil_assets.config import Settings
from soil_assets.defs.partitions import BATCH, BATCHES
from soil_assets.defs.verdict_events import report_verdict, run_for_verdicts, target_of
from soil_assets.defs.verdicts import materialization, standing_verdict
from soil_assets.errors import BadInput
from soil_assets.storage import Store, safe_key

#: A tick writes or takes over at most this many records; the rest waits for the next tick.
RECORDS_A_TICK = 200
_RECORDS = "records"
_WHOLE = "_whole"  # an asset without partitions
#: Metadata of what was taken over: the digest of production's materialization.
_VERSION = "production_version"


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

    @property
    def version(self) -> str:
        """Digest of the materialization."""
        return _digest([self.run_id, dict(self.tags)])

    @property
    def verdicts(self) -> str:
        """Digest of what the checks said."""
        return _digest({name: dict(said) for name, said in self.checks.items()})


def record_of(
    instance: dg.DagsterInstance, graph: Any, asset: dg.AssetKey, partition: str | None
) -> Record | None:
    """Return what the event log says of an asset (partition), or None when it was never materialized."""
    name = asset.path[-1]
    latest = materialization(instance, name, partition)
    if latest is None or latest.asset_materialization is None:
        return None
    checks = {}
    for key in graph.get(asset).check_keys:
        said = standing_verdict(instance, name, key.name, partition, latest)
        if said is not None:
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
            state = _digest([record.version, record.verdicts])
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
        known: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
        taken = adopt(context.instance, definitions.asset_graph, Store(settings.main_url("data")), known)
        context.update_cursor(json.dumps(known, sort_keys=True))
        return dg.SkipReason(f"{taken} records taken over from production")

    return adopt_records


def adopt(
    instance: dg.DagsterInstance,
    graph: Any,
    main: Store,
    known: dict[str, str],
    limit: int = RECORDS_A_TICK,
) -> int:
    """Report production's materializations and verdicts that are news to this instance; return how many.

    What the branch materialized itself is left alone; what it took over follows production. Upstream assets come
    first, so that nothing looks newer than what was made from it, and a verdict that changed about the same
    materialization is reported alone: nothing downstream is made again because of it. ``known`` holds, and is given,
    the digest of every record taken over.
    """
    news = _News(instance, graph)
    batches = set(instance.get_dynamic_partitions(BATCH))
    for asset in graph.toposorted_asset_keys:
        name = asset.path[-1]
        for key in main.files(f"{_RECORDS}/{name}"):
            record = _read(main, key)
            if record is None:
                continue
            state = _digest([record.version, record.verdicts])
            if known.get(key) == state:
                continue
            latest = materialization(instance, name, record.partition)
            version = None if latest is None else _version_taken(latest)
            if latest is not None and version is None:
                continue  # the branch's own
            batch = record.partition if graph.get(asset).partitions_def == BATCHES else None
            if batch is not None and batch not in batches:
                instance.add_dynamic_partitions(BATCH, [batch])
                batches.add(batch)
            news.report(asset, record, again=version != record.version)
            known[key] = state
            if news.count == limit:
                return news.count
    return news.count


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


class _News:
    """Reports production's records to a branch's instance; verdicts as events of one run a tick."""

    def __init__(self, instance: dg.DagsterInstance, graph: Any) -> None:
        self.instance, self.graph, self.count = instance, graph, 0
        self._run_id = ""

    def report(self, asset: dg.AssetKey, record: Record, again: bool) -> None:
        """Report a record's verdicts, and its materialization when ``again``."""
        self.count += 1
        if again:
            report_materialization(self.instance, record, {_VERSION: record.version})
        if record.checks:
            report_verdicts(self.instance, self.graph, asset, record, self._run())

    def _run(self) -> str:
        if not self._run_id:
            self._run_id = run_for_verdicts(self.instance, "adopt_records", "taken over from production")
        return self._run_id


def report_materialization(instance: dg.DagsterInstance, record: Record, metadata: Mapping[str, str]) -> None:
    """Report what a record says was materialized, with the versions that it had there."""
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            dg.AssetKey(record.asset),
            partition=record.partition,
            tags=dict(record.tags),
            metadata=dict(metadata),
        )
    )


def report_verdicts(
    instance: dg.DagsterInstance, graph: Any, asset: dg.AssetKey, record: Record, run_id: str
) -> None:
    """Report a record's verdicts about the latest materialization; a check that this code does not have is left out."""
    target = target_of(instance, record.asset, record.partition)
    declared = {key.name for key in graph.get(asset).check_keys}
    for name, verdict in record.checks.items():
        if name in declared:
            evaluation = AssetCheckEvaluation(
                asset_key=asset,
                check_name=name,
                passed=bool(verdict["passed"]),
                severity=dg.AssetCheckSeverity(verdict["severity"]),
                description=str(verdict["description"]),
                blocking=bool(verdict["blocking"]),
                partition=record.partition,
                target_materialization_data=target,
                metadata={},
            )
            report_verdict(instance, evaluation, run_id)


def _version_taken(latest: dg.EventLogRecord) -> str | None:
    """Return the digest of what was taken over as ``latest``, or None when the branch made it itself."""
    assert latest.asset_materialization is not None  # noqa: S101  # it is a materialization
    version = latest.asset_materialization.metadata.get(_VERSION)
    return None if version is None else str(version.value)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:32]


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
