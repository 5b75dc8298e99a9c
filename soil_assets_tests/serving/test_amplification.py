"""Small requests that ask for much: refused or answered in bounded memory, and nobody else waits for them."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import requests

from soil_assets.errors import BadInput
from soil_assets.serving.body import SMALL
from soil_assets.serving.incoming import from_json
from soil_assets.serving.lists import Lists
from soil_assets.serving.refusals import Refused
from soil_assets_tests.serving.registered import Home, Running, body, running

JSON = {"content-type": "application/json"}
PACKED = {**JSON, "content-encoding": "gzip"}
FILE = {"content-type": "application/octet-stream"}
AXIS = '"axis":{"unit":"cm-1","first":4500,"last":350},"quantity":"absorbance"'
_MOST_MB = 200


def escaped_keys_and_levels() -> bytes:
    """The keys cannot be counted by their letters, and each level is named thousands of times."""
    spectra = ",".join('{"\\u0069ntensities":[1,2,3,4,5,6]}' for _ in range(1000))
    return f'{{"spectra":[{spectra}],"levels":[{",".join(["0.9"] * 2000)}],{AXIS}}}'.encode()


def few_bands() -> bytes:
    spectra = ",".join('{"intensities":[1,2,3,4,5]}' for _ in range(10_000))
    return f'{{"spectra":[{spectra}],{AXIS}}}'.encode()


def wide() -> bytes:
    return f'{{"spectra":[{",".join([one(b"1,", 90_000).decode()] * 5)}],{AXIS}}}'.encode()


def one(number: bytes, count: int) -> bytes:
    return b'{"intensities":[' + number * (count - 1) + b"1]}"


def packed_numbers() -> bytes:
    """Sixty megabytes of ones in sixty kilobytes."""
    spectra = b",".join([one(b"1,", 1701)] * 9_000)
    return gzip.compress(b'{"spectra":[' + spectra + b"]," + AXIS.encode() + b"}", 9)


HOSTILE: dict[str, tuple[bytes, dict[str, str], str]] = {
    "escaped keys, repeated levels": (escaped_keys_and_levels(), JSON, ""),
    "few bands": (few_bands(), JSON, ""),
    "wide": (wide(), JSON, ""),
    "packed numbers": (packed_numbers(), PACKED, ""),
    "packed objects": (gzip.compress(b'{"spectra":[' + b"{}," * 10_000_000 + b"{}]}", 9), PACKED, ""),
    "packed zeros": (gzip.compress(bytes(900 << 20), 9), PACKED, ""),
    "objects": (b'{"spectra":[' + b"{}," * 330_000 + b"{}]}", JSON, ""),
    "wrong levels": (f'{{"spectra":[],"levels":[{"2," * 400_000}2],{AXIS}}}'.encode(), JSON, ""),
    "wrong positions": (
        f'{{"spectra":[],"axis":{{"unit":"nm","values":[{"null," * 99_000}null]}},"quantity":"absorbance"}}'.encode(),
        JSON,
        "",
    ),
    "keys": (json.dumps({f"k{i}": i for i in range(60_000)}).encode(), JSON, ""),
    "versions": (
        json.dumps({"spectra": [], "versions": {f"k{i}": "x" for i in range(40_000)}}).encode(), JSON, "",
    ),
    "a long text": (b'{"spectra":[{"id":"' + b"x" * 900_000 + b'"}]}', JSON, ""),
    "brackets": (b"[" * 900_000, JSON, ""),
    "packed table": (gzip.compress(b"1,2,3\n" * 5_000_000, 9), {**FILE, "content-encoding": "gzip"}, "?filename=a.csv"),
    "levels in the query": (b"x", FILE, "?" + "levels=0.9&" * 5_000),
}  # fmt: skip


def resident_mb(pid: int) -> float:
    """Memory of a process and its children."""
    total = 0
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            total = int(line.split()[1]) << 10
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            total += int(resident_mb(int(child)) * 1e6)
        except OSError:
            continue  # it has just ended
    return total / 1e6


@contextmanager
def watched(service: Running) -> Iterator[dict[str, Any]]:
    """Look at memory and health until the end of the block."""
    seen: dict[str, Any] = {"peak_mb": 0.0, "health": [], "failed": []}
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            seen["peak_mb"] = max(seen["peak_mb"], resident_mb(service.process.pid))
            time.sleep(0.005)

    def ask() -> None:
        with requests.Session() as session:
            while not over.is_set():
                try:
                    session.get(f"{service.address}/healthz", timeout=3).raise_for_status()
                except requests.RequestException as error:
                    seen["failed"].append(repr(error))
                time.sleep(0.02)

    threads = [threading.Thread(target=look), threading.Thread(target=ask)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.fixture(scope="module")
def service(shared_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc here")
    from soil_assets_tests.serving.registered import copied

    with running(copied(shared_home, tmp_path_factory.mktemp("hostile") / "home")) as started:
        table = b"sample_id,1000,1002\na,1,2\n"
        requests.post(f"{started.address}/v1/predict?filename=a.csv", data=table, headers=FILE, timeout=60)
        yield started


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_a_small_request_takes_little_memory_and_stops_nobody(service: Running, name: str) -> None:
    content, headers, query = HOSTILE[name]
    assert len(content) < 1 << 20
    idle = resident_mb(service.process.pid)
    with watched(service) as seen:
        reply = requests.post(
            f"{service.address}/v1/predict{query}", data=content, headers=headers, timeout=60
        )
    assert reply.status_code in (200, 400, 413, 422), reply.text[:500]
    if reply.status_code != 200:
        assert reply.json()["error"]["what"]
    assert seen["peak_mb"] - idle < _MOST_MB, (seen["peak_mb"], idle, reply.status_code, reply.text[:300])
    assert seen["failed"] == []


def test_levels_are_answered_once(client: Any) -> None:
    said = client.post("/v1/predict", json=body([60], levels=[0.9] * 100)).json()
    assert [i["level"] for i in said["samples"][0]["predictions"]["clay"]["intervals"]] == [0.9]


# -- large bodies, read list by list ----------------------------------------------------------------------


def large(rows: list[list[Any]], **changes: Any) -> bytes:
    asked = {
        "spectra": [{"id": f'"[{i}]\\', "intensities": r} for i, r in enumerate(rows)],
        "axis": {"unit": "cm-1", "first": 4000.0, "last": 400.0},
        "quantity": "absorbance",
        **changes,
    }
    return json.dumps(asked).encode() + b" " * SMALL


def test_a_large_body_says_what_a_small_one_says() -> None:
    rng = np.random.default_rng(5)
    for bands in (2, 3, 40, 300):
        rows = rng.normal(size=(20, bands)).tolist()
        rows[3][1] = None
        axis = {"unit": "cm-1", "values": np.linspace(400, 4000, bands).tolist()}
        for text in (large(rows), large(rows, axis=axis), large(rows, axis=axis, levels=[0.9] * 60)):
            whole, parts = from_json(text.rstrip(), 100), from_json(text, 100)
            np.testing.assert_array_equal(whole.spectra, parts.spectra)
            assert (whole.ids, whole.axis, whole.wanted) == (parts.ids, parts.axis, parts.wanted)


@pytest.mark.parametrize(
    ("rows", "row", "column"),
    [
        ([[0.5] * 99, [*[0.5] * 98, True]], 2, "intensities.99"),
        ([[0.5] * 99, [0.5] * 98], 2, "intensities"),
        ([[0.5] * 99, "x" * 200], 2, "intensities"),
        ([[0.5] * 99, [0.5, [0.25] * 98]], 2, "intensities"),
    ],
)
def test_what_is_wrong_in_a_large_body_is_said_with_its_place(rows: list[Any], row: int, column: str) -> None:
    with pytest.raises(BadInput) as caught:
        from_json(large(rows), 100)
    assert caught.value.row == row
    assert str(caught.value.column).startswith(column)


@pytest.mark.parametrize(
    "text",
    [
        b'{"spectra":[{"intensities":[' + b"1," * 99 + b"]}]," + AXIS.encode() + b"}",
        b'{"spectra":[{"intensities":[' + b"1.," * 99 + b"]}]," + AXIS.encode() + b"}",
        b'{"spectra":[{"id":"\\"',
        b'{"spectra":["',
        b'"' + b"\\" * 101,
        b"[" * 50,
    ],
)
def test_a_large_body_that_is_no_json(text: bytes) -> None:
    with pytest.raises(Refused) as caught:
        from_json(b" " * SMALL + text, 100)
    assert caught.value.status == 400


def test_an_id_of_numbers_is_no_id() -> None:
    numbers = [1.5] * 50
    text = json.dumps({"spectra": [{"id": numbers, "intensities": numbers}], "quantity": "absorbance",
                       "axis": {"unit": "nm", "first": 400, "last": 2500}})  # fmt: skip
    with pytest.raises(BadInput, match="not an id"):
        from_json(text.encode() + b" " * SMALL, 100)


def test_more_intensities_than_a_request_may_have() -> None:
    rows = [[0.5] * 100] * 11
    assert len(from_json(large(rows[:10]), 100, 1_000)) == 10
    for text in (large(rows), large(rows).rstrip()):
        with pytest.raises(Refused) as caught:
            from_json(text, 100, 1_000)
        assert caught.value.status == 413


def test_lists_read_nothing_that_they_count() -> None:
    text = orjson.dumps({"a": [0.5] * 1_000, "b": '[1,2]"', "c": [[1, 2], [0.25] * 80]})
    lists = Lists(text, 10_000, 1_000, lambda: None)
    rest = orjson.loads(lists.rest)
    assert lists.length(rest["a"]) == 1_000
    assert lists.listed(rest["a"]) == [0.5] * 1_000
    assert lists.listed(rest["c"][1]) == [0.25] * 80
    assert (rest["b"], rest["c"][0]) == ('[1,2]"', [1, 2])
    assert len(lists.rest) < 200


# -- files and the room they need -------------------------------------------------------------------------


@pytest.mark.slow
def test_an_upload_that_finds_no_room(home: Home, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(small_disk))
    table = b"sample_id,1000,1002\n" + b"a,1,2\n" * (1 << 20)
    with running(home, settings={"service": {"max_file_mb": 8, "max_spectra": 10}}) as service:
        url = f"{service.address}/v1/predict?filename=a.csv"
        reply = requests.post(url, data=table[: 6 << 20], headers=FILE, timeout=60)
        assert (reply.status_code, reply.json()["error"]["what"]) == (
            503,
            "there is no room for an uploaded file",
        )
        assert reply.headers["retry-after"]
        reply = requests.post(url, data=table * 2, headers=FILE, timeout=60)
        assert (reply.status_code, reply.json()["error"]["what"]) == (413, "the file is too large")
        assert list(small_disk.iterdir()) == []
        reply = requests.post(url, data=table[:1_000], headers=FILE, timeout=60)
        assert reply.status_code == 422  # read, and no room was wanting
