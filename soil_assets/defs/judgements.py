"""How often each batch was judged, as the instance tells it: for whoever checks that it was exactly once.

Belongs here: counting. Does not belong here: what a gate says (``defs.gates``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from soil_assets.config import Settings
from soil_assets.defs.build import assets_of, blocking_of
from soil_assets.defs.dead_runs import died
from soil_assets.defs.gates import BATCH_CHAIN, gate_records, open_gates
from soil_assets.defs.landing_zone import batch_version
from soil_assets.defs.resources import Soil
from soil_assets.defs.staleness import stored_data_version
from soil_assets.defs.streams import all_streams
from soil_assets.defs.verdicts import materialization


@dataclass(frozen=True)
class Judgement:
    """How a batch was judged.

    Parameters
    ----------
    open_gates : tuple of str
        Blocking gates without a verdict about what lies in the landing zone, up to the first that said no.
    living_runs : int
        Runs that came to its last asset and did not die.
    records : int
        Records of the batch in the streams of its instrument that later batches are compared with; 1 also for a
        batch that never came to the drift gate.
    passed : bool
        Whether every blocking gate let it go on.
    """

    open_gates: tuple[str, ...]
    living_runs: int
    records: int
    passed: bool


def judgements(
    instance: dg.DagsterInstance, settings: Settings, names: Sequence[str]
) -> dict[str, Judgement]:
    """Return how each batch was judged; those that were not are left out."""
    soil = Soil.of(settings)
    checks = blocking_of(assets_of(settings))
    kept = [r.batch for s in all_streams(soil.data) for r in s.records()]
    found = {}
    for name in names:
        if materialization(instance, BATCH_CHAIN[0], name) is None:
            continue
        landed = stored_data_version(instance, BATCH_CHAIN[0], name) == batch_version(soil.landing, name)
        waiting = [] if landed else ["raw_spectra: an older content"]
        waiting += open_gates(instance, checks, name)
        last, passed = BATCH_CHAIN[0], True
        for asset in BATCH_CHAIN:
            last = asset
            records = gate_records(instance, asset, checks[asset], name)
            passed = all(r.passed for r in records)
            if not passed:
                break
        records_kept = kept.count(name) if last == BATCH_CHAIN[-1] else 1
        found[name] = Judgement(tuple(waiting), _living_runs(instance, last, name), records_kept, passed)
    return found


def _living_runs(instance: dg.DagsterInstance, asset: str, name: str) -> int:
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[name]), limit=100
    ).records
    runs = [instance.get_run_by_id(run_id) for run_id in {r.run_id for r in records}]
    return sum(run is not None and not died(run) for run in runs)
