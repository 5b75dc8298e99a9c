"""How long the demo takes on an empty instance, and when nothing changed; how much memory it needs."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from soil_assets.benchmarks.harness import Figure, ProcessRun, run_process

_RUNS = 3


def run() -> list[Figure]:
    """Run the demo ``_RUNS`` times on instances of its own, each followed by a run in which nothing changed."""
    import statistics

    warm, again, peaks = [], [], []
    for _ in range(_RUNS):
        with tempfile.TemporaryDirectory() as home:
            first, second = _demo(home), _demo(home)
        warm.append(first.seconds)
        again.append(second.seconds)
        peaks.append(max(first.peak_bytes, second.peak_bytes))
        made = json.loads(second.stdout)["materialized"]
        if made:
            raise RuntimeError(f"the second run materialized {made} assets although nothing changed")
    return [
        Figure("warm_seconds", statistics.median(warm), "s", _RUNS, None, "whole process, empty instance"),
        Figure(
            "rerun_seconds",
            statistics.median(again),
            "s",
            _RUNS,
            None,
            "nothing changed, nothing materialized",
        ),
        Figure("peak_gb", max(peaks) / 1e9, "GB", _RUNS, None, "largest process"),
    ]


def _demo(home: str) -> ProcessRun:
    env = {k: v for k, v in os.environ.items() if k not in ("SOIL_HOME", "SOIL_DAGSTER_STORAGE")}
    env["SOIL_HOME"] = str(Path(home) / "soil")
    done = run_process([sys.executable, "-m", "soil_assets", "demo", "--json"], env=env)
    if done.returncode:
        raise RuntimeError(f"the demo failed:\n{done.stderr}")
    return done
