"""What every bench prints: named figures, in one JSON form.

Belongs here: the figure, the machine's description, repeated timing, peak memory of a child process.
Does not belong here: what is measured (``bench_*.py``, one file a bench, each with ``run() -> list[Figure]``).
"""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from soil_assets.errors import BadInput


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Parameters
    ----------
    name : str
        As the table of goals names it.
    value : float
        What was measured; a figure that was not measured is left out, never filled in.
    unit : str
        Unit of ``value``.
    n : int or None
        Repetitions or cases behind it.
    peer : str or None
        What it is a ratio against, measured in the same run.
    note : str or None
        How it was measured.
    """

    name: str
    value: float
    unit: str
    n: int | None = None
    peer: str | None = None
    note: str | None = None


def names() -> list[str]:
    """Return the names of the benches there are."""
    return sorted(p.stem.removeprefix("bench_") for p in Path(__file__).parent.glob("bench_*.py"))


def run(name: str) -> dict[str, Any]:
    """Run one bench and return its JSON object.

    Raises
    ------
    BadInput
        When there is no such bench.
    """
    if name not in names():
        raise BadInput("no such bench", found=name, expected=", ".join(names()))
    module = import_module(f"soil_assets.benchmarks.bench_{name}")
    result = module.run()
    # A bench may add tables of its own (a ledger of looks, cells behind a worst case) beside its figures.
    figures, extra = result if isinstance(result, tuple) else (result, {})
    return {"bench": name, "machine": machine(), "figures": [asdict(f) for f in figures], **extra}


def machine() -> dict[str, Any]:
    """Describe the machine the figures belong to."""
    return {
        "cpus": os.cpu_count(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "system": platform.system(),
    }


def median_seconds(call: Callable[[], object], repeats: int = 5, warmup: int = 1) -> float:
    """Return the median wall-clock seconds of ``call`` over ``repeats`` runs."""
    for _ in range(warmup):
        call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


@dataclass(frozen=True)
class ProcessRun:
    """A finished child process: wall-clock seconds, peak resident bytes of the largest process, output."""

    seconds: float
    peak_bytes: int
    stdout: str
    stderr: str
    returncode: int


def run_process(arguments: Sequence[str], env: dict[str, str] | None = None) -> ProcessRun:
    """Run a command and account for it; the peak is of the child alone, taken from a small parent of its own."""
    probe = (
        "import resource,subprocess,sys,time,json;"
        "s=time.perf_counter();p=subprocess.run(sys.argv[1:],capture_output=True,text=True);"
        "t=time.perf_counter()-s;"
        "print(json.dumps([t,resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss,p.stdout,p.stderr,p.returncode]))"
    )
    import json

    finished = subprocess.run(
        [sys.executable, "-c", probe, *arguments], capture_output=True, text=True, check=True, env=env
    )
    seconds, peak, stdout, stderr, code = json.loads(finished.stdout)
    return ProcessRun(seconds, int(peak) * _RSS_UNIT, stdout, stderr, int(code))


#: ru_maxrss counts kilobytes on Linux and bytes on macOS.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def own_peak_bytes() -> int:
    """Return this process's peak resident memory in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
