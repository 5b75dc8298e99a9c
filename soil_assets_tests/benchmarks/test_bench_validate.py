"""The bench of the gate in small: it measures what it says, and notices when the search fails."""

from __future__ import annotations

import numpy as np
import pytest

from soil_assets.benchmarks import bench_validate
from soil_assets.quality import duplicates


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SCANS", 200), ("KNOWN", 400), ("BATCHES", 20), ("_REPEATS", 1)):
        monkeypatch.setattr(bench_validate, name, value)


def test_spectra_look_real_and_are_all_different() -> None:
    spectra = bench_validate.real_looking(300, 7)
    assert spectra.dtype == np.float32
    assert np.isfinite(spectra).all()
    assert np.array_equal(spectra, bench_validate.real_looking(300, 7))
    assert 0 < np.median(spectra) < 2


def test_the_gate_finds_the_planted_faults_and_nothing_else_to_hold() -> None:
    seconds, peak = bench_validate.measure_gate()
    assert (seconds.name, peak.name) == ("gate_seconds", "gate_peak_gb")
    assert "198 accepted, 2 quarantined" in str(seconds.note)
    assert 0 < peak.value < 3


def test_the_search_is_timed_only_when_it_finds_what_was_planted(monkeypatch: pytest.MonkeyPatch) -> None:
    (figure,) = bench_validate.measure_copies()
    assert figure.name == "duplicate_search_seconds"
    monkeypatch.setattr(duplicates, "landed_before", lambda *_: [None] * 200)
    with pytest.raises(RuntimeError, match="0 copies found"):
        bench_validate.measure_copies()


def test_the_tick_finds_the_new_batch() -> None:
    (figure,) = bench_validate.measure_tick()
    assert figure.name == "sensor_tick_seconds"
    assert "20 known" in str(figure.note)
