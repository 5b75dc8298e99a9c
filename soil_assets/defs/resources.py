"""Resources: the settings and stores that assets work with, and MLflow's tracking of one training run.

Everything heavy is made on first use, inside the step that needs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import dagster as dg

from soil_assets.branch_store import store_of
from soil_assets.config import Settings
from soil_assets.defs.kept import kept
from soil_assets.storage import Store, local_path

if TYPE_CHECKING:
    from soil_assets.adapters.mlflow import Registry
    from soil_assets.modeling.model import SoilModel
    from soil_assets.quality.expectations import Evaluate
    from soil_assets.spectra.axis import Axis
    from soil_assets.spectra.catalogue import Catalogue


#: The alias that names the model on main.
MAIN_ALIAS = "staging"


@dataclass(frozen=True)
class MainModel:
    """The model on main; ``version`` is that of the registry, or None for a model that is in no registry."""

    model: SoilModel
    version: int | None
    name: str
    commit: str = ""

    @property
    def title(self) -> str:
        """What people call it."""
        return (
            f"{self.name} of {self.commit[:12]}"
            if self.version is None
            else f"{self.name} version {self.version}"
        )


@lru_cache(maxsize=8)
def _settings(settings_json: str) -> Settings:
    """Read settings once: they are frozen, and asked for a dozen times a batch."""
    return Settings.model_validate_json(settings_json)


class Soil(dg.ConfigurableResource):
    """Settings, stores, catalogue and registry of this deployment.

    ``in_bulk`` is set while many batches are judged in one run: then only a batch that a gate holds is drawn, and rules
    are evaluated by the plain evaluator, which gives the same answer as Great Expectations in a tenth of the time.
    """

    settings_json: str
    in_bulk: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Soil:
        """Make the resource from checked settings."""
        return cls(settings_json=settings.model_dump_json())

    def draws(self, held: bool) -> bool:
        """Whether a batch gets pictures and a page of its own."""
        return held or not self.in_bulk

    @property
    def evaluator(self) -> Evaluate:
        """What evaluates the rules of the quality gate."""
        if self.in_bulk:
            from soil_assets.quality.expectations import evaluate as plainly

            return plainly
        from soil_assets.adapters.great_expectations import evaluate

        return evaluate

    @property
    def settings(self) -> Settings:
        """The checked settings."""
        return _settings(self.settings_json)

    @property
    def landing(self) -> Store:
        """Where batches land."""
        return Store(self.settings.url("landing"))

    @property
    def data(self) -> Store:
        """Where everything that the platform keeps lives."""
        return store_of(self.settings.url("data"), self.settings.main_url("data"))

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

    def main_model(self, prop: str) -> MainModel | None:
        """Return the model that is on main (alias ``staging``), or None while there is none.

        A resource and not an upstream asset: drift and comparison look at the live model, and the registered
        version depends on them.
        """
        name = self.settings.model_name(prop)
        if self.settings.baseline:
            return _of_baseline(Store(self.settings.baseline), prop, name)
        return kept(("main model", name), lambda: self._registered(name))

    def _registered(self, name: str) -> MainModel | None:
        found = self.registry.version_at(name, MAIN_ALIAS)
        if found is None:
            return None
        return MainModel(self.registry.load_version(found), found.version, name)

    def previous(self, asset: str, partition: str) -> Any:
        """Return the value an asset partition has before this run replaces it, or None."""
        from soil_assets.defs.io import has_value, load_value

        return load_value(self.data, asset, partition) if has_value(self.data, asset, partition) else None

    def releases(self, batch: str) -> list[Any]:
        """Return the scans of a batch that a person released from quarantine."""
        from soil_assets.quality.releases import Release

        key = f"releases/{batch}.json"
        kept = self.data.read_json(key) if self.data.exists(key) else []
        return [Release(**{**r, "faults": tuple(r["faults"])}) for r in kept]

    def accepted_batches(self) -> dict[str, dict[str, str]]:
        """Return the batches that a person accepted although they drift: who, why, for which content."""
        return self._decisions("accepted")

    def withdrawn_batches(self) -> dict[str, dict[str, str]]:
        """Return the batches that a person withdrew from training: who, why."""
        return self._decisions("withdrawn")

    def _decisions(self, kind: str) -> dict[str, dict[str, str]]:
        """Return people's decisions of a kind by batch.

        A decision lies with the platform's data, or beside the batch where batches are kept in a repository.
        """
        ending = f".{kind}.json"
        beside = {
            key.removesuffix(ending): self.landing.read_json(key)
            for key in self.landing.names()
            if key.endswith(ending)
        }
        return beside | {
            name: self.data.read_json(f"{kind}/{name}.json")
            for name in (key.removesuffix(".json").rsplit("/", 1)[-1] for key in self.data.files(kind))
        }


def _of_baseline(baseline: Store, prop: str, name: str) -> MainModel | None:
    """Return main's model as ``soil baseline`` brought it: a job in CI need not reach the registry again."""
    from soil_assets.modeling.artifact import load

    facts = baseline.read_json("baseline.json") if baseline.exists("baseline.json") else {}
    if prop not in facts.get("models", {}):
        return None
    model = load(local_path(baseline.where(f"models/{prop}")))
    return MainModel(model, facts["models"][prop].get("version"), name, str(facts.get("commit") or ""))


def registry_of(settings: Settings) -> Registry:
    """Return the registry that the settings name; a branch deployment logs to an experiment of its own."""
    from soil_assets.adapters.mlflow import Registry

    return Registry(
        settings.url("mlflow_tracking"),
        settings.experiment,
        settings.url("mlflow_artifacts"),
    )


def mlflow_tracking(settings: Settings) -> dg.ResourceDefinition:
    """Return dagster-mlflow's tracking resource, imported when a training step starts.

    It yields dagster-mlflow's ``MlFlow`` object: one MLflow run for one Dagster run in one process. dagster-mlflow
    itself ends that run only through a hook, which runs started by hand or by automation do not carry, and marks
    runs whose step failed as finished; here the run ends with the status that the Dagster run earned.
    """

    @dg.resource(description="One MLflow run for this Dagster run; FAILED when a step of it failed.")
    def tracking(context: dg.InitResourceContext) -> Iterator[Any]:
        from soil_assets.adapters.mlflow import quiet

        registry = registry_of(settings)
        with quiet():
            import mlflow
            from dagster_mlflow.resources import MlFlow

            registry.client()
            while mlflow.active_run() is not None:  # left open by a process-mate that was interrupted
                mlflow.end_run("KILLED")
            config = {
                "experiment_name": registry.experiment,
                "mlflow_tracking_uri": registry.tracking_uri,
                "env": {},
                "extra_tags": {},
            }
            run = MlFlow(context.replace_config(config))
        try:
            yield run
        finally:
            with quiet():
                mlflow.end_run("FAILED" if _a_step_failed(context) else "FINISHED")

    return tracking


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
