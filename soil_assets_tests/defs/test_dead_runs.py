"""A run whose process died: told as failed, its place in a pool free again, done again once."""

from __future__ import annotations

import os
import signal
import time

import dagster as dg
import pytest

from soil_assets.benchmarks.fault_kills import in_worker
from soil_assets.defs.by_hand import redo
from soil_assets.defs.dead_runs import PROCESS_TAG, bury, died, process_tag
from soil_assets_tests.conftest import Platform

POOL = "training"


def begun(platform: Platform, tags: dict[str, str]) -> dg.DagsterRun:
    """A run that has begun and holds the place of a pool, as a step that trains does."""
    instance = platform.instance
    job = platform.definitions.resolve_job_def("freeze")
    run = instance.create_run_for_job(job, tags=tags)
    instance.event_log_storage.set_concurrency_slots(POOL, 1)
    instance.event_log_storage.claim_concurrency_slot(POOL, run.run_id, "trained_models")
    return run


def places_taken(platform: Platform) -> int:
    return platform.instance.event_log_storage.get_concurrency_info(POOL).active_slot_count


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_only_the_runs_of_dead_processes_are_done_again(platform: Platform) -> None:
    reader, writer = os.pipe()

    def tell() -> None:
        os.write(writer, process_tag()[PROCESS_TAG].encode())
        signal.pause()

    assert in_worker(tell, 0.5)[1]
    seen = {PROCESS_TAG: os.read(reader, 200).decode()}
    dead = begun(platform, seen)
    living = platform.instance.create_run_for_job(
        platform.definitions.resolve_job_def("freeze"), tags=process_tag()
    )
    elsewhere = platform.instance.create_run_for_job(
        platform.definitions.resolve_job_def("freeze"),
        tags={PROCESS_TAG: f"another-machine:1:{time.time():.0f}"},
    )
    assert places_taken(platform) == 1
    assert [r.run_id for r in bury(platform.instance)] == [dead.run_id]
    assert places_taken(platform) == 0
    now = [platform.instance.get_run_by_id(r.run_id) for r in (dead, living, elsewhere)]
    assert [r is not None and died(r) for r in now] == [True, False, False]
    found = platform.instance.get_run_by_id(dead.run_id)
    assert found is not None
    assert found.status is dg.DagsterRunStatus.FAILURE
    steps = list(redo(platform.definitions, platform.instance))
    assert [(s.what, s.why) for s in steps] == [("freeze", "its process died")]
    assert list(redo(platform.definitions, platform.instance)) == []
