"""Scoring one recipe on the official benchmarks, on their own splits.

Belongs here: running folds, pooled errors, pooled interval coverage. Does not belong here: which figures are
held against which goals (``bench_accuracy``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.benchmarks.official import data_file, definition
from soil_assets.benchmarks.scored_sets import ScoredSet, kssl_set, limesoda_names, limesoda_set, yamsys_set
from soil_assets.modeling.applicability import fit_domain
from soil_assets.modeling.intervals import calibrate
from soil_assets.modeling.learners import TrainingData
from soil_assets.modeling.metrics import regression_metrics
from soil_assets.modeling.recipe import Recipe
from soil_assets.modeling.splits import grouped_folds
from soil_assets.modeling.stack import fit_targets, repeated_folds
from soil_assets.modeling.threads import suited_threads

#: One recipe, or the recipe of a set by the set's name.
RecipeOf = Recipe | Callable[[str], Recipe]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Task:
    """One property of one set with its folds.

    Parameters
    ----------
    name : str
    observed : ndarray, shape (n,)
        On the scale on which errors are scored; NaN where there is no value.
    predicted : ndarray, shape (n,)
        Out-of-fold.
    covered : mapping of float to ndarray of bool, shape (n,)
        By level, whether the interval held the observation.
    calibration_n : int
        Typical number of groups behind an interval.
    """

    name: str
    observed: FloatArray
    predicted: FloatArray
    covered: Mapping[float, npt.NDArray[np.bool_]]
    calibration_n: int

    @property
    def judged(self) -> npt.NDArray[np.bool_]:
        """Samples with an observation and a prediction."""
        return np.isfinite(self.observed) & np.isfinite(self.predicted)

    def metrics(self) -> dict[str, float]:
        """Pooled measures over the folds."""
        return regression_metrics(self.observed[self.judged], self.predicted[self.judged])


def score(
    name: str,
    spectra: FloatArray,
    targets: Mapping[str, FloatArray],
    fold: IntArray,
    groups: IntArray,
    recipe: Recipe,
    sensors: FloatArray | None = None,
    intervals: bool = True,
) -> list[Task]:
    """Predict every fold by the stack trained on the other folds, all targets on one set of kernels.

    Targets that miss the same samples share their decomposition; a fold of -1 is never predicted. Intervals are those
    of a trained model (``modeling.intervals``); without them a task has no coverage.
    """
    with suited_threads(spectra.size):
        return _score(name, spectra, targets, fold, groups, recipe, sensors, intervals)


def _score(
    name: str,
    spectra: FloatArray,
    targets: Mapping[str, FloatArray],
    fold: IntArray,
    groups: IntArray,
    recipe: Recipe,
    sensors: FloatArray | None,
    intervals: bool,
) -> list[Task]:
    n = len(spectra)
    levels = recipe.levels if intervals else ()
    predicted = {p: np.full(n, np.nan) for p in targets}
    covered = {p: {level: np.zeros(n, dtype=bool) for level in levels} for p in targets}
    sizes: dict[str, list[int]] = {p: [] for p in targets}
    for rows_out, rows_in, shared in _rounds(targets, fold):
        data = TrainingData(
            spectra[rows_in],
            np.zeros(rows_in.size),
            np.unique(groups[rows_in], return_inverse=True)[1].astype(np.int64),
            None if sensors is None else sensors[rows_in],
        )
        fold_inside = repeated_folds(data.groups, recipe)[0]
        together = np.column_stack([targets[p][rows_in] for p in shared])
        domain = (
            fit_domain(data.spectra, data.groups, folds=recipe.folds, seed=recipe.seed) if intervals else None
        )
        measures = {} if domain is None else domain.measures(spectra[rows_out])
        for p, fitted in zip(shared, fit_targets(data, together, recipe), strict=True):
            observed, held_out = targets[p][rows_in], fitted.held_out
            value = fitted.predictor.predict(
                spectra[rows_out], None if sensors is None else sensors[rows_out]
            )
            predicted[p][rows_out] = value
            if domain is not None:
                calibration = calibrate(held_out, observed, data.groups, fold_inside, domain.held, levels)
                error = np.abs(value - targets[p][rows_out])
                for level, half in calibration.widths(value, measures, domain.limits).items():
                    covered[p][level][rows_out] = error <= half
            sizes[p].append(int(data.groups.max()) + 1)
    return [
        Task(f"{name}:{p}", targets[p], predicted[p], covered[p], int(np.median(sizes[p]))) for p in targets
    ]


def _rounds(
    targets: Mapping[str, FloatArray], fold: IntArray
) -> Iterator[tuple[IntArray, IntArray, list[str]]]:
    """Yield (rows left out, rows trained on, targets) for every fold and pattern of missing values."""
    patterns: dict[bytes, list[str]] = {}
    for p, values in targets.items():
        patterns.setdefault(np.isfinite(values).tobytes(), []).append(p)
    for shared in patterns.values():
        known = np.isfinite(targets[shared[0]])
        for k in sorted(set(fold[fold >= 0].tolist())):
            out, inside = np.flatnonzero(known & (fold == k)), np.flatnonzero(known & (fold != k))
            if out.size:
                yield out.astype(np.int64), inside.astype(np.int64), shared


def coverage_counts(tasks: list[Task], level: float, seed: int = 20260101) -> tuple[int, int, int, int]:
    """Pool coverage over tasks: (covered, n, low, high), the last two from a sum of beta-binomials.

    Every task's intervals rest on its own calibration, so that its count is beta-binomial; the 99 % interval of
    the pooled count is that of their sum, by 20,000 seeded draws.
    """
    from soil_assets.modeling.applicability import order_statistic

    rng = np.random.default_rng(seed)
    draws = np.zeros(20_000)
    covered = n = 0
    for task in tasks:
        judged = task.judged
        m, size = int(judged.sum()), task.calibration_n
        k = min(order_statistic(size, 1.0 - level), size)
        draws += rng.binomial(m, rng.beta(k, size + 1 - k, draws.size))
        covered += int(task.covered[level][judged].sum())
        n += m
    low, high = np.quantile(draws, [0.005, 0.995], method="inverted_cdf")
    return covered, n, int(low), int(high)


# -- the benchmarks --------------------------------------------------------------------------------------


def limesoda_published() -> pd.DataFrame:
    """Return the best published learner of every task: dataset, property, algorithm, R2, RMSE."""
    listed = definition("limesoda").published
    table = pd.read_csv(data_file(listed.path, listed.sha256))  # type: ignore[union-attr]
    best = table.loc[table.groupby(["dataset", "property"])["RMSE"].idxmin()]
    return best.assign(property=best["property"].str.lower()).reset_index(drop=True)


def limesoda_tasks(recipe: RecipeOf, sets: list[str] | None = None) -> Iterator[tuple[str, list[Task]]]:
    """Score every LimeSoDa set on its published folds, sensor columns used where a set has them."""
    for name in sets or limesoda_names():
        yield name, score_set(limesoda_set(name), recipe)


def limesoda_table(tasks: list[Task]) -> pd.DataFrame:
    """Put our pooled RMSE beside the best published one, in one unit.

    The package's values may be in another unit than ours (g/kg against %); the published R2 and RMSE give the
    standard deviation of the published values, whose ratio to ours must be a power of ten.
    """
    ours = {t.name: t for t in tasks}
    rows = []
    for entry in limesoda_published().itertuples():
        task = ours.get(f"{entry.dataset}:{entry.property}")
        if task is None:
            continue
        found = task.metrics()
        spread = float(np.std(task.observed[task.judged]))
        power = np.log10(spread / (float(entry.RMSE) / np.sqrt(1.0 - float(entry.R2))))  # type: ignore[arg-type]
        if abs(power - round(power)) > 0.02:
            raise RuntimeError(f"{task.name}: published values are not ours in another unit ({power:.3f})")
        published = float(entry.RMSE) * 10.0 ** round(power)  # type: ignore[arg-type]
        rows.append(
            {
                "set": entry.dataset,
                "property": entry.property,
                "n": int(found["n"]),
                "rmse": found["rmse"],
                "r2": found["r2"],
                "ccc": found["ccc"],
                "published_learner": entry.algorithm,
                "published_rmse": published,
                "published_r2": entry.R2,
                "ratio": found["rmse"] / published,
            }
        )
    return pd.DataFrame(rows)


def kssl_tasks(recipe: RecipeOf) -> list[Task]:
    """Score KSSL-500; carbon and CEC on ln(1 + value), clay in %."""
    return score_set(kssl_set(), recipe)


def yamsys_tasks(recipe: RecipeOf) -> tuple[list[Task], pd.DataFrame]:
    """Score the 26 properties that the authors modelled, by soil; return the tasks and the authors' table."""
    scored, published, _ = yamsys_set(_recipe(recipe, "yamsys").seed)
    return score_set(scored, recipe), published


