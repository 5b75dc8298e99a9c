"""How often a sensor asked for something, whether a run of it is under way, and when it may ask again.

Belongs here: reading the runs of a request. Does not belong here: whether there is anything to ask for (``sensors``).

Dagster answers a run key once, whatever became of its run. A run that was cancelled, or whose process died more often
than Dagster does it again, would so be the last of its request. A request is therefore a tag, and each attempt has a
run key of its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.events import RunFailureReason
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, RUN_FAILURE_REASON_TAG, WILL_RETRY_TAG

REQUEST_TAG = "soil/request"
_PARTITION = "dagster/partition"
#: The first pause before a request is made again; each later one is twice as long.
_PAUSE_SECONDS = 15.0
#: The longest pause after runs that were cancelled or whose process died, and after steps that failed.
_LONGEST_DEAD, _LONGEST_FAILED = 300.0, 3600.0
#: Dagster makes the retry of a failed run within this time, where its daemon runs.
_RETRY_SECONDS = 60.0


@dataclass(frozen=True)
class Attempts:
    """What became of the runs of one request.

    Parameters
    ----------
    count : int
        Runs, whatever became of them.
    under_way : bool
        Whether one is queued, runs, or is about to be done again by Dagster.
    succeeded, step_failed : bool
        Whether a run came to its end, and whether one ended by an error of a step.
    due : float
        When the next attempt may be made (Unix time).
    """

    count: int = 0
    under_way: bool = False
    succeeded: bool = False
    step_failed: bool = False
    due: float = 0.0

    def may_be_repeated(self) -> bool:
        """Whether no run came to an end of its own, none is under way, and the pause is over."""
        over = self.succeeded or self.step_failed or self.under_way
        return not over and time.time() >= self.due

    def run_key(self, request: str) -> str:
        """Return the run key of the next attempt: another one each time, and the same for two daemons."""
        return f"{request}#{self.count}" if self.count else request


def attempts_of(instance: dg.DagsterInstance, request: str) -> Attempts:
    """Return what became of the runs that carry a request's tag."""
    records = instance.get_run_records(dg.RunsFilter(tags={REQUEST_TAG: request}))
    if not records:
        return Attempts()
    runs = [record.dagster_run for record in records]
    ended = max(record.end_time or record.update_timestamp.timestamp() for record in records)
    broken = sum(r.status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED) for r in runs)
    by_step = [r.tags.get(RUN_FAILURE_REASON_TAG) == RunFailureReason.STEP_FAILURE.value for r in runs]
    longest = _LONGEST_FAILED if any(by_step) else _LONGEST_DEAD
    pause = min(_PAUSE_SECONDS * 2 ** min(broken - 1, 20), longest) if broken else 0.0
    again = time.time() - ended < _RETRY_SECONDS and any(_done_again_soon(instance, r) for r in runs)
    return Attempts(
        count=len(runs),
        under_way=again or any(r.status in NOT_FINISHED_STATUSES for r in runs),
        succeeded=any(r.is_success for r in runs),
        step_failed=any(by_step),
        due=ended + pause,
    )


def partitions_under_way(instance: dg.DagsterInstance) -> set[str]:
    """Return the partitions that a queued or running run is for."""
    runs = instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))
    return {run.tags[_PARTITION] for run in runs if _PARTITION in run.tags}


def batches_of_backfills(
    instance: dg.DagsterInstance, job: str, op: str, existing: Iterable[str]
) -> set[str]:
    """Return the batches that queued or running backfills name; all of ``existing`` where one names none."""
    names: set[str] = set()
    for run in instance.get_runs(dg.RunsFilter(job_name=job, statuses=NOT_FINISHED_STATUSES)):
        config: Any = run.run_config
        stated = ((config.get("ops") or {}).get(op) or {}).get("config") or {}
        names |= set(stated.get("batches") or existing)
    return names


def _done_again_soon(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether Dagster's daemon will make a retry of a run and has not done so; a run without an origin has none."""
    return (
        instance.run_retries_enabled
        and run.status is dg.DagsterRunStatus.FAILURE
        and run.remote_job_origin is not None
        and run.tags.get(WILL_RETRY_TAG) == "true"
        and AUTO_RETRY_RUN_ID_TAG not in run.tags
    )
