"""One SQLAlchemy engine a SQLite file, where Dagster makes a new one for every event.

Belongs here: that one detour. Does not belong here: transactions (``defs.event_writing``).

A new engine compiles its statements anew, which takes longer than SQLite's own work: a quarter of what orchestration
costs. An engine without a pool holds no connection, so that nothing is kept open, and processes may fork. PostgreSQL's
storages keep their engines, and need no detour.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

_STORAGES = (
    "dagster._core.storage.event_log.sqlite.sqlite_event_log",
    "dagster._core.storage.runs.sqlite.sqlite_run_storage",
    "dagster._core.storage.schedules.sqlite.sqlite_schedule_storage",
)
#: Every run has a file of its own; beyond so many, all are made anew.
_MOST = 64


class KeptEngines:
    """Stands in for ``create_engine``: the same engine for the same arguments.

    No lock: two threads that come at once make two engines, of which one is kept; a lock held while another thread
    forks would never open in the child.

    Parameters
    ----------
    make : callable
        ``sqlalchemy.create_engine``.
    """

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make
        self.engines: dict[str, Any] = {}

    def __call__(self, url: str, **options: Any) -> Any:
        """Return the engine of ``url`` with ``options``."""
        from sqlalchemy.pool import NullPool

        if options.get("poolclass") is not NullPool:
            return self.make(url, **options)
        key = f"{url} {sorted((k, repr(v)) for k, v in options.items())}"
        found = self.engines.get(key)
        if found is None:
            if len(self.engines) >= _MOST:
                self.engines.clear()
            found = self.engines[key] = self.make(url, **options)
        return found


def reuse_engines() -> None:
    """Let the SQLite storages that this process has loaded keep their engines; those it has not are left alone.

    Where a newer Dagster makes its engines otherwise, nothing is changed.
    """
    for name in _STORAGES:
        module = sys.modules.get(name)
        make = getattr(module, "create_engine", None)
        if make is not None and not isinstance(make, KeptEngines):
            module.create_engine = KeptEngines(make)  # type: ignore[union-attr]
