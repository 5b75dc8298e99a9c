"""Materialize a selection in this process, with its checks: what ``soil run``, DVC stages and CI call.

CI and Dagster share one gate because they run the same assets on the same kind of instance.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from soil_assets.defs.dead_runs import bury, process_tag
from soil_assets.defs.sqlite_engines import reuse_engines
from soil_assets.errors import BadInput

#: The event log keeps every line; on the console a person gets the outcome, not the engine's diary.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


#: Events that say what became of a run, and how many are read at a time.
_TOLD = {
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.STEP_FAILURE,
}
_PAGE = 500


@dataclass(frozen=True)
class CheckOutcome:
    """What one check said in a run."""

    asset: str
    check: str
    passed: bool
    blocking: bool
    severity: str
    summary: str


@dataclass(frozen=True)
class RunOutcome:
    """What became of one run."""

    run_id: str
    success: bool
    materialized: tuple[str, ...] = ()
    checks: tuple[CheckOutcome, ...] = ()
    errors: tuple[str, ...] = field(default=())

    @property
    def gate_failed(self) -> bool:
        """Whether a blocking check said no."""
        return any(c.blocking and not c.passed and c.severity == "ERROR" for c in self.checks)


@contextmanager
def open_instance(dagster_home: Path | None = None) -> Iterator[dg.DagsterInstance]:
    """Open the instance of ``DAGSTER_HOME``; its log lines stay out of what a person reads."""
    logging.getLogger("dagster").setLevel(logging.ERROR)
    if dagster_home is None:
        with dg.DagsterInstance.get() as instance:
            yield instance
    else:
        with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
            yield instance


def run_selection(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    selection: str,
    partition: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> RunOutcome:
    """Materialize ``selection`` (Dagster's selection syntax, or names separated by commas).

    Raises
    ------
    BadInput
        When the selection names nothing, or the partition does not fit.
    """
    keys = resolve_selection(definitions, selection)
    graph = definitions.resolve_asset_graph()
    partitioned = [k for k in keys if graph.get(k).partitions_def is not None]
    if partitioned and partition is None:
        raise BadInput(
            "this selection is partitioned",
            found=", ".join(k.to_user_string() for k in partitioned),
            mend="name the batch or property with --partition",
        )
    if partition is not None and partitioned:
        cut = graph.get(partitioned[0]).partitions_def
        known = [] if cut is None else cut.get_partition_keys(dynamic_partitions_store=instance)
        if partition not in known:
            raise BadInput("no such partition", found=partition, expected=", ".join(known) or "(none yet)")
    reuse_engines()
    bury(instance)  # a dead run may hold a place in a pool that this one would wait for
    job = definitions.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(
        run_config=_QUIET,
        instance=instance,
        asset_selection=keys,
        partition_key=partition if partitioned else None,
        tags={**(tags or {}), **process_tag()},
        raise_on_error=False,
    )
    return outcome_of(instance, result.run_id, result.success)


def run_job(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    job: str,
    partition: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> RunOutcome:
    """Run a job of the definitions in this process."""
    reuse_engines()
    bury(instance)
    result = definitions.resolve_job_def(job).execute_in_process(
        run_config=_QUIET,
        instance=instance,
        partition_key=partition,
        tags={**(tags or {}), **process_tag()},
        raise_on_error=False,
    )
    return outcome_of(instance, result.run_id, result.success)


def resolve_selection(definitions: dg.Definitions, selection: str) -> list[dg.AssetKey]:
    """Return the asset keys that a selection string means."""
    graph = definitions.resolve_asset_graph()
    names = [part.strip() for part in selection.split(",") if part.strip()]
    known = {k.to_user_string() for k in graph.materializable_asset_keys}
    if names and all(n in known for n in names):
        return [dg.AssetKey(n) for n in names]
    try:
        keys = dg.AssetSelection.from_string(selection).resolve(graph)
    except Exception as error:  # noqa: BLE001  # dagster raises several kinds for a selection it cannot read
        raise BadInput(
            "not a selection of assets", found=selection, expected=", ".join(sorted(known)), mend=str(error)
        ) from None
    if not keys:
        raise BadInput("the selection names no asset", found=selection, expected=", ".join(sorted(known)))
    return sorted(keys)


def outcome_of(instance: dg.DagsterInstance, run_id: str, success: bool) -> RunOutcome:
    """Read what a run did from its event log."""
    materialized, checks, errors = [], [], []
    for event in _events(instance, run_id):
        if event.is_step_materialization:
            materialized.append(event.asset_key.path[-1] if event.asset_key else "")
        elif event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            data = event.asset_check_evaluation_data
            checks.append(
                CheckOutcome(
                    data.asset_key.path[-1],
                    data.check_name,
                    data.passed,
                    bool(data.blocking),
                    data.severity.value,
                    data.description or "",
                )
            )
        elif event.is_step_failure:
            error = event.step_failure_data.error
            if error is not None and error.cls_name != "DagsterAssetCheckFailedError":
                cause = error
                while cause.cause is not None:
                    cause = cause.cause
                errors.append(f"{event.step_key}: {cause.message.strip()}")
    return RunOutcome(run_id, success, tuple(materialized), tuple(checks), tuple(errors))


def _events(instance: dg.DagsterInstance, run_id: str) -> Iterator[dg.DagsterEvent]:
    """Read what :func:`outcome_of` looks at, in pages: the whole log of a run over 1,000 batches takes 180 MB."""
    cursor: str | None = None
    while True:
        page = instance.get_records_for_run(run_id, cursor=cursor, of_type=_TOLD, limit=_PAGE)
        for record in page.records:
            if record.event_log_entry.dagster_event is not None:
                yield record.event_log_entry.dagster_event
        if not page.has_more:
            return
        cursor = page.cursor
