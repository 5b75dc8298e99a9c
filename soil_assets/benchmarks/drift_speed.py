"""Speed and memory of the drift gate, beside Evidently's preset and a plain rule of one test a column.

Belongs here: timing and the peers. Does not belong here: error rates of the gate itself (``drift_runs``).
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from soil_assets.benchmarks.drift_generator import smooth_spectra
from soil_assets.benchmarks.harness import Figure, median_seconds, run_process
from soil_assets.config import DriftPolicy
from soil_assets.drift.compare import compare
from soil_assets.drift.profile import ReferenceProfile, fit_profile
from soil_assets.drift.profile_file import load, save
from soil_assets.drift.tables import compare_tables
from soil_assets.spectra.parquet import from_parquet, to_parquet

_REFERENCE, _BATCH = 100_000, 2_000
_TABLE_REFERENCE, _TABLE_BATCH, _TABLE_COLUMNS = 20_000, 2_000, 200


def figures() -> tuple[list[Figure], dict[str, Any]]:
    """Measure the speed goals and the peers' false alarms."""
    found = _spectra()
    table, extra = _tables()
    return [*found, *table], extra


def _spectra() -> list[Figure]:
    reference = smooth_spectra(_REFERENCE, seed=1)
    start = time.perf_counter()
    profile = fit_profile(reference, properties=("clay",))
    fitted = time.perf_counter() - start
    del reference
    drifted, unchanged = smooth_spectra(_BATCH, seed=2, change=0.1), smooth_spectra(_BATCH, seed=3)
    policy = DriftPolicy()
    seconds = {}
    for name, batch in (("drifted", drifted), ("unchanged", unchanged)):
        seconds[name] = median_seconds(partial(compare, profile, batch, policy=policy), repeats=3)
    slower = max(seconds, key=lambda k: seconds[k])
    return [
        Figure("profile_fit_seconds", fitted, "s", n=1, note=f"{_REFERENCE} x 1701, smooth generator"),
        Figure(
            "batch_seconds",
            seconds[slower],
            "s",
            n=3,
            note=f"{_BATCH} x 1701, {slower} batch (the other: {min(seconds.values()):.2f} s)",
        ),
        _memory(profile),
    ]


def _memory(profile: ReferenceProfile) -> Figure:
    """Measure a process that loads the fitted profile and a batch from files and compares them, and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        files = [str(save(profile, Path(folder) / "profile.zip")), str(Path(folder) / "batch.parquet")]
        to_parquet(smooth_spectra(_BATCH, seed=2, change=0.1), files[1])
        code = "import sys; from soil_assets.benchmarks.drift_speed import judge_files; judge_files(*sys.argv[1:])"
        whole = run_process([sys.executable, "-c", code, *files])
        bare = run_process([sys.executable, "-c", code])
    if whole.returncode or bare.returncode:
        raise RuntimeError(f"the process whose memory is measured failed: {whole.stderr or bare.stderr}")
    return Figure(
        "batch_peak_gb",
        whole.peak_bytes / 1e9,
        "GB",
        n=1,
        note=f"peak of a process of its own that compares {_BATCH} x 1701 with a fitted profile of {_REFERENCE}; with "
        f"the same imports alone {bare.peak_bytes / 1e9:.2f} GB",
    )


def judge_files(profile: str | None = None, batch: str | None = None) -> None:
    """Compare a saved batch with a saved profile; without files, import what that needs."""
    from scipy import linalg, spatial, special, stats  # noqa: F401  # what comparing imports

    if profile is not None and batch is not None:
        report = compare(load(profile), from_parquet(batch), policy=DriftPolicy())
        print(report.verdict)  # noqa: T201


def _tables() -> tuple[list[Figure], dict[str, Any]]:
    """Time the two-table form against Evidently's preset on one table, and count both rules' false alarms."""
    rng = np.random.default_rng(0)
    columns = [f"c{i}" for i in range(_TABLE_COLUMNS)]
    reference = pd.DataFrame(rng.normal(size=(_TABLE_REFERENCE, _TABLE_COLUMNS)), columns=columns)
    new = pd.DataFrame(rng.normal(size=(_TABLE_BATCH, _TABLE_COLUMNS)), columns=columns)
    own = median_seconds(lambda: compare_tables(reference, new), repeats=3)
    if find_spec("evidently") is None:
        return [], {"peers": "Evidently is not installed (dependency group 'bench'); no ratio was measured"}
    start = time.perf_counter()
    _evidently(reference, new)
    theirs = time.perf_counter() - start
    figure = Figure(
        "speedup_vs_evidently",
        theirs / own,
        "x",
        n=1,
        peer=f"Evidently DataDriftPreset: {theirs:.1f} s against {own:.3f} s",
        note=f"{_TABLE_REFERENCE} x {_TABLE_COLUMNS} reference, {_TABLE_BATCH} x {_TABLE_COLUMNS} batch",
    )
    return [figure], {"peers": _peer_alarms()}


def _evidently(reference: pd.DataFrame, new: pd.DataFrame) -> float:
    """Return the share of columns that Evidently's preset calls drifted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently import Report  # type: ignore[import-untyped,import-not-found,unused-ignore]
        from evidently.presets import (  # type: ignore[import-untyped,import-not-found,unused-ignore]
            DataDriftPreset,
        )

        result = Report([DataDriftPreset()]).run(new, reference).dict()
    return float(result["metrics"][0]["value"]["share"])


def _peer_alarms(splits: int = 40) -> list[dict[str, Any]]:
    """Count false alarms on unchanged NIRsoil-like batches: real components, disjoint splits.

    Evidently alarms when half the columns are called drifted; the plain rule when any column's
    Kolmogorov-Smirnov p-value is below 1 %; ours at a family-wise 1 %.
    """
    from scipy.stats import ks_2samp

    from soil_assets.benchmarks.drift_sets import available, read
    from soil_assets.drift.space import pooled_space

    name = "NIRsoil" if available("NIRsoil") else "SSP.460"
    batch, _ = read(name)
    space = pooled_space(batch.spectra.astype(np.float64), 10)
    if space is None:
        return []
    rows = []
    for n in (30, 100):
        counts = {"Evidently preset": 0, "KS per column at 1 %": 0, "this gate at 1 %": 0}
        for seed in range(splits):
            order = np.random.default_rng([seed, n]).permutation(len(batch))
            scores = pd.DataFrame(space.scores, columns=[f"component {i + 1}" for i in range(10)])
            known, new = scores.iloc[order[n:]], scores.iloc[order[:n]]
            counts["Evidently preset"] += _evidently(known, new) >= 0.5
            counts["KS per column at 1 %"] += any(
                ks_2samp(known[c], new[c]).pvalue <= 0.01 for c in scores.columns
            )
            report = compare_tables(known.reset_index(drop=True), new.reset_index(drop=True))
            counts["this gate at 1 %"] += report.verdict == "fail"
        rows += [
            {"set": name, "n": n, "rule": rule, "alarms": int(c), "of": splits} for rule, c in counts.items()
        ]
    return rows
