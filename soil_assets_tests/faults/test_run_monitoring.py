"""Runs without a process: Dagster's run monitoring tells them as failed, and leaves those alone that live."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher.base import WorkerStatus
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster._daemon.monitoring import execute_run_monitoring_iteration

from soil_assets.defs.dead_runs import PROCESS_TAG, process_tag, started_at
from soil_assets_tests.delivery.servers import free_port, process
from soil_assets_tests.faults.slow_jobs import waits

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 120.0
pytestmark = [
    pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups"),
    pytest.mark.filterwarnings("ignore"),  # of Dagster's gRPC client about sockets that a test leaves to it
]


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """An instance as dagster.yaml has it, without the queue's daemon: a run that is submitted is launched."""
    monkeypatch.setenv("SOIL_DAGSTER_STORAGE", str(tmp_path / "dagster"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    blocks = yaml.safe_load((ROOT / "dagster.yaml").read_text(encoding="utf-8"))
    blocks["run_coordinator"] = {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"}
    blocks.pop("concurrency")
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(blocks), encoding="utf-8")
    with dg.DagsterInstance.from_config(str(tmp_path)) as made:
        yield made


def until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.2)


@contextmanager
def code_server(folder: Path, target: GrpcServerTarget) -> Iterator[int]:
    """A code server and the workers that it starts, one process group; give its number."""
    from dagster._grpc.client import DagsterGrpcClient

    client = DagsterGrpcClient(host=target.host, port=target.port, socket=target.socket)
    where = (
        ["--socket", target.socket] if target.socket else ["--port", str(target.port), "--host", target.host]
    )
    command = [
        sys.executable,
        "-m",
        "dagster",
        "api",
        "grpc",
        *where,
        "-m",
        "soil_assets_tests.faults.slow_jobs",
    ]

    def ready() -> bool:
        try:
            client.ping("")
        except DagsterUserCodeUnreachableError:
            return False
        return True

    with process(command, ready, folder=folder) as server:
        yield server.pid


def launched(instance: dg.DagsterInstance, workspace: WorkspaceProcessContext) -> str:
    """Launch a run by the code server; return its id once its worker has begun."""
    context = workspace.create_request_context()
    location = context.get_code_location("here")
    repository = next(iter(location.get_repositories().values()))
    remote = repository.get_full_job("waits")
    run = instance.create_run_for_job(
        waits, remote_job_origin=remote.get_remote_origin(), job_code_origin=remote.get_python_origin()
    )
    instance.submit_run(run.run_id, context)
    until(lambda: status(instance, run.run_id) is dg.DagsterRunStatus.STARTED, "the run did not start")
    return run.run_id


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def monitored(workspace: WorkspaceProcessContext) -> None:
    """One round of Dagster's own run monitoring."""
    errors = [e for e in execute_run_monitoring_iteration(workspace, logging.getLogger("monitoring")) if e]
    assert not errors


@pytest.mark.parametrize("behind", ["socket", "port", "elsewhere"])
def test_a_run_whose_process_group_was_killed_is_told_as_failed(
    instance: dg.DagsterInstance, tmp_path: Path, behind: str
) -> None:
    target = GrpcServerTarget(
        host="127.0.0.2" if behind == "elsewhere" else "localhost",
        port=None if behind == "socket" else free_port(),
        socket=str(tmp_path / "s") if behind == "socket" else None,
        location_name="here",
    )
    with WorkspaceProcessContext(instance, target) as workspace:
        with code_server(tmp_path, target) as server:
            workspace.refresh_workspace()
            run_id = launched(instance, workspace)
            monitored(workspace)
            assert status(instance, run_id) is dg.DagsterRunStatus.STARTED, "its worker lives"
            os.killpg(server, signal.SIGKILL)
            until(lambda: started_at(server) is None, "the server goes on")
        if behind == "elsewhere":  # a server that does not answer from there says nothing of its runs
            monitored(workspace)
            assert status(instance, run_id) is dg.DagsterRunStatus.STARTED
            with code_server(tmp_path, target):
                monitored(workspace)
        else:
            monitored(workspace)
        assert status(instance, run_id) is dg.DagsterRunStatus.FAILURE
        failed = instance.get_run_by_id(run_id)
        assert failed is not None
        assert failed.tags["dagster/will_retry"] == "true"


def test_a_worker_that_outlives_its_server_is_no_dead_run(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    target = GrpcServerTarget(host="localhost", port=None, socket=str(tmp_path / "s"), location_name="here")
    with (
        WorkspaceProcessContext(instance, target) as workspace,
        code_server(tmp_path, target) as server,
    ):
        workspace.refresh_workspace()
        run_id = launched(instance, workspace)
        os.kill(server, signal.SIGKILL)
        until(lambda: started_at(server) is None, "the server goes on")
        monitored(workspace)
        assert status(instance, run_id) is dg.DagsterRunStatus.STARTED
        os.killpg(server, signal.SIGKILL)  # what is left of its group: the worker
        until(lambda: _health(instance, run_id) is WorkerStatus.NOT_FOUND, "the worker goes on")
        monitored(workspace)
        assert status(instance, run_id) is dg.DagsterRunStatus.FAILURE


def _health(instance: dg.DagsterInstance, run_id: str) -> WorkerStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return instance.run_launcher.check_run_worker_health(run).status


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        (process_tag()[PROCESS_TAG], WorkerStatus.RUNNING),
        (process_tag()[PROCESS_TAG] + "9", WorkerStatus.NOT_FOUND),  # the number is another process's now
        ("another-machine:1:2", WorkerStatus.RUNNING),  # max_runtime_seconds ends it
    ],
    ids=["this process", "its number taken", "another machine"],
)
def test_a_run_of_the_command_line_lives_as_long_as_its_process(
    instance: dg.DagsterInstance, tag: str, expected: WorkerStatus
) -> None:
    run = instance.create_run_for_job(waits, tags={PROCESS_TAG: tag})
    assert _health(instance, run.run_id) is expected


def test_when_a_process_started_is_known(tmp_path: Path) -> None:
    own = started_at(os.getpid())
    assert own is not None
    assert own <= time.time() + 2.0
    with process([sys.executable, "-c", "pass"], lambda: True, folder=tmp_path) as ended:
        ended.wait()
        assert started_at(ended.pid) is None
