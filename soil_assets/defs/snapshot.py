"""The asset graph as plain data, so that main's and a change's can be compared without loading both.

Belongs here: reading definitions. Does not belong here: comparing (``reporting.changes``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import dagster as dg


def snapshot(assets: Iterable[dg.AssetsDefinition]) -> dict[str, dict[str, Any]]:
    """Return code version, upstream assets and checks by asset, JSON-ready, in the order of the names."""
    found = {}
    for definition in assets:
        for key in definition.keys:
            found[key.path[-1]] = {
                "code_version": definition.code_versions_by_key.get(key) or "",
                "depends_on": sorted(k.path[-1] for k in definition.asset_deps[key]),
                "checks": sorted(s.name for s in definition.check_specs if s.asset_key == key),
            }
    return dict(sorted(found.items()))
