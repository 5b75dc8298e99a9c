"""Killed at any moment and started again: nothing lost, nothing doubled, nothing half-written visible."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from soil_assets.config import QualityPolicy
from soil_assets.defs.io import has_value, load_value, save_value
from soil_assets.defs.landing_zone import land_copy
from soil_assets.quality.expectations import evaluate
from soil_assets.quality.gate import assess
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.catalogue import built_in_catalogue
from soil_assets.spectra.embedded import limesoda
from soil_assets.spectra.harmonise import resample
from soil_assets.spectra.landed import read_landed
from soil_assets.storage import Store

AXIS = Axis.regular(3600, 800, 40, "cm-1")
BATCHES = 12
KILLS = 60


def drop_batches(landing: Store) -> dict[str, int]:
    """Small real batches, some with a faulty row or a file that no reader reads; return landed scans by name."""
    field = resample(limesoda("NRW.115"), Axis.regular(3700, 700, 20, "cm-1"))
    landed = {}
    for i in range(BATCHES):
        part = field.take(np.arange(i * 9, i * 9 + 9))
        table = pd.DataFrame(part.spectra, columns=[f"scan_mir.{v:g}_ref" for v in part.axis.values])
        table.insert(0, "sample_id", part.samples["sample_id"])
        if i % 3 == 0:
            table.iloc[4, 1:] = np.nan
        landing.write(f"b{i:02d}/spectra.csv", table.to_csv(index=False).encode())
        landing.write(f"b{i:02d}/lab.csv", part.samples[["sample_id", "clay"]].to_csv(index=False).encode())
        landed[f"b{i:02d}"] = len(table)
        if i % 4 == 1:
            landing.write(f"b{i:02d}/broken.asd", b"ASD\x00 cut short")
            landed[f"b{i:02d}"] += 1
    return landed


def ingest(landing: Store, data: Store, names: list[str]) -> None:
    """What the landing and validation assets do, in their order; what is done already is left alone."""
    catalogue = built_in_catalogue()
    for name in names:
        if has_value(data, "validated_batches", name):
            continue
        copy = land_copy(landing, data, name)
        landed = read_landed(copy.folder, catalogue)
        save_value(data, "raw_spectra", name, landed)
        result = assess(
            landed,
            axis=AXIS,
            quantity="absorbance",
            catalogue=catalogue,
            policy=QualityPolicy(),
            evaluate=evaluate,
        )
        save_value(data, "validated_batches", name, result)


def check_invariants(data: Store, landed: dict[str, int]) -> int:
    """Every value that can be seen is whole and adds up; return how many batches are done."""
    done = 0
    for name, scans in landed.items():
        if has_value(data, "raw_spectra", name):
            assert load_value(data, "raw_spectra", name).landed == scans
        if has_value(data, "validated_batches", name):
            result = load_value(data, "validated_batches", name)
            counts = result.counts
            assert counts["landed"] == scans == counts["accepted"] + counts["quarantined"]
            assert len(result.accepted) == counts["accepted"]
            assert len(result.quarantine) == counts["quarantined"]
            done += 1
    return done


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_kills_at_random_instants_lose_and_double_nothing(tmp_path: Path) -> None:
    landing, data = Store(str(tmp_path / "landing")), Store(str(tmp_path / "data"))
    landed = drop_batches(landing)
    names = sorted(landed)
    ingest(
        landing, Store(str(tmp_path / "warm")), names[:2]
    )  # the parent is warm, so kills fall into the work
    rng = np.random.default_rng(20260101)
    kills = finished = 0
    while kills < KILLS:
        child = os.fork()
        if child == 0:
            try:
                ingest(landing, data, names)
                os._exit(0)
            except BaseException:  # noqa: BLE001  # reported through the exit code, without pytest's machinery
                os._exit(3)
        time.sleep(float(rng.uniform(0.002, 0.25)))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert not (os.WIFEXITED(status) and os.WEXITSTATUS(status) == 3), (
            "a restart stumbled over what was left"
        )
        kills += os.WIFSIGNALED(status)
        if check_invariants(data, landed) == len(names):  # all done: begin again in an empty store
            finished += 1
            data = Store(str(tmp_path / f"data{finished}"))
    ingest(landing, data, names)
    assert check_invariants(data, landed) == len(names)
    assert kills == KILLS
    stray = [f for f in Path(data.url, "raw").rglob("*") if f.is_file() and f.name.startswith(".")]
    assert stray == []
