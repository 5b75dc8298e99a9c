"""What production was asked: a day of the prediction log, and how that day's traffic differs from the reference."""

from typing import Any

import dagster as dg

from soil_assets.config import Settings
from soil_assets.defs.assets.common import OWNERS, batch_metadata, png, table
from soil_assets.defs.checks import Gate, check_specs, passed_or_not, warning
from soil_assets.defs.code_versions import code_version
from soil_assets.defs.partitions import SERVED_DAYS
from soil_assets.defs.resources import Soil
from soil_assets.storage import Store

LOGGED = (Gate("log_readable", "every file of the day's prediction log can be read", blocking=False),)
TRAFFIC = (
    Gate("traffic_drift", "spectra sent to production look like the golden reference", blocking=False),
    Gate("traffic_predictions", "served predictions are distributed as on the reference", blocking=False),
    Gate(
        "traffic_applicability",
        "no more samples than expected lie outside the models' domain",
        blocking=False,
    ),
    Gate("traffic_judged", "the day had enough traffic to be judged", blocking=False),
)
#: Which part of the drift report answers for which check.
_ANSWERS = {"traffic_predictions": "prediction_shift", "traffic_applicability": "applicability"}


def build(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return ``served_predictions`` and ``traffic_drift_reports``."""
    policy = settings.policy.drift

    @dg.asset(
        partitions_def=SERVED_DAYS,
        group_name="production",
        kinds={"parquet", "spectra"},
        owners=OWNERS,
        dagster_type=dg.Any,
        code_version=code_version("serving/served_day.py", settings=settings.axis),
        check_specs=check_specs("served_predictions", LOGGED, SERVED_DAYS),
        description="One day of the prediction service: sampled spectra on the models' axis, each once, with what was "
        "said of them and by which version.",
    )
    def served_predictions(context: dg.AssetExecutionContext, soil: Soil) -> dg.MaterializeResult:
        from soil_assets.reporting import plots
        from soil_assets.serving.served_day import read_day

        log = Store(settings.service.predictions.format(home=settings.home))
        day = read_day(log, context.partition_key, soil.axis, settings.axis.quantity)
        seen = (
            {"spectra": png(plots.spectra(day.batch, f"asked on {context.partition_key}"))}
            if len(day.batch)
            else {}
        )
        unreadable = day.counts["unreadable_files"]
        return dg.MaterializeResult(
            value=day.batch,
            data_version=dg.DataVersion(day.batch.content_hash()),
            metadata={
                **batch_metadata(day.batch),
                **day.counts,
                **seen,
                "versions": {p: {f"version {v}": n for v, n in of.items()} for p, of in day.versions.items()},
                "outside": {p: f"{k} of {n}" for p, (k, n) in day.outside.items()},
                "most_used": day.most_used(),
                "notes": list(day.notes),
            },
            check_results=[
                warning(
                    "log_readable",
                    unreadable == 0,
                    "; ".join(day.notes) or f"{day.counts['files']} files read",
                )
            ],
        )

    @dg.asset(
        partitions_def=SERVED_DAYS,
        group_name="production",
        kinds={"scipy"},
        owners=OWNERS,
        dagster_type=dg.Any,
        code_version=code_version(
            "drift", "modeling/applicability.py", settings=[policy, settings.categories]
        ),
        check_specs=check_specs("traffic_drift_reports", TRAFFIC, SERVED_DAYS),
        description="A day's traffic against the golden reference's profile, through the models that answered: an "
        "alert when production is asked about soils, or by instruments, that its models do not know.",
    )
    def traffic_drift_reports(
        context: dg.AssetExecutionContext, soil: Soil, served_predictions: Any, reference_spectra: Any
    ) -> dg.MaterializeResult:
        from soil_assets.defs.reference_profile import current_profile
        from soil_assets.defs.served_models import look_as_served
        from soil_assets.drift.gate import assess
        from soil_assets.reporting import drift_plots

        profile, notes = current_profile(soil, reference_spectra, context.instance)
        live = look_as_served(soil, served_predictions)
        found = assess(profile, served_predictions, live, policy)
        report = found.report
        words = f"{report.verdict.replace('_', ' ')}: {'; '.join(report.reasons) or 'like the reference'}"
        pictures = (
            {"against the reference": png(drift_plots.envelope(profile, served_predictions))}
            if len(served_predictions)
            else {}
        )
        return dg.MaterializeResult(
            value=found.to_dict(),
            metadata={
                "verdict": report.verdict,
                "reasons": list(report.reasons),
                "samples": report.n,
                "models": live.versions,
                "harm": [d.words for d in found.damage],
                "tests": table(report.tests),
                **pictures,
                "notes": [*notes, *report.notes],
            },
            check_results=[
                passed_or_not("traffic_drift", report.verdict != "fail", words),
                *(
                    warning(
                        name,
                        report.checks[part].judged and report.checks[part].passed,
                        report.checks[part].summary,
                    )
                    for name, part in _ANSWERS.items()
                ),
                warning("traffic_judged", report.verdict != "not_judged", words),
            ],
        )

    return [served_predictions, traffic_drift_reports]
