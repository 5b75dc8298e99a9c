"""The drift gate of a batch, and the reference profile that it is measured against."""

from typing import Any

import dagster as dg

from soil_assets.config import Settings
from soil_assets.defs.assets.common import OWNERS, png, table
from soil_assets.defs.checks import Gate, check_specs, passed_or_not, warning
from soil_assets.defs.code_versions import code_version
from soil_assets.defs.conditions import after_passed_gates
from soil_assets.defs.pages import address, batch_page, check_samples_page, drift_page
from soil_assets.defs.partitions import BATCHES
from soil_assets.defs.pods import step_tags
from soil_assets.defs.resources import Soil
from soil_assets.defs.twins import stop_if_answered

DRIFT = (
    Gate("batch_drift", "the batch looks like the golden reference, or the policy lets it pass"),
    Gate(
        "prediction_shift",
        "predictions of the model on main are distributed as on the reference",
        blocking=False,
    ),
    Gate("applicability", "no more samples than expected lie outside the models' domain", blocking=False),
    Gate("judged", "the batch, with small ones before it, was large enough to be judged", blocking=False),
    Gate("trend", "no slow trend over successive batches of the instrument", blocking=False),
)


def build(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return ``drift_reports``."""
    policy = settings.policy.drift
    holds_harm = policy.when_harmful == "hold"
    harmless = Gate(
        "harmless", "the models' errors on the batch are not larger than expected", blocking=holds_harm
    )
    judged_harm = passed_or_not if holds_harm else warning

    @dg.asset(
        partitions_def=BATCHES,
        group_name="batches",
        kinds={"scipy"},
        op_tags=step_tags("drift_reports"),
        owners=OWNERS,
        dagster_type=dg.Any,
        code_version=code_version(
            "drift", "modeling/applicability.py", settings=[policy, settings.categories]
        ),
        check_specs=check_specs("drift_reports", (*DRIFT, harmless), BATCHES),
        automation_condition=after_passed_gates(),
        description="The batch against the frozen profile of the golden reference: spectra, properties, categories, "
        "and the predictions of the models on main; what moved, how sure that is, whether it harms, and whether the "
        "policy holds the batch. A batch too small to judge is pooled with small ones before it of its instrument.",
    )
    def drift_reports(
        context: dg.AssetExecutionContext, soil: Soil, validated_batches: Any, reference_spectra: Any
    ) -> dg.MaterializeResult:
        from soil_assets.defs.drift_evidence import gather
        from soil_assets.reporting.batch_facts import DriftFacts

        stop_if_answered(context.instance, context.run)
        name = context.partition_key
        found = gather(context.instance, soil, name, validated_batches.accepted, reference_spectra)
        found.remember()
        report = found.assessment.report
        seen: dict[str, Any] = {}
        if soil.draws(held=report.blocks):
            pictures = found.pictures()
            facts = DriftFacts(
                report.verdict,
                found.in_words(),
                pictures,
                drift_page(soil, name, found),
                check_samples_page(soil),
            )
            page = batch_page(soil, name, validated_batches, reference_spectra, facts)
            seen = {shown: png(picture) for shown, picture in pictures.items()}
            seen |= {
                "page": address(page),
                "drift_report": address(soil.reports.where(f"batches/{name}/{facts.page}")),
            }
        found.share_verdict(context.instance, context.run.run_id)
        return dg.MaterializeResult(
            value=found.to_dict(),
            metadata={
                "verdict": report.verdict,
                "reasons": list(report.reasons),
                "harm": [d.words for d in found.assessment.damage],
                "samples": report.n,
                "pooled_with": list(found.assessment.pooled_with),
                "instrument": found.stream.instrument,
                "profile": report.profile,
                "models": found.live.versions,
                "tests": table(report.tests),
                **seen,
                "notes": list(report.notes),
            },
            check_results=[
                passed_or_not("batch_drift", not report.blocks, found.verdict_in_words()),
                *(
                    warning(
                        check,
                        report.checks[check].judged and report.checks[check].passed,
                        report.checks[check].summary,
                    )
                    for check in ("prediction_shift", "applicability")
                ),
                warning("judged", report.verdict != "not_judged", found.verdict_in_words()),
                judged_harm("harmless", not found.harmful(), found.harm_in_words()),
                warning("trend", not found.trending(), found.trend_in_words()),
            ],
        )

    return [drift_reports]


def reference_profile() -> dg.AssetSpec:
    """Return the profile in Dagster's catalogue: external, for no run ever makes a new one."""
    return dg.AssetSpec(
        "reference_profile",
        deps=["reference_spectra"],
        group_name="frozen_sets",
        kinds={"python"},
        owners=OWNERS,
        description="What batches are compared with, fitted once from the golden reference and then frozen; only a "
        "person replaces it (soil reference update --why), and every replacement is recorded here.",
    )
