"""The prediction log: whole files, nothing lost uncounted, no request that waits; and a day read back."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from soil_assets.serving import prediction_log
from soil_assets.serving.prediction_log import PredictionLog
from soil_assets.serving.served_day import days, read_day
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.storage import Store
from soil_assets_tests.delivery.models import field, model
from soil_assets_tests.serving.registered import Home, body, client_of

TODAY = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d")


def eventually(met: Callable[[], bool]) -> None:
    for _ in range(600):
        if met():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come to pass")


def test_what_was_answered_is_what_was_logged(home: Home) -> None:
    with client_of(home, predictions="{home}/served", log_seconds=3600.0) as client:
        first = client.post("/v1/predict", json=body([60, 61, 62])).json()
        client.post("/v1/predict", json=body([63], properties=["ph"]))
        client.post("/v1/predict", json=body([60]))  # a repeat
        asked = body([64], quantity="reflectance", scale="percent")
        asked["spectra"][0]["intensities"] = (
            100 * 10.0 ** -field().take([64]).spectra[0].astype(float)
        ).tolist()
        client.post("/v1/predict", json=asked)
        counts = client.service.log.counts
        assert counts.taken == 6
    assert (counts.written, counts.dropped) == (6, 0)
    store = Store(str(home.folder / "served"))
    assert days(store) == [TODAY]
    day = read_day(store, TODAY, model().axis, "absorbance")
    assert day.counts == {
        "logged": 6, "usable": 5, "repeated": 1, "off_axis": 0, "files": 3, "unreadable_files": 0,
    }  # fmt: skip
    assert day.versions == {"clay": {1: 4}, "ph": {1: 5}}
    assert day.most_used() == {"clay": 1, "ph": 1}
    table = day.batch.samples.set_index("sample_id")
    for sample in first["samples"]:
        row = table.loc[f"{first['request_id']}/{sample['id']}"]
        assert row["predicted_clay"] == pytest.approx(sample["predictions"]["clay"]["value"])
        assert bool(row["inside_clay"]) is sample["predictions"]["clay"]["inside"]
    np.testing.assert_allclose(
        np.sort(day.batch.spectra.sum(axis=1)),
        np.sort(field().take(range(60, 65)).spectra.sum(axis=1)),
        rtol=1e-5,
    )


def test_a_full_queue_drops_and_counts(home: Home) -> None:
    with client_of(home, predictions="{home}/served", log_seconds=3600.0, log_queue=4) as client:
        for _ in range(3):
            assert client.post("/v1/predict", json=body([60, 61])).status_code == 200
        counts = client.service.log.counts
        assert (counts.taken, counts.dropped, client.service.log.waiting) == (6, 2, 4)
        assert 'soil_logged_spectra_total{fate="dropped"} 2.0' in client.get("/metrics").text
    assert (counts.written, counts.dropped) == (4, 2)


def test_a_place_that_cannot_be_written_costs_no_request(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_log, "_WAIT", 0.01)
    blocked = home.folder / "served"
    blocked.write_text("a file where the folder should be")
    with client_of(home, predictions="{home}/served", log_seconds=0.01) as client:
        assert client.post("/v1/predict", json=body([60, 61])).status_code == 200
        log = client.service.log
        eventually(lambda: log.counts.failures >= 2)
        assert log.waiting == 2  # kept, not lost
        blocked.unlink()
        eventually(lambda: log.counts.written == 2)
    assert log.counts.dropped == 0


def test_what_cannot_be_written_at_the_end_is_counted(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_log, "_WAIT", 0.01)
    (home.folder / "served").write_text("a file where the folder should be")
    with client_of(home, predictions="{home}/served", log_seconds=3600.0) as client:
        client.post("/v1/predict", json=body([60, 61]))
        log = client.service.log
    assert (log.counts.taken, log.counts.written, log.counts.dropped, log.waiting) == (2, 0, 2, 0)


def test_a_share_is_sampled(home: Home) -> None:
    with client_of(home, predictions="{home}/served", log_seconds=3600.0, log_share=0.25) as client:
        for _ in range(20):
            client.post("/v1/predict", json=body(list(range(60, 100))))
        taken = client.service.log.counts.taken
    # 800 spectra at a quarter: outside these bounds once in ten million times.
    assert 200 - 66 < taken < 200 + 66


def test_no_log_when_none_is_wanted(home: Home) -> None:
    with client_of(home, predictions="{home}/served", log_share=0.0) as client:
        client.post("/v1/predict", json=body([60]))
        assert client.service.log is None
    assert not (home.folder / "served").exists()


def test_a_day_with_damaged_and_foreign_files(home: Home) -> None:
    with client_of(home, predictions="{home}/served", log_seconds=3600.0) as client:
        client.post("/v1/predict", json=body([60]))
    store = Store(str(home.folder / "served"))
    store.write(f"{TODAY}/damaged.parquet", b"PAR1 no")
    day = read_day(store, TODAY, model().axis, "absorbance")
    assert (day.counts["logged"], day.counts["unreadable_files"]) == (1, 1)
    assert "damaged.parquet" in day.notes[0]
    far = read_day(store, TODAY, Axis.regular(9000.0, 5000.0, 10.0, "cm-1"), "absorbance")
    assert (far.counts["logged"], far.counts["usable"], far.counts["off_axis"]) == (1, 0, 1)
    assert len(far.batch) == 0


def test_a_queue_of_its_own_thread_never_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing takes as long as it likes; putting does not wait for it."""
    import threading

    release = threading.Event()
    monkeypatch.setattr(Store, "write", lambda *_: release.wait(30))
    from soil_assets.serving.incoming import Asked, Wanted

    batch = field().take([60])
    asked = Asked(["a"], batch.spectra, batch.axis, "absorbance", "fraction", Wanted())
    log = PredictionLog(str(tmp_path), seconds=0.001, queue=3)
    for _ in range(50):
        log.put("r", asked, {}, {})
    assert log.waiting <= 3
    assert log.counts.dropped >= 47
    release.set()
    log.close()
    assert log.counts.taken == log.counts.written + log.counts.dropped


