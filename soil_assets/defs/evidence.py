"""Gathering what a decision report tells: values of assets, verdicts of gates, versions and hashes.

Belongs here: reading the instance and the store into :class:`DecisionInputs`. Does not belong here: judging.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from soil_assets.defs.code_versions import science_versions
from soil_assets.defs.gates import gate_records, select_batches, why_not
from soil_assets.defs.io import has_value, load_value
from soil_assets.defs.pages import batch_page_of
from soil_assets.defs.partitions import BATCH
from soil_assets.defs.resources import Soil
from soil_assets.defs.verdicts import materialization

if TYPE_CHECKING:
    from soil_assets.reporting.decision_inputs import BatchResult, Check, DecisionInputs, PropertyResult

#: Quarantined scans of a batch that a report lists; all of them stand on the batch's page.
QUARANTINE_ROWS = 100
#: Assets of one property whose gates must have passed before its model is registered.
PROPERTY_CHAIN = ("trained_models", "benchmark_evaluations", "model_comparisons")


def decision_inputs(
    instance: dg.DagsterInstance, soil: Soil, checks: Mapping[str, list[str]]
) -> DecisionInputs:
    """Return everything the report says about the current candidate."""
    from soil_assets import __version__
    from soil_assets.defs import against_main, change
    from soil_assets.reporting.decision_inputs import DecisionInputs, TrainingPart
    from soil_assets.reporting.rejudge import judged_together

    settings = soil.settings
    chosen = select_batches(instance, checks, soil.accepted_batches(), withdrawn=soil.withdrawn_batches())
    added = change.added_batches(settings, soil)
    batches = tuple(
        batch_result(instance, soil, checks, b).model_copy(update={"part_of_change": b in added})
        for b in sorted(instance.get_dynamic_partitions(BATCH))
    )
    properties = judged_together(
        tuple(_property_result(instance, soil, checks, p) for p in settings.properties)
    )
    sizes = _training_sizes(soil)
    parts = [TrainingPart(name="reference", scans=sizes.get("reference", 0), taken=True)]
    parts.extend(
        TrainingPart(
            name=b.name,
            scans=sizes.get(b.name, 0),
            taken=b.name in sizes,
            why=chosen.left.get(b.name, ""),
        )
        for b in batches
    )
    facts = DecisionInputs(
        candidate=f"training set {_content(soil, 'training_set')}",
        main=against_main.main_in_words(soil, [p.name for p in properties]),
        properties=properties,
        batches=batches,
        training=tuple(parts),
        policy=settings.policy,
        checks=(*_checks(instance, "training_set", checks), *together(instance, soil, bool(added))),
        changes=change.changes(settings, soil),
        versions={
            "soil_assets": __version__,
            "dagster": dg.__version__,
            **science_versions(),
            **against_main.commit(),
        },
        data_hashes={
            a: _content(soil, a) for a in ("reference_spectra", "benchmark_spectra", "training_set")
        },
        links=change.links(settings, {b.name: b.part_of_change for b in batches}, os.environ),
        reproduce=against_main.reproduce(settings, [p.name for p in properties]),
    )
    return facts.model_copy(update={"proposal": change.proposal(settings, facts, soil)})


def together(instance: dg.DagsterInstance, soil: Soil, adds_data: bool) -> tuple[Check, ...]:
    """Return the verdict on all added batches together, as a gate where the change adds to them.

    Each batch may pass alone while all of them lead somewhere else.
    """
    from soil_assets.reporting.decision_inputs import Check

    if materialization(instance, "training_drift") is None:
        return (Check(name="training_drift", passed=None, summary="training_drift was never materialized"),)
    found = load_value(soil.data, "training_drift")
    policy = soil.settings.policy.drift
    tolerated = not found["n"] or policy.when_not_judged == "warn"
    judged = {"pass": True, "warn": True, "fail": False, "not_judged": tolerated}.get(found["verdict"])
    words = "; ".join(found["reasons"])
    return (
        Check(
            name="training_drift",
            passed=judged,
            blocking=judged is None or (adds_data and policy.when_drift == "hold" and judged is False),
            summary=f"all batches together against the golden reference: {words}",
        ),
    )


def batch_result(
    instance: dg.DagsterInstance, soil: Soil, checks: Mapping[str, list[str]], name: str
) -> BatchResult:
    """Return one batch and its fate, however far it came."""
    from soil_assets.reporting.decision_inputs import BatchResult

    all_checks = [
        check for asset in ("raw_spectra", "validated_batches", "drift_reports")
        for check in _checks(instance, asset, checks, name)
    ]  # fmt: skip
    quality = _current(instance, soil, "validated_batches", name)
    drift = _current(instance, soil, "drift_reports", name)
    if quality is not None:
        counts = dict(quality.counts)
    else:
        raw = _current(instance, soil, "raw_spectra", name)
        landed = 0 if raw is None else int(raw.landed)
        counts = {"landed": landed, "accepted": 0, "quarantined": landed}
    rows = None if quality is None else quality.quarantine
    chosen = select_batches(
        instance, checks, soil.accepted_batches(), only=[name], withdrawn=soil.withdrawn_batches()
    )
    held = name in chosen.left
    failed = [c.summary for c in all_checks if c.passed is False]
    return BatchResult(
        name=name,
        **counts,
        drift=None if drift is None else drift["verdict"],
        reasons=tuple(failed) or tuple(drift["reasons"] if drift else ()),
        quarantine=() if rows is None else tuple(rows.head(QUARANTINE_ROWS).to_dict("records")),
        quarantine_omitted=0 if rows is None else max(0, len(rows) - QUARANTINE_ROWS),
        next_step=_next_step(soil, name, chosen.left.get(name), drift),
        held=held,
        checks=tuple(all_checks),
        page=batch_page_of(soil, name),
    )


def lineage_objection(
    instance: dg.DagsterInstance, soil: Soil, checks: Mapping[str, list[str]], prop: str
) -> str | None:
    """Return what keeps the candidate of a property from being registered, or None.

    Every blocking check of the lineage must have passed about the latest version of its asset: training set, model,
    evaluation, comparison. (A batch whose gates failed is not in the training set in the first place.)
    """
    records = gate_records(instance, "training_set", checks.get("training_set", ()))
    if "training_statistics" in checks:  # the recipe trains from per-batch statistics
        records += gate_records(instance, "training_statistics", checks["training_statistics"])
    for asset in PROPERTY_CHAIN:
        if materialization(instance, asset, prop) is None:
            return f"{asset} was never materialized"
        records += gate_records(instance, asset, checks.get(asset, ()), prop)
    return why_not(records)


def benchmark_rmse(soil: Soil, prop: str) -> str:
    """Return the candidate's RMSE on the benchmark with its unit, as text for people."""
    found = load_value(soil.data, "benchmark_evaluations", prop)
    unit = "" if found["unit"] == "index" else f" {found['unit']}"
    return f"{found['metrics']['rmse']:.3g}{unit} (n = {found['n']})"


