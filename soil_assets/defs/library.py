"""Every scan that was accepted before, searchable without loading its spectrum: for duplicates across batches."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import dagster as dg

from soil_assets.defs.codecs import KNOWN_FILE
from soil_assets.defs.io import has_value, load_file, load_value
from soil_assets.defs.partitions import BATCH
from soil_assets.defs.resources import Soil

if TYPE_CHECKING:
    from soil_assets.quality.known import KnownSpectra

_FROZEN = ("reference_spectra", "benchmark_spectra")


def known_scans(instance: dg.DagsterInstance, soil: Soil, batch: str) -> KnownSpectra | None:
    """Return the accepted scans of the frozen sets and of all batches but ``batch`` itself; None when there are none.

    Of a batch only its index is read; spectra are fetched for the few candidates that the index finds.
    """
    from soil_assets.quality.known import KnownSpectra

    parts = [
        KnownSpectra.of(load_value(soil.data, asset).labelled("batch", asset))
        for asset in _FROZEN
        if has_value(soil.data, asset)
    ]
    for name in sorted(instance.get_dynamic_partitions(BATCH)):
        if name != batch and has_value(soil.data, "validated_batches", name):
            part = _index(soil, name)
            if part is not None:
                parts.append(part)
    return KnownSpectra.joined(parts) if parts else None


def _index(soil: Soil, name: str) -> KnownSpectra | None:
    import pandas as pd

    from soil_assets.quality.known import KnownSpectra

    content = load_file(soil.data, "validated_batches", name, KNOWN_FILE)
    if content is None:
        return None
    table = pd.read_parquet(io.BytesIO(content)).assign(batch=name)

    def spectra(rows: Any) -> Any:
        from soil_assets.spectra.harmonise import to_quantity

        return to_quantity(
            load_value(soil.data, "validated_batches", name).accepted.take(rows), "absorbance"
        ).spectra

    return KnownSpectra.from_table(table, soil.axis, spectra)
