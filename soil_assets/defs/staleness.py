"""Is an asset (partition) out of date? Its code version or the data version of an input differs from what was stored.

``code_version_changed()`` of declarative automation compares with the previous tick, so it never fires on a fresh
cursor. What dagster stores on each materialization (provenance tags) does not forget.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import dagster as dg

from soil_assets.defs.verdicts import INPUT_TAG, materialization

_CODE = "dagster/code_version"
#: Tag of a materialization that says which version of the data it is.
DATA_TAG = "dagster/data_version"


def stored_code_version(instance: dg.DagsterInstance, asset: str, partition: str | None = None) -> str | None:
    """Return the code version of the last materialization, or None when there is none."""
    tags = _tags(instance, asset, partition)
    return None if tags is None else tags.get(_CODE, "")


def stored_data_version(instance: dg.DagsterInstance, asset: str, partition: str | None = None) -> str | None:
    """Return the data version of the last materialization, or None when there is none."""
    tags = _tags(instance, asset, partition)
    return None if tags is None else tags.get(DATA_TAG, "")


def why_stale(
    instance: dg.DagsterInstance,
    asset: str,
    partition: str | None,
    code_version: str | None,
    inputs: Mapping[str, Sequence[str] | None],
) -> str | None:
    """Say why an asset (partition) should be materialized again, or None when it is up to date.

    Parameters
    ----------
    inputs : mapping
        Upstream assets with the partitions that are read, or None for an unpartitioned one.
    """
    tags = _tags(instance, asset, partition)
    if tags is None:
        return "never materialized"
    if code_version is not None and tags.get(_CODE) != code_version:
        return "its code changed"
    for upstream, keys in inputs.items():
        current = _input_version(instance, upstream, keys)
        if current is not None and tags.get(f"{INPUT_TAG}{upstream}") != current:
            return f"{upstream} changed"
    return None


def _input_version(instance: dg.DagsterInstance, upstream: str, keys: Sequence[str] | None) -> str | None:
    """Return the version of an input as dagster stores it: of partitions, a hash over their versions by key."""
    if keys is None:
        return stored_data_version(instance, upstream)
    versions = [stored_data_version(instance, upstream, key) for key in sorted(keys)]
    known = [v for v in versions if v is not None]
    return version_of_partitions(known) if known else None


def version_of_partitions(versions: Sequence[str]) -> str:
    """Return how dagster stores the version of an input of one or more partitions."""
    return hashlib.sha256("".join(versions).encode()).hexdigest()


def _tags(instance: dg.DagsterInstance, asset: str, partition: str | None) -> Mapping[str, str] | None:
    record = materialization(instance, asset, partition)
    if record is None or record.asset_materialization is None:
        return None
    return record.asset_materialization.tags or {}
