"""Two runs for one request: what two daemons that tick at the same moment make, as during a rolling update.

Belongs here: knowing the elder run, and stopping the other. Does not belong here: what is asked for (``sensors``).

Dagster looks whether a request's run is there and then makes it; two daemons may both look before either makes. Both
runs stand in the instance before either does anything, so that the younger one always finds the elder.
"""

from __future__ import annotations

import dagster as dg

from soil_assets.defs.dead_runs import died

TWIN_TAG = "soil/twin_of"
_RUN_KEY, _SENSOR = "dagster/run_key", "dagster/sensor_name"
#: Runs of these stand for nothing.
_OVER = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.CANCELING)


def stop_if_twin(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Let a run end before it does anything when an elder one answers the same request.

    Raises
    ------
    dagster.Failure
        Naming the elder run; nobody is told of it by the alerts.
    """
    elder = elder_twin(instance, run)
    if elder is not None:
        instance.add_run_tags(run.run_id, {TWIN_TAG: elder})
        raise dg.Failure(
            f"run {elder} answers the same request; two daemons asked for it at once", allow_retries=False
        )


def elder_twin(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str | None:
    """Return the run that answers the same request of a sensor and was made before ``run``, or None.

    A run that a person started again, or that is done again after a crash, is no twin.
    """
    key, sensor = run.tags.get(_RUN_KEY), run.tags.get(_SENSOR)
    if not key or not sensor or run.parent_run_id:
        return None
    same = dg.RunsFilter(job_name=run.job_name, tags={_RUN_KEY: key, _SENSOR: sensor})
    for record in instance.get_run_records(same, ascending=True):
        if record.dagster_run.run_id == run.run_id:
            return None
        if record.dagster_run.status not in _OVER and not died(record.dagster_run):
            return record.dagster_run.run_id
    return None
