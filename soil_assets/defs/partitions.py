"""How assets are cut: by batch (known when it lands), by served day and by property (known from ``soil.yaml``)."""

from __future__ import annotations

import dagster as dg

from soil_assets.config import Settings

#: A batch is a partition; the ``new_batches`` sensor adds its key when the batch is whole.
BATCH = "batch"
BATCHES = dg.DynamicPartitionsDefinition(name=BATCH)

#: A day of the prediction log is a partition; the ``served_days`` sensor adds it when the day is over.
SERVED_DAY = "served_day"
SERVED_DAYS = dg.DynamicPartitionsDefinition(name=SERVED_DAY)


def property_partitions(settings: Settings) -> dg.StaticPartitionsDefinition:
    """One partition a property, in the order of ``soil.yaml``."""
    return dg.StaticPartitionsDefinition(list(settings.properties))
