"""Predicting every training sample by models that did not see it, under several ways of leaving out.

Belongs here: nested cross-validation, what it keeps when it is cancelled, and grouped beside random splits.
Does not belong here: assigning folds (``splits``), how a learner chooses inside one (``pls``, ``stack``).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.modeling.learners import Fitted, TrainingData, learner
from soil_assets.modeling.metrics import regression_metrics
from soil_assets.modeling.recipe import Recipe
from soil_assets.modeling.splits import grouped_folds

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
#: Called as ``progress(what, done, total)``.
Progress = Callable[[str, int, int], None]

#: With fewer groups the assignment to folds itself moves the figures: it is repeated.
SMALL = 100
#: With more samples a second full validation is not worth its time, and is said to be left out.
MOST_FOR_RANDOM = 3000


def nested(
    data: TrainingData,
    outer: IntArray,
    recipe: Recipe,
    report: Progress,
    keep: str | Path | None = None,
    what: str = "nested cross-validation",
) -> tuple[FloatArray, list[dict[str, Any]]]:
    """Predict every outer fold by what the other folds alone chose and fitted.

    Parameters
    ----------
    data : TrainingData
    outer : ndarray of int64, shape (n,)
        Fold of every sample.
    recipe : Recipe
    report : callable
        Called after every fold as ``report(what, done, total)``.
    keep : path, optional
        Folder of finished folds. A fold is taken from there only when data, recipe, folds and code are the same.
    what : str
        For people.

    Returns
    -------
    (held_out, choices)
        Predictions on the modelling scale, shape (n,), and by fold what was chosen with a hash of the fit.
    """
    held_out = np.empty(data.target.size)
    choices = []
    n_folds = int(outer.max()) + 1
    kept = None if keep is None else _KeptFolds(Path(keep), data, outer, recipe)
    for k in range(n_folds):
        out = outer == k
        found = None if kept is None else kept.read(k)
        if found is None:
            fitted = learner(recipe.learner).fit(data.take(~out), recipe)
            left = data.take(out)
            predicted = fitted.predictor.predict(left.spectra, left.sensors)
            found = (predicted, {**fitted.chosen, "sha256": fitted.digest()})
            if kept is not None:
                kept.write(k, *found)
        held_out[out] = found[0]
        choices.append(found[1])
        report(what, k + 1, n_folds)
    return held_out, choices


def against_other_splits(
    data: TrainingData,
    observed: FloatArray,
    held_out: FloatArray,
    recipe: Recipe,
    in_unit: Callable[[FloatArray], FloatArray],
    *,
    report: Progress,
    keep: str | Path | None,
    fitted: Fitted,
) -> dict[str, Any]:
    """Measure the same recipe under random folds and, where there are few groups, under other grouped folds.

    Random folds let replicates and neighbours of a sample train the model that predicts it; the gap to grouped folds
    shows how much of an apparent skill is that (Roberts et al. 2017, Ecography 40, 913).

    Parameters
    ----------
    data, observed, held_out, recipe
        Training data, observed values in the property's unit, and the grouped out-of-fold predictions.
    in_unit : callable
        From the modelling scale to the property's unit.
    report, keep
        As of :func:`nested`.
    fitted : Fitted
        On everything; tells whether the learner validates itself.

    Returns
    -------
    dict
        ``random_validation`` with ``judged``, ``rmse``, ``n``, ``gap`` (grouped RMSE / random RMSE - 1) and ``why``
        (when it was not judged); ``repeated_validation``, where it was repeated: grouped ``rmse`` by ``seeds``.
    """
    n, n_groups = data.target.size, int(data.groups.max()) + 1
    cheap = not recipe.nested and fitted.left_out is not None
    grouped = regression_metrics(observed, in_unit(held_out))["rmse"]

    def again(groups: IntArray, seed: int, what: str) -> float:
        own = TrainingData(data.spectra, data.target, groups, data.sensors)
        values = learner(recipe.learner).fit(own, recipe).left_out if cheap else None
        if values is None:
            values, _ = nested(own, grouped_folds(groups, recipe.folds, seed), recipe, report, keep, what)
        return regression_metrics(observed, in_unit(values))["rmse"]

    random: dict[str, Any] = {"judged": False, "rmse": None, "gap": None, "n": int(n), "why": ""}
    if n_groups == n:
        random["why"] = "every sample is a group of its own: grouped and random folds are the same"
    elif n > MOST_FOR_RANDOM:
        random["why"] = f"left out beyond {MOST_FOR_RANDOM} samples"
    else:
        rmse = again(np.arange(n, dtype=np.int64), recipe.seed, "random cross-validation, for comparison")
        random |= {"judged": True, "rmse": rmse, "gap": grouped / rmse - 1.0 if rmse > 0 else None}
    result: dict[str, Any] = {"random_validation": random}
    if n_groups < SMALL and recipe.repeats > 1 and not cheap:
        seeds = [recipe.seed + r for r in range(recipe.repeats)]
        more = [again(data.groups, s, "nested cross-validation, repeated") for s in seeds[1:]]
        result["repeated_validation"] = {"seeds": seeds, "rmse": [grouped, *more]}
    return result


class _KeptFolds:
    """Finished folds of one validation, each a JSON file; written whole or not at all."""

    def __init__(self, folder: Path, data: TrainingData, outer: IntArray, recipe: Recipe) -> None:
        digest = hashlib.sha256(recipe.fingerprint().encode())
        for source in sorted(Path(__file__).parent.glob("*.py")):  # other code may choose otherwise
            digest.update(source.read_bytes())
        for array in (data.spectra, data.target, data.groups, data.sensors, outer):
            if array is not None:
                digest.update(np.ascontiguousarray(array).tobytes())
        self.folder = folder / digest.hexdigest()[:20]

    def read(self, fold: int) -> tuple[FloatArray, dict[str, Any]] | None:
        file = self.folder / f"{fold}.json"
        if not file.exists():
            return None
        found = json.loads(file.read_text(encoding="utf-8"))
        return np.array(found["predicted"], dtype=np.float64), dict(found["chosen"])

    def write(self, fold: int, predicted: FloatArray, chosen: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{fold}.{os.getpid()}"
        temporary.write_text(
            json.dumps({"predicted": predicted.tolist(), "chosen": chosen}), encoding="utf-8"
        )
        temporary.replace(self.folder / f"{fold}.json")
