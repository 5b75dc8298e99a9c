"""What a new batch costs once the library is large.

Belongs here: the figures of the table ``scale``, on a simulated library of real spectra resampled with noise.
Does not belong here: accuracy.

Per batch the statistics of ``batch_statistics`` (sums of landmark features and of averaged bands with four targets by
validation fold, and a calibration sample) are kept in one file; beside them stands their running total. Adding a
batch reads the total, never the history, and ends in four model files with intervals, applicability domain and band
importance, all refitted. Nothing is simulated but the spectra; making them is not part of any time.
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

from soil_assets.benchmarks.harness import Figure, run_process
from soil_assets.benchmarks.library import PROPERTIES, Library
from soil_assets.modeling.additive import ridge
from soil_assets.modeling.additive_features import AdditiveFeatures
from soil_assets.modeling.additive_training import AdditiveRecipe, leave_one_batch_out, release
from soil_assets.modeling.artifact import load, save
from soil_assets.modeling.batch_statistics import BatchStatistics
from soil_assets.modeling.evaluate import evaluate
from soil_assets.modeling.model import SoilModel
from soil_assets.modeling.pretreatment import average, chain, savgol, snv
from soil_assets.modeling.threads import suited_threads
from soil_assets.spectra.batch import concatenate
from soil_assets.spectra.catalogue import Property
from soil_assets.spectra.parquet import from_parquet, to_parquet

FloatArray = npt.NDArray[np.float64]
_BATCHES, _SIZE, _LANDMARKS = 100, 1_000, 500
_PENALTY = 1e-4
_REPEATS = 7
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
        features = AdditiveFeatures.fit(
            library.batch(0, _SIZE), pretreatment=_PRETREATMENT, width=0.1, landmarks=_LANDMARKS, seed=1
        )
        (home / "features.npz").write_bytes(features.to_bytes())
        history = _summed(library, features, 0)
        (home / "0.npz").write_bytes(history.to_bytes())
        for number in range(1, _BATCHES):
            statistics = _summed(library, features, number)
            (home / f"{number}.npz").write_bytes(statistics.to_bytes())
            history = history + statistics
            if number % 20 == 0:
                _say(f"batch {number} of {_BATCHES}")
            if number == 9:
                (home / "total_short.npz").write_bytes(history.to_bytes())
        (home / "total_long.npz").write_bytes(history.to_bytes())
        to_parquet(library.batch(_BATCHES, _SIZE), home / "new.parquet")
        short, long = _add_to_both(home)
        added = {name: load(home / "long" / name) for name in PROPERTIES}
        full_seconds, everything = _full_refit(library, features)
        difference = _difference(library, features, added, everything)
        held = _coverage(library, added)
        out_seconds, rmse = _leave_one_batch_out(home, history)
    note = f"{_BATCHES} batches of {_SIZE} x 1,701 before, {_LANDMARKS} landmarks, four targets"
    done = f"{note}; intervals, domain and importance refitted; {held}"
    ratio = long["seconds"] / short["seconds"]
    return [
        Figure("add_batch_seconds", long["seconds"], "s", _REPEATS, None, done),
        Figure("add_batch_history_ratio", ratio, "x", _REPEATS, "10 old batches", note),
        Figure("add_batch_speedup_vs_refit", full_seconds / long["seconds"], "x", 1, "full refit", note),
        Figure(
            "refit_max_difference", difference, "relative", 500, "full refit", "four targets, 500 spectra"
        ),
        Figure("leave_one_batch_out_seconds", out_seconds, "s", _BATCHES, None, f"clay, RMSE {rmse:.2f} %"),
        Figure("peak_gb", long["peak_bytes"] / 1e9, "GB", 1, None, "the process that adds the batch"),
    ]


def add(home: Path, history: str) -> dict[str, Any]:
    """Add ``new.parquet`` to a stored total and release four models as files: everything a new batch costs."""
    import scipy.linalg
    import scipy.stats  # noqa: F401 - imports are not part of the time, on either side

    with suited_threads(_SIZE):
        return _add_one(home, history)


def _add_one(home: Path, history: str) -> dict[str, Any]:
    start = time.perf_counter()
    features = AdditiveFeatures.from_bytes((home / "features.npz").read_bytes())
    total = BatchStatistics.from_bytes((home / f"total_{history}.npz").read_bytes())
    batch = from_parquet(home / "new.parquet")
    statistics = BatchStatistics.of(features, batch, _TARGETS, "new")
    (home / "new.npz").write_bytes(statistics.to_bytes())
    together = total + statistics
    (home / "total_after.npz").write_bytes(together.to_bytes())
    for name, model in release(features, together, _TARGETS, AdditiveRecipe()).items():
        save(model, home / history / name)
    return {"seconds": time.perf_counter() - start}


def _summed(library: Library, features: AdditiveFeatures, number: int) -> BatchStatistics:
    return BatchStatistics.of(features, library.batch(number, _SIZE), _TARGETS, f"{number:03d}")


def _full_refit(library: Library, features: AdditiveFeatures) -> tuple[float, BatchStatistics]:
    """Fit on all samples afresh, in blocks of 5,000: other sums, the same solver."""
    _say("full refit")
    block, seconds = 5, 0.0
    everything: BatchStatistics | None = None
    for start in range(0, _BATCHES + 1, block):
        numbers = range(start, min(start + block, _BATCHES + 1))
        together = concatenate([library.batch(n, _SIZE) for n in numbers])
        begun = time.perf_counter()
        sums = BatchStatistics.of(features, together, _TARGETS, f"block {start:03d}")
        everything = sums if everything is None else everything + sums
        seconds += time.perf_counter() - begun
    if everything is None:
        raise RuntimeError("no batch")
    begun = time.perf_counter()
    release(features, everything, _TARGETS, AdditiveRecipe())
    return seconds + time.perf_counter() - begun, everything


def _add_to_both(home: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Add the batch to the short history and to the long one by turns, so that both meet the same machine."""
    code = (
        "import json,sys;from pathlib import Path;from soil_assets.benchmarks.bench_scale import add;"
        "print(json.dumps(add(Path(sys.argv[1]), sys.argv[2])))"
    )
    _say(f"adding one batch to 10 and to {_BATCHES}, by turns")
    seconds: dict[str, list[float]] = {"short": [], "long": []}
    peak = 0
    for _ in range(_REPEATS):
        for history, times in seconds.items():
            run = run_process([sys.executable, "-c", code, str(home), history])
            if run.returncode:
                raise RuntimeError(run.stderr)
            times.append(float(json.loads(run.stdout)["seconds"]))
            peak = max(peak, run.peak_bytes)
    medians = {history: sorted(times)[_REPEATS // 2] for history, times in seconds.items()}
    return {"seconds": medians["short"]}, {"seconds": medians["long"], "peak_bytes": peak}


def _difference(
    library: Library, features: AdditiveFeatures, added: dict[str, SoilModel], everything: BatchStatistics
) -> float:
    """Largest relative difference between the added models and a refit with the same hyper-parameters."""
    spectra = library.arrays(_BATCHES + 1, 500)[0].astype(np.float64)
    worst = 0.0
    for name, model in added.items():
        penalty = float(model.training["chosen"]["penalty"])
        refit = features.kernel.predictor(*ridge(everything.whole(name), penalty))
        one, other = refit.predict(spectra), model.predictor.predict(spectra)
        worst = max(worst, float(np.max(np.abs(one - other) / np.abs(one))))
    return worst


def _coverage(library: Library, models: dict[str, SoilModel]) -> str:
    """Say how many values of twenty batches that no model saw the released 90 % intervals hold."""
    fresh = concatenate(
        [library.batch(_BATCHES + 2 + i, 50) for i in range(20)]
    )  # a batch shares its mixtures
    inside = n = 0
    for prop in _TARGETS:
        for row in evaluate(models[prop.name], fresh, prop, n_boot=200).coverage.to_dict("records"):
            if row["level"] == 0.9:
                inside, n = inside + int(row["inside"]), n + int(row["n"])
    return f"90 % intervals hold {inside} of {n} unseen values"


def _leave_one_batch_out(home: Path, total: BatchStatistics) -> tuple[float, float]:
    _say("leaving every batch out once")
    start = time.perf_counter()
    parts = [
        BatchStatistics.from_bytes((home / f"{n}.npz").read_bytes()).whole("clay") for n in range(_BATCHES)
    ]
    errors = leave_one_batch_out(total.whole("clay"), parts, _PENALTY)
    rmse = np.sqrt(sum(squared for _, squared in errors) / sum(n for n, _ in errors))
    return time.perf_counter() - start, float(rmse)


def _say(what: str) -> None:
    sys.stderr.write(f"scale: {what}\n")
    sys.stderr.flush()
