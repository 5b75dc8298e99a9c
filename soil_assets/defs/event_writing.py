"""Writing the events of one batch in one transaction, where the instance's event log is SQLite.

Belongs here: that one detour. Does not belong here: which events there are (``defs.backfill``).

Dagster opens a connection and commits for every event and every table: 65 times a batch, which costs more than judging
it. PostgreSQL keeps its connections, and needs no detour. One transaction also means that a batch's materializations
and verdicts are seen together or not at all.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import dagster as dg

#: How long a writer waits for another one's transaction, as Dagster does.
_PATIENCE_SECONDS = 60


@contextmanager
def written_together(instance: dg.DagsterInstance) -> Iterator[None]:
    """Write the events of the block in one transaction of each SQLite file; other event logs write as ever."""
    from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage) or not hasattr(storage, "_connect"):
        yield
        return
    connect, writer = storage._connect, threading.get_ident()
    with ExitStack() as stack:
        open_now: dict[str, Any] = {}

        @contextmanager
        def connected(shard: str) -> Iterator[Any]:
            if threading.get_ident() != writer:
                with connect(shard) as other:
                    yield other
                return
            if shard not in open_now:
                with connect(shard):  # Dagster makes the file's tables when it first opens it
                    pass
                engine = create_engine(
                    storage.conn_string_for_shard(shard),
                    poolclass=NullPool,
                    connect_args={"timeout": _PATIENCE_SECONDS},
                )
                stack.callback(engine.dispose)
                open_now[shard] = stack.enter_context(engine.begin())
            yield open_now[shard]

        storage._connect = connected  # type: ignore[method-assign]
        try:
            yield
        finally:
            del (
                storage._connect
            )  # the class's own again; the stack commits, or rolls back when the block failed