# -- few files, and not for ever --------------------------------------------------------------------------


def logged(axis: Axis, n: int = 1, shift: float = 0.0) -> tuple[Any, dict[str, Any]]:
    """What the service hands over of ``n`` answered spectra."""
    from soil_assets.serving.incoming import Asked, Wanted

    rng = np.random.default_rng(round(1e6 * shift) + len(axis))
    spectra = (0.5 + 0.1 * rng.random((n, len(axis)))).astype(np.float32)
    asked = Asked([f"s{i}" for i in range(n)], spectra, axis, "absorbance", "fraction", Wanted())
    return asked, {"clay": {"value": [20.0] * n, "inside": [True] * n}}


class Version:
    version = 1


def put(log: PredictionLog, axis: Axis, n: int = 1, shift: float = 0.0) -> None:
    asked, columns = logged(axis, n, shift)
    log.put(f"r{shift}", asked, columns, {"clay": Version()})  # type: ignore[dict-item]


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.parquet"))


AXIS = Axis.regular(4000.0, 400.0, 40.0, "cm-1")


def test_many_small_files_become_few(tmp_path: Path) -> None:
    log = PredictionLog(str(tmp_path), seconds=0.001)
    for i in range(100):
        put(log, AXIS, shift=i)
        eventually(lambda: log.waiting == 0)
    log.close()
    assert log.counts.written == 100
    assert len(files_of(tmp_path)) < 100 / 3
    day = read_day(Store(str(tmp_path)), TODAY, AXIS, "absorbance")
    assert (day.counts["logged"], day.counts["usable"], day.counts["repeated"]) == (100, 100, 0)


