"""What a person does to a platform at the wrong moment: cancel a run, delete a partition, wipe assets, backfill.

Belongs here: doing it by Dagster's own means, and what must hold afterwards of each batch. Does not belong here:
killing and starting processes (``benchmarks.reboots``).
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg
import numpy as np
from dagster._core.storage.dagster_run import CANCELABLE_RUN_STATUSES

from soil_assets.config import Settings
from soil_assets.defs.attempts import REQUEST_TAG
from soil_assets.defs.build import assets_of, blocking_of
from soil_assets.defs.gates import BATCH_CHAIN, open_gates, select_batches
from soil_assets.defs.io import has_value, load_value
from soil_assets.defs.landing_zone import batch_version
from soil_assets.defs.partitions import BATCH
from soil_assets.defs.resources import Soil
from soil_assets.defs.staleness import stored_data_version
from soil_assets.defs.verdicts import materialization
from soil_assets.storage import hash_of_files

DEEDS = ("nothing", "nothing", "cancel", "delete partition", "wipe")


def interfere(instance: dg.DagsterInstance, rng: np.random.Generator) -> str:
    """Do one of :data:`DEEDS`; return which."""
    deed = str(rng.choice(DEEDS))
    if deed == "cancel":
        for run in instance.get_runs(dg.RunsFilter(statuses=CANCELABLE_RUN_STATUSES)):
            instance.report_run_canceled(run)
    elif deed == "delete partition":
        names = sorted(instance.get_dynamic_partitions(BATCH))
        if names:
            instance.delete_dynamic_partition(BATCH, str(rng.choice(names)))
    elif deed == "wipe":
        instance.wipe_assets([dg.AssetKey(str(rng.choice(BATCH_CHAIN)))])
    return deed


def unsettled(instance: dg.DagsterInstance, settings: Settings, names: Iterable[str]) -> dict[str, str]:
    """Return the batches that have no verdict about what is landed, or passed and are not in the training set."""
    soil, checks = Soil.of(settings), blocking_of(assets_of(settings))
    trained = set()
    if has_value(soil.data, "training_set"):
        trained = set(load_value(soil.data, "training_set").samples["batch"])
    open_batches = {}
    for name in names:
        if name not in instance.get_dynamic_partitions(BATCH):
            open_batches[name] = "it has no partition"
        elif stored_data_version(instance, BATCH_CHAIN[0], name) != batch_version(soil.landing, name):
            open_batches[name] = "what is landed was not read"
        elif waiting := open_gates(instance, checks, name):
            open_batches[name] = waiting[0]
        elif name not in trained and select_batches(instance, checks, only=[name]).taken:
            open_batches[name] = "it passed and is not in the training set"
    return open_batches


def was_asked_for(instance: dg.DagsterInstance, settings: Settings, name: str) -> bool:
    """Whether there ever was a run for what is landed of a batch."""
    version = batch_version(Soil.of(settings).landing, name)
    return bool(instance.get_runs(dg.RunsFilter(tags={REQUEST_TAG: f"{name}:{version}"}), limit=1))


def wrong_versions(instance: dg.DagsterInstance, settings: Settings, names: Iterable[str]) -> list[str]:
    """Return the batches whose stored bytes are not those of their recorded version."""
    data = Soil.of(settings).data
    wrong = []
    for name in names:
        record = materialization(instance, BATCH_CHAIN[0], name)
        if record is None or record.asset_materialization is None:
            continue
        version = stored_data_version(instance, BATCH_CHAIN[0], name)
        folder = f"raw/{name}/{record.asset_materialization.metadata['sha256'].value}"
        files = {key.removeprefix(f"{folder}/"): data.read(key) for key in data.files(folder)}
        if hash_of_files(files) != version:
            wrong.append(name)
    return wrong