def _property_result(
    instance: dg.DagsterInstance, soil: Soil, checks: Mapping[str, list[str]], name: str
) -> PropertyResult:
    from soil_assets.defs import change
    from soil_assets.reporting.decision_figures import trend_points
    from soil_assets.reporting.decision_inputs import BandImportance, PropertyResult, Stratum

    prop = soil.catalogue[name]
    model = _current(instance, soil, "trained_models", name)
    evaluation = _current(instance, soil, "benchmark_evaluations", name)
    comparison = _current(instance, soil, "model_comparisons", name)
    importance = None
    if model is not None:
        importance = BandImportance(
            positions=tuple(model.axis.values.tolist()),
            unit=model.axis.unit,
            vip=tuple(model.importance.tolist()),
        )
    main = None if comparison is None else comparison.get("main_evaluation")
    strata = () if comparison is None else comparison.get("strata") or ()
    return PropertyResult(
        name=name,
        label=prop.label,
        unit=prop.unit,
        candidate=evaluation,
        main=main,
        comparison=comparison,
        checks=tuple(c for asset in PROPERTY_CHAIN for c in _checks(instance, asset, checks, name)),
        importance=importance,
        trend=trend_points(change.trend(soil.settings, soil, name), main, evaluation),
        strata=tuple(Stratum(**{k: s.get(k) for k in Stratum.model_fields}) for s in strata),
    )


def _checks(
    instance: dg.DagsterInstance, asset: str, checks: Mapping[str, list[str]], partition: str | None = None
) -> tuple[Check, ...]:
    from soil_assets.reporting.decision_inputs import Check

    if materialization(instance, asset, partition) is None:
        never = f"{asset} was never materialized"
        return tuple(Check(name=check, passed=None, summary=never) for check in checks.get(asset, ()))
    records = gate_records(instance, asset, checks.get(asset, ()), partition)
    return tuple(Check(name=r.check, passed=r.passed, summary=r.summary) for r in records)


def _current(instance: dg.DagsterInstance, soil: Soil, asset: str, partition: str) -> Any:
    if materialization(instance, asset, partition) is None or not has_value(soil.data, asset, partition):
        return None
    return load_value(soil.data, asset, partition)


def _training_sizes(soil: Soil) -> dict[str, int]:
    if not has_value(soil.data, "training_set"):
        return {}
    counted = load_value(soil.data, "training_set").samples["batch"].value_counts()
    return {str(k): int(v) for k, v in counted.items()}


def _content(soil: Soil, asset: str) -> str:
    if not has_value(soil.data, asset):
        return "never materialized"
    return str(soil.data.read_json(f"assets/{asset}/current.json")["sha256"])[:12]


def _next_step(soil: Soil, name: str, left: str | None, drift: Mapping[str, Any] | None) -> str:
    if left is not None:
        return f"held: {_first_stop(left)}"
    said = soil.accepted_batches().get(name) if drift is not None and drift.get("blocks") else None
    if said is not None:
        return f"in the training set: drift accepted by {said.get('who')} ({said.get('why')})"
    return "in the training set"


def _first_stop(reason: str) -> str:
    return reason.split("; ", 1)[0]
