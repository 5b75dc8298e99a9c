"""Running one official benchmark by name: ``soil benchmark run``.

Belongs here: from a name and a learner to a table beside published results, every look written down.
Does not belong here: the figures that are held against goals (``bench_accuracy``), printing (``cli``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.benchmarks.accuracy import Task, limesoda_table, score_set, split_at_random
from soil_assets.benchmarks.looks import LookBook
from soil_assets.benchmarks.official import OfficialBenchmark, definition
from soil_assets.benchmarks.recipe_choice import recipe_for
from soil_assets.benchmarks.scored_sets import (
    ScoredSet,
    kssl_set,
    limesoda_names,
    limesoda_set,
    nirsoil_set,
    yamsys_set,
)
from soil_assets.benchmarks.user_sets import user_set
from soil_assets.errors import BadInput
from soil_assets.modeling.learners import TrainingData, learner
from soil_assets.modeling.recipe import Recipe

FloatArray = npt.NDArray[np.float64]
Report = Callable[[str], None]


@dataclass(frozen=True)
class BenchmarkRun:
    """What one run gave.

    Parameters
    ----------
    frozen : OfficialBenchmark
    recipe : str
        Learner and fingerprint.
    rows : list of dict
        A row a set and property: ``n``, ``rmse``, ``r2``, ``ccc``, published RMSE and our ratio to it where there is
        one, and with ``also_random`` the RMSE with samples split at random and the gap in percent.
    """

    frozen: OfficialBenchmark
    recipe: str
    rows: list[dict[str, Any]]


def run(
    name: str,
    book: LookBook,
    why: str,
    *,
    learner_name: str = "stack",
    only: tuple[str, ...] = (),
    also_random: bool = False,
    report: Report = lambda _: None,
) -> BenchmarkRun:
    """Score a learner on a benchmark's own split.

    Parameters
    ----------
    name : str
        A shipped benchmark, or the path of a definition in YAML.
    book : LookBook
        Where the looks are written, before their figures are shown.
    why : str
        Why the test samples are looked at.
    learner_name : str
    only : tuple of str
        Sets of a benchmark of several; all of them when empty.
    also_random : bool
        Score the same with samples split at random into as many folds, ignoring groups.
    report : callable
        Told of every set.

    Raises
    ------
    BadInput
        For an unknown benchmark, set or learner, or data that are not here or not those that were frozen.
    """
    frozen = definition(name)
    shipped = not name.endswith((".yaml", ".yml"))
    recipe = _recipe(learner_name)
    rows: list[dict[str, Any]] = []
    published_rows: list[Task] = []
    for scored, published in _sets(frozen, shipped, only):
        report(scored.name)
        chosen = recipe(scored.name) if shipped else recipe("")
        tasks = _score(scored, chosen)
        random = _score(split_at_random(scored, chosen.seed), chosen) if also_random else tasks
        published_rows += tasks
        for task, loose in zip(tasks, random, strict=True):
            target = task.name.split(":", 1)[1]
            found = task.metrics()
            book.look(frozen.name, task.name, chosen.fingerprint(), why, found["rmse"])
            row = {
                "set": scored.name,
                "property": target,
                **{k: found[k] for k in ("n", "rmse", "r2", "ccc")},
            }
            if target in published:
                row |= {"published_rmse": published[target], "ratio": found["rmse"] / published[target]}
            if also_random:
                at_random = loose.metrics()["rmse"]
                book.look(frozen.name, task.name, chosen.fingerprint(), f"{why}, split at random", at_random)
                row |= {"random_rmse": at_random, "gap_percent": 100.0 * (found["rmse"] / at_random - 1.0)}
            rows.append(row)
    if shipped and frozen.name == "limesoda":
        _beside_published(rows, published_rows)
    return BenchmarkRun(frozen, f"{learner_name} {recipe('').fingerprint()[:12]}", rows)


def _recipe(name: str) -> Callable[[str], Recipe]:
    """The stack's recipe is the one that the other sets chose; other learners have one recipe."""
    if name == "stack":
        return recipe_for
    recipe = Recipe(learner=name)
    return lambda _: recipe


def _sets(
    frozen: OfficialBenchmark, shipped: bool, only: tuple[str, ...]
) -> Iterator[tuple[ScoredSet, dict[str, float]]]:
    if not shipped:
        yield user_set(frozen)
        return
    names = limesoda_names() if frozen.name == "limesoda" else [frozen.name]
    unknown = [n for n in only if n not in names]
    if unknown:
        raise BadInput("no such set in this benchmark", found=unknown[0], expected=", ".join(names))
    for name in only or names:
        if frozen.name == "limesoda":
            yield limesoda_set(name), {}
        elif frozen.name == "kssl500":
            yield kssl_set(), {}
        elif frozen.name == "yamsys":
            scored, table, _ = yamsys_set(Recipe().seed)
            yield scored, {str(t): float(v) for t, v in zip(table["response"], table["rmse"], strict=True)}
        else:
            yield nirsoil_set(), {}


def _beside_published(rows: list[dict[str, Any]], tasks: list[Task]) -> None:
    table = limesoda_table(tasks).set_index(["set", "property"])
    for row in rows:
        entry = table.loc[(row["set"], row["property"])]
        row |= {
            "published_learner": str(entry["published_learner"]),
            "published_rmse": float(entry["published_rmse"]),
            "ratio": float(entry["ratio"]),
        }


def _score(scored: ScoredSet, recipe: Recipe) -> list[Task]:
    if recipe.learner == "stack":
        return score_set(scored, recipe)
    fit = learner(recipe.learner).fit
    tasks = []
    for target, values in scored.targets.items():
        predicted = np.full(values.size, np.nan)
        known = np.isfinite(values)
        for k in sorted(set(scored.fold[known & (scored.fold >= 0)].tolist())):
            inside, out = known & (scored.fold != k), known & (scored.fold == k)
            groups = np.unique(scored.groups[inside], return_inverse=True)[1].astype(np.int64)
            fitted = fit(TrainingData(scored.spectra[inside], values[inside], groups), recipe)
            predicted[out] = fitted.predictor.predict(scored.spectra[out])
        tasks.append(Task(f"{scored.name}:{target}", values, predicted, {}, int(known.sum())))
    return tasks


def summary(found: BenchmarkRun) -> dict[str, Any]:
    """Return counts that add up: tasks, those with published results, those that we win."""
    beside = [r for r in found.rows if "ratio" in r]
    return {
        "tasks": len(found.rows),
        "with_published": len(beside),
        "wins": sum(r["ratio"] < 1.0 for r in beside),
        "median_ratio": float(np.median([r["ratio"] for r in beside])) if beside else None,
    }


def book_of(home: str | Path) -> LookBook:
    """Return the book of looks below the working folder."""
    return LookBook(Path(home) / "benchmark-looks.jsonl")
