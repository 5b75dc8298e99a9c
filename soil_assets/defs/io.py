"""Where asset values live: one folder a value, addressed by its content, with a pointer to the current one.

``assets/<asset>/<partition>/<hash>/...`` holds the files of one value and never changes; ``current.json`` beside
it names the hash and is replaced in one move. A run that dies leaves either the old value or the new one.
How a type becomes files is a codec (``defs.codecs``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from soil_assets.branch_store import store_of
from soil_assets.storage import Store, hash_of_files


def save_value(store: Store, asset: str, partition: str | None, value: object) -> str:
    """Write ``value`` and point to it; return its content hash."""
    from soil_assets.defs.codecs import encode

    kind, files = encode(value)
    return write_files(store, asset, partition, kind, files)


def write_files(
    store: Store, asset: str, partition: str | None, kind: str, files: Mapping[str, bytes]
) -> str:
    """Write a value that is files already and point to it; return its content hash."""
    digest = hash_of_files(dict(files))
    place = _place(asset, partition)
    for name, content in files.items():
        key = f"{place}/{digest[:20]}/{name}"
        if not store.holds(key):
            store.write(key, content)
    store.write_json(f"{place}/current.json", {"kind": kind, "sha256": digest, "files": sorted(files)})
    return digest


def load_value(store: Store, asset: str, partition: str | None = None) -> Any:
    """Return the current value.

    Raises
    ------
    FileNotFoundError
        When the asset (partition) was never materialized.
    """
    from soil_assets.defs.codecs import decode

    return decode(pointer_of(store, asset, partition)["kind"], value_files(store, asset, partition))


def pointer_of(store: Store, asset: str, partition: str | None = None) -> dict[str, Any]:
    """Return the pointer to the current value: its kind, hash and file names.

    Raises
    ------
    FileNotFoundError
        When the asset (partition) was never materialized.
    """
    pointer: dict[str, Any] = store.read_json(f"{_place(asset, partition)}/current.json")
    return pointer


def value_files(store: Store, asset: str, partition: str | None = None) -> dict[str, bytes]:
    """Return the files of the current value by name."""
    pointer = pointer_of(store, asset, partition)
    folder = f"{_place(asset, partition)}/{pointer['sha256'][:20]}"
    return {name: store.read(f"{folder}/{name}") for name in pointer["files"]}


def load_file(store: Store, asset: str, partition: str | None, name: str) -> bytes | None:
    """Return one file of the current value, or None when the value has no such file."""
    place = _place(asset, partition)
    pointer = store.read_json(f"{place}/current.json")
    if name not in pointer["files"]:
        return None
    return store.read(f"{place}/{pointer['sha256'][:20]}/{name}")


def load_table(store: Store, asset: str, partition: str | None, name: str) -> Any:
    """Return one of the tables of the current value."""
    from soil_assets.defs.codecs import table_from

    content = load_file(store, asset, partition, f"{name}.parquet")
    if content is None:
        raise FileNotFoundError(f"{asset} has no table {name}")
    return table_from(content)


def content_version(value: Any) -> dg.DataVersion:
    """Return the data version of a value: a hash of what it is, whichever run made it."""
    if hasattr(value, "content_hash"):
        return dg.DataVersion(value.content_hash())
    from soil_assets.defs.codecs import encode

    return dg.DataVersion(hash_of_files(encode(value)[1]))


def has_value(store: Store, asset: str, partition: str | None = None) -> bool:
    """Whether the asset (partition) has a value."""
    return store.exists(f"{_place(asset, partition)}/current.json")


def partitions_kept(store: Store, asset: str) -> list[str]:
    """Return the partitions of an asset that something was written for, sorted, by one listing."""
    return store.folders(f"assets/{asset}")


def _place(asset: str, partition: str | None) -> str:
    return f"assets/{asset}/{partition}" if partition is not None else f"assets/{asset}"


class SoilIOManager(dg.ConfigurableIOManager):
    """Keeps asset values under ``url`` (a folder, or any fsspec URL); a branch reads main's where it has none."""

    url: str
    main_url: str = ""

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Write the value of an asset (partition)."""
        if obj is None:
            return
        partition = context.partition_key if context.has_partition_key else None
        digest = save_value(store_of(self.url, self.main_url), context.asset_key.path[-1], partition, obj)
        context.add_output_metadata({"content_sha256": digest})

    def load_input(self, context: dg.InputContext) -> Any:
        """Read the value; of many partitions, those that exist as a mapping by key."""
        store, asset = store_of(self.url, self.main_url), context.asset_key.path[-1]
        if not context.has_asset_partitions:
            return load_value(store, asset)
        keys = list(context.asset_partition_keys)
        if len(keys) == 1 and context.has_partition_key:
            return load_value(store, asset, keys[0])
        return {key: load_value(store, asset, key) for key in keys if has_value(store, asset, key)}
