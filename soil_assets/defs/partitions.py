"""How assets are cut: by batch (known when it lands) and by property (known from ``soil.yaml``)."""

from __future__ import annotations

import dagster as dg

from soil_assets.config import Settings

#: A batch is a partition; the ``new_batches`` sensor adds its key when the batch is whole.
BATCH = "batch"
BATCHES = dg.DynamicPartitionsDefinition(name=BATCH)


def property_partitions(settings: Settings) -> dg.StaticPartitionsDefinition:
    """One partition a property, in the order of ``soil.yaml``."""
    return dg.StaticPartitionsDefinition(list(settings.properties))
