"""A run that two daemons take from the queue at once is launched by one of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import dagster as dg
import pytest
import yaml
from dagster._core.launcher.base import LaunchRunContext
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher

from soil_assets.defs.launching import LAUNCHED_TAG, OnceRunLauncher, claim
from soil_assets_tests.delivery.servers import postgres

ROOT = Path(__file__).resolve().parent.parent.parent
DAEMONS = 8
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@dg.op
def nothing() -> None:
    """Do nothing."""


@dg.job
def empty() -> None:
    """A job of one step."""
    nothing()


def at_once(home: Path, run_id: str) -> list[bool]:
    """Ask for one run from daemons with a connection each, at the same moment."""
    together = Barrier(DAEMONS)

    def ask(_: int) -> bool:
        with dg.DagsterInstance.from_config(str(home)) as own:
            together.wait()
            return claim(own, run_id)

    with ThreadPoolExecutor(DAEMONS) as pool:
        return list(pool.map(ask, range(DAEMONS)))


def one_of_many(home: Path) -> None:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        for _ in range(5):
            run = instance.create_run_for_job(empty)
            assert at_once(home, run.run_id).count(True) == 1
            assert not claim(instance, run.run_id)
            other = instance.create_run_for_job(empty)
            assert claim(instance, other.run_id)
            found = instance.get_runs(dg.RunsFilter(run_ids=[run.run_id]))
            assert len(found) == 1
        assert instance.get_run_tags([LAUNCHED_TAG])


def test_one_of_many_daemons_gets_a_run_on_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOIL_DAGSTER_STORAGE", str(tmp_path / "dagster"))
    (tmp_path / "dagster.yaml").write_text(
        (ROOT / "dagster.yaml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    one_of_many(tmp_path)


def test_one_of_many_daemons_gets_a_run_on_postgresql(tmp_path: Path) -> None:
    pytest.importorskip("dagster_postgres")
    with postgres("dagster") as address:
        storage = {"postgres": {"postgres_url": address}}
        (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({"storage": storage}), encoding="utf-8")
        one_of_many(tmp_path)


def test_the_launcher_launches_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOIL_DAGSTER_STORAGE", str(tmp_path / "dagster"))
    started: list[str] = []
    monkeypatch.setattr(
        DefaultRunLauncher, "launch_run", lambda self, context: started.append(context.dagster_run.run_id)
    )
    with (
        dg.DagsterInstance.from_config(str(ROOT)) as first,
        dg.DagsterInstance.from_config(str(ROOT)) as second,
    ):
        assert isinstance(first.run_launcher, OnceRunLauncher)
        run = first.create_run_for_job(empty)
        for instance in (first, second):
            instance.run_launcher.launch_run(LaunchRunContext(run, workspace=None))
    assert started == [run.run_id]
