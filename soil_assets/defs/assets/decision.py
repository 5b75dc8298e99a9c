"""The decision and what follows from it: the report a person reads, and the registered version."""

from typing import Any

import dagster as dg

from soil_assets.config import Settings
from soil_assets.defs.assets.common import OWNERS
from soil_assets.defs.code_versions import code_version
from soil_assets.defs.conditions import after_passed_gates, whatever_the_gates_say
from soil_assets.defs.io import load_value
from soil_assets.defs.pages import address, decision_pages, front_page, report_in_ui
from soil_assets.defs.partitions import property_partitions
from soil_assets.defs.resources import MAIN_ALIAS, Soil
from soil_assets.defs.verdicts import materialization


def build(settings: Settings, checks: dict[str, list[str]]) -> list[dg.AssetsDefinition]:
    """Return ``decision_report`` and ``registered_versions``; ``checks`` are the blocking checks by asset."""
    properties = property_partitions(settings)

    @dg.asset(
        group_name="decision",
        kinds={"markdown", "matplotlib"},
        owners=OWNERS,
        dagster_type=dg.Any,
        deps=["model_comparisons", "drift_reports", "training_set", "training_drift"],
        code_version=code_version(
            "reporting",
            "defs/evidence.py",
            "defs/against_main.py",
            "defs/change.py",
            settings=settings.policy,
        ),
        automation_condition=whatever_the_gates_say(),
        description="One page that a project lead can decide on: verdict first, candidate against main, drift, "
        "quarantine. It is made whatever the gates say: a failed gate is what it is there to report.",
    )
    def decision_report(context: dg.AssetExecutionContext, soil: Soil) -> dg.MaterializeResult:
        from soil_assets.defs.evidence import decision_inputs
        from soil_assets.reporting.decision import build as build_report

        inputs = decision_inputs(context.instance, soil, checks)
        report = build_report(inputs)
        front_page(soil, report.verdict, report.recommendation, inputs)
        return dg.MaterializeResult(
            value=report,
            metadata={
                "verdict": report.verdict,
                "recommendation": report.recommendation,
                "rule": report.rule,
                "page": address(decision_pages(soil, report)),
                "report": report_in_ui(report),
            },
        )

    @dg.asset(
        partitions_def=properties,
        group_name="decision",
        kinds={"mlflow"},
        owners=OWNERS,
        dagster_type=dg.Any,
        deps=["trained_models", "model_comparisons", "decision_report"],
        code_version=code_version("adapters/registry.py"),
        automation_condition=after_passed_gates(),
        description="The version in MLflow's registry that this lineage earned, alias `staging`. Made only when every "
        "blocking check of the lineage passed; never in a branch deployment.",
    )
    def registered_versions(context: dg.AssetExecutionContext, soil: Soil) -> dg.MaterializeResult:
        from soil_assets.adapters.registry import register
        from soil_assets.defs.against_main import code_commit
        from soil_assets.defs.evidence import benchmark_rmse, decision_inputs, lineage_objection
        from soil_assets.defs.live_validation import benchmark_metrics
        from soil_assets.defs.registration import because_of, evidence_of

        prop = context.partition_key
        if settings.deployment == "branch":
            raise dg.Failure("a branch deployment never moves an alias", allow_retries=False)
        objection = lineage_objection(context.instance, soil, checks, prop)
        if objection:
            raise dg.Failure(f"{prop} is not registered: {objection}", allow_retries=False)
        trained = materialization(context.instance, "trained_models", prop)
        assert trained is not None and trained.asset_materialization is not None  # noqa: S101, PT018  # just judged
        said = trained.asset_materialization.metadata
        inputs = decision_inputs(context.instance, soil, checks)
        version = register(
            soil.registry,
            settings.model_name(prop),
            str(said["mlflow_model"].value),
            str(said["mlflow_run_id"].value),
            evidence=evidence_of(context.instance, soil, checks, prop, commit=code_commit()),
            because=because_of(context.run_id),
            tags={
                "soil.property": prop,
                "soil.deployment": settings.deployment,
                "soil.dagster_run": context.run_id,
                "soil.training_set": _stored_data_version(context.instance),
                "soil.benchmark_rmse": benchmark_rmse(soil, prop),
                "soil.benchmark_metrics": benchmark_metrics(soil, prop),
            },
        )
        decided = load_value(soil.data, "decision_report")["data"]
        inputs = decision_inputs(context.instance, soil, checks)  # the version just made is on main now
        front_page(soil, decided["verdict"], decided["recommendation"], inputs)
        facts: dict[str, Any] = {
            "name": version.name,
            "version": version.version,
            "run_id": version.run_id,
            "alias": MAIN_ALIAS,
        }
        return dg.MaterializeResult(
            value=facts,
            metadata={**facts, "address": f"models:/{version.name}@{MAIN_ALIAS}"},
        )

    return [decision_report, registered_versions]


def _stored_data_version(instance: dg.DagsterInstance) -> str:
    from soil_assets.defs.staleness import stored_data_version

    return stored_data_version(instance, "training_set") or ""
