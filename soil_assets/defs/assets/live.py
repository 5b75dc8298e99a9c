"""The live model on the frozen benchmark again: does it still do, with today's code, what it was registered with?"""

from typing import Any

import dagster as dg

from soil_assets.config import Settings
from soil_assets.defs.assets.common import OWNERS, numbers, png
from soil_assets.defs.checks import Gate, check_specs, passed_or_not, warning
from soil_assets.defs.code_versions import code_version
from soil_assets.defs.partitions import property_partitions
from soil_assets.defs.resources import Soil

NOTHING = "nothing is registered yet: there is nothing to validate"
LIVE = (
    Gate("still_as_registered", "the live model's files and figures are those that it was registered with"),
    Gate(
        "same_benchmark", "the benchmark is the one that the live model was registered with", blocking=False
    ),
    Gate("still_above_floor", "RPIQ of the live model reaches the floor of today's policy", blocking=False),
)


def build(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return ``live_model_validations``; the schedule ``live_models`` asks for it."""
    properties = property_partitions(settings)
    policy = settings.policy.model

    @dg.asset(
        partitions_def=properties,
        group_name="production",
        kinds={"mlflow", "python"},
        owners=OWNERS,
        dagster_type=dg.Any,
        deps=["live_versions"],
        code_version=code_version("modeling", "spectra", settings=policy),
        check_specs=check_specs("live_model_validations", LIVE, properties),
        description="The model behind the alias `production` (else `staging`), taken from the registry and measured on "
        "the frozen benchmark with today's code, beside the figures that it was registered with.",
    )
    def live_model_validations(
        context: dg.AssetExecutionContext, soil: Soil, benchmark_spectra: Any
    ) -> dg.MaterializeResult:
        from soil_assets.defs.live_validation import benchmark_hash, live_version, load_live
        from soil_assets.modeling.as_registered import differences, kept_figures
        from soil_assets.modeling.evaluate import evaluate
        from soil_assets.reporting import plots

        prop = soil.catalogue[context.partition_key]
        live = live_version(soil, prop.name)
        if live is None:
            context.log.info(NOTHING)
            return dg.MaterializeResult(
                value={"property": prop.name, "version": None, "words": NOTHING},
                metadata={"live": NOTHING},
                check_results=[
                    passed_or_not(LIVE[0].name, True, f"not judged: {NOTHING}"),
                    *(warning(gate.name, True, f"not judged: {NOTHING}") for gate in LIVE[1:]),
                ],
            )
        registered = kept_figures(live.found.tags)
        same = live.benchmark() in ("", benchmark_hash(soil))
        facts: dict[str, Any] = {
            "property": prop.name,
            "name": live.found.name,
            "version": live.found.version,
            "alias": live.alias,
            "registered": dict(registered.figures),
            "same_benchmark": same,
        }
        model, altered = load_live(soil, live)
        if model is None:
            return dg.MaterializeResult(
                value={**facts, "words": altered},
                metadata={"live": live.title, "in_words": altered},
                check_results=[
                    passed_or_not("still_as_registered", False, f"{live.title}: {altered}"),
                    warning("same_benchmark", same, _benchmark_in_words(same)),
                    warning("still_above_floor", False, "not judged: the model cannot be used"),
                ],
            )
        result = evaluate(
            model,
            benchmark_spectra,
            prop,
            groups=benchmark_spectra.groups(),
            n_boot=policy.bootstrap,
            seed=policy.bootstrap_seed,
        )
        # On another benchmark other figures are no fault of the model: that warning tells it.
        changed = differences(registered, result.metrics) if same else []
        words = "; ".join(changed) or ("as registered" if same and registered.figures else "not judged")
        if not registered.figures:
            words = "not judged: it was registered without figures"
        rpiq = result.metrics["rpiq"]
        return dg.MaterializeResult(
            value={**facts, "words": words, "evaluation": result.to_dict()},
            metadata={
                "live": live.title,
                "in_words": words,
                **numbers(result.metrics),
                **{f"registered/{name}": value for name, value in registered.figures.items()},
                "predicted_against_observed": png(
                    plots.predicted_against_observed(result.predictions, prop.unit, prop.label)
                ),
            },
            check_results=[
                passed_or_not("still_as_registered", not changed, f"{live.title}: {words}"),
                warning("same_benchmark", same, _benchmark_in_words(same)),
                warning(
                    "still_above_floor",
                    rpiq >= policy.min_rpiq,
                    f"{live.title}: RPIQ {rpiq:.2f} on {result.n} samples, floor {policy.min_rpiq:g}",
                ),
            ],
        )

    return [live_model_validations]


def _benchmark_in_words(same: bool) -> str:
    return (
        "the benchmark is that of the registration"
        if same
        else "the live model was registered with figures on another benchmark: today's cannot be compared with them"
    )
