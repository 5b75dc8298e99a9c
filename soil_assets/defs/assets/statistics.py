"""Additive training: what each batch contributes, kept once, and their running total.

Only built when the recipe's ``training`` is ``additive``. Adding a batch adds its statistics to the stored total,
dropping one takes them away; the history's spectra are not read again.
"""

from typing import Any

import dagster as dg

from soil_assets.config import Settings
from soil_assets.defs.assets.common import OWNERS
from soil_assets.defs.checks import Gate, check_specs, passed_or_not
from soil_assets.defs.code_versions import code_version
from soil_assets.defs.conditions import after_passed_gates, when_training_set_changed, while_missing
from soil_assets.defs.io import content_version
from soil_assets.defs.partitions import BATCHES
from soil_assets.defs.resources import Soil
from soil_assets.defs.summing import accepted_content, sum_batch, taken_batches, update_total

COMPLETE = (Gate("complete", "the total holds every scan of the training set, and no other"),)
_SUMS = (
    "modeling/additive.py",
    "modeling/additive_features.py",
    "modeling/batch_statistics.py",
    "modeling/calibration_sample.py",
    "modeling/nystrom.py",
    "modeling/pretreatment.py",
    "modeling/property_sums.py",
)


def build(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return the assets of additive training; none when the recipe trains on samples."""
    recipe = settings.recipe
    if recipe.training != "additive":
        return []

    @dg.asset(
        group_name="training",
        kinds={"numpy"},
        owners=OWNERS,
        dagster_type=dg.Any,
        code_version=code_version(*_SUMS, settings=[recipe.landmarks, recipe.folds, recipe.seed]),
        automation_condition=while_missing(),
        description="Fixed kernel features: landmarks, pre-treatment and width, chosen on the golden reference. New "
        "ones mean that every batch is summed again.",
    )
    def landmark_features(
        context: dg.AssetExecutionContext, soil: Soil, reference_spectra: Any
    ) -> dg.MaterializeResult:
        from soil_assets.modeling.additive_features import AdditiveFeatures

        features = AdditiveFeatures.choose(
            reference_spectra,
            [soil.catalogue[p] for p in settings.properties],
            landmarks=recipe.landmarks,
            folds=recipe.folds,
            seed=recipe.seed,
        )
        return dg.MaterializeResult(
            value=features,
            data_version=content_version(features),
            metadata={
                "landmarks": len(features.kernel.landmarks),
                "features": features.kernel.n_features,
                "pretreatment": features.kernel.pretreatment.name,
                "gamma": features.kernel.gamma,
            },
        )

    @dg.asset(
        partitions_def=BATCHES,
        group_name="training",
        kinds={"numpy"},
        owners=OWNERS,
        dagster_type=dg.Any,
        deps=["validated_batches"],
        code_version=code_version(*_SUMS, "quality/replicates.py", settings=settings.replicates),
        automation_condition=after_passed_gates(),
        description="Cross-products of a batch's kernel features with every property, by validation fold, and a sample "
        "for calibration: all that training needs of it.",
    )
    def batch_statistics(
        context: dg.AssetExecutionContext, soil: Soil, landmark_features: Any
    ) -> dg.MaterializeResult:
        found = sum_batch(context.instance, soil, landmark_features, context.partition_key)
        facts = found.batches[context.partition_key]
        return dg.MaterializeResult(
            value=found,
            data_version=content_version(found),
            metadata={
                "scans": facts.n,
                **{f"with {p}": n for p, n in facts.known.items()},
                "kept for calibration": len(found.sample),
            },
        )

    @dg.asset(
        group_name="training",
        kinds={"numpy"},
        owners=OWNERS,
        dagster_type=dg.Any,
        deps=["training_set", "batch_statistics"],
        code_version=code_version(*_SUMS, "defs/summing.py", settings=settings.replicates),
        check_specs=check_specs("training_statistics", COMPLETE),
        automation_condition=when_training_set_changed(),
        description="The statistics of the golden reference and of every batch in the training set, together.",
    )
    def training_statistics(
        context: dg.AssetExecutionContext, soil: Soil, landmark_features: Any, reference_spectra: Any
    ) -> dg.MaterializeResult:
        taken, scans = taken_batches(context.instance)
        total, log = update_total(context.instance, soil, landmark_features, reference_spectra, taken)
        summed = sum(f.n for f in total.batches.values())
        current = all(
            n in total.batches and total.batches[n].content == accepted_content(context.instance, soil, n)
            for n in taken
        )
        return dg.MaterializeResult(
            value=total,
            data_version=content_version(total),
            metadata={"batches": list(total.batches), "scans": summed, **log},
            check_results=[
                passed_or_not(
                    "complete",
                    summed == scans and set(total.batches) == {"reference", *taken} and current,
                    f"{summed} scans of {len(total.batches)} batches summed, {scans} in the training set",
                )
            ],
        )

    return [landmark_features, batch_statistics, training_statistics]
