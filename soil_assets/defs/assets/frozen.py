"""The golden reference and the official benchmark: frozen, checksummed, the same for every run."""

import dagster as dg

from soil_assets.config import Settings
from soil_assets.defs.assets.common import OWNERS, batch_metadata, png
from soil_assets.defs.checks import Gate, check_specs, passed_or_not
from soil_assets.defs.code_versions import code_version
from soil_assets.defs.conditions import while_missing
from soil_assets.defs.resources import Soil

FROZEN = (Gate("frozen", "the data behind the definition have the checksum that was frozen"),)


def build(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return ``reference_spectra`` and ``benchmark_spectra``."""
    return [
        _frozen_asset(
            "reference_spectra",
            settings.reference,
            "The golden reference: what good spectra of this instrument and soil look like. Drift is measured "
            "against it, and every training set contains it.",
            settings,
        ),
        _frozen_asset(
            "benchmark_spectra",
            settings.benchmark,
            "The official benchmark: every model is measured on it, and none is trained on a row of it.",
            settings,
        ),
    ]


def _frozen_asset(name: str, source: str, description: str, settings: Settings) -> dg.AssetsDefinition:
    from soil_assets.benchmarks.frozen_sets import definition

    chosen = definition(source)

    @dg.asset(
        name=name,
        group_name="frozen_sets",
        kinds={"spectra", "parquet"},
        owners=OWNERS,
        dagster_type=dg.Any,
        description=description,
        code_version=code_version("benchmarks/frozen_sets.py", "spectra", settings=[chosen, settings.axis]),
        check_specs=check_specs(name, FROZEN),
        automation_condition=while_missing(),
    )
    def frozen(soil: Soil) -> dg.MaterializeResult:
        from soil_assets.benchmarks.frozen_sets import load_frozen
        from soil_assets.reporting import plots
        from soil_assets.spectra.harmonise import harmonise

        measured = load_frozen(source)  # refuses data with another checksum
        batch = harmonise(measured, soil.axis, settings.axis.quantity)
        return dg.MaterializeResult(
            value=batch,
            data_version=dg.DataVersion(batch.content_hash()),
            metadata={
                **batch_metadata(batch),
                "definition": chosen.name,
                "sha256": chosen.sha256,
                "licence": chosen.licence,
                "citation": chosen.citation,
                "spectra": png(plots.spectra(batch, chosen.title)),
            },
            check_results=[
                passed_or_not(
                    "frozen",
                    len(measured) == chosen.samples,
                    f"{len(measured)} samples, sha256 {chosen.sha256[:12]} as defined",
                )
            ],
        )

    return frozen
