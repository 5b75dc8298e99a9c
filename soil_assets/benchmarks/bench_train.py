"""How long choosing a model takes.

Belongs here: the figures of the table ``train``. Does not belong here: accuracy.
"""

from __future__ import annotations

import sys
import time
import warnings
from typing import Any

import numpy as np

from soil_assets.benchmarks.harness import Figure, median_seconds
from soil_assets.benchmarks.library import Library
from soil_assets.modeling.learners import TrainingData
from soil_assets.modeling.pls import out_of_fold
from soil_assets.modeling.recipe import Recipe
from soil_assets.modeling.selection import fit
from soil_assets.modeling.splits import grouped_folds
from soil_assets.modeling.stack import STACK_PRETREATMENTS
from soil_assets.modeling.threads import suited_threads

_COMPONENTS = 30


def run() -> tuple[list[Figure], dict[str, Any]]:
    """Measure the nested selection on 10,000 x 1,701 and PLS choice against scikit-learn refits."""
    figures, selection = _selection()
    with suited_threads(1):  # both sides alike
        speedup, choice = _speedup()
    return [figures, speedup], {"selection": selection, "pls_choice": choice}


def _selection() -> tuple[Figure, dict[str, Any]]:
    spectra, targets = Library().arrays(0, 10_000)
    data = TrainingData(spectra.astype(np.float64), targets[:, 0], np.arange(10_000, dtype=np.int64))
    recipe = Recipe(learner="selection", pretreatments=STACK_PRETREATMENTS, max_components=20, nested=False)
    _say("nested selection on 10,000 x 1,701")
    start = time.perf_counter()
    fitted = fit(data, recipe)
    seconds = time.perf_counter() - start
    note = (
        f"{len(recipe.pretreatments)} pre-treatments x (PLS 1..20, landmark kernels of 2 widths x penalties), "
        "10 x 9 nested folds"
    )
    return Figure("selection_seconds", seconds, "s", 1, None, note), dict(fitted.chosen)


def _speedup() -> tuple[Figure, dict[str, Any]]:
    spectra, targets = Library(1050).arrays(1, 5_000)
    x, y = spectra.astype(np.float64), targets[:, 0]
    fold = grouped_folds(np.arange(len(y)), 10, 1)
    _say("PLS choice, all component counts in one pass")
    ours = median_seconds(lambda: out_of_fold(x, y, fold, _COMPONENTS), repeats=3)
    curve = ((out_of_fold(x, y, fold, _COMPONENTS) - y) ** 2).mean(axis=1)
    _say("PLS choice, scikit-learn refits")
    from sklearn.cross_decomposition import PLSRegression

    errors = np.zeros(_COMPONENTS)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k in range(10):
            rest, out = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            for count in range(1, _COMPONENTS + 1):
                model = PLSRegression(count, scale=False).fit(x[rest], y[rest])
                errors[count - 1] += float(((model.predict(x[out]).ravel() - y[out]) ** 2).sum())
    peer = time.perf_counter() - start
    chosen, theirs = int(curve.argmin()) + 1, int(errors.argmin()) + 1
    if chosen != theirs:
        raise RuntimeError(f"not the same choice: {chosen} against {theirs} components")
    return (
        Figure(
            "pls_speedup_vs_sklearn", peer / ours, "x", _COMPONENTS * 10, "sklearn PLSRegression refits",
            f"5,000 x 1,050, ten folds; {ours:.2f} s against {peer:.0f} s; both choose {chosen} components",
        ),
        {"seconds": ours, "peer_seconds": peer, "components": chosen},
    )  # fmt: skip


def _say(what: str) -> None:
    sys.stderr.write(f"train: {what}\n")
    sys.stderr.flush()
