"""What a new batch costs once the library is large.

Belongs here: the figures of the table ``scale``, on a simulated library of real spectra resampled with noise.
Does not belong here: accuracy.

Per batch the sums of landmark features with four targets are kept in one file; beside them stands their running
total. Adding a batch reads the total, never the history. Making spectra is not part of any time.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.benchmarks.harness import Figure, run_process
from soil_assets.benchmarks.library import PROPERTIES, Library
from soil_assets.modeling.additive import ridge
from soil_assets.modeling.applicability import order_statistic
from soil_assets.modeling.batch_statistics import BatchStatistics
from soil_assets.modeling.nystrom import LandmarkFeatures, LandmarkPredictor
from soil_assets.modeling.pretreatment import average, chain, savgol, snv
from soil_assets.modeling.selection import squared_errors
from soil_assets.modeling.threads import suited_threads
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch, concatenate
from soil_assets.spectra.catalogue import Property

FloatArray = npt.NDArray[np.float64]
_BATCHES, _SIZE, _LANDMARKS = 100, 1_000, 500
_PENALTY = 1e-4
_REPEATS = 5
_PRETREATMENT = chain(average(600), snv(), savgol(11, 2, 1))


_TARGETS = tuple(Property(name, name, "") for name in PROPERTIES)


def run() -> list[Figure]:
    """Build the library batch by batch, add the last one, refit in full, leave every batch out once."""
    with suited_threads(_SIZE):  # the same for the addition and the refit
        return _run()


def _run() -> list[Figure]:
    library = Library()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        first = library.batch(0, _SIZE)
        features = LandmarkFeatures.fit(first.spectra.astype(np.float64), _PRETREATMENT, _LANDMARKS, 0.1, 1)
        _save_features(home / "features.npz", features)
        history = BatchStatistics.of(features, first, _TARGETS)
        history.save(home / "0.npz")
        short: dict[str, Any] = {}
        for number in range(1, _BATCHES):
            sums = BatchStatistics.of(features, library.batch(number, _SIZE), _TARGETS)
            sums.save(home / f"{number}.npz")
            history = history + sums
            if number % 20 == 0:
                _say(f"batch {number} of {_BATCHES}")
            if number == 9:
                short = _add(home, library, 10, history)
        long = _add(home, library, _BATCHES, history)
        full_seconds, models = _full_refit(library, features)
        check = library.arrays(_BATCHES + 1, 500)[0].astype(np.float64)
        difference = _difference(check, models, long["models"])
        out_seconds, rmse = _leave_one_batch_out(home)
    note = f"{_BATCHES} batches of {_SIZE} x 1,701 before, {_LANDMARKS} landmarks, four targets"
    return [
        Figure("add_batch_seconds", long["seconds"], "s", _REPEATS, None, note),
        Figure(
            "add_batch_history_ratio",
            long["seconds"] / short["seconds"],
            "x",
            _REPEATS,
            "10 old batches",
            note,
        ),
        Figure("add_batch_speedup_vs_refit", full_seconds / long["seconds"], "x", 1, "full refit", note),
        Figure(
            "refit_max_difference", difference, "relative", 500, "full refit", "four targets, 500 spectra"
        ),
        Figure("leave_one_batch_out_seconds", out_seconds, "s", _BATCHES, None, f"clay, RMSE {rmse:.2f} %"),
        Figure("peak_gb", long["peak_bytes"] / 1e9, "GB", 1, None, "the process that adds the batch"),
    ]


def add(home: Path) -> dict[str, Any]:
    """Add ``new.npz`` to ``total.npz`` and release four models: everything a new batch costs.

    The new batch is first predicted by the models before it; those errors, never seen in training, are added to
    the stored ones, and the intervals follow from them all.
    """
    import scipy.linalg  # noqa: F401 - imports are not part of the time, on either side

    with suited_threads(_SIZE):
        return _add_one(home)


def _add_one(home: Path) -> dict[str, Any]:
    start = time.perf_counter()
    features = _load_features(home / "features.npz")
    with np.load(home / "new.npz", allow_pickle=False) as new:
        spectra, targets = new["spectra"], new["targets"]
    axis = Axis(np.arange(1.0, spectra.shape[1] + 1.0), "nm")
    samples = pd.DataFrame(targets, columns=list(PROPERTIES)).assign(sample_id=range(len(targets)))
    batch = SpectralBatch(samples, spectra, axis, "absorbance")
    history = BatchStatistics.load(home / "total.npz")
    before = history.release(features, _PENALTY)
    kernel = features.kernel(spectra)
    errors = np.column_stack(
        [np.abs(kernel @ m.dual + m.intercept - targets[:, i]) for i, m in enumerate(before.values())]
    )
    errors = np.concatenate([np.load(home / "errors.npy", allow_pickle=False), errors])
    np.save(home / "errors_after.npy", errors)
    ranks = [min(order_statistic(len(errors), 1.0 - v), len(errors)) - 1 for v in (0.68, 0.9, 0.95)]
    widths = np.partition(errors, ranks, axis=0)[ranks]
    sums = BatchStatistics.of(features, batch, _TARGETS)
    sums.save(home / "added.npz")
    together = history + sums
    together.save(home / "total_after.npz")
    models = together.release(features, _PENALTY).values()
    np.savez(
        home / "models.npz",
        dual=np.array([m.dual for m in models]),
        intercept=[m.intercept for m in models],
        half_widths=widths,
    )
    return {"seconds": time.perf_counter() - start}


def _full_refit(library: Library, features: LandmarkFeatures) -> tuple[float, list[LandmarkPredictor]]:
    """Fit on all samples afresh, in blocks of 5,000: other sums, the same solver."""
    _say("full refit")
    block, seconds = 5, 0.0
    everything: BatchStatistics | None = None
    for start in range(0, _BATCHES + 1, block):
        numbers = range(start, min(start + block, _BATCHES + 1))
        together = concatenate([library.batch(n, _SIZE) for n in numbers])
        begun = time.perf_counter()
        sums = BatchStatistics.of(features, together, _TARGETS)
        everything = sums if everything is None else sums + everything
        seconds += time.perf_counter() - begun
    if everything is None:
        raise RuntimeError("no batch")
    begun = time.perf_counter()
    models = list(everything.release(features, _PENALTY).values())
    return seconds + time.perf_counter() - begun, models


def _add(home: Path, library: Library, n_old: int, history: BatchStatistics) -> dict[str, Any]:
    history.save(home / "total.npz")
    # One earlier error a sample of the history, as successive additions would have left them.
    rng = np.random.default_rng(n_old)
    np.save(home / "errors.npy", np.abs(rng.normal(size=(n_old * _SIZE, len(PROPERTIES)))))
    spectra, targets = library.arrays(_BATCHES, _SIZE)
    np.savez(home / "new.npz", spectra=spectra, targets=targets)
    code = (
        "import json,sys;from pathlib import Path;from soil_assets.benchmarks.bench_scale import add;"
        "print(json.dumps(add(Path(sys.argv[1]))))"
    )
    _say(f"adding one batch to {n_old}")
    runs = [run_process([sys.executable, "-c", code, str(home)]) for _ in range(_REPEATS)]
    failed = [r.stderr for r in runs if r.returncode]
    if failed:
        raise RuntimeError(failed[0])
    seconds = sorted(float(json.loads(r.stdout)["seconds"]) for r in runs)[_REPEATS // 2]
    features = _load_features(home / "features.npz")
    with np.load(home / "models.npz", allow_pickle=False) as stored:
        models = [
            LandmarkPredictor(features.pretreatment, features.landmarks, features.gamma, d, float(c))
            for d, c in zip(stored["dual"], stored["intercept"], strict=True)
        ]
    return {"seconds": seconds, "peak_bytes": max(r.peak_bytes for r in runs), "models": models}


def _difference(spectra: FloatArray, refit: list[LandmarkPredictor], added: list[LandmarkPredictor]) -> float:
    worst = 0.0
    for a, b in zip(refit, added, strict=True):
        one, other = a.predict(spectra), b.predict(spectra)
        worst = max(worst, float(np.max(np.abs(one - other) / np.abs(one))))
    return worst


def _leave_one_batch_out(home: Path) -> tuple[float, float]:
    _say("leaving every batch out once")
    start = time.perf_counter()
    total = BatchStatistics.load(home / "total.npz").sums["clay"]
    errors, n = 0.0, 0
    for number in range(_BATCHES):
        part = BatchStatistics.load(home / f"{number}.npz").sums["clay"]
        coefficients, intercept = ridge(total - part, _PENALTY)
        errors += float(squared_errors(part, coefficients[None], np.array([intercept]))[0])
        n += part.n
    return time.perf_counter() - start, float(np.sqrt(errors / n))


def _save_features(file: Path, features: LandmarkFeatures) -> None:
    np.savez(file, landmarks=features.landmarks, gamma=features.gamma, whitening=features.whitening)


def _load_features(file: Path) -> LandmarkFeatures:
    with np.load(file, allow_pickle=False) as stored:
        return LandmarkFeatures(
            _PRETREATMENT, stored["landmarks"], float(stored["gamma"]), stored["whitening"]
        )


def _say(what: str) -> None:
    sys.stderr.write(f"scale: {what}\n")
    sys.stderr.flush()
