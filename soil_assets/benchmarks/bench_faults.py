"""Processes killed at random instants, and what was lost: kills add up in a journal over runs."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from soil_assets.benchmarks.fault_kills import Journal, Kill, kill_in_lanes
from soil_assets.benchmarks.harness import Figure
from soil_assets.errors import BadInput

_WANTED = 1000
#: A run ends before the time that a bench may take; the next one goes on.
_MINUTES = 31.0
#: What a run does at least when the journal has enough already.
_AT_LEAST = 50


def run() -> tuple[list[Figure], dict[str, Any]]:
    """Kill until the journal has ``_WANTED`` kills of this code, or the time is over."""
    if not hasattr(os, "fork"):
        raise BadInput("this bench kills forked processes", found=os.name, expected="a system with fork")
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(threads, "1")
    journal = journal_of_home()
    before = journal.count()
    target = max(_WANTED, before + _AT_LEAST)
    minutes = float(os.environ.get("SOIL_BENCH_MINUTES") or _MINUTES)
    end = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory(prefix="soil-faults-") as folder:
        lanes = min(2, os.cpu_count() or 1)
        failed = list(
            kill_in_lanes(
                Path(folder),
                journal,
                lambda: time.monotonic() > end or journal.count() >= target,
                lanes,
                before + 1,
            )
        )
    return figures(journal.entries(), before, failed), {"kills_by_stage": by_stage(journal.entries())}


def journal_of_home() -> Journal:
    """Return the journal below SOIL_HOME, counting kills of the code as it is."""
    from soil_assets.config import load_settings
    from soil_assets.defs.code_versions import code_version

    code = code_version("defs", "adapters", "delivery", "storage.py", "branch_store.py")
    return Journal(Path(load_settings().home) / "faults" / "journal.jsonl", code)


def figures(entries: list[Kill], before: int, failed: list[str]) -> list[Figure]:
    """Return the figures of a journal."""
    kills = [k for k in entries if k.resumed is None]
    resumed = [k.resumed for k in entries if k.resumed is not None]
    counted = Counter(k.stage for k in kills)
    note = ", ".join(f"{n} in {stage}" for stage, n in counted.items())
    broken = sum(len(k.broken) for k in entries) + len(failed)
    told = [
        Figure("kills", len(kills), "kills", len(kills) - before, None, f"{note}; n of them in this run"),
        Figure(
            "rows_lost",
            sum(k.rows_lost for k in entries),
            "rows",
            len(entries),
            None,
            "looked after each kill",
        ),
        Figure("rows_doubled", sum(k.rows_doubled for k in entries), "rows", len(entries)),
        Figure("broken_invariants", broken, "cases", len(entries), None, "; ".join(failed) or None),
    ]
    if resumed:
        told += [
            Figure("resume_seconds", max(resumed), "s", len(resumed), None, "the slowest, imports done"),
            Figure("resume_median_seconds", statistics.median(resumed), "s", len(resumed)),
        ]
    return told


def by_stage(entries: list[Kill]) -> dict[str, dict[str, Any]]:
    """Return kills, slowest resumption and what broke, by stage."""
    table: dict[str, dict[str, Any]] = {}
    for k in entries:
        row = table.setdefault(k.stage, {"kills": 0, "resumed": 0, "slowest_s": 0.0, "broken": []})
        row["kills"] += k.resumed is None
        row["resumed"] += k.resumed is not None
        row["slowest_s"] = max(row["slowest_s"], k.resumed or 0.0)
        row["broken"] = [*row["broken"], *k.broken][:20]
    return table