def test_a_thousand_axes_are_few_files_and_the_rest_is_counted(tmp_path: Path) -> None:
    log = PredictionLog(str(tmp_path), seconds=3600.0, kinds=8)
    for i in range(1_000):
        put(log, Axis.regular(4000.0 + i, 400.0, 40.0, "cm-1"), shift=i)
    log.close()
    assert len(files_of(tmp_path)) == 8
    assert (log.counts.taken, log.counts.written, log.counts.dropped) == (1_000, 8, 992)


def test_a_large_request_is_several_files_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_log, "MOST_VALUES", 10 * len(AXIS))
    log = PredictionLog(str(tmp_path), seconds=3600.0)
    for n in (25, 3, 10):
        put(log, AXIS, n, shift=n)
    log.close()
    rows = [pq.read_metadata(f).num_rows for f in files_of(tmp_path)]
    assert (sum(rows), max(rows)) == (38, 10)
    assert read_day(Store(str(tmp_path)), TODAY, AXIS, "absorbance").counts["usable"] == 38


def test_intensities_that_wait_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_log, "_MOST_WAITING", 10 * len(AXIS))
    log = PredictionLog(str(tmp_path), seconds=3600.0)
    for n in (6, 6, 4):
        put(log, AXIS, n, shift=n)
    assert (log.waiting, log.counts.dropped) == (10, 6)
    log.close()
    assert log.counts.written == 10


def test_days_that_are_over_become_one_file_and_old_ones_go(tmp_path: Path) -> None:
    from soil_assets.serving.log_files import LogFiles

    store = Store(str(tmp_path))
    files = LogFiles(store)
    start = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
    for day in range(3):
        for i in range(20):
            asked, _ = logged(AXIS, shift=i + 100 * day)
            at = start + dt.timedelta(days=day, minutes=i)
            batch = SpectralBatch(
                pd.DataFrame({"sample_id": ["a"], "request_id": [f"{day}/{i}"]}),
                asked.spectra,
                AXIS,
                "absorbance",
            )
            files.write(at, "kind", batch)
            files.put_together()
    assert len(files_of(tmp_path / "2026-03-01")) == 5  # sixteen together, and four
    files.day_over(dt.date(2026, 3, 3))
    assert [len(files_of(tmp_path / d)) for d in days(store)] == [1, 1, 5]
    assert read_day(store, "2026-03-01", AXIS, "absorbance").counts["usable"] == 20
    (tmp_path / "2026-03-01" / "note.txt").write_text("somebody's")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.parquet").write_bytes(b"not the log's")
    assert files.remove_before(dt.date(2026, 3, 3)) == 2
    assert days(store) == ["2026-03-01", "2026-03-03"]  # what is not the log's own stays
    assert [f.parent.name for f in files_of(tmp_path)].count("2026-03-03") == 5
    assert (tmp_path / "elsewhere" / "a.parquet").exists()


def test_old_days_go_when_the_service_starts(tmp_path: Path) -> None:
    for day in ("2020-01-01", TODAY):
        (tmp_path / day).mkdir()
        (tmp_path / day / "a.parquet").write_bytes(b"")
    PredictionLog(str(tmp_path), days=30).close()
    assert days(Store(str(tmp_path))) == [TODAY]
    (tmp_path / "2020-01-01").mkdir()
    PredictionLog(str(tmp_path)).close()  # all are kept unless it is set
    assert "2020-01-01" in days(Store(str(tmp_path)))


def test_a_day_is_read_while_files_are_put_together(tmp_path: Path) -> None:
    log = PredictionLog(str(tmp_path), seconds=0.001)
    counts = []
    for i in range(60):
        put(log, AXIS, shift=i)
        eventually(lambda: log.waiting == 0)
        counts.append(read_day(Store(str(tmp_path)), TODAY, AXIS, "absorbance").counts["usable"])
    log.close()
    assert counts == list(range(1, 61))
