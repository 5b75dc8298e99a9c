"""All batches together against the golden reference: small shifts that pass one by one may add up."""

from typing import Any

import dagster as dg

from soil_assets.config import Settings
from soil_assets.defs.assets.common import OWNERS, png, table
from soil_assets.defs.checks import Gate, check_specs, warning
from soil_assets.defs.code_versions import code_version
from soil_assets.defs.conditions import when_data_changed
from soil_assets.defs.resources import Soil

TOGETHER = (Gate("together", "the batches together look like the golden reference", blocking=False),)


def build(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return ``training_drift``."""
    policy = settings.policy.drift

    @dg.asset(
        group_name="training",
        kinds={"scipy"},
        owners=OWNERS,
        dagster_type=dg.Any,
        code_version=code_version("drift", settings=[policy, settings.categories]),
        check_specs=check_specs("training_drift", TOGETHER),
        automation_condition=when_data_changed(),
        description="What every batch in the training set adds up to, against the golden reference: each may pass "
        "alone while all of them lead somewhere else. Batches that a person accepted with their drift are left out. It "
        "warns here; for a change that adds a batch the decision report makes it a gate.",
    )
    def training_drift(
        context: dg.AssetExecutionContext, soil: Soil, training_set: Any, reference_spectra: Any
    ) -> dg.MaterializeResult:
        from soil_assets.defs.reference_profile import current_profile
        from soil_assets.drift.compare import compare
        from soil_assets.reporting import drift_plots

        known = {"reference", *soil.accepted_batches()}
        added = training_set.take(~training_set.samples["batch"].isin(known).to_numpy())
        if not len(added):
            return dg.MaterializeResult(
                value={"verdict": "not_judged", "n": 0, "reasons": ["no batch was added"]},
                metadata={"verdict": "not_judged", "samples": 0},
                check_results=[warning("together", True, "no batch was added to the golden reference")],
            )
        profile, notes = current_profile(soil, reference_spectra, context.instance)
        report = compare(profile, added, policy=policy)
        words = "; ".join(report.reasons) or "like the reference"
        return dg.MaterializeResult(
            value=report.to_dict(),
            metadata={
                "verdict": report.verdict,
                "reasons": list(report.reasons),
                "samples": report.n,
                "tests": table(report.tests),
                "profile": report.profile,
                "notes": notes,
                "against the reference": png(drift_plots.envelope(profile, added)),
            },
            check_results=[
                warning(
                    "together",
                    report.verdict in ("pass", "warn"),
                    f"{report.verdict.replace('_', ' ')}: {words}",
                )
            ],
        )

    return [training_drift]
