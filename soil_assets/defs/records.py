"""What the gates recorded about each batch, gathered for the path of one sample (``soil why``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from soil_assets.defs.build import assets_of, blocking_of
from soil_assets.defs.gates import select_batches
from soil_assets.defs.io import has_value, load_value
from soil_assets.defs.partitions import BATCH
from soil_assets.defs.resources import Soil
from soil_assets.defs.verdicts import materialization

if TYPE_CHECKING:
    from soil_assets.reporting.why import BatchRecord


def batch_records(instance: dg.DagsterInstance, soil: Soil) -> list[BatchRecord]:
    """Return one record a batch, in the order of their names."""
    import pandas as pd

    from soil_assets.reporting.why import BatchRecord

    checks = blocking_of(assets_of(soil.settings))
    chosen = select_batches(instance, checks, soil.accepted_batches(), withdrawn=soil.withdrawn_batches())
    trained = set()
    if has_value(soil.data, "training_set"):
        trained = set(load_value(soil.data, "training_set").samples["batch"])
    nothing = pd.DataFrame({"sample_id": []})
    records = []
    for name in sorted(instance.get_dynamic_partitions(BATCH)):
        if materialization(instance, "raw_spectra", name) is None:
            continue
        landed = (
            load_value(soil.data, "raw_spectra", name) if has_value(soil.data, "raw_spectra", name) else None
        )
        judged = has_value(soil.data, "validated_batches", name)
        quality = load_value(soil.data, "validated_batches", name) if judged else None
        drift = (
            load_value(soil.data, "drift_reports", name)
            if has_value(soil.data, "drift_reports", name)
            else None
        )
        warned = None if quality is None else quality.findings[quality.findings["severity"] == "warning"]
        records.append(
            BatchRecord(
                batch=name,
                landed=nothing if landed is None or landed.batch is None else landed.batch.samples,
                quarantine=nothing if quality is None else quality.quarantine,
                warnings=warned,
                drift=None if drift is None else drift["verdict"],
                drift_reasons=() if drift is None else tuple(drift["reasons"]),
                held=drift is not None and name in chosen.left,
                outliers=() if drift is None else tuple(str(s["sample_id"]) for s in drift["samples"]),
                training=name in trained if trained else None,
                why=chosen.left.get(name, ""),
            )
        )
    return records


def benchmark_ids(soil: Soil) -> list[str]:
    """Return the sample ids of the benchmark."""
    if not has_value(soil.data, "benchmark_spectra"):
        return []
    return [str(i) for i in load_value(soil.data, "benchmark_spectra").sample_ids]


def released_scans(soil: Soil, batches: list[str]) -> list[tuple[str, str, str, str]]:
    """Return (batch, sample, who, why) of every release."""
    return [(b, r.sample_id, r.who, r.why) for b in batches for r in soil.releases(b)]
