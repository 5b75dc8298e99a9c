"""Ticks by hand: the sensor of new batches asked once, outside a daemon.

Belongs here: what a bench needs to time a tick. Does not belong here: the sensor (``defs.sensors``).
"""

from __future__ import annotations

import json
import time

import dagster as dg

from soil_assets.config import Settings
from soil_assets.defs.gates import BATCH_CHAIN
from soil_assets.defs.landing_zone import list_batch
from soil_assets.defs.partitions import BATCH
from soil_assets.defs.sensors import latest_by_partition, new_batches_sensor
from soil_assets.storage import Store


def timed_ticks(settings: Settings, known: list[str], repeats: int) -> tuple[list[float], list[str]]:
    """Ask the sensor ``repeats`` times as if the batches ``known`` had been judged before.

    Parameters
    ----------
    settings : Settings
        Whose landing zone is looked at.
    known : list of str
        Batches in the landing zone that an earlier tick handled.
    repeats : int
        Every tick starts from the same cursor.

    Returns
    -------
    (list of float, list of str)
        Seconds of each tick, and the batches that the last one asked runs for.
    """
    landing = Store(settings.url("landing"))
    quiet = settings.landing.quiet_seconds
    sensor = new_batches_sensor(settings, "land_batches", {})
    seconds: list[float] = []
    asked: list[str] = []
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(BATCH, known)
        for name in known:
            instance.report_runless_asset_event(dg.AssetMaterialization(BATCH_CHAIN[0], partition=name))
        # Batches wait for the golden reference.
        instance.report_runless_asset_event(dg.AssetMaterialization("reference_spectra"))
        made = latest_by_partition(instance, BATCH_CHAIN[0])
        judged = {n: [list_batch(landing, n, quiet).fingerprint, [made[n]]] for n in known}
        cursor = json.dumps({"judged": judged, "begin": ""})
        for _ in range(repeats):
            context = dg.build_sensor_context(instance=instance, cursor=cursor)
            start = time.perf_counter()
            answer = sensor(context)
            seconds.append(time.perf_counter() - start)
            requests = answer.run_requests if isinstance(answer, dg.SensorResult) else None
            asked = [str(r.partition_key) for r in requests or []]
    return seconds, asked
