"""Batches and benchmark of this instance for another judge: the gates run again by a proposed policy.

Belongs here: reading values and calling the gates. Does not belong here: judging models (``reporting.rejudge``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from soil_assets.config import Policy
from soil_assets.defs.drift_evidence import gather
from soil_assets.defs.gates import gate_records, why_not
from soil_assets.defs.io import has_value, load_value
from soil_assets.defs.library import known_scans
from soil_assets.defs.resources import Soil

if TYPE_CHECKING:
    from soil_assets.reporting.decision_inputs import BatchResult, DecisionInputs


def benchmark_of(soil: Soil) -> dict[str, dict[str, tuple[str, float]]]:
    """Return groups and observed values of the benchmark, by property and sample; empty before it is read."""
    if not has_value(soil.data, "benchmark_spectra"):
        return {}
    return known_samples(load_value(soil.data, "benchmark_spectra"), soil.settings.properties)


def known_samples(batch: Any, properties: tuple[str, ...]) -> dict[str, dict[str, tuple[str, float]]]:
    """Return what a judge knows of a benchmark: by property, sample id to (group, observed value)."""
    ids, groups = [str(i) for i in batch.sample_ids], [str(g) for g in batch.groups()]
    return {
        p: {i: (g, float(v)) for i, g, v in zip(ids, groups, batch.property_values(p), strict=True)}
        for p in properties
        if p in batch.samples
    }


def batch_judge(
    instance: dg.DagsterInstance, soil: Soil, checks: Mapping[str, list[str]], policy: Policy
) -> Callable[[BatchResult], BatchResult]:
    """Return a function that gives a batch the fate it would have had by ``policy``.

    Quality gate and drift gate run again on what is stored; each batch once, however many reports name it. A batch
    that never came as far as its quality gate keeps its fate.
    """
    fates: dict[str, BatchResult] = {}

    def again(result: BatchResult) -> BatchResult:
        if result.name not in fates:
            fates[result.name] = _again(instance, soil, checks, policy, result)
        fate = fates[result.name]
        kept = ("accepted", "quarantined", "drift", "held", "reasons", "landed")
        return result.model_copy(update={key: getattr(fate, key) for key in kept})

    return again


def _again(
    instance: dg.DagsterInstance,
    soil: Soil,
    checks: Mapping[str, list[str]],
    policy: Policy,
    result: BatchResult,
) -> BatchResult:
    from soil_assets.adapters.great_expectations import evaluate
    from soil_assets.quality.gate import assess
    from soil_assets.quality.reference_figures import ReferenceFigures

    name = result.name
    frozen = has_value(soil.data, "reference_spectra")
    if not (frozen and has_value(soil.data, "raw_spectra", name)):
        return result
    if why_not(gate_records(instance, "raw_spectra", checks.get("raw_spectra", ()), name)):
        return result
    settings, reference = soil.settings, load_value(soil.data, "reference_spectra")
    quality = assess(
        load_value(soil.data, "raw_spectra", name),
        axis=soil.axis,
        quantity=settings.axis.quantity,
        catalogue=soil.catalogue,
        policy=policy.quality,
        evaluate=evaluate,
        known=known_scans(instance, soil, name),
        reference_figures=ReferenceFigures.of(reference),
        releases=soil.releases(name),
    )
    counts: dict[str, Any] = dict(quality.counts)
    if quality.refused:
        refused = [c.summary for c in quality.checks.values() if not c.passed and c.severity == "critical"]
        return result.model_copy(update={**counts, "drift": None, "held": True, "reasons": tuple(refused)})
    proposed = Soil.of(settings.model_copy(update={"policy": policy}))
    report = gather(instance, proposed, name, quality.accepted, reference).assessment.report
    accepted = name in soil.accepted_batches() and not result.held
    return result.model_copy(
        update={
            **counts,
            "drift": report.verdict,
            "held": report.blocks and not accepted,
            "reasons": tuple(report.reasons),
        }
    )


def past_decisions(instance: dg.DagsterInstance, soil: Soil) -> list[tuple[str, DecisionInputs]]:
    """Return the facts of past decision reports, oldest first, each by its day and run.

    A report of facts that a later version of this package cannot read any more is left out.
    """
    import datetime
    import json

    from soil_assets.errors import BadInput
    from soil_assets.reporting.decision_inputs import DecisionInputs

    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey("decision_report")), limit=200
    ).records
    found: dict[str, tuple[str, DecisionInputs]] = {}
    for record in reversed(records):
        if record.asset_materialization is None:
            continue
        digest = record.asset_materialization.metadata.get("content_sha256")
        key = f"assets/decision_report/{str(digest.value)[:20] if digest else '-'}/report.json"
        if key in found or not soil.data.exists(key):
            continue
        try:
            facts = DecisionInputs.from_json(json.dumps(soil.data.read_json(key)["inputs"]), key)
        except (BadInput, KeyError, ValueError):
            continue
        day = datetime.datetime.fromtimestamp(record.timestamp, datetime.UTC).date().isoformat()
        found[key] = (f"{day} {record.run_id[:8]}", facts)
    return list(found.values())
