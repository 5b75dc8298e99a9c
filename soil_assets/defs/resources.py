"""Resources: the settings and stores that assets work with, and MLflow's tracking of one training run.

Everything heavy is made on first use, inside the step that needs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from soil_assets.config import Settings, load_settings
from soil_assets.storage import Store

if TYPE_CHECKING:
    from soil_assets.adapters.mlflow import Registry
    from soil_assets.spectra.axis import Axis
    from soil_assets.spectra.catalogue import Catalogue


class Soil(dg.ConfigurableResource):
    """Settings, stores, catalogue and registry of this deployment."""

    settings_json: str

    @classmethod
    def of(cls, settings: Settings) -> Soil:
        """Make the resource from checked settings."""
        return cls(settings_json=settings.model_dump_json())

    @property
    def settings(self) -> Settings:
        """The checked settings."""
        return Settings.model_validate_json(self.settings_json)

    @property
    def landing(self) -> Store:
        """Where batches land."""
        return Store(self.settings.url("landing"))

    @property
    def data(self) -> Store:
        """Where everything that the platform keeps lives."""
        return Store(self.settings.url("data"))

    @property
    def reports(self) -> Store:
        """Where decision reports are published."""
        return Store(self.settings.url("reports"))

    @property
    def axis(self) -> Axis:
        """The axis that models see."""
        from soil_assets.spectra.axis import Axis

        chosen = self.settings.axis
        return Axis.regular(chosen.start, chosen.stop, chosen.step, chosen.unit)

    @property
    def catalogue(self) -> Catalogue:
        """The property catalogue, with the additions of ``soil.yaml``."""
        from soil_assets.spectra.catalogue import Property, built_in_catalogue

        added = self.settings.catalogue
        return built_in_catalogue({name: Property(name, **p.model_dump()) for name, p in added.items()})

    @property
    def registry(self) -> Registry:
        """The model registry."""
        return registry_of(self.settings)


def registry_of(settings: Settings) -> Registry:
    """Return the registry that the settings name; a branch deployment logs to an experiment of its own."""
    from soil_assets.adapters.mlflow import Registry

    return Registry(
        settings.url("mlflow_tracking"),
        f"soil-{settings.deployment}",
        settings.url("mlflow_artifacts"),
    )


@dg.resource(
    description="dagster-mlflow's tracking resource, imported when a training step starts; "
    "one MLflow run for one Dagster run, FAILED when a step of it failed."
)
def mlflow_tracking(context: dg.InitResourceContext) -> Iterator[Any]:
    """Yield dagster-mlflow's ``MlFlow`` object and end its run with the status that the Dagster run earned.

    dagster-mlflow itself ends a run only through a hook, which jobs started by hand or by automation do not carry,
    and marks runs whose step failed as finished.
    """
    from soil_assets.adapters.mlflow import quiet

    registry = registry_of(load_settings())
    with quiet():
        import mlflow
        from dagster_mlflow.resources import MlFlow

        registry.client()
        while mlflow.active_run() is not None:  # a run that an earlier failure in this process left open
            mlflow.end_run("FAILED")
        tracking = MlFlow(
            context.replace_config(
                {
                    "experiment_name": registry.experiment,
                    "mlflow_tracking_uri": registry.tracking_uri,
                    "env": {},
                    "extra_tags": {},
                }
            )
        )
    try:
        yield tracking
    finally:
        with quiet():
            mlflow.end_run("FAILED" if _a_step_failed(context) else "FINISHED")


def _a_step_failed(context: dg.InitResourceContext) -> bool:
    """Whether a step of this Dagster run failed for another reason than a gate that said no."""
    if context.instance is None or context.run_id is None:
        return False
    failures = context.instance.all_logs(context.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    for entry in failures:
        error = entry.dagster_event.step_failure_data.error if entry.dagster_event else None
        if error is None or error.cls_name != "DagsterAssetCheckFailedError":
            return True
    return False
