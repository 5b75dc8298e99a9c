"""What happens by the calendar: the live model is validated again.

Belongs here: schedules. Does not belong here: what sensors notice (``defs.sensors``), how old an asset may grow
(``defs.freshness``).
"""

import dagster as dg

from soil_assets.config import Settings

LIVE_JOB = dg.define_asset_job(
    "validate_live_models",
    selection=dg.AssetSelection.assets("live_model_validations"),
    description="One property: the live model on the frozen benchmark again, beside its registered figures.",
)
#: At night, when nobody trains.
_WHEN = {"monthly": "0 4 1 * *", "weekly": "0 4 * * 1"}


def live_models_schedule(settings: Settings) -> list[dg.ScheduleDefinition]:
    """Ask for a validation of each property's live model; none with ``watch.revalidate: never``, or in a branch.

    The frozen benchmark must be there, and something registered; else the tick says what is missing. Whether a single
    property has a version is for the run to say: a tick does not ask a registry that may be slow.
    """
    if settings.watch.revalidate == "never" or settings.deployment == "branch":
        return []

    @dg.schedule(
        name="live_models",
        job=LIVE_JOB,
        cron_schedule=_WHEN[settings.watch.revalidate],
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Measures the live model of each property on the frozen benchmark again, with today's code.",
    )
    def live_models(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        from soil_assets.defs.resources import registry_of
        from soil_assets.defs.staleness import stored_data_version

        if registry_of(settings).empty:
            return dg.SkipReason("nothing is registered yet")
        if stored_data_version(context.instance, "benchmark_spectra") is None:
            return dg.SkipReason("the frozen benchmark is not materialized yet")
        at = context.scheduled_execution_time.date().isoformat()
        return [
            dg.RunRequest(
                partition_key=prop, run_key=f"live:{prop}:{at}", tags={"soil/reason": "validated again"}
            )
            for prop in settings.properties
        ]

    return [live_models]
