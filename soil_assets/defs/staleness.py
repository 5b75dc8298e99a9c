"""Is an asset (partition) out of date? Its code version or the data version of an input differs from what was stored.

``code_version_changed()`` of declarative automation compares with the previous tick, so it never fires on a fresh
cursor. What is stored on the last materialization does not forget.
"""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from soil_assets.defs.gates import materialization

_CODE = "dagster/code_version"
_INPUT = "dagster/input_data_version/"
_DATA = "dagster/data_version"


def stored_code_version(instance: dg.DagsterInstance, asset: str, partition: str | None = None) -> str | None:
    """Return the code version of the last materialization, or None when there is none."""
    tags = _tags(instance, asset, partition)
    return None if tags is None else tags.get(_CODE, "")


def stored_data_version(instance: dg.DagsterInstance, asset: str, partition: str | None = None) -> str | None:
    """Return the data version of the last materialization, or None when there is none."""
    tags = _tags(instance, asset, partition)
    return None if tags is None else tags.get(_DATA, "")


def why_stale(
    instance: dg.DagsterInstance,
    asset: str,
    partition: str | None,
    code_version: str | None,
    inputs: Mapping[str, str | None],
) -> str | None:
    """Say why an asset (partition) should be materialized again, or None when it is up to date.

    Parameters
    ----------
    inputs : mapping
        Upstream assets with the partition that is read, or None for an unpartitioned one.
    """
    tags = _tags(instance, asset, partition)
    if tags is None:
        return "never materialized"
    if code_version is not None and tags.get(_CODE) != code_version:
        return "its code changed"
    for upstream, key in inputs.items():
        current = stored_data_version(instance, upstream, key)
        if current is not None and tags.get(f"{_INPUT}{upstream}", current) != current:
            return f"{upstream} changed"
    return None


def _tags(instance: dg.DagsterInstance, asset: str, partition: str | None) -> Mapping[str, str] | None:
    record = materialization(instance, asset, partition)
    if record is None or record.asset_materialization is None:
        return None
    return record.asset_materialization.tags or {}


def overtaken(
    instance: dg.DagsterInstance, asset: str, upstream: Mapping[str, list[str] | None]
) -> str | None:
    """Say which upstream asset (or partition of it) was materialized after ``asset``, or None.

    For assets that fan in over partitions, where one data version does not stand for all inputs.
    """
    own = materialization(instance, asset)
    if own is None:
        return "never materialized"
    for name, partitions in upstream.items():
        for partition in partitions if partitions is not None else [None]:
            record = materialization(instance, name, partition)
            if record is not None and record.storage_id > own.storage_id:
                return f"{name}{f'[{partition}]' if partition else ''} is newer"
    return None
