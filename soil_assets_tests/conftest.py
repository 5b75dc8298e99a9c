"""Fixtures that several rooms share: a home of its own for every test, and a platform on it."""

from __future__ import annotations

# ruff: noqa: E402  # numpy reads these when it is imported
import os

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from soil_assets.config import Settings
from soil_assets.defs.build import build_definitions
from soil_assets.defs.resources import Soil
from soil_assets.defs.run import RunOutcome, run_job, run_selection
from soil_assets.storage import Store


@dataclass(frozen=True)
class Platform:
    """Definitions and a real SQLite instance on a temporary home."""

    settings: Settings
    definitions: dg.Definitions
    instance: dg.DagsterInstance

    @property
    def landing(self) -> Store:
        return Store(self.settings.url("landing"))

    @property
    def soil(self) -> Soil:
        return Soil.of(self.settings)

    def run(self, selection: str, partition: str | None = None) -> RunOutcome:
        return run_selection(self.definitions, self.instance, selection, partition)

    def judge(self, batch: str) -> RunOutcome:
        if batch not in self.instance.get_dynamic_partitions("batch"):
            self.instance.add_dynamic_partitions("batch", [batch])
        return run_job(self.definitions, self.instance, "judge_batch", batch)


def make_platform(home: Path, **changes: object) -> Platform:
    """Return a platform on ``home``; the caller disposes of the instance."""
    settings = Settings.model_validate({"home": str(home), "properties": ["clay"], **changes})
    (home / "dagster").mkdir(parents=True, exist_ok=True)
    instance = dg.DagsterInstance.local_temp(
        str(home / "dagster"), overrides={"telemetry": {"enabled": False}}
    )
    return Platform(settings, build_definitions(settings), instance)


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    made = make_platform(tmp_path)
    try:
        yield made
    finally:
        made.instance.dispose()


@pytest.fixture(autouse=True, scope="session")
def _quiet_environment() -> Iterator[None]:
    """No test may write into a person's home of soil or dagster, or talk to an index of telemetry."""
    kept = {k: os.environ.get(k) for k in ("SOIL_HOME", "DAGSTER_HOME", "SOIL_CONFIG", "SOIL_DEPLOYMENT")}
    for key in kept:
        os.environ.pop(key, None)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    yield
    for key, value in kept.items():
        if value is not None:
            os.environ[key] = value


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put modules with slow tests first, those of most patience ahead: no worker is left with a long one at the end.

    Workers take modules in this order with xdist's ``--no-loadscope-reorder``.
    """
    patience: Counter[Path] = Counter()
    for item in items:
        if item.get_closest_marker("slow"):
            limit = item.get_closest_marker("timeout")
            patience[item.path] += int(limit.args[0]) if limit else 300
    items.sort(key=lambda item: -patience[item.path])
