"""From judged batches to a measured candidate: training set, models, benchmark, comparison with main."""

from typing import Any

import dagster as dg

from soil_assets.config import Settings
from soil_assets.defs.assets import candidates
from soil_assets.defs.assets.common import OWNERS, batch_metadata, numbers, png, table
from soil_assets.defs.checks import Gate, check_results, check_specs, passed_or_not
from soil_assets.defs.code_versions import code_version
from soil_assets.defs.conditions import when_data_changed, whenever_a_batch_is_judged
from soil_assets.defs.gates import select_batches
from soil_assets.defs.io import content_version, load_value
from soil_assets.defs.losses import stop_at_a_loss
from soil_assets.defs.pages import address, model_card
from soil_assets.defs.partitions import property_partitions
from soil_assets.defs.pods import step_tags
from soil_assets.defs.resources import Soil

LEAKAGE = (Gate("no_benchmark_leakage", "no training sample, profile or spectrum is one of the benchmark's"),)
EVALUATED = (
    Gate("finite", "every benchmark sample got a finite prediction"),
    Gate("above_floor", "RPIQ on the benchmark reaches the floor of the policy"),
    Gate("coverage", "intervals hold as many observed values as they promise"),
)
COMPARED = (
    Gate("not_worse", "the candidate is not worse than main on identical benchmark samples"),
    Gate("sure", "the comparison has enough samples to tell", blocking=False),
)
STRATA = "no_stratum_worse"


def build(settings: Settings, batch_checks: dict[str, list[str]]) -> list[dg.AssetsDefinition]:
    """Return the training assets; ``batch_checks`` are the blocking checks of each batch asset."""
    properties = property_partitions(settings)
    policy = settings.policy.model
    strata_block = policy.strata.when_worse == "hold"
    compared = (*COMPARED, Gate(STRATA, "no part of the benchmark got worse", blocking=strata_block))

    @dg.asset(
        group_name="training",
        kinds={"spectra", "parquet"},
        op_tags=step_tags("training_set"),
        owners=OWNERS,
        dagster_type=dg.Any,
        deps=["validated_batches", "drift_reports"],
        code_version=code_version(
            "defs/gates.py",
            "defs/losses.py",
            "modeling/disguised_copies.py",
            "defs/verdicts.py",
            "modeling/leakage.py",
            "quality/replicates.py",
            "spectra/batch.py",
            settings=settings.replicates,
        ),
        check_specs=check_specs("training_set", LEAKAGE),
        automation_condition=whenever_a_batch_is_judged(),
        description="The golden reference and every batch that passed all of its gates, or that a person accepted. "
        "Never a benchmark row. Batches left out are listed with the reason; a set that would lose one although nobody "
        "spoke against it is not made.",
    )
    def training_set(
        context: dg.AssetExecutionContext, soil: Soil, reference_spectra: Any, benchmark_spectra: Any
    ) -> dg.MaterializeResult:
        from soil_assets.modeling.leakage import benchmark_leakage
        from soil_assets.quality.replicates import average_replicates
        from soil_assets.spectra.batch import concatenate

        chosen = select_batches(
            context.instance, batch_checks, soil.accepted_batches(), withdrawn=soil.withdrawn_batches()
        )
        stop_at_a_loss(soil, chosen)
        parts = [reference_spectra.labelled("batch", "reference")]
        for name in chosen.taken:
            accepted = load_value(soil.data, "validated_batches", name).accepted
            scans = average_replicates(accepted) if settings.replicates == "average" else accepted
            parts.append(scans.labelled("batch", name))
        training = concatenate(parts, origin={"batches": ", ".join(["reference", *chosen.taken])})
        leaks = benchmark_leakage(training, benchmark_spectra)
        return dg.MaterializeResult(
            value=training,
            data_version=content_version(training),
            metadata={
                **batch_metadata(training),
                "taken": list(chosen.taken),
                "left": dict(chosen.left),
                "benchmark_leaks": table(leaks),
            },
            check_results=[
                passed_or_not(
                    "no_benchmark_leakage",
                    leaks.empty,
                    f"{len(leaks)} leaks among {len(training)} training and {len(benchmark_spectra)} benchmark samples",
                )
            ],
        )

    @dg.asset(
        partitions_def=properties,
        group_name="training",
        kinds={"python"},
        op_tags=step_tags("benchmark_evaluations"),
        owners=OWNERS,
        dagster_type=dg.Any,
        code_version=code_version("modeling", "spectra/batch.py", settings=policy),
        check_specs=check_specs("benchmark_evaluations", EVALUATED, properties),
        automation_condition=when_data_changed(),
        description="The candidate on the frozen benchmark: RMSE, bias, SEP, R2, CCC, RPIQ with bootstrap "
        "intervals, and the coverage of its prediction intervals.",
    )
    def benchmark_evaluations(
        context: dg.AssetExecutionContext,
        soil: Soil,
        mlflow: dg.ResourceParam[Any],
        trained_models: Any,
        benchmark_spectra: Any,
    ) -> dg.MaterializeResult:
        from soil_assets.modeling.benchmark_judgement import evaluate_by_policy, evaluation_checks
        from soil_assets.reporting import plots

        prop = soil.catalogue[context.partition_key]
        result = evaluate_by_policy(trained_models, benchmark_spectra, prop, policy)
        facts = result.to_dict()
        mlflow.log_metrics({f"benchmark_{k}": v for k, v in result.metrics.items() if v == v})
        scatter = plots.predicted_against_observed(result.predictions, prop.unit, prop.label)
        return dg.MaterializeResult(
            value=facts,
            metadata={
                **numbers(result.metrics),
                "predicted_against_observed": png(scatter),
                "model_card": address(model_card(soil, mlflow, trained_models, facts)),
            },
            check_results=check_results(evaluation_checks(trained_models, result, policy)),
        )

    @dg.asset(
        partitions_def=properties,
        group_name="training",
        kinds={"python"},
        op_tags=step_tags("model_comparisons"),
        owners=OWNERS,
        dagster_type=dg.Any,
        code_version=code_version(
            "modeling/benchmark_judgement.py",
            "modeling/comparison.py",
            "modeling/judge.py",
            settings=policy,
        ),
        check_specs=check_specs("model_comparisons", compared, properties),
        automation_condition=when_data_changed(),
        description="Candidate against the model on main (registry alias `staging`), on identical benchmark samples.",
    )
    def model_comparisons(
        context: dg.AssetExecutionContext,
        soil: Soil,
        mlflow: dg.ResourceParam[Any],
        trained_models: Any,
        benchmark_evaluations: Any,
        benchmark_spectra: Any,
    ) -> dg.MaterializeResult:
        import pandas as pd

        from soil_assets.modeling.benchmark_judgement import compare_by_policy

        prop = soil.catalogue[context.partition_key]
        main = soil.main_model(prop.name)
        comparison, checks = compare_by_policy(
            None if main is None else main.model,
            trained_models,
            benchmark_evaluations,
            benchmark_spectra,
            prop,
            policy,
        )
        facts = {**comparison, "main_version": None if main is None else main.version}
        mlflow.set_tags({"soil.verdict": facts["verdict"], "soil.main_version": str(facts["main_version"])})
        return dg.MaterializeResult(
            value=facts,
            metadata={
                "verdict": facts["verdict"],
                "in_words": facts["reason"],
                "strata": table(pd.DataFrame(facts["strata"]).drop(columns="reason", errors="ignore")),
                "main_version": str(facts["main_version"]),
            },
            check_results=check_results(checks),
        )

    return [training_set, candidates.build(settings), benchmark_evaluations, model_comparisons]
