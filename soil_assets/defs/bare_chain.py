"""The chain from a landed batch to the decision report, called as plain functions: the peer of the orchestrated one.

Belongs here: calling each asset's own function with what the one before it returned. Does not belong here: runs,
storage of values, events, which are what the comparison is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from soil_assets.defs.resources import Soil, registry_of

CHAIN = (
    "raw_spectra",
    "validated_batches",
    "drift_reports",
    "training_set",
    "trained_models",
    "benchmark_evaluations",
    "model_comparisons",
    "decision_report",
)


@dataclass(frozen=True)
class _Context:
    """What the assets of the chain use of Dagster's context."""

    partition_key: str
    instance: dg.DagsterInstance
    run: dg.DagsterRun
    log: Any
    assets_def: dg.AssetsDefinition

    @property
    def run_id(self) -> str:
        return self.run.run_id

    @property
    def asset_key(self) -> dg.AssetKey:
        return self.assets_def.key


def call_chain(
    assets: Sequence[dg.AssetsDefinition],
    instance: dg.DagsterInstance,
    soil: Soil,
    frozen: dict[str, Any],
    batch: str,
    prop: str,
) -> list[str]:
    """Call the assets' functions in order, one batch and one property; return the names of those called.

    Parameters
    ----------
    frozen : dict
        Values of the frozen sets by name; results are added to a copy.
    """
    import inspect
    import logging

    from soil_assets.adapters.mlflow import quiet

    by_name = {a.key.path[-1]: a for a in assets if a.key.path[-1] in CHAIN}
    run = dg.DagsterRun(job_name="called_by_hand")
    values = dict(frozen)
    with quiet():
        import mlflow

        registry = registry_of(soil.settings)
        registry.client()
        mlflow.set_experiment(registry.experiment)
        with mlflow.start_run():
            for name in CHAIN:
                definition = by_name[name]
                context = _Context(
                    batch if name in CHAIN[:3] else prop, instance, run, logging.getLogger("soil"), definition
                )
                function = definition.op.compute_fn.decorated_fn  # type: ignore[union-attr]
                wanted = inspect.signature(function).parameters
                given: dict[str, Any] = {
                    k: v for k, v in (values | {"mlflow": mlflow}).items() if k in wanted
                }
                values[name] = function(context, soil=soil, **given).value
    return list(CHAIN)
