"""Engines of the SQLite storages are kept, and what is written is what Dagster writes without it."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from soil_assets.defs import sqlite_engines
from soil_assets.defs.run import open_instance
from soil_assets.defs.sqlite_engines import KeptEngines, reuse_engines


@dg.asset
def measured() -> int:
    return 1


def home(folder: Path) -> Path:
    folder.mkdir()
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    return folder


def test_a_file_keeps_its_engine_and_events_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dagster._core.storage.event_log.sqlite import sqlite_event_log
    from dagster._core.storage.runs.sqlite import sqlite_run_storage
    from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
    from sqlalchemy import create_engine

    modules = (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage)
    for module in modules:  # an earlier test of this process may have kept some
        monkeypatch.setattr(module, "create_engine", create_engine)
    told = []
    for name in ("plain", "kept"):
        with dg.DagsterInstance.from_config(str(home(tmp_path / name))) as instance:
            if name == "kept":
                reuse_engines()
            made = dg.materialize([measured], instance=instance)
            logs = instance.all_logs(made.run_id)
            told.append([e.dagster_event.event_type_value for e in logs if e.dagster_event])
            assert instance.get_latest_materialization_event(dg.AssetKey("measured")) is not None
    assert told[0] == told[1]
    for module in modules:
        assert isinstance(module.create_engine, KeptEngines), "Dagster makes its engines otherwise now"
    assert isinstance(sqlite_event_log.create_engine, KeptEngines)
    kept = sqlite_event_log.create_engine.engines
    assert 2 <= len(kept) < 8, "the index's, and one a run"
    with open_instance(tmp_path / "kept") as instance:
        assert len(instance.get_runs()) == 1
    reuse_engines()
    assert sqlite_event_log.create_engine.engines is kept, "not wrapped twice"


def test_only_engines_without_a_pool_are_kept_and_not_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    monkeypatch.setattr(sqlite_engines, "_MOST", 3)
    made = KeptEngines(create_engine)
    first = made("sqlite://", poolclass=NullPool)
    assert made("sqlite://", poolclass=NullPool) is first
    assert made("sqlite://", poolclass=NullPool, connect_args={"timeout": 1}) is not first
    assert made("sqlite://") is not made("sqlite://"), "a pool holds connections"
    for number in range(5):
        made(f"sqlite:///{number}.db", poolclass=NullPool)
        assert len(made.engines) <= 3
