"""Reboots at random instants, and every order of two runs at once: what is stuck, lost, or of another's verdict."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from soil_assets.benchmarks.fault_kills import in_worker
from soil_assets.benchmarks.fault_world import copied, template
from soil_assets.benchmarks.field_batches import FieldBatches
from soil_assets.benchmarks.harness import Figure
from soil_assets.benchmarks.reboots import PATIENCE_SECONDS, Journal, reboot
from soil_assets.errors import BadInput

_WANTED = 200
#: A run ends before the time that a bench may take; the next one goes on.
_MINUTES = 31.0


def run() -> tuple[list[Figure], dict[str, Any]]:
    """Reboot until the journal has ``_WANTED`` reboots of this code, or the time is over; play every case once."""
    if not hasattr(os, "killpg"):
        raise BadInput(
            "this bench kills process groups", found=os.name, expected="a system with process groups"
        )
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(threads, "1")
    from soil_assets.defs.verdict_cases import displaced_anew

    journal = journal_of_home()
    end = time.monotonic() + 60 * float(os.environ.get("SOIL_BENCH_MINUTES") or _MINUTES)

    def reboots() -> int:
        return sum(r.reboots for r in journal.rounds())

    target, before = max(_WANTED, reboots() + 1), reboots()
    with tempfile.TemporaryDirectory(prefix="soil-reboots-") as folder:
        pristine = Path(folder) / "template"
        _, killed, error = in_worker(lambda: template(pristine), 600.0)
        if killed or error:
            raise RuntimeError(f"the template could not be made: {error or 'it hangs'}")
        world = copied(pristine, Path(folder) / "world", FieldBatches())
        reboot(world, journal, lambda: time.monotonic() > end or reboots() >= target, before + 1)
    rounds = journal.rounds()
    told = [
        Figure("reboots", reboots(), "reboots", reboots() - before, None, "process group killed; n in this run"),
        Figure(
            "stuck", sum(r.stuck for r in rounds), "batches", len(rounds), None,
            f"without a verdict after {PATIENCE_SECONDS:g} s",
        ),
        Figure("lost", sum(r.lost for r in rounds), "batches", len(rounds), None, "never asked for"),
        Figure("wrong_version", sum(r.wrong_version for r in rounds), "batches", len(rounds)),
    ]  # fmt: skip
    played, wrong = displaced_anew()
    told.append(
        Figure("displaced_verdicts", len(wrong), "cases", played, None, "two runs at once, in every order")
    )
    return told, {
        "slowest_seconds": max((r.seconds for r in rounds), default=None),
        "broken": [b for r in rounds for b in r.broken][:50],
        "displaced": wrong[:50],
    }


def journal_of_home() -> Journal:
    """Return the journal below SOIL_HOME, counting reboots of the code as it is."""
    from soil_assets.config import load_settings
    from soil_assets.defs.code_versions import code_version

    code = code_version("defs", "storage.py", "branch_store.py")
    return Journal(Path(load_settings().home) / "faults" / "reboots.jsonl", code)
