"""Doing by hand, in this process, what the daemon does by itself: tick a sensor, run what is out of date.

The demo uses it: the runs it makes, and their reasons, are those of a deployment with a daemon.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg

from soil_assets.config import Settings
from soil_assets.defs.attempts import REQUEST_TAG
from soil_assets.defs.dead_runs import bury, died, done_again, each_once, mark_broken_off, selection_of
from soil_assets.defs.partitions import BATCH
from soil_assets.defs.run import RunOutcome, run_job, run_selection
from soil_assets.defs.staleness import why_stale

_RUN_KEY = "dagster/run_key"
_SENSOR = "dagster/sensor_name"


@dataclass(frozen=True)
class Step:
    """One run that was made, for what, and why."""

    what: str
    partition: str | None
    why: str
    outcome: RunOutcome


def tick(definitions: dg.Definitions, instance: dg.DagsterInstance, sensor_name: str) -> Iterator[Step]:
    """Evaluate a sensor once as the daemon would, and run what it asks for, once for each run key.

    Runs whose process died are done again first: a sensor that saw the first half of one would not ask again.
    """
    yield from redo(definitions, instance)
    sensor = definitions.resolve_sensor_def(sensor_name)
    key = f"by_hand/{sensor_name}"
    cursor = instance.daemon_cursor_storage.get_cursor_values({key}).get(key)
    context = dg.build_sensor_context(
        instance=instance,
        cursor=cursor,
        repository_def=definitions.get_repository_def(),
        sensor_name=sensor_name,
    )
    asked = sensor(context)
    result = asked if isinstance(asked, dg.SensorResult) else dg.SensorResult(cursor=context.cursor)
    for added in result.dynamic_partitions_requests or []:
        instance.add_dynamic_partitions(added.partitions_def_name, list(added.partition_keys))
    for request in result.run_requests or []:
        tags = {_RUN_KEY: request.run_key or "", _SENSOR: sensor_name}
        if request.run_key and not all(died(r) for r in instance.get_runs(dg.RunsFilter(tags=tags))):
            continue
        job = request.job_name or str(sensor.job_name)
        outcome = run_job(definitions, instance, job, request.partition_key, {**request.tags, **tags})
        yield Step(job, request.partition_key, f"sensor {sensor_name}", outcome)
    if (
        result.cursor is not None
    ):  # only now: a tick that died is evaluated again, and run keys keep it single
        instance.daemon_cursor_storage.set_cursor_values({key: result.cursor})


def redo(definitions: dg.Definitions, instance: dg.DagsterInstance) -> Iterator[Step]:
    """Do again what processes that died had begun, and what a lost connection broke off."""
    mark_broken_off(instance)
    waiting = bury(instance)
    for run in each_once(waiting):
        partition, names = run.tags.get("dagster/partition"), selection_of(run)
        kept = {k: v for k, v in run.tags.items() if k in (_RUN_KEY, _SENSOR, REQUEST_TAG)}
        if names:
            what = ",".join(names)
            outcome = run_selection(definitions, instance, what, partition, kept)
        else:
            what = run.job_name
            outcome = run_job(definitions, instance, what, partition, kept)
        yield Step(what, partition, "its process died", outcome)
    done_again(instance, waiting)


def bring_up_to_date(
    definitions: dg.Definitions, instance: dg.DagsterInstance, settings: Settings
) -> Iterator[Step]:
    """Run whatever is out of date from the frozen sets to the registry, in order; nothing else."""
    yield from retrain(definitions, instance, settings)
    yield from register_what_is_due(definitions, instance, settings)


def register_what_is_due(
    definitions: dg.Definitions, instance: dg.DagsterInstance, settings: Settings
) -> Iterator[Step]:
    """Register the candidates whose gates passed and that are not registered yet."""
    yield from redo(definitions, instance)
    code = definitions.resolve_asset_graph().get(dg.AssetKey("registered_versions")).code_version
    for prop in settings.properties:
        why = registration_due(instance, prop, code)
        if why is not None:
            outcome = run_selection(definitions, instance, "registered_versions", prop)
            yield Step("registered_versions", prop, why, outcome)


def retrain(definitions: dg.Definitions, instance: dg.DagsterInstance, settings: Settings) -> Iterator[Step]:
    """Run whatever is out of date from the frozen sets to the decision report, in order."""
    yield from redo(definitions, instance)
    graph = definitions.resolve_asset_graph()

    def code(asset: str) -> str | None:
        return graph.get(dg.AssetKey(asset)).code_version

    def run(selection: str, partition: str | None, why: str | None) -> Iterator[Step]:
        if why is not None:
            yield Step(selection, partition, why, run_selection(definitions, instance, selection, partition))

    for asset in ("reference_spectra", "benchmark_spectra"):
        yield from run(asset, None, why_stale(instance, asset, None, code(asset), {}))
    batches = list(instance.get_dynamic_partitions(BATCH))
    properties = list(settings.properties)
    judged = {"drift_reports": batches, "validated_batches": batches}
    frozen = {"reference_spectra": None, "benchmark_spectra": None}
    why = why_stale(instance, "training_set", None, code("training_set"), {**frozen, **judged})
    yield from run("training_set", None, why)
    why = why_stale(
        instance,
        "training_drift",
        None,
        code("training_drift"),
        {"training_set": None, "reference_spectra": None},
    )
    yield from run("training_drift", None, why)
    for prop in properties:
        measured = {"trained_models": [prop], "benchmark_spectra": None}
        why = (
            why_stale(instance, "trained_models", prop, code("trained_models"), {"training_set": None})
            or why_stale(instance, "benchmark_evaluations", prop, code("benchmark_evaluations"), measured)
            or why_stale(
                instance,
                "model_comparisons",
                prop,
                code("model_comparisons"),
                {**measured, "benchmark_evaluations": [prop]},
            )
        )
        yield from run("trained_models,benchmark_evaluations,model_comparisons", prop, why)
    told = {"model_comparisons": properties, "drift_reports": batches, "training_set": None}
    yield from run(
        "decision_report", None, why_stale(instance, "decision_report", None, code("decision_report"), told)
    )


def registration_due(instance: dg.DagsterInstance, prop: str, code_version: str | None) -> str | None:
    """Say why a property's candidate is to be registered, or None when it is, or when its gates said no."""
    from soil_assets.defs.gates import gate_records, why_not

    if why_not(gate_records(instance, "model_comparisons", ["not_worse"], prop)):
        return None
    return why_stale(instance, "registered_versions", prop, code_version, {"trained_models": [prop]})
