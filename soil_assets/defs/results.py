"""Results of main's own run, batch by batch: published on main, restored where a change leaves the batch as it is.

Belongs here: what a result was computed from, its files, its events. Does not belong here: which batches a change
leaves as they are (``pull_request.sparse``), bringing data (``adapters.dvc``), judging.

``results/<asset>/<batch>/<key>.json`` holds the versions and verdicts of one asset of one batch. The key is a hash of
everything they were computed from: the batch's content, the code version of the asset (policy and recipe included) and
the versions of its inputs. Files of the value lie below ``values/<hash>/``. A result of anything else has another key,
so that what does not fit is absent. Main's job writes here; a job that validates a change can only read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import dagster as dg

from soil_assets.defs.branches import Record, record_of, report_materialization, report_verdicts
from soil_assets.defs.event_writing import written_together
from soil_assets.defs.gates import BATCH_CHAIN
from soil_assets.defs.io import has_value, load_table, load_value, pointer_of, value_files, write_files
from soil_assets.defs.landing_zone import current_version
from soil_assets.defs.partitions import BATCH, BATCHES
from soil_assets.defs.reference_profile import current_profile
from soil_assets.defs.resources import Soil
from soil_assets.defs.run import run_selection
from soil_assets.defs.staleness import (
    DATA_TAG,
    stored_data_version,
    version_of_partitions,
    why_stale,
)
from soil_assets.defs.streams import Stream
from soil_assets.defs.verdict_events import run_for_verdicts
from soil_assets.defs.verdicts import INPUT_TAG, materialization
from soil_assets.errors import BadInput
from soil_assets.storage import Store, hash_of_files, safe_key

#: Assets of a batch that a result is kept of; the last one only where the recipe trains from statistics.
ASSETS = (*BATCH_CHAIN, "batch_statistics")
#: What training needs of a batch lies in the values of these; with them its data need not be pulled.
_NEEDED = ("raw_spectra", "validated_batches")
#: Findings that come of comparing a batch with all others.
_OF_OTHERS = frozenset({"landed_before", "id_reused"})
#: Objects that are transferred at a time; most of a small one's time is waiting.
_TRANSFERS = 8
#: What a record or a value may raise that somebody or something altered.
_UNREADABLE = (OSError, BadInput, ValueError, TypeError, KeyError, AttributeError)
_NONE = "main has no result of this content, code and policy"


class Unfit(Exception):
    """Reason for which a result cannot be used; its batch is pulled and computed."""


@dataclass(frozen=True)
class Result:
    """One asset of one batch, as main's own run came to it.

    Parameters
    ----------
    record : Record
        Versions and verdicts.
    value : mapping or None
        Kind, hash and file names of the value; None for the scans as they landed, which only main holds.
    others : mapping of str to str
        Content of the other batches that the verdicts depend on.
    stream : mapping or None
        What later batches of the instrument are compared with: key and record.
    profile : str
        Fingerprint of the reference profile behind a drift verdict.
    """

    record: Record
    value: Mapping[str, Any] | None = None
    others: Mapping[str, str] = field(default_factory=dict)
    stream: Mapping[str, Any] | None = None
    profile: str = ""

    @property
    def version(self) -> str:
        """Data version of the asset."""
        return self.record.tags[DATA_TAG]

    def to_dict(self) -> dict[str, Any]:
        """Everything, JSON-ready."""
        return {**asdict(self), "record": {**asdict(self.record), "run_id": ""}}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Result:
        """Read what :meth:`to_dict` gave; raises ``TypeError`` or ``KeyError`` for anything else."""
        return cls(**{**raw, "record": Record(**raw["record"])})


def publish(instance: dg.DagsterInstance, graph: Any, soil: Soil, store: Store) -> list[str]:
    """Write the results of every batch under DVC that are not in the store as they are; return what was written.

    A batch of which a person released quarantined scans is left out: that release is in this instance only.
    """
    batches = [b for b in sorted(instance.get_dynamic_partitions(BATCH)) if not soil.releases(b)]

    def written(batch: str) -> list[str]:
        names = []
        for result in _results_of(instance, graph, soil, batch):
            key, content = _key(result.record.asset, batch, _identity(result.record)), result.to_dict()
            if store.exists(key) and store.read_json(key) == json.loads(json.dumps(content)):
                continue
            if result.value is not None:
                folder = f"values/{result.value['sha256']}"
                for name, file in value_files(soil.data, result.record.asset, batch).items():
                    if not store.exists(f"{folder}/{name}"):
                        store.write(f"{folder}/{name}", file)
            store.write_json(key, content)  # last: what names a value comes after it
            names.append(f"{result.record.asset}[{batch}]")
        return names

    with ThreadPoolExecutor(_TRANSFERS) as pool:
        return [name for names in pool.map(written, batches) for name in names]


def restore(
    instance: dg.DagsterInstance, graph: Any, soil: Soil, store: Store, contents: Mapping[str, str]
) -> dict[str, str]:
    """Take main's results of batches into this instance and its store; return why each of the others cannot be.

    Parameters
    ----------
    contents : mapping of str to str
        DVC hash of each batch, which main has, too. The golden reference must be materialized, and everything else
        without partitions that an asset of a batch reads.
    """
    reference = load_value(soil.data, "reference_spectra")
    profile = current_profile(soil, reference, instance)[0].fingerprint
    shelf = _Shelf(instance, graph, soil, store, profile)
    reasons: dict[str, str] = {}
    run_id = ""
    with ThreadPoolExecutor(_TRANSFERS) as pool:
        for batch, outcome in pool.map(lambda item: (item[0], shelf.take(*item)), sorted(contents.items())):
            if isinstance(outcome, str):
                reasons[batch] = outcome
                continue
            run_id = run_id or run_for_verdicts(
                instance, "restore_results", f"results of main in {store.url}"
            )
            if not instance.has_dynamic_partition(BATCH, batch):
                instance.add_dynamic_partitions(BATCH, [batch])
            with written_together(instance):
                _report(instance, graph, outcome, store.url, run_id)
    return reasons


def materialize_shared(definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
    """Materialize what assets of a batch read and what has no partitions, as far as it is out of date.

    Raises
    ------
    BadInput
        When one of them cannot be made.
    """
    graph = definitions.resolve_asset_graph()
    for asset in _shared(graph):
        reads = {key.path[-1]: None for key in graph.get(dg.AssetKey(asset)).parent_keys}
        if why_stale(instance, asset, None, graph.get(dg.AssetKey(asset)).code_version, reads) is not None:
            outcome = run_selection(definitions, instance, asset)
            if not outcome.success:
                raise BadInput(f"{asset} cannot be made", found="; ".join(outcome.errors) or "a gate failed")


def _report(
    instance: dg.DagsterInstance, graph: Any, results: Sequence[Result], url: str, run_id: str
) -> None:
    """Report results as events, from the first one on that this instance does not have exactly so."""
    news = False
    for result in results:
        asset = dg.AssetKey(result.record.asset)
        present = record_of(instance, graph, asset, result.record.partition)
        news = news or present is None or replace(present, run_id="") != result.record
        if news:
            digest = {} if result.value is None else {"content_sha256": str(result.value["sha256"])}
            report_materialization(instance, result.record, {"restored_from": url, **digest})
            report_verdicts(instance, graph, asset, result.record, run_id)


class _Shelf:
    """The store, looked through for one batch at a time; several threads may look."""

    def __init__(
        self, instance: dg.DagsterInstance, graph: Any, soil: Soil, store: Store, profile: str
    ) -> None:
        self.graph, self.soil, self.store, self.profile = graph, soil, store, profile
        self.silence = ""
        self.shared = {name: stored_data_version(instance, name) or "" for name in _shared(graph)}

    def take(self, batch: str, content: str) -> list[Result] | str:
        """Write the values of a batch here and return its results, or the reason for which they do not do."""
        results: dict[str, Result] = {}
        values: dict[str, dict[str, bytes]] = {}
        if self.silence:
            return self.silence
        try:
            safe_key(batch, "batch name")
            for asset in _assets(self.graph):
                try:
                    results[asset], values[asset] = self._fitting(asset, batch, content, results)
                except Unfit:
                    if asset in _NEEDED:
                        raise
        except Unfit as reason:
            return str(reason)
        for asset, result in results.items():
            if result.value is not None:
                write_files(self.soil.data, asset, batch, str(result.value["kind"]), values[asset])
            if result.stream is not None:
                self.soil.data.write_json(str(result.stream["key"]), result.stream["record"])
        return list(results.values())

    def _fitting(
        self, asset: str, batch: str, content: str, upstream: Mapping[str, Result]
    ) -> tuple[Result, dict[str, bytes]]:
        node = self.graph.get(dg.AssetKey(asset))
        parents = {key.path[-1] for key in node.parent_keys}
        absent = parents - set(self.shared) - set(upstream)
        if absent:
            raise Unfit(f"{asset}: no result of {', '.join(sorted(absent))}")
        inputs = {
            p: self.shared[p] if p in self.shared else version_of_partitions([upstream[p].version])
            for p in parents
        }
        landed = f"dvc:{content}" if asset == BATCH_CHAIN[0] else ""
        key = _key(asset, batch, [node.code_version, inputs, landed])
        try:
            result = Result.from_dict(self.store.read_json(key))
            self._check(result, asset, batch, key, {k.name for k in node.check_keys})
            return result, self._files(result)
        except Unfit as reason:
            raise Unfit(f"{asset}: {reason}") from None
        except FileNotFoundError as error:
            lacks = "its value is not there" if "values/" in str(error) else _NONE
            raise Unfit(f"{asset}: {lacks}") from None
        except _UNREADABLE as error:
            if isinstance(error, ConnectionError):
                self.silence = str(error)[:300]  # a store that does not answer is not asked once a batch
            raise Unfit(f"{asset}: it cannot be read ({str(error)[:300]})") from None

    def _check(self, result: Result, asset: str, batch: str, key: str, checks: set[str]) -> None:
        record = result.record
        if (record.asset, record.partition) != (asset, batch) or key != _key(asset, batch, _identity(record)):
            raise Unfit("the record is of something else")
        unseen = checks - set(record.checks)
        if unseen:
            raise Unfit(f"main's run has no verdict of {', '.join(sorted(unseen))}")
        if (asset != BATCH_CHAIN[0]) != (result.value is not None):
            raise Unfit("the record does not name its value")
        if result.profile not in ("", self.profile):
            raise Unfit("main's run had another reference profile")
        for other, version in result.others.items():
            if current_version(self.soil.landing, other) != version:
                raise Unfit(f"it depends on {other}, which is not the same here")

    def _files(self, result: Result) -> dict[str, bytes]:
        if result.value is None:
            return {}
        digest, names = str(result.value["sha256"]), result.value["files"]
        asset, batch = result.record.asset, str(result.record.partition)
        if has_value(self.soil.data, asset, batch):
            files = value_files(self.soil.data, asset, batch)
            if hash_of_files(files) == digest:
                return files
        files = {name: self.store.read(f"values/{digest}/{name}") for name in names}
        if hash_of_files(files) != digest:
            raise Unfit("its value is damaged")
        return files


def _results_of(instance: dg.DagsterInstance, graph: Any, soil: Soil, batch: str) -> Iterator[Result]:
    """Yield the results of a batch as far as it came, each with a verdict of every check."""
    for asset in _assets(graph):
        key = dg.AssetKey(asset)
        record = record_of(instance, graph, key, batch)
        if record is None or {k.name for k in graph.get(key).check_keys} - set(record.checks):
            continue
        if asset == BATCH_CHAIN[0]:
            if not record.tags.get(DATA_TAG, "").startswith("dvc:"):
                return
            yield Result(record)
            continue
        latest = materialization(instance, asset, batch)
        assert latest is not None and latest.asset_materialization is not None  # noqa: S101, PT018  # it has a record
        digest = latest.asset_materialization.metadata.get("content_sha256")
        if digest is None or not has_value(soil.data, asset, batch):
            continue
        pointer = pointer_of(soil.data, asset, batch)
        if pointer["sha256"] == digest.value:
            yield _with_context(Result(record, pointer), instance, soil, batch)


def _with_context(result: Result, instance: dg.DagsterInstance, soil: Soil, batch: str) -> Result:
    """Add what a result depends on beside its inputs, and what later batches need of it."""
    asset = result.record.asset
    if asset == "validated_batches":
        rules = set(load_table(soil.data, asset, batch, "findings")["rule"])
        others = set(instance.get_dynamic_partitions(BATCH)) - {batch} if rules & _OF_OTHERS else set()
        return replace(result, others=_contents(instance, others))
    if asset == "drift_reports":
        verdict = load_value(soil.data, asset, batch)
        stream = Stream(soil.data, str(verdict["instrument"]))
        key = stream.key_of(batch)
        remembered = {} if key is None else soil.data.read_json(key)
        pool = {*verdict["pooled_with"], remembered.get("judged_with", "")} - {"", batch}
        return replace(
            result,
            others=_contents(instance, pool),
            stream=None if key is None else {"key": key, "record": remembered},
            profile=str(verdict["profile"]),
        )
    return result


def _contents(instance: dg.DagsterInstance, batches: set[str]) -> dict[str, str]:
    return {b: stored_data_version(instance, BATCH_CHAIN[0], b) or "" for b in sorted(batches)}


def _identity(record: Record) -> Sequence[Any]:
    """What a result was computed from, as its tags say."""
    inputs = {k.removeprefix(INPUT_TAG): v for k, v in record.tags.items() if k.startswith(INPUT_TAG)}
    landed = record.tags.get(DATA_TAG, "") if record.asset == BATCH_CHAIN[0] else ""
    return [record.tags.get("dagster/code_version"), inputs, landed]


def _key(asset: str, batch: str, identity: Sequence[Any]) -> str:
    digest = hashlib.sha256(json.dumps(list(identity), sort_keys=True).encode()).hexdigest()
    return f"results/{asset}/{safe_key(batch, 'batch name')}/{digest[:40]}.json"


def _shared(graph: Any) -> list[str]:
    """Return what assets of a batch read and what has no partitions, in the order in which it is made."""
    inputs = {p for a in _assets(graph) for p in graph.get(dg.AssetKey(a)).parent_keys}
    return [
        k.path[-1] for k in graph.toposorted_asset_keys if k in inputs and graph.get(k).partitions_def is None
    ]


def _assets(graph: Any) -> list[str]:
    return [
        a for a in ASSETS if graph.has(dg.AssetKey(a)) and graph.get(dg.AssetKey(a)).partitions_def == BATCHES
    ]
