"""Each run is launched once, whoever takes it from the queue: what two daemons on one instance need.

Belongs here: the claim on a run, and the launcher that asks for it, which ``dagster.yaml`` names. Does not belong here:
two runs for one request (``defs.twins``).

Two daemons may both see a run in the queue before either marks it as taken. Dagster's launcher then starts two
processes, the second ends because the run is under way, and its end is told as the death of the run: a living run
counts as failed, and is done again beside itself. On Kubernetes Dagster's chart lets an old daemon end before the new
one starts.
"""

from __future__ import annotations

import os
import socket
from typing import Any

import dagster as dg
from dagster._core.launcher.base import LaunchRunContext
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher

LAUNCHED_TAG = "soil/launched_by"


class OnceRunLauncher(DefaultRunLauncher):
    """Dagster's own launcher, for runs that no other daemon has launched."""

    def launch_run(self, context: LaunchRunContext) -> None:
        """Launch the run, or leave it to the daemon that came first."""
        if claim(self._instance, context.dagster_run.run_id):
            super().launch_run(context)


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
