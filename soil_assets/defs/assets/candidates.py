"""The candidate model of every property, trained on samples or released from per-batch statistics.

Which of the two is the recipe's ``training``. Both end in the same artifact, MLflow run and gates.
"""

from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg

from soil_assets.config import Settings
from soil_assets.defs.assets.common import OWNERS, numbers, png
from soil_assets.defs.checks import Gate, check_results, check_specs
from soil_assets.defs.code_versions import code_version
from soil_assets.defs.conditions import when_data_changed
from soil_assets.defs.io import content_version
from soil_assets.defs.partitions import property_partitions
from soil_assets.defs.pods import step_tags
from soil_assets.defs.resources import Soil
from soil_assets.defs.staleness import stored_data_version

TRAINED = (Gate("finite", "every stored number of the model is finite"),)


def build(settings: Settings) -> dg.AssetsDefinition:
    """Return the asset ``trained_models`` as the recipe wants it."""
    return _from_statistics(settings) if settings.recipe.training == "additive" else _from_samples(settings)


def _declared(
    settings: Settings, description: str
) -> Callable[[Callable[..., dg.MaterializeResult]], dg.AssetsDefinition]:
    """Return the decorator that makes a function the asset ``trained_models``."""
    properties = property_partitions(settings)
    return dg.asset(
        name="trained_models",
        partitions_def=properties,
        group_name="training",
        kinds={"mlflow", "scikitlearn"},
        op_tags=step_tags("trained_models"),
        owners=OWNERS,
        dagster_type=dg.Any,
        pool="training",
        code_version=code_version(
            "modeling", "spectra", settings=[settings.recipe, settings.policy.model.levels]
        ),
        check_specs=check_specs("trained_models", TRAINED, properties),
        automation_condition=when_data_changed(),
        description=description,
    )


def _from_samples(settings: Settings) -> dg.AssetsDefinition:
    recipe, levels = settings.recipe, settings.policy.model.levels

    @_declared(
        settings,
        "The candidate model of a property: pre-treatment and components chosen by grouped cross-validation inside "
        "the training set, conformal intervals, applicability domain.",
    )
    def trained_models(
        context: dg.AssetExecutionContext, soil: Soil, mlflow: dg.ResourceParam[Any], training_set: Any
    ) -> dg.MaterializeResult:
        from soil_assets.modeling.recipe import Recipe
        from soil_assets.modeling.train import train

        model = train(
            training_set,
            soil.catalogue[context.partition_key],
            Recipe.from_settings(recipe, training_set.axis, training_set.quantity, levels=levels),
            groups=training_set.groups(),
            progress=lambda what, done, total: context.log.debug(f"{what}: {done} of {total}"),
        )
        tags = {
            "soil.training_data": training_set.content_hash(),
            "soil.batches": training_set.origin.get("batches", ""),
        }
        return _logged(context, mlflow, model, tags)

    return trained_models


def _from_statistics(settings: Settings) -> dg.AssetsDefinition:
    levels = tuple(settings.policy.model.levels)

    @_declared(
        settings,
        "The candidate model of a property, released from per-batch statistics: ridge on landmark kernel features, "
        "grouped cross-validation, intervals and domain, all without the history's spectra.",
    )
    def trained_models(
        context: dg.AssetExecutionContext,
        soil: Soil,
        mlflow: dg.ResourceParam[Any],
        landmark_features: Any,
        training_statistics: Any,
    ) -> dg.MaterializeResult:
        from soil_assets.modeling.additive_training import AdditiveRecipe, release

        prop = soil.catalogue[context.partition_key]
        model = release(landmark_features, training_statistics, [prop], AdditiveRecipe(levels=levels))[
            prop.name
        ]
        tags = {
            "soil.training_data": stored_data_version(context.instance, "training_set") or "",
            "soil.training_statistics": training_statistics.content_hash(),
            "soil.batches": ", ".join(training_statistics.batches),
        }
        return _logged(context, mlflow, model, tags)

    return trained_models


def _logged(
    context: dg.AssetExecutionContext, mlflow: Any, model: Any, tags: Mapping[str, str]
) -> dg.MaterializeResult:
    """Log a trained model to the MLflow run, with its figures, and return it with its gates."""
    from soil_assets.adapters.mlflow_runs import log_training
    from soil_assets.modeling.benchmark_judgement import model_checks
    from soil_assets.reporting import plots

    importance = plots.vip(model.axis, model.importance, f"{model.label}: band importance (VIP)")
    logged = log_training(
        mlflow,
        model,
        images={"vip.png": importance},
        tags={
            "soil.property": model.property,
            "soil.dagster_run": context.run_id,
            "soil.code_version": context.assets_def.code_versions_by_key[context.asset_key] or "",
            **tags,
        },
    )
    random = model.training["random_validation"]
    return dg.MaterializeResult(
        value=model,
        data_version=content_version(model),
        metadata={
            **{f"cv_{k}": v for k, v in numbers(model.training["cross_validation"]).items()},
            **{str(k): str(v) for k, v in model.training["chosen"].items()},
            "cv_rmse_random": random["rmse"] if random["judged"] else f"not judged: {random['why']}",
            "samples": int(model.training["n"]),
            "mlflow_run_id": logged.run_id,
            "mlflow_model": logged.model_uri,
            "importance": png(importance),
        },
        check_results=check_results(model_checks(model)),
    )
