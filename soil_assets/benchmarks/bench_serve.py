"""The prediction service as a client meets it: latency, throughput beside its peer, starts, memory, moves, fuzz.

The models are what the platform registers: PLS by its recipe, 1,000 training spectra, 1,701 bands, four properties;
the same figures for stacks of kernel machines are printed beside. ``soil serve`` runs as it is delivered, with its
prediction log on.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from soil_assets.benchmarks import serve_processes as run_time
from soil_assets.benchmarks.harness import Figure

_STARTS = 5
_RATE, _SECONDS = 50.0, 60.0
_BATCHES = 5
_ROUNDS, _ROUND_SECONDS = 3, 10
_MOVE_RATE, _MOVE_SECONDS = 200.0, 24.0
_FUZZ = 20_000


def run() -> tuple[list[Figure], dict[str, Any]]:
    """Measure everything on models that are trained and registered for it."""
    figures: list[Figure] = []

    def measured(*found: Figure) -> None:
        figures.extend(found)
        for f in found:
            _say(f"  {f.name} {f.value:.4g} {f.unit}  {f.note or ''}")

    _say("four PLS models of 1,701 bands are trained and registered")
    with run_time.registry_of("pls") as home:
        one, one_clay, many = (home.folder / f"{n}.json" for n in ("one", "one_clay", "many"))
        one.write_bytes(run_time.request_body(1))
        one_clay.write_bytes(run_time.request_body(1, ["clay"]))
        many.write_bytes(run_time.request_body(5000))
        measured(_cold_start(home))
        measured(*_steady(home, one, many, ""))
        measured(*_throughput(home, one_clay))
        measured(*_moves(home, one))
        _say("latency and large request again, with stacks")
        with run_time.registry_of("stack") as stacks:
            measured(*_steady(stacks, one, many, "stack_"))
        found, fuzzed = _fuzzed(home)
        measured(*found)
    return figures, {"fuzz": fuzzed}


def _cold_start(home: run_time.Home) -> Figure:
    seconds = []
    for _ in range(_STARTS + 1):  # the first fetches the models from the registry and fills the disk cache
        with run_time.service(home) as (_, _, took):
            seconds.append(took)
    note = f"process start to 200 of /readyz, models in the local copy; the first, fetching them: {seconds[0]:.2f} s"
    return Figure("cold_start_seconds", statistics.median(seconds[1:]), "s", _STARTS, None, note)


def _steady(home: run_time.Home, one: Path, many: Path, prefix: str) -> list[Figure]:
    _say(f"{_RATE:g} requests/s for {_SECONDS:g} s, then 5,000 spectra in one request")
    figures = []
    with run_time.service(home) as (address, pid, _):
        url = f"{address}/v1/predict"
        run_time.result_of(run_time.load(url, one, _RATE, 5.0))  # warm-up
        said = run_time.result_of(run_time.load(url, one, _RATE, _SECONDS))
        if said["failures"]:
            raise RuntimeError(f"{len(said['failures'])} requests failed: {said['failures'][:3]}")
        p50, p99 = (1e3 * float(v) for v in np.percentile(said["latencies"], [50, 99]))
        n = len(said["latencies"])
        note = "open loop, 16 connections (own generator, a process of its own), one spectrum x 1,701, four properties"
        figures.append(Figure(f"{prefix}p50_ms", p50, "ms", n, None, note))
        figures.append(Figure(f"{prefix}p99_ms", p99, "ms", n, None, note))
        if not prefix:
            run_time.post(
                f"{url}?filename=a.csv", run_time.table_body(), "text/csv"
            )  # starts the reader of files
            both = run_time.resident_bytes(pid) / 1e6
            run_time.wait_for_rest(pid)
            alone = run_time.resident_bytes(pid) / 1e6
            note = (
                f"all processes, after {n} requests and an uploaded file; {both:.0f} MB for the seconds that the "
                "process that reads files is kept"
            )
            figures.append(Figure("resident_mb", alone, "MB", 1, None, note))
            figures.append(Figure("resident_with_reader_mb", both, "MB", 1, None, "while it is kept"))
        content = many.read_bytes()
        batches = [run_time.post(url, content) for _ in range(_BATCHES)]
        note = f"5,000 x 1,701 as {len(content) / 1e6:.0f} MB of JSON, four properties, sent and answered"
        figures.append(
            Figure(f"{prefix}batch_5000_seconds", statistics.median(batches), "s", _BATCHES, None, note)
        )
    return figures


def _throughput(home: run_time.Home, one: Path) -> list[Figure]:
    _say("throughput beside mlflow models serve")
    theirs_body = home.folder / "peer.json"
    theirs_body.write_bytes(run_time.peer_body(1))
    pairs: list[tuple[float, float]] = []
    by = ""
    with (
        run_time.service(home, "--model", "soil-clay=1") as (address, _, _),
        run_time.peer(home, "soil-clay") as other,
    ):
        ours_url, theirs_url = f"{address}/v1/predict", f"{other}/invocations"
        for url, body in ((ours_url, one), (theirs_url, theirs_body)):
            for _ in range(20):
                run_time.post(url, body.read_bytes())
        for _ in range(_ROUNDS):
            ours, by = run_time.throughput(ours_url, one, _ROUND_SECONDS)
            theirs, _ = run_time.throughput(theirs_url, theirs_body, _ROUND_SECONDS)
            pairs.append((ours, theirs))
    ratio = statistics.median(a / b for a, b in pairs)
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    note = f"{by}, 8 connections, a process each, one spectrum, the same version: {ours:.0f} against {theirs:.0f} per s"
    return [Figure("throughput_vs_mlflow", ratio, "x", _ROUNDS, "mlflow models serve", note)]


def _moves(home: run_time.Home, one: Path) -> list[Figure]:
    _say(f"the alias moves under {_MOVE_RATE:g} requests/s")
    waits: list[float] = []
    with run_time.service(home) as (address, _, _):
        url = f"{address}/v1/predict"
        mark = '"model":"soil-clay","version":2'
        generator = run_time.load(url, one, _MOVE_RATE, _MOVE_SECONDS, mark)
        time.sleep(_MOVE_SECONDS / 4)
        run_time.point(home, "soil-clay", 2)
        moved = time.time()
        time.sleep(_MOVE_SECONDS / 4)
        run_time.point(home, "soil-clay", 1)
        time.sleep(_MOVE_SECONDS / 4)
        run_time.point(home, "soil-clay", 2)
        said = run_time.result_of(generator)
        if mark not in said["first_seen"]:
            raise RuntimeError("the new version never answered")
        waits.append(said["first_seen"][mark] - moved)
    run_time.point(home, "soil-clay", 1)
    n = len(said["latencies"])
    slow = f"p99 {1e3 * float(np.percentile(said['latencies'], 99)):.0f} ms meanwhile"
    return [
        Figure(
            "failed_on_model_move", float(len(said["failures"])), "requests", n, None, f"three moves; {slow}"
        ),
        Figure(
            "new_version_seconds", waits[0], "s", 1, None, "from the move of the alias to the first answer"
        ),
    ]


def _fuzzed(home: run_time.Home) -> tuple[list[Figure], dict[str, Any]]:
    from soil_assets.benchmarks.serve_fuzz import HANG_SECONDS, fuzz

    _say(f"schemathesis: {_FUZZ:,} cases")
    with run_time.service(home) as (address, _, _):
        found = fuzz(address, _FUZZ)
    statuses = {str(k): v for k, v in sorted(found.statuses.items())}
    broken = sum(found.nonconforming.values())
    return [
        Figure("fuzz_cases", float(found.cases), "requests", None, None, f"by status: {statuses}"),
        Figure("fuzz_server_errors", float(found.server_errors), "requests", found.cases, None, "status 500 and above"),
        Figure("fuzz_hangs", float(found.hangs), "requests", found.cases, None, f"no answer within {HANG_SECONDS:g} s"),
        Figure("fuzz_nonconforming", float(broken), "answers", found.cases, None, "break the OpenAPI"),
    ], {"nonconforming": dict(found.nonconforming), "examples": found.examples}  # fmt: skip


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201  # progress
