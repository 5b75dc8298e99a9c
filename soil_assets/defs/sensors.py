"""Sensors: a whole batch in the landing zone, and code that was merged."""

import json
from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from soil_assets.config import Settings
from soil_assets.defs.gates import materialization
from soil_assets.defs.landing_zone import batch_version, list_batch
from soil_assets.defs.partitions import BATCH, BATCHES
from soil_assets.defs.staleness import stored_code_version, stored_data_version
from soil_assets.errors import BadInput
from soil_assets.storage import Store, safe_key

#: A tick hashes at most this many new or changed batches; the rest waits for the next tick, so that a landing zone
#: filled at once never runs into the 60 seconds that a tick may take.
BATCHES_A_TICK = 50


def new_batches_sensor(settings: Settings, job_name: str) -> dg.SensorDefinition:
    """Ask for a run for each batch that became whole, once for each content.

    The cursor remembers the listing of every batch that was handled; a batch whose bytes changed under its old name
    is asked for again under another run key, and the same bytes landing twice change nothing.
    """

    @dg.sensor(
        name="new_batches",
        job_name=job_name,
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Finds batches that are whole in the landing zone and sends each through its gates.",
    )
    def new_batches(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        if stored_data_version(context.instance, "reference_spectra") is None:
            return dg.SkipReason("the golden reference is not materialized yet; batches wait for it")
        landing = Store(settings.url("landing"))
        known: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
        requests: list[dg.RunRequest] = []
        keys, refused, growing = [], [], 0
        existing = set(context.instance.get_dynamic_partitions(BATCH))
        for name in landing.folders():
            if len(requests) >= BATCHES_A_TICK:
                break
            try:
                safe_key(name, "batch name")
            except BadInput as error:
                refused.append(str(error))
                continue
            listing = list_batch(landing, name, settings.landing.quiet_seconds)
            if known.get(name) == listing.fingerprint:
                continue
            if not listing.whole:
                growing += 1
                continue
            known[name] = listing.fingerprint
            version = batch_version(landing, name)
            if stored_data_version(context.instance, "raw_spectra", name) == version:
                continue
            if name not in existing:
                keys.append(name)
            # What lies there may be what lay there once before: the request says what it comes after, too.
            before = materialization(context.instance, "raw_spectra", name)
            requests.append(
                dg.RunRequest(
                    partition_key=name,
                    run_key=f"{name}:{version}" + (f":{before.storage_id}" if before else ""),
                    tags={"soil/batch": name, "soil/content": version},
                )
            )
        for problem in refused:
            context.log.warning(problem)
        cursor = json.dumps(known, sort_keys=True)
        if not requests:
            waiting = f"; {growing} still being written" if growing else ""
            context.update_cursor(cursor)
            return dg.SkipReason(f"no new batch among {len(known)} known{waiting}")
        added = [BATCHES.build_add_request(keys)] if keys else []
        return dg.SensorResult(run_requests=requests, dynamic_partitions_requests=added, cursor=cursor)

    return new_batches


def merged_changes_sensor(jobs: list[UnresolvedAssetJobDefinition]) -> dg.SensorDefinition:
    """Ask for runs of what a merge changed: deployed code version against the stored one.

    Batches that were landed under older code of a gate are judged again; models are trained again.
    """

    @dg.sensor(
        name="merged_changes",
        jobs=jobs,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Compares deployed code versions with those of the last materializations.",
    )
    def merged_changes(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        definitions = context.repository_def
        assert definitions is not None  # noqa: S101  # given in every tick, real or built
        graph = definitions.asset_graph
        requests = []
        for job in jobs:
            keys = [k for k in job.selection.resolve(graph) if graph.get(k).is_materializable]
            for partition in _partitions(context.instance, graph, keys):
                changed = []
                for key in keys:
                    stored = stored_code_version(context.instance, key.path[-1], partition)
                    if stored is not None and stored != graph.get(key).code_version:
                        changed.append(f"{key.path[-1]}={graph.get(key).code_version}")
                if changed:
                    requests.append(
                        dg.RunRequest(
                            job_name=job.name,
                            partition_key=partition,
                            run_key=f"merged:{job.name}:{partition or ''}:{','.join(sorted(changed))}",
                            tags={"soil/reason": "merged changes"},
                        )
                    )
        if not requests:
            return dg.SkipReason("every materialization is of the deployed code")
        return dg.SensorResult(run_requests=requests)

    return merged_changes


def _partitions(instance: dg.DagsterInstance, graph: Any, keys: list[dg.AssetKey]) -> Iterator[str | None]:
    partitions = next((graph.get(k).partitions_def for k in keys if graph.get(k).partitions_def), None)
    if partitions is None:
        yield None
    else:
        yield from partitions.get_partition_keys(dynamic_partitions_store=instance)
