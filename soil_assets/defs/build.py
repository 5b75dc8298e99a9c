"""Everything Dagster loads, put together: ``build_definitions()``.

Belongs here: which assets, jobs, sensors and resources there are. Overrides make the same graph testable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from soil_assets.config import Settings, load_settings
from soil_assets.defs.alerts import alerts_sensor
from soil_assets.defs.assets import (
    batches,
    decision,
    drift,
    frozen,
    live,
    releases,
    served,
    statistics,
    training,
    training_drift,
)
from soil_assets.defs.backfill import backfill_job
from soil_assets.defs.branches import adopt_records_sensor, write_records_sensor
from soil_assets.defs.freshness import with_freshness
from soil_assets.defs.gates import blocking_checks
from soil_assets.defs.io import SoilIOManager
from soil_assets.defs.jobs import BATCH_JOB, JOBS, TRAFFIC_JOB
from soil_assets.defs.pods import executor_of
from soil_assets.defs.releases import alias_moves_sensor
from soil_assets.defs.resources import Soil, mlflow_tracking
from soil_assets.defs.schedules import LIVE_JOB, live_models_schedule
from soil_assets.defs.sensors import merged_changes_sensor, new_batches_sensor
from soil_assets.defs.served_sensor import served_days_sensor


def build_definitions(
    settings: Settings | None = None, *, resource_overrides: Mapping[str, Any] | None = None
) -> dg.Definitions:
    """Return the definitions for ``settings`` (``soil.yaml`` and the environment by default).

    Parameters
    ----------
    resource_overrides : mapping, optional
        Resources that replace the real ones, by key.
    """
    settings = settings or load_settings()
    assets = assets_of(settings)
    soil = Soil.of(settings)
    resources: dict[str, Any] = {
        "soil": soil,
        "mlflow": mlflow_tracking(settings),
        "io_manager": SoilIOManager(url=settings.url("data"), main_url=settings.main_url("data")),
        **(resource_overrides or {}),
    }
    return dg.Definitions(
        assets=[*assets, drift.reference_profile(), releases.live_versions(settings)],
        jobs=[*JOBS, TRAFFIC_JOB, LIVE_JOB, backfill_job(assets)],
        schedules=live_models_schedule(settings),
        sensors=[
            new_batches_sensor(settings, BATCH_JOB.name, blocking_of(assets)),
            merged_changes_sensor([*JOBS, LIVE_JOB]),
            alerts_sensor(settings),
            adopt_records_sensor(settings)
            if settings.deployment == "branch"
            else write_records_sensor(settings),
            *([] if settings.deployment == "branch" else [served_days_sensor(settings, TRAFFIC_JOB.name)]),
            *([] if settings.deployment == "branch" else [alias_moves_sensor(settings)]),
            dg.AutomationConditionSensorDefinition(
                "declared_automation",
                description="Makes what its conditions ask for, once the gates before it passed.",
                target=dg.AssetSelection.all(),
                default_status=dg.DefaultSensorStatus.RUNNING,
                minimum_interval_seconds=15,
            ),
        ],
        resources=resources,
        # A process a step would import everything again: these steps are short, so one process runs them all.
        # On a cluster SOIL_EXECUTOR=pods gives each step of an asset's backfill a pod with that asset's resources.
        executor=executor_of(),
    )


def assets_of(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return all assets; the later ones know the blocking checks of the earlier ones."""
    found = [*frozen.build(settings), *batches.build(settings), *drift.build(settings)]
    found += served.build(settings)
    found += statistics.build(settings)
    found += training.build(settings, blocking_of(found))
    found += training_drift.build(settings)
    found += decision.build(settings, blocking_of(found))
    found += releases.build(settings)
    found += live.build(settings)
    return with_freshness(found, settings)


def blocking_of(assets: list[dg.AssetsDefinition]) -> dict[str, list[str]]:
    """Return the names of blocking checks by asset."""
    return blocking_checks(spec for asset in assets for spec in asset.check_specs)
