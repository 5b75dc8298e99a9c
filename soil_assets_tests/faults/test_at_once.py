"""Four runs of one batch at once, from two instances on one store: each comes to its verdict, and none is held."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
import pytest

from soil_assets.benchmarks.fault_kills import in_worker
from soil_assets.defs.build import assets_of, blocking_of
from soil_assets.defs.gates import open_gates, select_batches
from soil_assets.defs.interference import wrong_versions
from soil_assets.defs.pipeline import standing
from soil_assets.defs.run import run_selection
from soil_assets_tests.conftest import Platform, make_platform
from soil_assets_tests.defs.batches import folds, land_as

CHAIN = "raw_spectra,validated_batches,drift_reports"
pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning"),
]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_each_comes_to_its_verdict(tmp_path: Path) -> None:
    (tmp_path / "dagster-2").mkdir()
    first = make_platform(tmp_path)
    other = dg.DagsterInstance.local_temp(
        str(tmp_path / "dagster-2"), overrides={"telemetry": {"enabled": False}}
    )
    platforms = [first, Platform(first.settings, first.definitions, other)]
    try:
        land_as(first.landing, "b1", folds(6))
        for platform in platforms:
            assert in_worker(lambda chosen=platform: _run(chosen, "reference_spectra", None), 300.0)[1:] == (
                False,
                "",
            )
            platform.instance.add_dynamic_partitions("batch", ["b1"])
        children = []
        for platform in [*platforms, *platforms]:
            child = os.fork()
            if child == 0:
                _, killed, error = in_worker(lambda chosen=platform: _run(chosen, CHAIN, "b1"), 300.0)
                os.write(2, error.encode())
                os._exit(3 if killed or error else 0)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(children)
        checks = blocking_of(assets_of(first.settings))
        for platform in platforms:
            assert open_gates(platform.instance, checks, "b1") == []
            assert select_batches(platform.instance, checks).taken == ("b1",)
            assert wrong_versions(platform.instance, platform.settings, ["b1"]) == []
            done = standing(platform.definitions, platform.instance, platform.settings, CHAIN)
            assert (done.held, done.open) == ([], [])
    finally:
        other.dispose()
        first.instance.dispose()


def _run(platform: Platform, selection: str, partition: str | None) -> None:
    """Run in a child, with an instance that it opens itself: connections do not outlive a fork."""
    with dg.DagsterInstance.from_ref(platform.instance.get_ref()) as own:
        outcome = run_selection(platform.definitions, own, selection, partition)
    if outcome.errors:
        raise RuntimeError("; ".join(outcome.errors))
