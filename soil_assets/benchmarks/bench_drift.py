"""The drift bench: false alarms, power, applicability limits and speed, with peers in the same run.

Belongs here: which figures are measured and how they are summed up. The runs are in ``drift_runs`` and ``drift_power``,
the changes in ``drift_changes``, the sets in ``drift_sets``, the speed in ``drift_speed``.

The thresholds of what counts as far out (``two_sample.log_excess``) and the weights of the families
(``family.WEIGHTS``) were chosen while looking at the power on the six sets of the in-control table; the false-alarm
rates owe nothing to that choice, for they hold by permutation whatever the weights. The references are drawn anew
since, and ``power_confirmed_worst_at_20`` is the power on four further sets that no choice has looked at.

``SOIL_BENCH_SPLITS`` sets the splits of an in-control cell (default 2000), ``SOIL_BENCH_WORKERS`` the processes
(default: one a core).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from typing import Any

import numpy as np

from soil_assets.benchmarks import drift_speed
from soil_assets.benchmarks.drift_cells import Cell, confusion, wilson
from soil_assets.benchmarks.drift_changes import CHANGES
from soil_assets.benchmarks.drift_power import (
    NATURAL,
    NOTHING,
    PAIRS,
    Judged,
    batches,
    keeps_axis,
    needs_partner,
    pair,
    partner_of,
)
from soil_assets.benchmarks.drift_runs import (
    in_control,
    in_control_generated,
    limit_exceedances,
    sizes_for,
    soils_in,
)
from soil_assets.benchmarks.drift_sets import CONFIRMATION, FOREIGN, IN_CONTROL, available
from soil_assets.benchmarks.harness import Figure

#: Splits that one task of a worker runs.
_CHUNK = 100
#: Batch sizes of the power table; the goal is at 20.
_POWER_SIZES = (10, 20, 50)
#: References of a power cell and batches of each: 200 batches of every held change at n = 20.
_REFERENCES, _HELD, _BESIDE, _OTHER_SIZES = 8, 25, 4, 2
#: References that are trained for a change that is tabulated only.
_FEWER_REFERENCES = 4
#: Batches of each reference for the false alarms with models: 320 batches a set.
_LEVEL_BATCHES = 40
#: Batches of each reference on the sets that no choice has looked at.
_CONFIRMED = 15
#: Sets need this many calibration samples for their limits to be judged.
_LIMIT_CALIBRATION = 200
_LIMIT_SPLITS = 200
_GENERATED_SPLITS = 100


def run() -> tuple[list[Figure], dict[str, Any]]:
    """Measure everything; cells whose set is not here are left out and named."""
    splits = int(os.environ.get("SOIL_BENCH_SPLITS", "2000"))
    workers = int(os.environ.get("SOIL_BENCH_WORKERS", os.cpu_count() or 1))
    sets = [name for name in IN_CONTROL if available(name)]
    figures, extra = drift_speed.figures()  # first, while no worker competes
    # One thread a worker: the matrices are small, and workers that each start threads wait for one another.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    from multiprocessing import get_context

    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        control = control_cells(pool, sets, splits)
        judged = judged_batches(pool, sets)
        generated = generated_cells(pool)
        limits = limit_rows(pool, [name for name in sets if soils_in(name) > _LIMIT_CALIBRATION])
    level, power = with_models(judged)
    figures += [_worst_alarms(control, rate, key) for rate, key in ((0.01, "1pct"), (0.05, "5pct"))]
    figures += [
        _worst_with_models(level, rate, key) for rate, key in ((0.01, "1pct"), (0.05, "5pct")) if level
    ]
    confirmed = [c for c in power if c.table == "confirmation"]
    weakest = (_weakest(power, "power_worst_at_20"), _weakest(confirmed, "power_confirmed_worst_at_20"))
    figures += [f for f in (*weakest, _worst_limit(limits)) if f is not None]
    tables = {
        "in_control": [c.row() for c in control],
        "in_control_with_models": [c.row() for c in level],
        "in_control_generated": [c.row() for c in generated],
        "power": [c.row() for c in power],
        "causes": confusion([c for c in power if c.table == "changed"]),
        "limits": limits,
        "left_out": [name for name in IN_CONTROL if name not in sets],
        "chosen_on_these_sets": "what counts as far out, and the weights of the families, looking at the six sets "
        "of the in-control table with other references; the table 'confirmation' holds sets that no choice has "
        "looked at; no false-alarm rate hangs on them",
    }
    return figures, {**tables, **extra}


def control_cells(pool: ProcessPoolExecutor, sets: list[str], splits: int) -> list[Cell]:
    """Return the false alarms of disjoint splits, set by set and size by size."""
    waiting = {
        (name, n): [
            pool.submit(in_control, name, n, range(start, min(start + _CHUNK, splits)))
            for start in range(0, splits, _CHUNK)
        ]
        for name in sets
        for n in sizes_for(soils_in(name))
    }
    told = _told([f for parts in waiting.values() for f in parts], "false alarms")
    cells = []
    for (name, n), parts in waiting.items():
        p_values = np.concatenate([told(p) for p in parts])
        cells.append(_cell("in control", name, NOTHING, n, p_values, np.arange(p_values.size)))
    return cells


def generated_cells(pool: ProcessPoolExecutor) -> list[Cell]:
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
            _cell("generated", "40 bands, 1701 channels", NOTHING, n, p_values, np.arange(p_values.size))
        )
    return cells


def judged_batches(pool: ProcessPoolExecutor, sets: list[str]) -> list[Judged]:
    """Judge batches against references with models: unchanged ones, changed ones, real pairs."""
    waiting = [pool.submit(batches, name, plan, seed) for name, plan, seed in plans(sets)]
    for first, second in PAIRS:
        if all(available(side.split()[0]) for side in (first, second)):
            waiting += [
                pool.submit(pair, first, second, (10, 20), _HELD, seed) for seed in range(_REFERENCES)
            ]
    told = _told(waiting, "references with models")
    return [judged for part in waiting for judged in told(part)]


def plans(sets: list[str]) -> Iterator[tuple[str, list[tuple[str, int, int]], int]]:
    """Yield what each reference of each set is used for; changes that need another set's axis go together."""
    for name in sets:
        kinds: dict[str | None, list[tuple[str, int, int]]] = {}
        for change in (*CHANGES, NATURAL):
            kind = needs_partner(change)
            partner = partner_of(name, kind)
            if kind is not None and (partner is None or not available(partner)):
                continue
            if kind == "foreign" and partner is not None and keeps_axis(name, partner):
                kind = None  # training dominates: one reference for both
            sizes = (20,) if "of 20" in change else _POWER_SIZES
            held = change in CHANGES and CHANGES[change].held
            kinds.setdefault(kind, []).extend(
                (change, n, (_HELD if held else _BESIDE) if n == 20 else _OTHER_SIZES)
                for n in sizes
                if n <= soils_in(name) // 3
            )
        for kind, plan in kinds.items():
            for seed in range(_FEWER_REFERENCES if kind == "resembling" else _REFERENCES):
                yield name, plan + ([(NOTHING, 20, _LEVEL_BATCHES)] if kind is None else []), seed
    for name in CONFIRMATION:
        if available(FOREIGN[name]):
            planned: dict[str | None, list[tuple[str, int, int]]] = {}
            for change in CHANGES:
                if CHANGES[change].held:
                    planned.setdefault(needs_partner(change), []).append((change, 20, _CONFIRMED))
            for plan in planned.values():
                for seed in range(_REFERENCES):
                    yield name, plan, seed


