"""Accuracy and interval coverage of one recipe on the official benchmarks, beside published results.

Belongs here: the figures of the table ``accuracy``. Does not belong here: how a benchmark is run (``accuracy``).

A benchmark whose data are not on the machine is left out, and so are its figures. A set's recipe is the one that the
other sets chose by inner results (``recipe_choice``); the choices are printed beside the figures.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.benchmarks.accuracy import (
    Task,
    coverage_counts,
    gap_table,
    kssl_tasks,
    limesoda_table,
    limesoda_tasks,
    score_set,
    split_at_random,
    yamsys_site_tasks,
    yamsys_tasks,
)
from soil_assets.benchmarks.harness import Figure
from soil_assets.benchmarks.official import Ledger, earlier_looks
from soil_assets.benchmarks.recipe_choice import recipe_for, record
from soil_assets.benchmarks.scored_sets import kssl_set, nirsoil_set
from soil_assets.errors import BadInput
from soil_assets.modeling.metrics import bootstrap_intervals

FloatArray = npt.NDArray[np.float64]
_SPLITS = 20
_WHY = "the figures of this bench"


class _Bench:
    """Figures, tables and ledger of one run."""

    def __init__(self) -> None:
        self.recipe = recipe_for("")  # levels and seed are the same in every variant
        self.figures: list[Figure] = []
        self.tables: dict[str, Any] = {}
        self.ledger = Ledger()
        self.coverage: list[dict[str, Any]] = []
        self.left_out: list[str] = []

    def try_to(self, name: str, part: Callable[[], None]) -> None:
        _say(name)
        try:
            part()
        except BadInput as error:
            self.left_out.append(f"{name}: {error}")
            _say(f"{name} left out: {error}")

    def cover(self, name: str, tasks: list[Task]) -> None:
        for level in self.recipe.levels:
            covered, n, low, high = coverage_counts(tasks, level)
            row = {
                "benchmark": name, "level": level, "n": n, "picp": covered / n, "low": low / n, "high": high / n,
                "inside": low <= covered <= high,
            }  # fmt: skip
            self.coverage.append(row)

    def look(self, benchmark: str, tasks: list[Task]) -> None:
        for task in tasks:
            recipe = recipe_for(task.name.split(":", 1)[0])
            self.ledger.look(benchmark, task.name, recipe.fingerprint()[:12], _WHY)

    def limesoda(self) -> None:
        tasks = [task for _, found in limesoda_tasks(recipe_for) for task in found]
        table = limesoda_table(tasks)
        self.look("limesoda", tasks)
        self.cover("limesoda, published folds", tasks)
        self.tables["limesoda"] = table.to_dict("records")
        wins = int((table["ratio"] < 1.0).sum())
        note = "published folds, pooled; best of MLR, RF, SVR, CatBoost; sensor columns where a set has them"
        peer = "best published learner of each task"
        self.figures += [
            Figure("limesoda_wins", wins, "of 45", len(table), peer, note),
            Figure("limesoda_median_rmse_ratio", float(table["ratio"].median()), "x", len(table), peer, note),
        ]

    def kssl(self) -> None:
        tasks = kssl_tasks(recipe_for)
        self.look("kssl500", tasks)
        loose = score_set(split_at_random(kssl_set(), self.recipe.seed), recipe_for, intervals=False)
        self.look("kssl500", loose)
        self.tables["kssl500_random_beside_grouped"] = gap_table(tasks, loose)
        self.cover("kssl500, random", tasks)
        carbon, clay, cec = (t.metrics() for t in tasks)
        note = "fold = (rank of kssl_layer_id // 10) % 10"
        self.figures += [
            Figure("kssl500_oc_log1p_r2", carbon["r2"], "R2", int(carbon["n"]), None, note),
            Figure("kssl500_clay_rmse", clay["rmse"], "%", int(clay["n"]), None, note),
            Figure("kssl500_cec_log1p_r2", cec["r2"], "R2", int(cec["n"]), None, note),
        ]

    def yamsys(self) -> None:
        tasks, published = yamsys_tasks(recipe_for)
        self.look("yamsys", tasks)
        sites = yamsys_site_tasks(recipe_for)
        self.look("yamsys", sites)
        self.tables["yamsys_leave_one_site_out"] = gap_table(sites, tasks)
        self.cover("yamsys, by soil", tasks)
        rows, wins = [], 0
        for task, entry in zip(tasks, published.to_dict("records"), strict=True):
            found = task.metrics()
            ratio = found["rmse"] / float(entry["rmse"])
            wins += ratio < 1.0
            rows.append(
                {
                    "property": task.name.split(":", 1)[1], "n": int(found["n"]), "rmse": found["rmse"],
                    "r2": found["r2"], "published_rmse": float(entry["rmse"]), "published_r2": float(entry["r2"]),
                    "ratio": ratio,
                }
            )  # fmt: skip
        self.tables["yamsys"] = rows
        note = "ten folds by soil, scans of a soil averaged"
        self.figures.append(Figure("yamsys_wins", wins, "of 26", len(rows), "the authors' PLS models", note))

    def nirsoil(self) -> None:
        nirsoil = nirsoil_set()
        spectra, targets, official = nirsoil.spectra, dict(nirsoil.targets), nirsoil.fold == 0
        tasks = score_set(nirsoil, recipe_for)
        self.look("nirsoil", tasks)
        self.cover("nirsoil, official split", tasks)
        self.tables["nirsoil_official"] = [_with_intervals(t) for t in tasks]
        ratios: dict[str, list[float]] = {p: [] for p in targets}
        for split in range(_SPLITS):
            _say(f"nirsoil split {split + 1} of {_SPLITS}")
            rng = np.random.default_rng([self.recipe.seed, split])
            test = np.zeros(len(spectra), dtype=bool)
            test[rng.choice(len(spectra), int(official.sum()), replace=False)] = True
            resplit = replace(nirsoil, fold=np.where(test, 0, -1).astype(np.int64))
            found = score_set(resplit, recipe_for, intervals=False)
            self.look("nirsoil", found)
            peers = tuned_svr(spectra, targets, test, split)
            for p, task in zip(targets, found, strict=True):
                ratios[p].append(task.metrics()["rmse"] / peers[p])
        medians = {p: float(np.median(v)) for p, v in ratios.items()}
        self.tables["nirsoil_ratios"] = ratios
        self.figures.append(
            Figure(
                "nirsoil_worst_ratio_to_svr", max(medians.values()), "x", _SPLITS,
                "RBF-SVR on SNV + second derivative, tuned by 5-fold CV in the same run",
                ", ".join(f"{p} {v:.3f}" for p, v in medians.items()),
            )
        )  # fmt: skip


def run() -> tuple[list[Figure], dict[str, Any]]:
    """Measure every figure whose data are here; tables, coverage and the ledger of looks come beside them."""
    bench = _Bench()
    for name in ("limesoda", "kssl", "yamsys", "nirsoil"):
        bench.try_to(name, getattr(bench, name))
    if bench.coverage:
        outside = sum(not row["inside"] for row in bench.coverage)
        note = "benchmark x level, pooled over its tasks, against the sum of their beta-binomials"
        bench.figures.append(
            Figure("coverage_outside_interval", outside, "cases", len(bench.coverage), None, note)
        )
    return bench.figures, {
        "tables": bench.tables,
        "coverage": bench.coverage,
        "recipe_choice": {k: v for k, v in record().items() if k != "results"},
        "ledger": bench.ledger.summary(),
        "earlier_looks": earlier_looks(),
        "left_out": bench.left_out,
    }


def tuned_svr(
    spectra: FloatArray, targets: dict[str, FloatArray], test: npt.NDArray[np.bool_], seed: int
) -> dict[str, float]:
    """RMSE of the peer: an RBF support vector regression, cost, width and tube tuned on the training part."""
    from sklearn.svm import SVR

    from soil_assets.modeling.kernels import squared_distances
    from soil_assets.modeling.pretreatment import chain, savgol, snv
    from soil_assets.modeling.splits import grouped_folds

    treated = chain(snv(), savgol(11, 3, 2)).apply(spectra)
    found = {}
    for p, values in targets.items():
        known = np.isfinite(values)
        inside, out = np.flatnonzero(known & ~test), np.flatnonzero(known & test)
        x = (treated - treated[inside].mean(axis=0)) / treated[inside].std(axis=0)
        centre, spread = values[inside].mean(), values[inside].std()
        y = (values[inside] - centre) / spread
        near, far = squared_distances(x[inside], x[inside]), squared_distances(x[out], x[inside])
        typical = float(np.median(near))
        fold = grouped_folds(np.arange(inside.size), 5, seed)
        best, chosen = np.inf, (1.0, 1.0, 0.1)
        for width in (0.03, 0.1, 0.3, 1.0):
            kernel = np.exp(-width * near / typical)
            for cost in (1.0, 10.0, 100.0, 1000.0):
                for tube in (0.02, 0.1):
                    errors = 0.0
                    for k in range(5):
                        rest, left = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
                        model = SVR(kernel="precomputed", C=cost, epsilon=tube, cache_size=500)
                        model.fit(kernel[np.ix_(rest, rest)], y[rest])
                        errors += float(((model.predict(kernel[np.ix_(left, rest)]) - y[left]) ** 2).sum())
                    if errors < best:
                        best, chosen = errors, (width, cost, tube)
        width, cost, tube = chosen
        model = SVR(kernel="precomputed", C=cost, epsilon=tube).fit(np.exp(-width * near / typical), y)
        predicted = model.predict(np.exp(-width * far / typical)) * spread + centre
        found[p] = float(np.sqrt(np.mean((predicted - values[out]) ** 2)))
    return found


def _say(what: str) -> None:
    sys.stderr.write(f"accuracy: {what}\n")
    sys.stderr.flush()


def _with_intervals(task: Task) -> dict[str, Any]:
    judged = task.judged
    intervals = bootstrap_intervals(task.observed[judged], task.predicted[judged])
    return {"property": task.name.split(":", 1)[1], **task.metrics(), "rmse_95": list(intervals["rmse"])}
