"""Verdicts about a partition that its own run did not give: of a pool, of a backfill, taken over from production.

Belongs here: how such a verdict enters Dagster's event log. Does not belong here: what it says.

Dagster keeps one row for a check, a run and a partition (a unique index). A verdict reported without a run therefore
enters once and never again: the second one raises an ``IntegrityError``. Verdicts are reported as events of the run
that came to them, which is also what a person wants to find there.
"""

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluation,
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.events import DagsterEvent, DagsterEventType

from soil_assets.defs.verdicts import materialization


def target_of(
    instance: dg.DagsterInstance, asset: str, partition: str | None
) -> AssetCheckEvaluationTargetMaterializationData | None:
    """Return what a verdict of now is about: the newest materialization, or None when there is none.

    Without it every batch downstream stays held, for Dagster cannot tell whether the verdict is of this version.
    """
    record = materialization(instance, asset, partition)
    if record is None:
        return None
    return AssetCheckEvaluationTargetMaterializationData(
        storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
    )


def report_verdict(instance: dg.DagsterInstance, evaluation: AssetCheckEvaluation, run_id: str) -> None:
    """Enter a verdict as an event of ``run_id``; one of the same run, check and partition is replaced.

    Parameters
    ----------
    evaluation : AssetCheckEvaluation
        With its partition and :func:`target_of` it.
    run_id : str
        Of the run that came to it, running or done (:func:`run_for_verdicts` makes one where none is running).
    """
    _report(instance, DagsterEventType.ASSET_CHECK_EVALUATION, evaluation, run_id)


def _report(
    instance: dg.DagsterInstance, kind: DagsterEventType, said: AssetCheckEvaluation, run_id: str
) -> None:
    run = instance.get_run_by_id(run_id)
    if run is None:
        raise ValueError(f"there is no run {run_id!r} to report a verdict of")
    event = DagsterEvent(event_type_value=kind.value, event_specific_data=said, job_name=run.job_name)
    instance.report_dagster_event(event, run_id=run_id)


def run_for_verdicts(instance: dg.DagsterInstance, name: str, description: str) -> str:
    """Add a finished run that stands for verdicts come to outside any run; return its id.

    Parameters
    ----------
    name : str
        Shown as the run's job.
    description : str
        Kept as the tag ``soil/why``.
    """
    from dagster._core.utils import make_new_run_id

    run = dg.DagsterRun(
        job_name=name,
        run_id=make_new_run_id(),
        status=dg.DagsterRunStatus.SUCCESS,
        tags={"soil/why": description},
    )
    instance.add_run(run)
    return run.run_id


def forget_displacing_plans(instance: dg.DagsterInstance) -> int:
    """Take away the plans of ended runs that stand before a verdict; return how many there were.

    Dagster's conditions and pages look at the newest entry of a check alone: the plan of a run that was cancelled or
    killed would hold what is downstream of a batch that was judged. A plan with no verdict behind it stays: it says
    that a run failed.
    """
    import sqlalchemy as sa
    from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable as Checks
    from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return 0
    verdict = Checks.alias()
    same = (
        verdict.c.asset_key == Checks.c.asset_key,
        verdict.c.check_name == Checks.c.check_name,
        sa.func.coalesce(verdict.c.partition, "") == sa.func.coalesce(Checks.c.partition, ""),
        verdict.c.execution_status.in_(("SUCCEEDED", "FAILED")),
    )
    plans = sa.select(Checks.c.id, Checks.c.run_id).where(
        Checks.c.execution_status == "PLANNED", sa.exists().where(*same)
    )
    with storage.index_connection() as connection:
        rows = connection.execute(plans).all()
        under_way = (
            {
                run.run_id
                for run in instance.get_runs(dg.RunsFilter(run_ids=sorted({row.run_id for row in rows})))
                if not run.is_finished
            }
            if rows
            else set()
        )
        ended = [row.id for row in rows if row.run_id not in under_way]
        if ended:
            connection.execute(Checks.delete().where(Checks.c.id.in_(ended)))
    return len(ended)