def with_models(judged: list[Judged]) -> tuple[list[Cell], list[Cell]]:
    """Sum batches up into cells: unchanged ones, and changed ones with the real pairs."""
    groups: dict[tuple[str, str, str, int], list[Judged]] = {}
    for one in judged:
        table = "in control" if (one.table, one.change) == ("changed", NOTHING) else one.table
        if one.name in CONFIRMATION:
            table = "confirmation"
        groups.setdefault((table, one.name, one.change, one.n), []).append(one)
    cells = [
        _cell(
            *key,
            np.array([j.p_value for j in part]),
            np.array([j.reference for j in part]),
            np.array([j.failed for j in part]),
            tuple(j.cause for j in part),
        )
        for key, part in groups.items()
    ]
    return [c for c in cells if c.table == "in control"], [c for c in cells if c.table != "in control"]


def limit_rows(pool: ProcessPoolExecutor, sets: list[str]) -> list[dict[str, Any]]:
    """Return how often held-out soils exceed frozen limits, by set, measure and nominal rate."""
    step = _LIMIT_SPLITS // 8
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
        for measure, nominal in results[0]:
            shares = np.concatenate([r[measure, nominal] for r in results])
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


def _cell(
    table: str,
    name: str,
    change: str,
    n: int,
    p_values: np.ndarray[Any, np.dtype[np.float64]],
    references: np.ndarray[Any, np.dtype[Any]],
    failed: np.ndarray[Any, np.dtype[np.bool_]] | None = None,
    causes: tuple[str, ...] = (),
) -> Cell:
    return Cell(
        table, name, change, n, p_values, p_values <= 0.01 if failed is None else failed, references, causes
    )


