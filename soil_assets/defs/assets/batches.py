"""One batch from the landing zone through the quality gate; its drift gate is in ``drift``."""

from typing import Any

import dagster as dg

from soil_assets.config import Settings
from soil_assets.defs.assets.common import OWNERS, batch_metadata, png, table
from soil_assets.defs.checks import Gate, check_specs, passed_or_not, warning
from soil_assets.defs.code_versions import code_version
from soil_assets.defs.conditions import after_passed_gates
from soil_assets.defs.io import content_version
from soil_assets.defs.landing_zone import land_copy
from soil_assets.defs.library import known_scans
from soil_assets.defs.pages import address, batch_page
from soil_assets.defs.partitions import BATCHES
from soil_assets.defs.pods import step_tags
from soil_assets.defs.resources import Soil
from soil_assets.defs.twins import stop_if_answered, stop_if_twin

LANDED = (
    Gate("readable", "at least one scan of the batch can be read"),
    Gate("checksum", "the stored copy, and the checksums of the manifest, agree with what landed"),
    Gate("complete", "every file that the manifest lists is there"),
    Gate("all_readable", "no file had to be left unread", blocking=False),
)
VALIDATED = (
    Gate("schema", "ids and columns are there, and usable"),
    Gate("units", "quantities and units fit the values"),
    Gate("ranges", "property values are physically possible"),
    Gate("spectral_quality", "spectra are finite, cover the model's range, and look like spectra"),
    Gate("duplicates", "no scan is repeated, here or among earlier batches"),
    Gate("replicates", "replicate scans of a sample agree"),
    Gate("quarantine", "no scan was quarantined", blocking=False),
)


def build(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return ``raw_spectra`` and ``validated_batches``."""
    policy = settings.policy

    @dg.asset(
        partitions_def=BATCHES,
        group_name="batches",
        kinds={"file", "spectra"},
        op_tags=step_tags("raw_spectra"),
        owners=OWNERS,
        dagster_type=dg.Any,
        code_version=code_version("spectra", "defs/landing_zone.py"),
        check_specs=check_specs("raw_spectra", LANDED, BATCHES),
        description="What landed, copied under its content hash and read as it is: scans, lab table, manifest. "
        "A file that cannot be read is one landed scan and keeps its reason.",
    )
    def raw_spectra(context: dg.AssetExecutionContext, soil: Soil) -> dg.MaterializeResult:
        from soil_assets.reporting import plots
        from soil_assets.spectra.difference import difference
        from soil_assets.spectra.landed import read_landed, with_refused

        stop_if_twin(context.instance, context.run)
        copy = land_copy(soil.landing, soil.data, context.partition_key)
        landed = with_refused(read_landed(copy.folder, soil.catalogue), copy.refused)
        before = soil.previous("raw_spectra", context.partition_key)
        changed = {} if before is None else {"changed": difference(before.batch, landed.batch).in_words()}
        seen = {} if landed.batch is None else batch_metadata(landed.batch)
        if landed.batch is not None and soil.draws(held=False):
            seen["spectra"] = png(plots.spectra(landed.batch, context.partition_key))
        unreadable = [f"{u.file}: {u.reason}" for u in landed.unreadable]
        return dg.MaterializeResult(
            value=landed,
            data_version=dg.DataVersion(copy.version),
            metadata={
                **seen,
                **changed,
                "landed": landed.landed,
                "lab_rows": landed.lab_rows,
                "files": copy.files,
                "sha256": copy.sha256,
                "version": copy.version,
                "stored_at": copy.folder,
                "notes": list(landed.notes),
            },
            # A tag holds 63 characters at most, and no colon.
            tags={"soil/content": copy.version.replace(":", "-")[:40]},
            check_results=[
                passed_or_not(
                    "readable",
                    landed.batch is not None,
                    "; ".join(unreadable) or f"{landed.landed} scans read",
                    {"landed": landed.landed, "landed_at": copy.landed_at},
                ),
                passed_or_not(
                    "checksum", not copy.damaged, "; ".join(copy.damaged) or f"{len(copy.files)} files"
                ),
                passed_or_not("complete", not copy.missing, "; ".join(copy.missing) or "nothing is missing"),
                warning("all_readable", not unreadable, "; ".join(unreadable) or "every file was read"),
            ],
        )

    @dg.asset(
        partitions_def=BATCHES,
        group_name="batches",
        kinds={"great_expectations", "parquet"},
        op_tags=step_tags("validated_batches"),
        owners=OWNERS,
        dagster_type=dg.Any,
        code_version=code_version(
            "quality",
            "spectra",
            "adapters/great_expectations.py",
            settings=[policy.quality, settings.axis, settings.properties, settings.catalogue],
        ),
        check_specs=check_specs("validated_batches", VALIDATED, BATCHES),
        automation_condition=after_passed_gates(),
        description="Scans that may be used, on the models' axis and in the catalogue's units; every other scan is in "
        "quarantine with its rule, what was found, what was expected and how to mend it.",
    )
    def validated_batches(
        context: dg.AssetExecutionContext, soil: Soil, raw_spectra: Any, reference_spectra: Any
    ) -> dg.MaterializeResult:
        from soil_assets.quality.gate import assess
        from soil_assets.quality.reference_figures import ReferenceFigures
        from soil_assets.reporting import plots

        stop_if_answered(context.instance, context.run)
        result = assess(
            raw_spectra,
            axis=soil.axis,
            quantity=settings.axis.quantity,
            catalogue=soil.catalogue,
            policy=policy.quality,
            evaluate=soil.evaluator,
            known=known_scans(context.instance, soil, context.partition_key),
            reference_figures=ReferenceFigures.of(reference_spectra),
            releases=soil.releases(context.partition_key),
            used=settings.properties,
        )
        counts = dict(result.counts)
        seen: dict[str, Any] = {}
        if soil.draws(held=result.refused):
            seen["page"] = address(batch_page(soil, context.partition_key, result, reference_spectra))
            if len(result.accepted):
                seen["spectra"] = png(plots.spectra(result.accepted, f"{context.partition_key}: accepted"))
        return dg.MaterializeResult(
            value=result,
            data_version=content_version(result),
            metadata={
                **counts,
                **seen,
                "quarantine_table": table(result.quarantine),
                "findings": table(result.findings),
                "notes": list(result.notes),
            },
            check_results=[
                *(
                    passed_or_not(name, check.passed or check.severity != "critical", check.summary)
                    for name, check in result.checks.items()
                ),
                warning(
                    "quarantine",
                    counts["quarantined"] == 0,
                    f"{counts['landed']} landed = {counts['accepted']} accepted + {counts['quarantined']} quarantined",
                    {key: counts[key] for key in ("landed", "accepted", "quarantined")},
                ),
            ],
        )

    return [raw_spectra, validated_batches]
