"""The launcher that ``dagster.yaml`` names: each run is launched once, and a run without a process is noticed.

Belongs here: the claim on a run, and what run monitoring asks a launcher. Does not belong here: two runs for one
request (``defs.twins``), runs of ``soil run`` where no daemon is (``defs.dead_runs``).

Two daemons may both see a run in the queue before either marks it as taken. Dagster's launcher then starts two
processes, the second ends because the run is under way, and its end is told as the death of the run: a living run
counts as failed, and is done again beside itself. On Kubernetes Dagster's chart lets an old daemon end before the new
one starts.

Dagster's default launcher tells run monitoring nothing about its workers: after a reboot a run would count as started
for ever, and hold its place in the queue. Here monitoring asks the code server that made the worker, and where that
server is gone, the machine.
"""

from __future__ import annotations

import json
import os
import re
import socket
from typing import Any

import dagster as dg
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.storage.tags import GRPC_INFO_TAG

from soil_assets.defs.dead_runs import PROCESS_TAG, is_gone, started_at

#: A code server that does not answer within this time is asked again by the next round of run monitoring.
_ANSWER_SECONDS = 10
#: A clock that is corrected moves the start of a process by this much.
_CLOCK_SECONDS = 2.0
_WORKER_PID = re.compile(r"Started process for run \(pid: (\d+)\)")

LAUNCHED_TAG = "soil/launched_by"


class OnceRunLauncher(DefaultRunLauncher):
    """Dagster's own launcher, for runs that no other daemon has launched; it knows which workers live."""

    def launch_run(self, context: LaunchRunContext) -> None:
        """Launch the run, or leave it to the daemon that came first."""
        if claim(self._instance, context.dagster_run.run_id):
            super().launch_run(context)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring may ask for the health of a worker."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Return whether the process that makes a run is there.

        What cannot be asked now counts as running: it is asked again, and ``max_runtime_seconds`` ends it at last.
        """
        if GRPC_INFO_TAG in run.tags:
            return _worker_of_server(self._instance, run, json.loads(run.tags[GRPC_INFO_TAG]))
        if is_gone(run.tags.get(PROCESS_TAG, "")):
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "the process that made this run is gone")
        return CheckRunHealthResult(
            WorkerStatus.RUNNING, "its process is here, or on a machine that is not asked"
        )


def _worker_of_server(
    instance: dg.DagsterInstance, run: dg.DagsterRun, server: dict[str, Any]
) -> CheckRunHealthResult:
    """Return the health of a worker by its code server; a server behind a socket is a process of this machine."""
    from dagster._core.errors import DagsterUserCodeUnreachableError
    from dagster._grpc.client import DagsterGrpcClient
    from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
    from dagster_shared.serdes import deserialize_value

    client = DagsterGrpcClient(
        host=str(server.get("host") or "localhost"),
        port=server.get("port"),
        socket=server.get("socket"),
        use_ssl=bool(server.get("use_ssl")),
    )
    try:
        answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id), _ANSWER_SECONDS)
        if deserialize_value(answer, CanCancelExecutionResult).can_cancel:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        reason = "its code server does not have this run"
    except DagsterUserCodeUnreachableError as error:
        if not server.get("socket") and not (_is_here(server) and _refused(error)):
            return CheckRunHealthResult(
                WorkerStatus.RUNNING, "its code server does not answer", transient=True
            )
        reason = "its code server is gone"
    if server.get("socket") and _process_lives(instance, run):
        return CheckRunHealthResult(WorkerStatus.RUNNING, f"{reason}; its process goes on")
    return CheckRunHealthResult(WorkerStatus.NOT_FOUND, reason)


def _is_here(server: dict[str, Any]) -> bool:
    """Whether a server listens on this machine, or in this pod: there, nobody behind its port is an answer."""
    return server.get("host") in ("localhost", "127.0.0.1", "::1")


def _refused(error: Exception) -> bool:
    """Whether there was nobody to answer, rather than no answer in time."""
    status = getattr(error.__cause__, "code", None)  # of gRPC's own error, whose package states no types
    return status is not None and bool(status().name == "UNAVAILABLE")


def _process_lives(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the worker that the run's event log names is there: after a reboot its number may be another's."""
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        event = entry.dagster_event
        named = _WORKER_PID.match((event.message if event else None) or "")
        if named:
            began = started_at(int(named[1]))
            return began is not None and began <= entry.timestamp + _CLOCK_SECONDS
    return False


def claim(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Take a run for launching; one of all that ask for it gets it, and it stands in the run's tags.

    A daemon that dies between this and the launch leaves a run that does not start: run monitoring finds it.

    Returns
    -------
    bool
        Whether the caller has it. A storage without SQL knows no claims; there everybody has it.
    """
    import sqlalchemy as sa
    from dagster._core.storage.runs import SqlRunStorage
    from dagster._core.storage.runs.schema import RunsTable, RunTagsTable

    storage: Any = instance.run_storage
    if not isinstance(storage, SqlRunStorage):
        return True
    mine = f"{socket.gethostname()[:30]}:{os.getpid()}"
    tags = RunTagsTable.c
    taken = sa.exists().where(tags.run_id == run_id, tags.key == LAUNCHED_TAG)
    row = sa.select(sa.literal(run_id), sa.literal(LAUNCHED_TAG), sa.literal(mine)).where(~taken)
    insert = sa.insert(RunTagsTable).from_select(["run_id", "key", "value"], row)
    with storage.connect() as connection:
        if connection.dialect.name == "sqlite":  # one writer at a time
            return bool(connection.execute(insert).rowcount == 1)
        # Dagster lets PostgreSQL commit each statement by itself; these two belong together.
        connection.execution_options(isolation_level="READ COMMITTED")
        with connection.begin():
            locked = sa.select(RunsTable.c.run_id).where(RunsTable.c.run_id == run_id).with_for_update()
            connection.execute(locked)
            return bool(connection.execute(insert).rowcount == 1)
