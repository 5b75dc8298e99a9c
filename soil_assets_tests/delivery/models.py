"""Small real models in a registry, for tests of what happens after training."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from soil_assets.adapters.mlflow import Registry, quiet
from soil_assets.adapters.registry import Because, Evidence, register

if TYPE_CHECKING:
    from soil_assets.modeling.model import SoilModel
    from soil_assets.spectra.batch import SpectralBatch

CLEAN = Evidence(
    checks={"training_set.no_benchmark_leakage": True, "model_comparisons.not_worse": True},
    data={"training_set": "ab12", "benchmark_spectra": "cd34"},
    commit="0123456789ab",
    report="https://reports.example.org/decision/report.html",
)
RELEASED = Because("dagster run 42", "every gate of the lineage passed")
ADA = Because("Ada Lovelace <ada@example.org>", "three weeks on staging without a complaint")


@cache
def field() -> SpectralBatch:
    """One real field on the axis of soil.yaml, coarser."""
    from soil_assets.spectra.axis import Axis
    from soil_assets.spectra.embedded import limesoda
    from soil_assets.spectra.harmonise import harmonise

    return harmonise(limesoda("NRW.115"), Axis.regular(3796.0, 552.0, 16.0, "cm-1"), "absorbance")


@cache
def model(prop: str = "clay", *, worse: bool = False) -> SoilModel:
    """A model of the field's first 60 samples; a worse one has learnt permuted lab values."""
    from soil_assets.modeling.recipe import Recipe
    from soil_assets.modeling.train import train
    from soil_assets.spectra.catalogue import BUILT_IN

    part = field().take(np.arange(60))
    if worse:
        table = part.samples.copy()
        table[prop] = np.random.default_rng(0).permutation(table[prop].to_numpy())
        part = part.with_samples(table)
    return train(part, BUILT_IN[prop], Recipe())


_ONE_AT_A_TIME = threading.Lock()


def log(registry: Registry, fitted: SoilModel) -> tuple[str, str]:
    """Log a model in a run of its own; return the run's id and the model's address."""
    from soil_assets.adapters.mlflow_runs import log_model

    with _ONE_AT_A_TIME, quiet():
        import mlflow

        registry.client()
        mlflow.set_experiment(registry.experiment)
        with mlflow.start_run() as run:
            return run.info.run_id, log_model(mlflow, fitted)


def registered(
    registry: Registry,
    name: str = "soil-clay",
    *,
    fitted: SoilModel | None = None,
    evidence: Evidence | None = None,
) -> int:
    """Log and register one more version; return its number."""
    run_id, uri = log(registry, fitted if fitted is not None else model())
    return register(
        registry, name, uri, run_id, evidence=evidence or CLEAN, because=RELEASED, tags={}
    ).version


@contextmanager
def sqlite_registry(folder: Path) -> Iterator[Registry]:
    """A registry in a file."""
    yield Registry(f"sqlite:///{folder}/mlflow.db", "soil-local", str(folder / "artifacts"))