def yamsys_site_tasks(recipe: RecipeOf) -> list[Task]:
    """Score the same properties with every site left out in turn."""
    scored, _, site = yamsys_set(_recipe(recipe, "yamsys").seed)
    return score_set(replace(scored, fold=np.unique(site, return_inverse=True)[1].astype(np.int64)), recipe)


def score_set(scored: ScoredSet, recipe: RecipeOf, *, intervals: bool = True) -> list[Task]:
    """Score a set by its recipe."""
    return score(
        scored.name, scored.spectra, scored.targets, scored.fold, scored.groups, _recipe(recipe, scored.name),
        scored.sensors, intervals,
    )  # fmt: skip


def _recipe(recipe: RecipeOf, name: str) -> Recipe:
    return recipe if isinstance(recipe, Recipe) else recipe(name)


def split_at_random(scored: ScoredSet, seed: int) -> ScoredSet:
    """Split the predicted samples into as many folds one by one, whatever their groups."""
    judged = np.flatnonzero(scored.fold >= 0)
    n_folds = len(set(scored.fold[judged].tolist()))
    fold = scored.fold.copy()
    if n_folds > 1:
        fold[judged] = grouped_folds(judged, n_folds, seed)
    return replace(scored, fold=fold, groups=np.arange(len(fold), dtype=np.int64))


def gap_table(strict: list[Task], loose: list[Task]) -> list[dict[str, float | str]]:
    """Put the RMSE of the stricter split beside that of the looser one, with the gap in percent."""
    rows: list[dict[str, float | str]] = []
    for task, other in zip(strict, loose, strict=True):
        apart, together = task.metrics(), other.metrics()
        rows.append(
            {
                "property": task.name.split(":", 1)[1], "n": apart["n"], "strict_rmse": apart["rmse"],
                "strict_r2": apart["r2"], "loose_rmse": together["rmse"], "loose_r2": together["r2"],
                "gap_percent": 100.0 * (apart["rmse"] / together["rmse"] - 1.0),
            }
        )  # fmt: skip
    return rows
