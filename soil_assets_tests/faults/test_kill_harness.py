"""A short run of the fault harness: every stage killed, resumed, killed while it resumes; and that it can fail."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from soil_assets.benchmarks.bench_faults import by_stage, figures
from soil_assets.benchmarks.fault_invariants import Found
from soil_assets.benchmarks.fault_kills import Journal, Kill, in_worker, kill_in_lanes, look_apart, warmed
from soil_assets.benchmarks.fault_world import STAGES, copied
from soil_assets.benchmarks.field_batches import FieldBatches

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore"),  # mlflow and its dependencies, and fork beside their threads
]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    """What every world starts from, and how long stages take in a process that has done each once."""
    return warmed(Path(tmp_path_factory.mktemp("warm")))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_and_resumed_everything_holds(tmp_path: Path, prepared: tuple[Path, dict[str, float]]) -> None:
    journal = Journal(tmp_path / "journal.jsonl", "this")

    def enough() -> bool:
        return set(by_stage(journal.entries())) == set(STAGES)

    failed = list(kill_in_lanes(tmp_path, journal, enough, 1, 7, again=0.25, prepared=prepared))
    found = {f.name: f.value for f in figures(journal.entries(), 0, failed)}
    assert found["kills"] >= len(STAGES)
    assert (found["rows_lost"], found["rows_doubled"], found["broken_invariants"]) == (0, 0, 0), by_stage(
        journal.entries()
    )


@pytest.mark.slow
def test_what_is_broken_is_found(tmp_path: Path, prepared: tuple[Path, dict[str, float]]) -> None:
    """Rows taken out of a value, a page cut short, a batch that nobody judged: each is seen."""
    world = copied(prepared[0], tmp_path / "world", FieldBatches())
    world.drop("b1", 1)
    world.do("ingest")
    assert look_apart(world, "ingest", finished=True).holds
    world.landed["b1"].append("one that was lost")
    assert look_apart(world, "ingest", finished=False).rows_lost == 1
    world.landed["b1"] = world.landed["b1"][1:-1]
    assert look_apart(world, "ingest", finished=False).rows_doubled == 1
    world.drop("b1", 1)
    page = Path(world.settings.url("reports")) / "batches" / "b1" / "index.html"
    page.write_text(page.read_text(encoding="utf-8")[:500], encoding="utf-8")
    assert any("is cut" in b for b in look_apart(world, "ingest", finished=False).broken)
    world.drop("b2", 2)
    found = look_apart(world, "ingest", finished=True)
    assert found.rows_lost == len(world.landed["b2"])
    assert any("never judged" in b for b in found.broken)


def test_a_worker_that_fails_or_is_killed_is_told_apart() -> None:
    def fails() -> None:
        raise ValueError("as it should")

    assert in_worker(lambda: None, 60.0)[1:] == (False, "")
    seconds, killed, said = in_worker(fails, 60.0)
    assert not killed
    assert "as it should" in said
    assert in_worker(signal.pause, 0.05)[1:] == (True, "")
    assert seconds >= 0


def test_kills_add_up_over_runs_and_count_for_their_code_only(tmp_path: Path) -> None:
    for run in range(3):
        journal = Journal(tmp_path / "journal.jsonl", "new" if run else "old")
        journal.add(Kill("ingest", 0.5, journal.code))
        journal.add(Kill("ingest", 0.0, journal.code, resumed=1.0 + run, rows_lost=run))
    journal = Journal(tmp_path / "journal.jsonl", "new")
    assert journal.count() == 2
    found = {f.name: f for f in figures(journal.entries(), 1, [])}
    assert (found["kills"].value, found["kills"].n) == (2, 1)
    assert (found["rows_lost"].value, found["resume_seconds"].value) == (3, 3.0)


def test_rows_are_compared_one_by_one() -> None:
    found = Found()
    found.compare(["a", "b", "b"], ["b", "c"], "here")
    assert (found.rows_lost, found.rows_doubled) == (2, 1)
    assert not found.holds
