"""Runs whose process died: told as failed, and done again, where no daemon watches over runs.

Belongs here: knowing which process makes a run, and which runs nobody makes any more. Does not belong here: what a
daemon does by itself (run monitoring and retries, in ``dagster.yaml``).

A run that was killed leaves whatever it had written, each piece whole, but perhaps a value without its verdict. Nothing
about such a value looks out of date, so the run itself is done again; everything it does may be done twice.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

PROCESS_TAG = "soil/process"
DIED_TAG = "soil/died"
#: Failed runs that are looked at, newest first.
_LOOKED_AT = 30
_CONNECTION_ERRORS = frozenset(
    {
        "OperationalError", "InterfaceError", "ConnectionError", "ConnectionResetError", "ConnectionRefusedError",
        "ConnectionAbortedError", "BrokenPipeError",
    }
)  # fmt: skip
_WAITING, _DONE_AGAIN = "waiting", "done again"


def process_tag() -> dict[str, str]:
    """Return the tag that names this process: its machine, number and start."""
    pid = os.getpid()
    return {PROCESS_TAG: f"{socket.gethostname()[:30]}:{pid}:{_started(pid)}"}


def bury(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Tell of runs of this machine whose process is gone as failed; return all that wait to be done again."""
    open_runs = instance.get_runs(
        dg.RunsFilter(
            statuses=[
                dg.DagsterRunStatus.STARTED,
                dg.DagsterRunStatus.STARTING,
                dg.DagsterRunStatus.NOT_STARTED,
            ]
        )
    )
    for run in open_runs:
        if is_gone(run.tags.get(PROCESS_TAG, "")):
            instance.add_run_tags(
                run.run_id, {DIED_TAG: _WAITING}
            )  # first: a kill in between leaves it to be found
            instance.report_run_failed(run, message="the process of this run died; it is done again")
    waiting = list(instance.get_runs(dg.RunsFilter(tags={DIED_TAG: _WAITING})))
    for run in waiting:  # a step that trained held the pool's only place, and would hold it for ever
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return waiting


def mark_broken_off(instance: dg.DagsterInstance) -> None:
    """Let runs wait to be done again that broke off: no step said why, or its connection was lost."""
    failed = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]), limit=_LOOKED_AT)
    for run in failed:
        if PROCESS_TAG in run.tags and not died(run) and _lost_connection(instance, run.run_id):
            instance.add_run_tags(run.run_id, {DIED_TAG: _WAITING})


def _lost_connection(instance: dg.DagsterInstance, run_id: str) -> bool:
    failures = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    names = set()
    for entry in failures:
        error = entry.dagster_event.step_failure_data.error if entry.dagster_event else None
        while error is not None:
            names.add(error.cls_name)
            error = error.cause
    return not failures or bool(names & _CONNECTION_ERRORS)


def died(run: dg.DagsterRun) -> bool:
    """Whether the run's process died, so that it stands for nothing."""
    return DIED_TAG in run.tags


def each_once(waiting: list[dg.DagsterRun]) -> Iterator[dg.DagsterRun]:
    """Give one of the runs that did the same for the same partition: their retries died, too."""
    seen = set()
    for run in sorted(waiting, key=lambda r: r.run_id):
        same = (run.job_name, run.tags.get("dagster/partition"), tuple(selection_of(run)))
        if same not in seen:
            seen.add(same)
            yield run


def selection_of(run: dg.DagsterRun) -> list[str]:
    """Return the names of the assets that a run was asked for; empty for all of its job."""
    return sorted(k.path[-1] for k in run.asset_selection or ())


def done_again(instance: dg.DagsterInstance, waiting: list[dg.DagsterRun]) -> None:
    """Remember that nothing waits for these runs any more."""
    for run in waiting:
        instance.add_run_tags(run.run_id, {DIED_TAG: _DONE_AGAIN})


def is_gone(tag: str) -> bool:
    """Whether the process of :func:`process_tag` ended; False where that cannot be known from here."""
    host, _, rest = tag.partition(":")
    pid, _, started = rest.partition(":")
    if host != socket.gethostname()[:30] or not pid.isdigit():
        return False  # another machine's, or a daemon's: not ours to judge
    return _started(int(pid)) != started


def started_at(pid: int) -> float | None:
    """Return when a process started (Unix time), or None when there is none; 0.0 where only its presence is known."""
    ticks = _started(pid)
    if ticks in ("", "?"):
        return 0.0 if ticks else None
    for line in Path("/proc/stat").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("btime "):
            return int(line.split()[1]) + int(ticks) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _started(pid: int) -> str:
    """Return when a process started, in the system's own count; '' when there is none, '?' where that is unknown."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        text = stat.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return ""
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return ""
        except PermissionError:
            pass
        return "?"
    state, *fields = text.rpartition(")")[2].split()
    return "" if state == "Z" else fields[18]
