"""A backfill of 100 batches on a cluster: the daemon's own loops, the run queue of our values, and a pod a batch."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from soil_assets.defs.pods import run_tags
from soil_assets_tests.platform import chart
from soil_assets_tests.platform.kube_api import kube_api
from soil_assets_tests.platform.test_pods import instance_file, pod_of

pytest.importorskip("dagster_k8s")
pytest.importorskip("kubernetes_validate")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]
BATCHES = [f"batch-{i:03}" for i in range(100)]


def queued(file: Path) -> None:
    """Give the instance the run queue of our values."""
    config = yaml.safe_load(file.read_text())
    config["run_coordinator"] = {"module": "dagster.core.run_coordinator", "class": "QueuedRunCoordinator"}
    runs = chart.values()["concurrency"]["runs"]
    config["concurrency"] = {
        "runs": {
            "max_concurrent_runs": runs["maxConcurrentRuns"], "tag_concurrency_limits": runs["tagConcurrencyLimits"],
        }
    }  # fmt: skip
    file.write_text(yaml.safe_dump(config))


def test_a_backfill_of_100_batches_is_100_pods_and_leaves_room_for_today(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
    from dagster._core.test_utils import create_test_daemon_workspace_context, load_remote_repo
    from dagster._core.workspace.load_target import ModuleTarget
    from dagster._daemon.backfill import execute_backfill_iteration
    from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

    # What the chart gives the code location's pod, and runs take over from it.
    context, image = chart.container_context(chart.values()), chart.image(chart.values())
    monkeypatch.setenv("DAGSTER_CLI_API_GRPC_CONTAINER_CONTEXT", json.dumps(context))
    monkeypatch.setenv("DAGSTER_CURRENT_IMAGE", image)
    monkeypatch.setenv("SOIL_HOME", str(tmp_path / "soil"))
    limit = chart.values()["concurrency"]["runs"]["tagConcurrencyLimits"][0]["limit"]
    with kube_api(tmp_path) as api:
        instance_file(tmp_path, api)
        queued(tmp_path / "dagster.yaml")
        with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
            instance.add_dynamic_partitions("batch", BATCHES)
            target = ModuleTarget("soil_assets.definitions", None, None, "soil_assets")
            with create_test_daemon_workspace_context(target, instance) as workspace:
                repository = load_remote_repo(workspace, "__repository__")
                partitions = repository.get_partition_set("judge_batch_partition_set")
                instance.add_backfill(
                    PartitionBackfill(
                        backfill_id="wide",
                        partition_set_origin=partitions.get_remote_origin(),
                        status=BulkActionStatus.REQUESTED,
                        partition_names=BATCHES,
                        from_failure=False,
                        reexecution_steps=None,
                        tags=None,
                        backfill_timestamp=time.time(),
                    )
                )
                for _ in range(10):
                    errors = [
                        e for e in execute_backfill_iteration(workspace, logging.getLogger("test")) if e
                    ]
                    assert not errors, errors
                    if instance.get_runs_count() == len(BATCHES):
                        break
                assert instance.get_runs_count() == len(BATCHES)
                queue = QueuedRunCoordinatorDaemon(interval_seconds=1)
                launched: list[int] = []
                while len(api.jobs) < len(BATCHES):
                    before = len(api.jobs)
                    list(queue.run_iteration(workspace))
                    launched.append(len(api.jobs) - before)
                    assert 0 < launched[-1] <= limit, launched
                    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING])):
                        instance.report_run_canceled(run)  # its pod would have ended by now
            assert api.refused == []
            assert launched == [limit] * (len(BATCHES) // limit)
            _each_batch_has_one_pod(instance, api.jobs)


def _each_batch_has_one_pod(instance: dg.DagsterInstance, jobs: dict[str, dict[str, Any]]) -> None:
    by_run = {job["metadata"]["labels"]["dagster/run-id"]: job for job in jobs.values()}
    runs = instance.get_runs()
    assert {r.tags["dagster/partition"] for r in runs} == set(BATCHES)
    assert {r.run_id for r in runs} == by_run.keys()
    wanted = run_tags("raw_spectra", "validated_batches", "drift_reports")["dagster-k8s/config"]
    for job in by_run.values():
        _, container = pod_of(job)
        assert container["image"] == chart.image(chart.values())
        assert container["resources"] == wanted["container_config"]["resources"]
        assert {"name": "SOIL_DEPLOYMENT", "value": "production"} in container["env"]
