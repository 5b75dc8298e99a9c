"""The platform itself in figures: runs, sensors and schedules, daemons, and how old assets are.

Belongs here: what Dagster's instance records of itself. Does not belong here: what is wrong with it (alert rules).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import dagster as dg

from soil_assets.adapters.prometheus import Family

_STATUSES = {
    "queued": (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED),
    "running": (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING),
    "succeeded": (dg.DagsterRunStatus.SUCCESS,),
    "failed": (dg.DagsterRunStatus.FAILURE,),
    "cancelled": (dg.DagsterRunStatus.CANCELED,),
}

FAMILIES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "soil_runs": ("Dagster runs that are kept, by status.", ("status",)),
    "soil_tick_timestamp_seconds": (
        "When a sensor or schedule was last evaluated (Unix time).",
        ("name", "kind"),
    ),
    "soil_tick_failed": ("1 when the last evaluation of a sensor or schedule failed.", ("name", "kind")),
    "soil_daemon_heartbeat_timestamp_seconds": (
        "When a daemon last gave a sign of life (Unix time).",
        ("daemon",),
    ),
    "soil_asset_made_timestamp_seconds": ("When an asset was last materialized (Unix time).", ("asset",)),
    "soil_asset_stale_after_seconds": ("Age at which an asset is too old.", ("asset",)),
    "soil_asset_stale": ("1 when an asset is older than that, as its freshness policy says.", ("asset",)),
}


def tell_ages(
    found: Mapping[str, Family], instance: dg.DagsterInstance, assets: Sequence[dg.AssetsDefinition]
) -> None:
    """Tell when each asset was last made, and whether that is too long ago."""
    specs = {spec.key: spec for asset in assets for spec in asset.specs}
    made = {
        record.asset_entry.asset_key: record.asset_entry.last_materialization.timestamp
        for record in instance.get_asset_records(list(specs))
        if record.asset_entry.last_materialization is not None
    }
    for key, spec in sorted(specs.items()):
        name, at = key.path[-1], made.get(key)
        if at is not None:
            found["soil_asset_made_timestamp_seconds"].add(name, figure=at)
        limit = getattr(spec.freshness_policy, "fail_window", None)
        if limit is not None:
            seconds = limit.to_timedelta().total_seconds()
            found["soil_asset_stale_after_seconds"].add(name, figure=seconds)
            # What was never made is no more stale for Dagster's daemon, which calls it unknown.
            found["soil_asset_stale"].add(name, figure=float(at is not None and time.time() - at >= seconds))


def tell_runs(found: Mapping[str, Family], instance: dg.DagsterInstance) -> None:
    """Tell of runs, of sensors and schedules, and of the daemons behind them."""
    for status, wanted in _STATUSES.items():
        count = instance.get_runs_count(dg.RunsFilter(statuses=list(wanted)))
        found["soil_runs"].add(status, figure=count)
    for daemon, beat in sorted(instance.get_daemon_heartbeats().items()):
        found["soil_daemon_heartbeat_timestamp_seconds"].add(daemon.lower(), figure=beat.timestamp)
    told: set[tuple[str, str]] = set()
    for state in instance.all_instigator_state():
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
        place = (state.instigator_name, state.instigator_type.value.lower())
        if not ticks or place in told:  # the same name in another code location
            continue
        told.add(place)
        found["soil_tick_timestamp_seconds"].add(*place, figure=ticks[0].timestamp)
        found["soil_tick_failed"].add(*place, figure=float(ticks[0].is_failure))
