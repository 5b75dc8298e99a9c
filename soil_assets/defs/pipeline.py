"""A stretch of the flow over all of its partitions: what a DVC stage and a CI job ask for with one command.

Belongs here: which partitions there are, what upstream is out of date, what a gate holds back, and the record of
what came out. Does not belong here: running (``run``), judging staleness (``staleness``), sensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from soil_assets.config import Settings
from soil_assets.defs.build import blocking_of
from soil_assets.defs.by_hand import Step
from soil_assets.defs.gates import GateRecord, gate_records, why_not
from soil_assets.defs.landing_zone import current_version, pointed_to, untaken
from soil_assets.defs.partitions import BATCH, BATCHES
from soil_assets.defs.run import resolve_selection, run_selection
from soil_assets.defs.staleness import stored_code_version, stored_data_version, why_stale
from soil_assets.defs.verdicts import materialization
from soil_assets.storage import Store, batch_name

#: It is made whatever the gates say: what they held is what it reports.
_WHATEVER_THE_GATES_SAY = ("decision_report",)


def add_landed_batches(instance: dg.DagsterInstance, settings: Settings) -> list[str]:
    """Make a partition of every whole batch in the landing zone, as the sensor would; return all batches there.

    A batch whose folder is gone is not listed: nothing of it can be run again. Nor is one that cannot be taken;
    ``landing_zone.untaken`` gives the reasons. One that a DVC pointer names is, where this instance has a result of the
    very content: it was pulled no more, because main's result of it was restored.
    """
    landing = Store(settings.url("landing"))
    waiting = untaken(landing, settings.landing.quiet_seconds)
    here = [name for name in landing.folders() if name not in waiting]
    here += [
        batch_name(name)
        for name, version in pointed_to(landing).items()
        if stored_data_version(instance, "raw_spectra", name) == version
    ]
    known = set(instance.get_dynamic_partitions(BATCH))
    for gone in sorted(known - set(here)) if settings.landing.complete else ():
        instance.delete_dynamic_partition(BATCH, gone)
    new = set(here) - known
    if new:
        instance.add_dynamic_partitions(BATCH, sorted(new))
    return sorted(here)


def materialize_each(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    settings: Settings,
    selection: str,
    *,
    only_stale: bool = False,
) -> Iterator[Step]:
    """Materialize a selection for each of its partitions, after whatever upstream of it is out of date.

    With ``only_stale`` the selection itself is materialized where it is out of date only; so is, in any case, a batch
    whose files are elsewhere.

    What a blocking gate holds is not carried on: neither in the run in which the gate said no, nor in a later one. A
    gate whose run ended before a verdict is asked again.

    Yields
    ------
    Step
        One a run, with the reason for which it was made.
    """
    wanted = set(resolve_selection(definitions, selection))
    graph = definitions.resolve_asset_graph()
    needed = _with_upstream(graph, wanted)
    checks = blocking_of([a for a in definitions.assets or () if isinstance(a, dg.AssetsDefinition)])
    landing = Store(settings.url("landing"))
    batches, elsewhere = add_landed_batches(instance, settings), pointed_to(landing)
    for key in (k for level in graph.toposorted_asset_keys_by_level for k in sorted(level)):
        if key not in needed or not graph.get(key).is_materializable:
            continue
        asset = key.path[-1]
        for partition in _partitions(graph, key, settings, batches):
            reads = {
                parent.path[-1]: _read_keys(graph, parent, key, partition, settings, batches)
                for parent in graph.get(key).parent_keys
                if graph.get(parent).is_materializable
            }
            why: str | None = "asked for"
            restored = partition in elsewhere and graph.get(key).partitions_def == BATCHES
            if only_stale or restored or key not in wanted:
                why = why_stale(instance, asset, partition, graph.get(key).code_version, reads)
                if why is None and asset == "raw_spectra" and partition is not None:
                    landed = current_version(landing, partition)
                    if stored_data_version(instance, asset, partition) != landed:
                        why = "the batch changed"
                if why is None and any(
                    r.passed is None for r in _records(instance, checks, asset, partition)
                ):
                    why = "its gates gave no verdict"
            if why is not None and _held(instance, checks, asset, reads, partition) is None:
                yield Step(asset, partition, why, run_selection(definitions, instance, asset, partition))


@dataclass(frozen=True)
class Standing:
    """What became of a selection, whenever it was made.

    Parameters
    ----------
    held : list of str
        Gates that said no to it, or to what it is made from.
    open : list of str
        What has no value or no verdict although no gate holds it.
    """

    held: list[str]
    open: list[str]


def standing(
    definitions: dg.Definitions, instance: dg.DagsterInstance, settings: Settings, selection: str
) -> Standing:
    """Return which gates hold a selection, and what of it was not judged; only an empty one is a pass."""
    graph = definitions.resolve_asset_graph()
    checks = blocking_of([a for a in definitions.assets or () if isinstance(a, dg.AssetsDefinition)])
    batches = add_landed_batches(instance, settings)
    held: dict[str, None] = {}
    waiting: dict[str, None] = {}
    for key in resolve_selection(definitions, selection):
        for partition in _partitions(graph, key, settings, batches):
            lineage = [*_lineage(graph, key, partition), (key.path[-1], partition)]
            for asset, at in lineage:
                of = at or "all"
                records = _records(instance, checks, asset, at)
                against = [f"{r.asset}.{r.check} of {of}" for r in records if r.passed is False]
                if against:
                    held |= dict.fromkeys(against)
                    break
                if materialization(instance, asset, at) is None:
                    waiting[f"{asset} of {of} was never materialized"] = None
                    break
                waiting |= dict.fromkeys(
                    f"{r.asset}.{r.check} of {of}: {r.summary}" for r in records if r.passed is None
                )
    return Standing(list(held), list(waiting))


def record(
    definitions: dg.Definitions, instance: dg.DagsterInstance, settings: Settings, selection: str
) -> dict[str, Any]:
    """Return what the assets of a selection are now: versions and verdicts by asset and partition.

    Nothing in it tells when or in which run something was made, so that equal content gives equal bytes.
    """
    graph = definitions.resolve_asset_graph()
    batches = add_landed_batches(instance, settings)
    found: dict[str, Any] = {}
    for key in resolve_selection(definitions, selection):
        asset = key.path[-1]
        names = [check.name for check in graph.get(key).check_keys]
        for partition in _partitions(graph, key, settings, batches):
            told = {
                r.check: {"passed": r.passed, "summary": r.summary}
                for r in gate_records(instance, asset, sorted(names), partition)
            }
            found.setdefault(asset, {})[partition or "all"] = {
                "data_version": stored_data_version(instance, asset, partition),
                "code_version": stored_code_version(instance, asset, partition),
                "checks": told,
            }
    return found


def _records(
    instance: dg.DagsterInstance, checks: Mapping[str, list[str]], asset: str, partition: str | None
) -> list[GateRecord]:
    return gate_records(instance, asset, checks.get(asset, ()), partition)


def _lineage(graph: Any, key: dg.AssetKey, partition: str | None) -> list[tuple[str, str | None]]:
    """Return what an asset (partition) is made from, upstream first; where it reads many partitions, none of them."""
    if key.path[-1] in _WHATEVER_THE_GATES_SAY:
        return []
    lineage: dict[tuple[str, str | None], None] = {}
    for parent in sorted(graph.get(key).parent_keys):
        node = graph.get(parent)
        same = node.partitions_def == graph.get(key).partitions_def and partition is not None
        if node.is_materializable and (node.partitions_def is None or same):
            at = None if node.partitions_def is None else partition
            lineage |= dict.fromkeys([*_lineage(graph, parent, at), (parent.path[-1], at)])
    return list(lineage)


def _with_upstream(graph: Any, wanted: set[dg.AssetKey]) -> set[dg.AssetKey]:
    needed, waiting = set(wanted), list(wanted)
    while waiting:
        parents = set(graph.get(waiting.pop()).parent_keys) - needed
        needed |= parents
        waiting += parents
    return needed


def _partitions(
    graph: Any, key: dg.AssetKey, settings: Settings, batches: Sequence[str]
) -> Sequence[str | None]:
    """Return the partitions of an asset that can be run here: batches that lie in the landing zone, properties."""
    cut = graph.get(key).partitions_def
    if cut is None:
        return [None]
    return list(batches) if isinstance(cut, dg.DynamicPartitionsDefinition) else list(settings.properties)


def _read_keys(
    graph: Any,
    parent: dg.AssetKey,
    key: dg.AssetKey,
    partition: str | None,
    settings: Settings,
    batches: Sequence[str],
) -> list[str] | None:
    """Return the partitions of an input that an asset (partition) reads; None for an input without any."""
    cut = graph.get(parent).partitions_def
    if cut is None:
        return None
    if cut == graph.get(key).partitions_def and partition is not None:
        return [partition]
    return [str(p) for p in _partitions(graph, parent, settings, batches)]


def _held(
    instance: dg.DagsterInstance,
    checks: Mapping[str, list[str]],
    asset: str,
    reads: Mapping[str, list[str] | None],
    partition: str | None,
) -> str | None:
    """Say what keeps an asset from being made: an input that is not there, or that a gate holds.

    An asset that reads many partitions looks at their gates itself, and leaves out what was held.
    """
    if asset in _WHATEVER_THE_GATES_SAY:
        return None
    for upstream, keys in reads.items():
        if keys is not None and keys != [partition]:
            continue
        at = None if keys is None else partition
        if materialization(instance, upstream, at) is None:
            return f"{upstream} was never materialized"
        objection = why_not(gate_records(instance, upstream, checks.get(upstream, ()), at))
        if objection:
            return objection
    return None
