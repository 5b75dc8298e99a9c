"""A stretch of the flow over all of its partitions: what a DVC stage and a CI job ask for with one command.

Belongs here: which partitions there are, what upstream is out of date, what a gate holds back, and the record of
what came out. Does not belong here: running (``run``), judging staleness (``staleness``), sensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from soil_assets.config import Settings
from soil_assets.defs.build import blocking_of
from soil_assets.defs.by_hand import Step
from soil_assets.defs.gates import gate_records, materialization, why_not
from soil_assets.defs.landing_zone import batch_version, list_batch
from soil_assets.defs.partitions import BATCH
from soil_assets.defs.run import resolve_selection, run_selection
from soil_assets.defs.staleness import stored_code_version, stored_data_version, why_stale
from soil_assets.storage import Store, safe_key

#: The flow in order: assets that are cut by the same key, and what each reads.
_STRETCHES: tuple[tuple[str | None, Mapping[str, Mapping[str, str | None]]], ...] = (
    (None, {"reference_spectra": {}, "benchmark_spectra": {}}),
    (
        "batch",
        {
            "raw_spectra": {},
            "validated_batches": {"raw_spectra": "batch", "reference_spectra": None},
            "drift_reports": {"validated_batches": "batch", "reference_spectra": None},
        },
    ),
    (
        None,
        {
            "training_set": {
                "reference_spectra": None,
                "benchmark_spectra": None,
                "validated_batches": "every batch",
                "drift_reports": "every batch",
            }
        },
    ),
    (None, {"training_drift": {"training_set": None, "reference_spectra": None}}),
    (
        "property",
        {
            "trained_models": {"training_set": None},
            "benchmark_evaluations": {"trained_models": "property", "benchmark_spectra": None},
            "model_comparisons": {
                "trained_models": "property",
                "benchmark_evaluations": "property",
                "benchmark_spectra": None,
            },
        },
    ),
)
#: Its gates are read by :func:`training_set` itself, batch by batch.
_READS_GATES_ITSELF = "training_set"


def add_landed_batches(instance: dg.DagsterInstance, settings: Settings) -> list[str]:
    """Make a partition of every whole batch in the landing zone, as the sensor would; return all batches there.

    A batch whose folder is gone is not listed: nothing of it can be run again.
    """
    landing = Store(settings.url("landing"))
    here = [
        safe_key(name, "batch name")
        for name in landing.folders()
        if list_batch(landing, name, settings.landing.quiet_seconds).whole
    ]
    new = set(here) - set(instance.get_dynamic_partitions(BATCH))
    if new:
        instance.add_dynamic_partitions(BATCH, sorted(new))
    return sorted(here)


def materialize_each(
    definitions: dg.Definitions, instance: dg.DagsterInstance, settings: Settings, selection: str
) -> Iterator[Step]:
    """Materialize a selection for each of its partitions, after whatever upstream of it is out of date.

    What a blocking gate holds is not carried on: neither in the run in which the gate said no, nor in a later one.

    Yields
    ------
    Step
        One a run, with the reason for which it was made.
    """
    wanted = {k.path[-1] for k in resolve_selection(definitions, selection)}
    graph = definitions.resolve_asset_graph()
    needed = _with_upstream(graph, wanted)
    checks = blocking_of([a for a in definitions.assets or () if isinstance(a, dg.AssetsDefinition)])
    batches = add_landed_batches(instance, settings)
    landing = Store(settings.url("landing"))
    cut: dict[str, Sequence[str]] = {"batch": batches, "property": settings.properties}
    for by, assets in _STRETCHES:
        for partition in (None,) if by is None else cut[by]:
            for asset, reads in assets.items():
                if asset not in needed:
                    continue
                if asset in wanted:
                    why: str | None = "asked for"
                else:
                    code = graph.get(dg.AssetKey(asset)).code_version
                    inputs = {name: _keys(kind, partition, batches) for name, kind in reads.items()}
                    why = why_stale(instance, asset, partition, code, inputs)
                    if why is None and asset == "raw_spectra" and partition is not None:
                        landed = batch_version(landing, partition)
                        if stored_data_version(instance, asset, partition) != landed:
                            why = "the batch changed"
                if why is not None and _held(instance, checks, asset, reads, partition) is None:
                    yield Step(asset, partition, why, run_selection(definitions, instance, asset, partition))


def record(
    definitions: dg.Definitions, instance: dg.DagsterInstance, settings: Settings, selection: str
) -> dict[str, Any]:
    """Return what the assets of a selection are now: versions and verdicts by asset and partition.

    Nothing in it tells when or in which run something was made, so that equal content gives equal bytes.
    """
    graph = definitions.resolve_asset_graph()
    found: dict[str, Any] = {}
    for key in resolve_selection(definitions, selection):
        asset = key.path[-1]
        cut = graph.get(key).partitions_def
        partitions: list[str | None] = [None]
        if cut is not None:
            by_batch = isinstance(cut, dg.DynamicPartitionsDefinition)
            partitions = [*(add_landed_batches(instance, settings) if by_batch else settings.properties)]
        names = [check.name for check in graph.get(key).check_keys]
        for partition in partitions:
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


def _with_upstream(graph: Any, wanted: set[str]) -> set[str]:
    needed, waiting = set(wanted), list(wanted)
    while waiting:
        parents = {k.path[-1] for k in graph.get(dg.AssetKey(waiting.pop())).parent_keys} - needed
        needed |= parents
        waiting += parents
    return needed


def _keys(kind: str | None, partition: str | None, batches: Sequence[str]) -> Sequence[str] | None:
    if kind is None:
        return None
    return list(batches) if kind == "every batch" else [str(partition)]


def _held(
    instance: dg.DagsterInstance,
    checks: Mapping[str, list[str]],
    asset: str,
    reads: Mapping[str, str | None],
    partition: str | None,
) -> str | None:
    """Say what keeps an asset from being made: an input that is not there, or that a gate holds."""
    for upstream, kind in reads.items():
        if asset == _READS_GATES_ITSELF and kind is not None:
            continue
        at = None if kind is None else partition
        if materialization(instance, upstream, at) is None:
            return f"{upstream} was never materialized"
        objection = why_not(gate_records(instance, upstream, checks.get(upstream, ()), at))
        if objection:
            return objection
    return None