def _told(waiting: list[Future[Any]], what: str) -> Any:
    """Say on standard error how far a part of the bench is; return what gives a task's result."""
    for done, _ in enumerate(as_completed(waiting), start=1):
        if done % max(1, len(waiting) // 10) == 0:
            print(f"drift bench, {what}: {done} of {len(waiting)} tasks", file=sys.stderr)  # noqa: T201
    return lambda task: task.result()


def _worst_alarms(control: list[Cell], rate: float, key: str) -> Figure:
    worst = max(control, key=lambda c: c.alarms(rate) / c.batches)
    low, high = wilson(worst.alarms(rate), worst.batches)
    return Figure(
        f"in_control_worst_at_{key}",
        worst.alarms(rate) / worst.batches,
        "share",
        n=worst.batches,
        note=f"{worst.name}, n = {worst.n}; 95 % interval {low:.4f}..{high:.4f}; worst of {len(control)} cells",
    )


def _worst_with_models(level: list[Cell], rate: float, key: str) -> Figure:
    worst = max(level, key=lambda c: c.alarms(rate) / c.batches)
    low, high = wilson(worst.alarms(rate), worst.batches)
    return Figure(
        f"in_control_with_models_worst_at_{key}",
        worst.alarms(rate) / worst.batches,
        "share",
        n=worst.batches,
        note=f"{worst.name}, n = {worst.n}, predictions and exceedances of the registered recipe's models in the "
        f"battery; {np.unique(worst.references).size} references; interval as if batches were independent "
        f"{low:.4f}..{high:.4f}; worst of {len(level)} cells",
    )


def _weakest(power: list[Cell], figure: str) -> Figure | None:
    tables = {c.table for c in power} if figure == "power_confirmed_worst_at_20" else {"changed", "real pair"}
    held = [
        c
        for c in power
        if c.n == 20
        and c.table in tables
        and (c.table == "real pair" or (c.change in CHANGES and CHANGES[c.change].held))
    ]
    if not held:
        return None
    weakest = min(held, key=lambda c: c.failed.mean())
    low, high = wilson(int(weakest.failed.sum()), weakest.batches)
    return Figure(
        figure,
        float(weakest.failed.mean()),
        "share",
        n=weakest.failed.size,
        note=f"{weakest.name}: {weakest.change}; 95 % interval {low:.3f}..{high:.3f}; worst of {len(held)} cells",
    )


def _worst_limit(limits: list[dict[str, Any]]) -> Figure | None:
    # Nearest neighbours are tabulated beside the two measures that the goal names.
    named = [r for r in limits if r["measure"] in ("t2", "q")]
    if not named:
        return None
    worst = max(named, key=lambda r: abs(r["points_off"]))
    return Figure(
        "limit_error_points",
        abs(worst["points_off"]),
        "points",
        n=_LIMIT_SPLITS,
        note=f"{worst['set']}, {worst['measure']} at {worst['nominal']:.0%}, standard error "
        f"{worst['standard_error_points']:.2f} points; worst of {len(named)} rows",
    )
