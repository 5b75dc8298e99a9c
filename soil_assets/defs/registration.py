"""What a version is registered with: the gates of its lineage as they stand, its data, its code, its report.

Belongs here: reading them from the instance and the store. Does not belong here: judging
(``defs.evidence.lineage_objection``) and the registry (``adapters.registry``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import dagster as dg

from soil_assets.defs.evidence import PROPERTY_CHAIN
from soil_assets.defs.gates import gate_records
from soil_assets.defs.resources import Soil

if TYPE_CHECKING:
    from soil_assets.adapters.registry import Because, Evidence

#: The data that a model comes from or was measured on.
_DATA = ("reference_spectra", "benchmark_spectra", "training_set")


def evidence_of(
    instance: dg.DagsterInstance, soil: Soil, checks: Mapping[str, list[str]], prop: str, *, commit: str
) -> Evidence:
    """Return the verdict of every blocking check of a property's lineage, and the hashes behind it."""
    from soil_assets.adapters.registry import Evidence

    records = gate_records(instance, "training_set", checks.get("training_set", ()))
    for asset in PROPERTY_CHAIN:
        records += gate_records(instance, asset, checks.get(asset, ()), prop)
    return Evidence(
        checks={f"{r.asset}.{r.check}": r.passed is True for r in records},
        data={
            asset: str(soil.data.read_json(f"assets/{asset}/current.json")["sha256"])
            for asset in _DATA
            if soil.data.exists(f"assets/{asset}/current.json")
        },
        commit=commit,
        report=soil.reports.where("report.html"),
    )


def because_of(run_id: str) -> Because:
    """Return who stages a version when a lineage has passed: whoever merged, by the run that followed."""
    from soil_assets.adapters.registry import Because

    actor = os.environ.get("GITHUB_ACTOR", "")
    who = f"{actor}, by Dagster run {run_id}" if actor else f"Dagster run {run_id}"
    return Because(who, "every blocking check of the lineage passed")
