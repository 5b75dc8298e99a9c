"""The benches of the readers, small: their figures exist, and a finding would be seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from soil_assets.benchmarks import bench_fuzz, bench_read
from soil_assets.benchmarks.instrument_files import all_formats
from soil_assets.spectra import read as read_module
from soil_assets.spectra.read import read

pytestmark = pytest.mark.shared


def test_fuzz_covers_every_format_and_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_fuzz, "_CASES_A_CHILD", 100)
    formats = len(all_formats())
    figures, tables = bench_fuzz.run(2 * formats)
    by_name = {f.name: f.value for f in figures}
    assert by_name == {"cases": 2 * formats, "unhandled_exceptions": 0, "hangs": 0}
    assert set(all_formats()) <= set(tables["outcomes"])


def test_fuzz_sees_an_exception_a_hang_and_much_memory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import json
    import time

    import soil_assets.spectra.read as module

    def crash(*_: object) -> None:
        raise ZeroDivisionError("by design")

    def spin(*_: object) -> list[object]:
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass
        return []

    held: list[bytes] = []

    def hoard(*_: object) -> list[object]:
        held.append(np.ones(8 << 20, np.uint8))
        return []

    monkeypatch.setattr(bench_fuzz, "_warm_up", lambda corpus: None)
    # The system's peak never falls, so other tests may hide a new one: count what is held instead.
    monkeypatch.setattr(bench_fuzz, "own_peak_bytes", lambda: sum(map(len, held)))
    seen = {}
    for name, behaviour, bounds in (
        ("unhandled", crash, (2.0, 1 << 30)),
        ("hang", spin, (0.01, 1 << 30)),
        ("memory", hoard, (2.0, 1 << 20)),
    ):
        monkeypatch.setattr(module, "read_source", behaviour)
        monkeypatch.setattr(bench_fuzz, "MOST_SECONDS", bounds[0])
        monkeypatch.setattr(bench_fuzz, "MOST_BYTES", bounds[1])
        bench_fuzz.cases(0, 4, limit_address_space=False)
        seen[name] = [json.loads(line)["outcome"] for line in capsys.readouterr().out.splitlines()]
    for name, outcomes in seen.items():
        assert name in outcomes, (name, outcomes)


def test_mutations_are_repeatable_and_do_damage() -> None:
    raw = all_formats()["soil_1.0"]
    changed = 0
    for case in range(50):
        one = bench_fuzz.mutate(raw, np.random.default_rng([1, case]), raw)
        two = bench_fuzz.mutate(raw, np.random.default_rng([1, case]), raw)
        assert one == two
        changed += one != raw
    assert changed > 45


def test_the_ossl_layout_is_what_it_says(tmp_path: Path) -> None:
    bench_read.write_ossl_layout(tmp_path / "t.csv", 30)
    header = list(pd.read_csv(tmp_path / "t.csv", nrows=0).columns)
    assert header[:3] == ["dataset.code_ascii_txt", "id.layer_uuid_txt", "id.scan_local_c"]
    assert (header[3], header[-1], len(header)) == ("scan_mir.600_abs", "scan_mir.4000_abs", 1704)
    batch = read(tmp_path / "t.csv")
    assert batch.spectra.shape == (30, bench_read.BANDS)
    assert batch.sample_ids.is_unique
    assert batch.samples["scan_id"][0] == "0XS01"


def test_made_opus_files_stand_in_for_the_real_folder(tmp_path: Path) -> None:
    folder = bench_read._made_opus(tmp_path / "opus")
    batch = read(folder)
    assert len(batch) == 284
    assert set(batch.samples.groupby("sample_id").size()) == {3, 2}


def test_the_package_answers_as_the_function(tmp_path: Path) -> None:
    import soil_assets.spectra as package

    bench_read.write_ossl_layout(tmp_path / "t.csv", 3)
    assert len(package.read(tmp_path / "t.csv")) == 3
    assert len(read_module(tmp_path / "t.csv")) == 3  # type: ignore[operator]
