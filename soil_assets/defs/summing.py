"""Keeping the total of batch statistics: what is in it, what has to come and what has to go.

Belongs here: reading the instance and the store for it. Does not belong here: the arithmetic (``modeling``).
"""

from __future__ import annotations

from typing import Any

import dagster as dg

from soil_assets.defs.io import has_value, load_value
from soil_assets.defs.resources import Soil
from soil_assets.defs.staleness import stored_data_version
from soil_assets.defs.verdicts import materialization
from soil_assets.errors import BadInput

REFERENCE = "reference"


def taken_batches(instance: dg.DagsterInstance) -> tuple[list[str], int]:
    """Return the batches in the current training set and its number of scans, without loading it.

    Raises
    ------
    BadInput
        When there is no training set yet.
    """
    record = materialization(instance, "training_set")
    if record is None or record.asset_materialization is None:
        raise BadInput("there is no training set yet", mend="materialize it first: soil run training_set")
    metadata = record.asset_materialization.metadata
    names: Any = metadata["taken"].value
    scans: Any = metadata["scans"].value
    return [str(n) for n in names], int(scans)


def accepted_content(instance: dg.DagsterInstance, soil: Soil, name: str) -> str:
    """Return what stands for the accepted scans of a batch as they are summed: their version, replicates as set."""
    return f"{stored_data_version(instance, 'validated_batches', name)}|{soil.settings.replicates}"


def sum_batch(instance: dg.DagsterInstance, soil: Soil, features: Any, name: str) -> Any:
    """Sum the accepted scans of a batch."""
    from soil_assets.modeling.batch_statistics import BatchStatistics
    from soil_assets.quality.replicates import average_replicates

    accepted = load_value(soil.data, "validated_batches", name).accepted
    scans = average_replicates(accepted) if soil.settings.replicates == "average" else accepted
    content = accepted_content(instance, soil, name)
    return BatchStatistics.of(features, scans, _properties(soil), name, content=content)


def update_total(
    instance: dg.DagsterInstance, soil: Soil, features: Any, reference: Any, taken: list[str]
) -> tuple[Any, dict[str, Any]]:
    """Bring the stored total to the batches that are trained on now.

    Returns
    -------
    (total, log)
        ``log`` says what was added, taken away, and why everything was summed again where it was.
    """
    from soil_assets.modeling.batch_statistics import BatchStatistics

    wanted = {name: accepted_content(instance, soil, name) for name in taken}
    wanted[REFERENCE] = reference.content_hash()
    parts: dict[str, Any] = {}

    def part(name: str) -> Any:
        if name not in parts:
            if name == REFERENCE:
                parts[name] = BatchStatistics.of(features, reference, _properties(soil), name)
            else:
                parts[name] = _stored(soil, features, name, wanted.get(name))
            if (
                parts[name] is None and name in wanted
            ):  # not summed yet, or another content than is accepted now
                parts[name] = sum_batch(instance, soil, features, name)
        return parts[name]

    total, again = _previous(soil, features)
    gone: list[str] = []
    if total is not None:
        gone = [n for n, facts in total.batches.items() if wanted.get(n) != facts.content]
        for name in gone:
            old = _stored(soil, features, name, total.batches[name].content) if name != REFERENCE else None
            if old is None:
                total, again = None, f"the statistics that {name} was added with are gone"
                break
            total = total - old
    had = {} if total is None else dict(total.batches)
    new = [n for n in sorted(wanted) if n not in had]
    for name in new:
        total = part(name) if total is None else total + part(name)
    log = {"added": new, "taken_away": [] if again else gone, "summed_again": again or "no"}
    return total, log


def _previous(soil: Soil, features: Any) -> tuple[Any, str]:
    """Return the stored total, or None with the reason for which it cannot be gone on from."""
    if not has_value(soil.data, "training_statistics"):
        return None, "there was no total yet"
    total = load_value(soil.data, "training_statistics")
    if total.features_id != features.identity:
        return None, "the features changed"
    if set(total.properties) != set(soil.settings.properties):
        return None, "the properties changed"
    return total, ""


def _stored(soil: Soil, features: Any, name: str, content: str | None) -> Any:
    """Return the stored statistics of a batch when they are of these features and this content."""
    if not has_value(soil.data, "batch_statistics", name):
        return None
    found = load_value(soil.data, "batch_statistics", name)
    fits = found.features_id == features.identity and set(found.properties) == set(soil.settings.properties)
    return found if fits and found.batches[name].content == content else None


def _properties(soil: Soil) -> list[Any]:
    return [soil.catalogue[p] for p in soil.settings.properties]
