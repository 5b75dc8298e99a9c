"""How long a batch waits for its verdict, what orchestration costs, and a backfill over a thousand batches."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from soil_assets.benchmarks import platform_home
from soil_assets.benchmarks.harness import Figure
from soil_assets.benchmarks.platform_home import Server, python, serving

#: A share of the full size, while the bench itself is worked on; figures of less than 1 are no figures.
_SCALE = float(os.environ.get("SOIL_BENCH_SCALE") or 1.0)
_LIBRARY, _SCANS, _VERDICTS = max(1, round(100 * _SCALE)), 1_000, 3
_MANY, _EACH = max(10, round(1_000 * _SCALE)), 100
_CHAINS = 3
_OURS = "import json;from soil_assets.benchmarks import bench_platform as b,platform_home as h;"
_VERDICT = """{ assetNodeOrError(assetKey: {path: ["drift_reports"]}) { ... on AssetNode {
  assetMaterializations(partitions: ["%s"], limit: 1) { partition }
  assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization {
    evaluation { success partition } } } } } } } }"""
_PAGE = """{ assetNodeOrError(assetKey: {path: ["drift_reports"]}) { ... on AssetNode {
  description kinds partitionKeys partitionStats { numMaterialized numFailed numPartitions }
  latestMaterialization: assetMaterializations(limit: 1) { partition timestamp metadataEntries { label } }
  assetPartitionStatuses { ... on DefaultPartitionStatuses { materializedPartitions failedPartitions } }
  assetChecksOrError { ... on AssetChecks { checks { name blocking
    executionForLatestMaterialization { status evaluation { success partition } } } } } } }
  materializationHistory: assetOrError(assetKey: {path: ["drift_reports"]}) { ... on Asset {
    assetMaterializations(limit: 50) { partition timestamp runId metadataEntries { label description } } } } }"""


def run() -> tuple[list[Figure], dict[str, Any]]:
    """Measure the three on homes of their own, each set up with frozen sets and a model on main."""
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(threads, "1")
    wanted = os.environ.get("SOIL_BENCH_PARTS", "overhead,backfill,verdict").split(",")
    found: list[Figure] = []
    details: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="soil-platform-") as folder:
        start = Path(folder) / "start"
        _say("setting up: frozen sets and models on main")
        python(f"{_OURS}print(json.dumps(h.set_up()))", start)
        for part, measure in (("overhead", _overhead), ("backfill", _backfill), ("verdict", _verdicts)):
            if part in wanted:
                figures, detail = measure(start)
                found += figures
                details[part] = detail
    return found, {"details": details}


def _overhead(home: Path) -> tuple[list[Figure], dict[str, Any]]:
    """Time the chain by turns orchestrated and called, in one process."""
    _say("the chain orchestrated, and the same functions called")
    times = python(f"{_OURS}print(json.dumps(b.both_chains({_CHAINS})))", home)
    ratio = statistics.median(times["orchestrated"]) / statistics.median(times["called"])
    _say(f"{ratio:.2f} times: {times}")
    note = "landed batch of 100 to decision report, one property; plots, pages and MLflow in both"
    return [Figure("orchestration_overhead", ratio, "x", _CHAINS, "the same functions called", note)], times


def both_chains(repeats: int) -> dict[str, list[float]]:
    """Return seconds of both chains; each does a batch of its own, after one of each that is not timed."""
    from soil_assets.config import load_settings
    from soil_assets.defs.bare_chain import CHAIN, call_chain
    from soil_assets.defs.build import assets_of, build_definitions
    from soil_assets.defs.io import load_value
    from soil_assets.defs.pipeline import add_landed_batches
    from soil_assets.defs.resources import Soil
    from soil_assets.defs.run import open_instance, run_job, run_selection

    settings = load_settings()
    definitions, soil = build_definitions(settings), Soil.of(settings)
    prop = settings.properties[0]
    frozen = {n: load_value(soil.data, n) for n in ("reference_spectra", "benchmark_spectra")}
    seconds: dict[str, list[float]] = {"orchestrated": [], "called": []}
    with open_instance() as instance:
        for number in range(repeats + 1):
            name = platform_home.drop("chain-", 50_000 + number, 1, _EACH)[0]
            add_landed_batches(instance, settings)
            begin = time.perf_counter()
            outcomes = [run_job(definitions, instance, "judge_batch", name)]
            outcomes.append(run_selection(definitions, instance, "training_set"))
            outcomes.append(run_selection(definitions, instance, ",".join(CHAIN[4:7]), prop))
            outcomes.append(run_selection(definitions, instance, "decision_report"))
            seconds["orchestrated"].append(time.perf_counter() - begin)
            errors = [e for o in outcomes for e in o.errors]
            if errors:
                raise RuntimeError("; ".join(errors))
            begin = time.perf_counter()
            call_chain(assets_of(settings), instance, soil, frozen, name, prop)
            seconds["called"].append(time.perf_counter() - begin)
    return {k: v[1:] for k, v in seconds.items()}


def _backfill(start: Path) -> tuple[list[Figure], dict[str, Any]]:
    """Time the job that judges many batches, then the page of the asset they belong to."""
    home = _copied(start, "backfill")
    _say(f"dropping {_MANY} batches of {_EACH}")
    python(f'{_OURS}print(json.dumps(h.drop("old-", 0, {_MANY}, {_EACH})))', home)
    _say("the backfill")
    told = python(f"{_OURS}print(json.dumps(b.backfill()))", home)
    _say(str(told))
    if told["verdicts"] != _MANY:
        raise RuntimeError(f"{told['verdicts']} of {_MANY} batches have a verdict")
    with serving(home) as server:
        pages = [_timed(server, _PAGE) for _ in range(4)][1:]
    shutil.rmtree(home)
    memory = f"resident {told['early_mb']:.0f} MB after a tenth, {told['late_mb']:.0f} MB at the end"
    note = f"one run, {told['verdicts']} verdicts, {told['held']} held; {memory}"
    return [
        Figure("backfill_1000_seconds", told["seconds"], "s", _MANY, None, note),
        Figure(
            "backfill_memory_ratio", told["late_mb"] / told["early_mb"], "x", _MANY, "after a tenth", memory
        ),
        Figure(
            "asset_page_seconds",
            statistics.median(pages),
            "s",
            len(pages),
            None,
            "GraphQL of the asset's page",
        ),
    ], told


def backfill() -> dict[str, Any]:
    """Judge every batch in the landing zone in one run of this process; return what it took and what came out."""
    from soil_assets.config import load_settings
    from soil_assets.defs import backfill as many
    from soil_assets.defs.build import build_definitions
    from soil_assets.defs.judgements import judgements
    from soil_assets.defs.pipeline import add_landed_batches
    from soil_assets.defs.run import open_instance, run_job

    settings = load_settings()
    definitions = build_definitions(settings)
    with open_instance() as instance:
        names = add_landed_batches(instance, settings)
        with _watched() as resident:
            begin = time.perf_counter()
            done = run_job(definitions, instance, many.JOB)
        seconds = time.perf_counter() - begin
        if not done.success:
            raise RuntimeError("; ".join(done.errors))
        told = judgements(instance, settings, [n for n in names if n.startswith("old-")])
    open_gates = {n: j.open_gates for n, j in told.items() if j.open_gates}
    return {
        "seconds": seconds,
        "verdicts": len(told) - len(open_gates),
        "held": sum(not j.passed for j in told.values()),
        "early_mb": resident[len(resident) // 10],
        "late_mb": max(resident[-len(resident) // 10 :]),
    }


def _verdicts(start: Path) -> tuple[list[Figure], dict[str, Any]]:
    """Drop batches of 1,000 beside a library of 100,000 and wait until the web server tells their verdict."""
    home = _copied(start, "verdict")
    _say(f"a library of {_LIBRARY} batches of {_SCANS}")
    python(f'{_OURS}print(json.dumps(h.drop("old-", 0, {_LIBRARY}, {_SCANS})))', home)
    python(f"{_OURS}print(json.dumps(b.backfill()))", home)
    waited = []
    with serving(home) as server:
        # Training on the whole library would take both cores for minutes after each verdict.
        _stop(server, "declared_automation")
        for number in range(_VERDICTS):
            _say(f"batch {number + 1} of {_VERDICTS}")
            dropping = f'{_OURS}print(json.dumps(h.drop("new-", {70_000 + number}, 1, {_SCANS})))'
            name = python(dropping, home)[0]
            begin = time.perf_counter()
            server.until(_VERDICT % name, partial(_judged, name), f"the verdict of {name}", 300)
            waited.append(time.perf_counter() - begin)
    note = f"waited {', '.join(f'{w:.0f}' for w in waited)} s; soil ui on a library of {_LIBRARY * _SCANS:,}"
    shutil.rmtree(home)
    return [Figure("verdict_seconds", statistics.median(waited), "s", len(waited), None, note)], {
        "waited": waited
    }


def _stop(server: Server, sensor: str) -> None:
    listed = """{ repositoriesOrError { ... on RepositoryConnection {
      nodes { sensors { name sensorState { id } } } } } }"""
    nodes = server.until(
        listed, lambda d: bool(d["repositoriesOrError"].get("nodes")), "the code's loading", 180
    )["repositoriesOrError"]["nodes"]
    number = next(s["sensorState"]["id"] for n in nodes for s in n["sensors"] if s["name"] == sensor)
    told = server.ask(f'mutation {{ stopSensor(id: "{number}") {{ __typename }} }}')
    if told["stopSensor"]["__typename"] != "StopSensorMutationResult":
        raise RuntimeError(f"the sensor {sensor} did not stop: {told}")


def _judged(name: str, data: Any) -> bool:
    node = data["assetNodeOrError"]
    if not node["assetMaterializations"]:
        return False
    checks = {c["name"]: c["executionForLatestMaterialization"] for c in node["assetChecksOrError"]["checks"]}
    drift = (checks["batch_drift"] or {}).get("evaluation")
    return drift is not None and drift["partition"] == name


def _timed(server: Server, query: str) -> float:
    begin = time.perf_counter()
    server.ask(query)
    return time.perf_counter() - begin


def _copied(start: Path, name: str) -> Path:
    """Return a home that starts as ``start`` does; its registry's addresses still lead there."""
    home = start.parent / name
    shutil.copytree(start, home)
    return home


@contextmanager
def _watched() -> Iterator[list[float]]:
    """Note this process's resident memory in MB, twice a second."""
    seen, over = [_resident_mb()], threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            seen.append(_resident_mb())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()
        seen.append(_resident_mb())


def _resident_mb() -> float:
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _say(what: str) -> None:
    sys.stderr.write(f"platform: {what}\n")
    sys.stderr.flush()
