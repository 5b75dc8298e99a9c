"""How old an asset may grow: dagster's freshness policies, from ``watch`` in ``soil.yaml``.

Belongs here: putting a policy on the assets that are named. Dagster's freshness daemon judges them, the sensor
``alerts`` tells of those that failed. Does not belong here: the limits themselves (``watch_settings``).

A policy is of an asset, not of a partition: a new day, or one property's validation, makes it fresh.
"""

from collections.abc import Sequence
from datetime import timedelta

import dagster as dg

from soil_assets.config import Settings
from soil_assets.errors import BadInput

#: The UI turns amber at this share of the age at which an alert goes out.
WARN_SHARE = 0.9
#: What dagster takes at least as a window.
_SHORTEST = timedelta(minutes=1)


def with_freshness(assets: Sequence[dg.AssetsDefinition], settings: Settings) -> list[dg.AssetsDefinition]:
    """Return the assets with a policy on each that ``watch.stale_after_days`` names.

    A branch deployment has none: it lives for days and adopts production's records, which are old by nature.
    ``staging_releases`` has one only where there is a repository to release to.

    Raises
    ------
    BadInput
        When a named asset does not exist.
    """
    limits = settings.watch.days()
    known = sorted(key.path[-1] for asset in assets for key in asset.keys)
    for name in limits:
        if name not in known:
            raise BadInput(
                "no such asset",
                column=f"watch.stale_after_days.{name}",
                found=name,
                expected=", ".join(known),
                mend="mend the spelling or remove the key",
            )
    if settings.deployment == "branch":
        return list(assets)
    if not settings.release.manifests():
        limits.pop("staging_releases", None)

    def watched(spec: dg.AssetSpec) -> dg.AssetSpec:
        days = limits.get(spec.key.path[-1])
        return spec if days is None else spec.replace_attributes(freshness_policy=policy(days))

    return [
        asset.map_asset_specs(watched) if any(key.path[-1] in limits for key in asset.keys) else asset
        for asset in assets
    ]


def policy(days: float) -> dg.FreshnessPolicy:
    """Return the policy of an asset that is too old after ``days``."""
    fail = timedelta(days=days)
    return dg.FreshnessPolicy.time_window(fail_window=fail, warn_window=max(fail * WARN_SHARE, _SHORTEST))
