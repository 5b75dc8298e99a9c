"""The quality gate's cost: time and memory of a full gate, the search for near copies, a sensor's tick.

Belongs here: those figures. Does not belong here: whether the gate is right (tests).

Spectra are mixtures of real ones: each row is four of LimeSoDa's H.138 scans mixed at random, with a gain, an
offset and white noise of an instrument's size. One row in a hundred carries a planted fault, so that findings
are written too. The gate works on rows of 1,701 bands and a model axis of its own, so that resampling is part
of it.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from soil_assets.benchmarks.harness import Figure, own_peak_bytes, run_process
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch, SpectraMatrix

SCANS, KNOWN, BATCHES = 10_000, 100_000, 10_000
LANDED = Axis.regular(4000, 600, 2, "cm-1")
MODEL = Axis.regular(3796, 604, 4, "cm-1")
_REPEATS = 3


def run() -> list[Figure]:
    """Measure and return the figures, each in a fresh process."""
    figures = []
    for part in ("gate", "copies", "tick"):
        finished = run_process([sys.executable, "-m", "soil_assets.benchmarks.bench_validate", part])
        if finished.returncode:
            raise RuntimeError(finished.stderr)
        figures += [Figure(**figure) for figure in json.loads(finished.stdout)]
    return figures


def real_looking(rows: int, seed: int) -> SpectraMatrix:
    """Return absorbance spectra on :data:`LANDED`, mixed from real ones."""
    from soil_assets.spectra.embedded import limesoda
    from soil_assets.spectra.harmonise import harmonise

    real = harmonise(limesoda("H.138"), LANDED, "absorbance").spectra
    rng = np.random.default_rng(seed)
    out = np.empty((rows, len(LANDED)), dtype=np.float32)
    for start in range(0, rows, 2000):
        count = min(2000, rows - start)
        weights = np.zeros((count, len(real)), dtype=np.float32)
        shares = rng.dirichlet(np.ones(4), count)
        for k in range(4):
            np.add.at(weights, (np.arange(count), rng.integers(0, len(real), count)), shares[:, k])
        block = weights @ real
        block = block * rng.normal(1, 0.05, (count, 1)) + rng.normal(0.05, 0.03, (count, 1))
        out[start : start + count] = block + rng.normal(0, 2e-4, block.shape)
    return out


def landed_batch(rows: int, seed: int) -> SpectralBatch:
    """Return a batch with nine properties, replicates of one sample in ten, and a fault in one row of a hundred."""
    rng = np.random.default_rng(seed)
    clay, sand, ph = rng.uniform(5, 60, rows), rng.uniform(5, 38, rows), rng.normal(6.8, 0.7, rows)
    soc = rng.lognormal(0.3, 0.6, rows)
    samples = pd.DataFrame(
        {
            "sample_id": [f"b{seed}-{i:06d}" for i in range(rows)],
            "clay": clay, "sand_usda": sand, "silt_usda": 100 - clay - sand, "ph_h2o": ph, "ph_cacl2": ph - 0.5,
            "soc": soc, "n_tot": soc / 12, "cec": rng.lognormal(2.5, 0.5, rows), "caco3": rng.exponential(0.2, rows),
        }
    )  # fmt: skip
    samples["sample_id"] = samples["sample_id"].astype(object)
    spectra = real_looking(rows, seed)
    twins = np.arange(0, rows - 1, 10)
    spectra[twins + 1] = spectra[twins] + rng.normal(0, 2e-3, (len(twins), len(LANDED)))
    samples.loc[twins + 1] = samples.loc[twins].to_numpy()
    for kind, at in enumerate(np.arange(5, rows, 100)):
        match kind % 4:
            case 0:
                spectra[at, 300:310] = np.nan
            case 1:
                samples.loc[at, "clay"] = 140.0
            case 2:
                spectra[at] -= 2
            case _:
                samples.loc[at, "sample_id"] = None
    return SpectralBatch(samples, spectra, LANDED, "absorbance")


def measure_gate() -> list[Figure]:
    """Time the whole gate with Great Expectations, imports and one small batch ahead of it."""
    from soil_assets.adapters.great_expectations import evaluate
    from soil_assets.quality.gate import QualityResult, assess
    from soil_assets.quality_policy import QualityPolicy
    from soil_assets.spectra.catalogue import built_in_catalogue

    catalogue = built_in_catalogue()

    def gate(batch: SpectralBatch) -> QualityResult:
        return assess(
            batch,
            axis=MODEL,
            quantity="absorbance",
            catalogue=catalogue,
            policy=QualityPolicy(),
            evaluate=evaluate,
        )

    gate(landed_batch(50, 1))
    batch = landed_batch(SCANS, 2)
    before = own_peak_bytes()
    seconds = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        result = gate(batch)
        seconds.append(time.perf_counter() - start)
    counts = result.counts
    note = (
        f"{SCANS} x {len(LANDED)} onto {len(MODEL)} bands, Great Expectations included; {counts['accepted']} accepted, "
        f"{counts['quarantined']} quarantined, {len(result.findings)} findings"
    )
    peak = own_peak_bytes()
    return [
        Figure("gate_seconds", statistics.median(seconds), "s", _REPEATS, None, note),
        Figure(
            "gate_peak_gb", peak / 1e9, "GB", _REPEATS, None,
            f"whole process, of which {before / 1e9:.2f} GB before the gate: libraries and batch",
        ),
    ]  # fmt: skip


def measure_copies() -> list[Figure]:
    """Time the search of a batch among known scans: indexing the library once, then searching it."""
    from soil_assets.quality.duplicates import landed_before
    from soil_assets.quality.known import KnownSpectra
    from soil_assets.quality_policy import QualityPolicy

    near = QualityPolicy().near_copy_distance
    planted = 100
    library = SpectralBatch(
        pd.DataFrame({"sample_id": [f"k{i}" for i in range(KNOWN)]}),
        real_looking(KNOWN, 3),
        LANDED,
        "absorbance",
    )
    spectra = real_looking(SCANS, 4)
    spectra[:planted] = np.round(library.spectra[:: KNOWN // planted][:planted], 4)
    batch = SpectralBatch(
        pd.DataFrame({"sample_id": [f"n{i}" for i in range(SCANS)]}), spectra, LANDED, "absorbance"
    )
    landed_before(batch.take([0]), np.array([0]), KnownSpectra.of(library.take([0])), 1, near)
    whole, search = [], []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        known = KnownSpectra.of(library)
        indexed = time.perf_counter()
        found = landed_before(batch, np.arange(SCANS), known, SCANS, near)
        whole.append(time.perf_counter() - start)
        search.append(time.perf_counter() - indexed)
    told = [i for i, text in enumerate(found) if text is not None]
    if told != list(range(planted)):
        raise RuntimeError(f"{len(told)} copies found where {planted} were planted")
    note = (
        f"{SCANS} x {len(LANDED)} against {KNOWN}, indexing included (search alone {statistics.median(search):.2f} s); "
        f"all {planted} planted near copies (rounded to 4 digits) found, none besides"
    )
    return [Figure("duplicate_search_seconds", statistics.median(whole), "s", _REPEATS, None, note)]


def measure_tick() -> list[Figure]:
    """Time a tick of the sensor of new batches, many known and one new."""
    from soil_assets.config import Settings
    from soil_assets.defs.ticks import timed_ticks

    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=folder)
        names = [f"batch-{i:05d}" for i in range(BATCHES)]
        for name in [*names, "the-new-one"]:
            place = Path(folder) / "landing" / name
            place.mkdir(parents=True)
            (place / "scans.csv").write_text(f"sample_id,1000,1002\n{name},0.1,0.2\n", encoding="utf-8")
            (place / "_SUCCESS").touch()
        seconds, asked = timed_ticks(settings, names, _REPEATS)
    if asked != ["the-new-one"]:
        raise RuntimeError(f"the tick asked for {asked}")
    note = f"{BATCHES} known batches in a local landing zone, one new and found; ephemeral instance"
    return [Figure("sensor_tick_seconds", statistics.median(seconds), "s", _REPEATS, None, note)]


if __name__ == "__main__":
    parts = {"gate": measure_gate, "copies": measure_copies, "tick": measure_tick}
    print(json.dumps([asdict(figure) for figure in parts[sys.argv[1]]()]))  # noqa: T201
