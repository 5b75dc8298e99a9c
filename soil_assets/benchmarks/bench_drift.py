"""The drift bench: false alarms, power, applicability limits and speed, with peers in the same run.

Belongs here: which figures are measured and how they are summed up. The runs are in ``drift_runs``, the
changes in ``drift_changes``, the sets in ``drift_sets``, the speed in ``drift_speed``.

``SOIL_BENCH_SPLITS`` sets the splits of an in-control cell (default 2000), ``SOIL_BENCH_DRAWS`` the batches
of a held power cell at n = 20 (default 200), ``SOIL_BENCH_WORKERS`` the processes (default: one a core).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

from soil_assets.benchmarks import drift_speed
from soil_assets.benchmarks.drift_changes import CHANGES
from soil_assets.benchmarks.drift_runs import (
    NATURAL,
    PAIRS,
    Cell,
    binomial_interval,
    changed,
    in_control,
    in_control_generated,
    limit_exceedances,
    real_pair,
    sizes_for,
    soils_in,
)
from soil_assets.benchmarks.drift_sets import IN_CONTROL, RESEMBLING, available
from soil_assets.benchmarks.harness import Figure

#: Splits that one task of a worker runs.
_CHUNK = 100
#: Batch sizes of the power table; the goal is at 20.
_POWER_SIZES = (10, 20, 50)
#: Sets need this many calibration samples for their limits to be judged.
_LIMIT_CALIBRATION = 200
_LIMIT_SPLITS = 200
_GENERATED_SPLITS = 100


def run() -> tuple[list[Figure], dict[str, Any]]:
    """Measure everything; cells whose set is not here are left out and named."""
    splits = int(os.environ.get("SOIL_BENCH_SPLITS", "2000"))
    draws = int(os.environ.get("SOIL_BENCH_DRAWS", "200"))
    workers = int(os.environ.get("SOIL_BENCH_WORKERS", os.cpu_count() or 1))
    sets = [name for name in IN_CONTROL if available(name)]
    figures, extra = drift_speed.figures()  # first, while no worker competes
    # One thread a worker: the matrices are small, and workers that each start threads wait for one another.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    from multiprocessing import get_context

    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        control = _control_cells(pool, sets, splits)
        power = _power_cells(pool, sets, draws)
        generated = _generated_cells(pool)
        limits = _limit_rows(pool, [name for name in sets if soils_in(name) > _LIMIT_CALIBRATION])
    for rate, key in ((0.01, "in_control_worst_at_1pct"), (0.05, "in_control_worst_at_5pct")):
        worst = max(control, key=lambda c: c.alarms(rate) / len(c.p_values))
        low, high = binomial_interval(worst.alarms(rate), len(worst.p_values))
        share = worst.alarms(rate) / len(worst.p_values)
        figures.append(
            Figure(
                key,
                share,
                "share",
                n=len(worst.p_values),
                note=f"{worst.name}, n = {worst.n}; 95 % interval {low:.4f}..{high:.4f}; {len(control)} cells",
            )
        )
    held = [
        c
        for c in power
        if c.n == 20 and (c.table == "real pair" or (c.change in CHANGES and CHANGES[c.change].held))
    ]
    weakest = min(held, key=lambda c: c.failed.mean())
    low, high = binomial_interval(int(weakest.failed.sum()), weakest.failed.size)
    figures.append(
        Figure(
            "power_worst_at_20",
            float(weakest.failed.mean()),
            "share",
            n=weakest.failed.size,
            note=f"{weakest.name}: {weakest.change}; 95 % interval {low:.3f}..{high:.3f}; {len(held)} cells",
        )
    )
    if limits:
        named = [
            r for r in limits if r["measure"] in ("t2", "q")
        ]  # nearest neighbours are tabulated beside them
        worst_limit = max(named, key=lambda r: abs(r["points_off"]))
        figures.append(
            Figure(
                "limit_error_points",
                abs(worst_limit["points_off"]),
                "points",
                n=_LIMIT_SPLITS,
                note=f"{worst_limit['set']}, {worst_limit['measure']} at {worst_limit['nominal']:.0%}",
            )
        )
    tables = {
        "in_control": [c.row() for c in control],
        "in_control_generated": [c.row() for c in generated],
        "power": [c.row() for c in power],
        "limits": limits,
        "left_out": [name for name in IN_CONTROL if name not in sets],
    }
    return figures, {**tables, **extra}


def _control_cells(pool: ProcessPoolExecutor, sets: list[str], splits: int) -> list[Cell]:
    waiting = []
    for name in sets:
        for n in sizes_for(soils_in(name)):
            parts = [
                pool.submit(in_control, name, n, range(start, min(start + _CHUNK, splits)))
                for start in range(0, splits, _CHUNK)
            ]
            waiting.append((name, n, parts))
    cells = []
    for name, n, parts in waiting:
        p_values = np.concatenate([p.result() for p in parts])
        cells.append(Cell("in control", name, "none", n, p_values, p_values <= 0.01, p_values.size))
    return cells


def _generated_cells(pool: ProcessPoolExecutor) -> list[Cell]:
    """Unchanged batches larger than the real sets allow, from a generator; shown apart, in no figure."""
    waiting = {
        n: [
            pool.submit(in_control_generated, n, 2000, range(s, s + 25))
            for s in range(0, _GENERATED_SPLITS, 25)
        ]
        for n in (300, 1000)
    }
    cells = []
    for n, parts in waiting.items():
        p_values = np.concatenate([p.result() for p in parts])
        cells.append(
            Cell("generated", "40 bands, 1701 channels", "none", n, p_values, p_values <= 0.01, p_values.size)
        )
    return cells


def _power_cells(pool: ProcessPoolExecutor, sets: list[str], draws: int) -> list[Cell]:
    planned: list[tuple[str, str, str, int, Callable[..., Any], tuple[Any, ...]]] = []
    for name in sets:
        for change in (*CHANGES, NATURAL):
            if "resembles" in change and not available(RESEMBLING.get(name, name)):
                continue
            if "resembles" in change and name not in RESEMBLING:
                continue
            sizes = (20,) if "of 20" in change else _POWER_SIZES
            planned += [
                ("changed", name, change, n, changed, (name, change, n))
                for n in sizes
                if n <= soils_in(name) / 3
            ]
    for first, second in PAIRS:
        if all(available(side.split()[0]) for side in (first, second)):
            planned += [
                ("real pair", f"{first} -> {second}", "none", n, real_pair, (first, second, n))
                for n in (10, 20)
            ]
    waiting = []
    for row in planned:
        count = _draws(row[2], row[3], draws)
        step = max(1, count // 4)
        parts = [pool.submit(row[4], *row[5], range(s, min(s + step, count))) for s in range(0, count, step)]
        waiting.append((row, parts))
    cells = []
    for (table, name, change, n, _, _), parts in waiting:
        results = [p.result() for p in parts]
        p_values = np.concatenate([r[0] for r in results])
        cells.append(
            Cell(table, name, change, n, p_values, np.concatenate([r[1] for r in results]), p_values.size)
        )
    return cells


def _draws(change: str, n: int, draws: int) -> int:
    """Spend batches where a figure hangs on them: all on the held cells, half beside them, a quarter elsewhere."""
    if n != 20:
        return max(4, draws // 4)
    return draws if change == "none" or (change in CHANGES and CHANGES[change].held) else max(4, draws // 2)


def _limit_rows(pool: ProcessPoolExecutor, sets: list[str]) -> list[dict[str, Any]]:
    step = _LIMIT_SPLITS // 4
    waiting = {
        name: [
            pool.submit(limit_exceedances, name, _LIMIT_CALIBRATION, range(s, s + step))
            for s in range(0, _LIMIT_SPLITS, step)
        ]
        for name in sets
    }
    rows = []
    for name, parts in waiting.items():
        results = [p.result() for p in parts]
        for key in results[0]:
            measure, nominal = key
            shares = np.concatenate([r[key] for r in results])
            rows.append(
                {
                    "set": name,
                    "measure": measure,
                    "nominal": nominal,
                    "exceedance": float(shares.mean()),
                    "points_off": float(100 * (shares.mean() - nominal)),
                    "standard_error_points": float(100 * shares.std(ddof=1) / np.sqrt(shares.size)),
                    "splits": int(shares.size),
                }
            )
    return rows
