"""What a change of one batch costs where the DVC remote holds gigabytes: with main's results, and without them.

A synthetic remote (a folder) of spectra as CSV in full precision; main's own run has judged all of them and published
its results. SOIL_BENCH_LARGE_GB is its size (2); SOIL_BENCH_LARGE_WHOLE the number of batches on which judging all anew
is timed (8): the figure for all of them is that time in proportion, beside the pull, which is of everything.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from soil_assets.benchmarks.harness import Figure
from soil_assets.benchmarks.library import Library
from soil_assets.errors import BadInput

_ROOT = Path(__file__).resolve().parents[2]
_SCANS = 500
#: One band a wavenumber, 17 digits a value: about 60 kB a scan, as an instrument's own export.
_BANDS = 3245
#: Not the field of the benchmark: what leaks from it is never trained on.
_FIELDS = ("NRW.62", "NRW.42")
_CHAIN = "drift_reports,training_drift,training_set,trained_models"
_SETTINGS: dict[str, Any] = {
    "properties": ["clay"],
    "axis": {"start": 3796, "stop": 552, "step": 4, "unit": "cm-1", "quantity": "absorbance"},
    "recipe": {"max_components": 10, "folds": 5},
    # Other fields than the golden reference's are to be trained on all the same.
    "policy": {"drift": {"when_drift": "warn", "permutations": 199}},
}


def run() -> tuple[list[Figure], dict[str, Any]]:
    """Measure bytes and seconds of both, and compare what they trained."""
    size = float(os.environ.get("SOIL_BENCH_LARGE_GB", "2")) * 1e9
    part = int(os.environ.get("SOIL_BENCH_LARGE_WHOLE", "8"))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        main, batches = _main(place, size)
        part = min(part, len(batches))
        _say("main's own run")
        main_seconds = _timed(main, place, [sys.executable, "-W", "ignore", "-c", _JUDGE])
        publish_seconds = _timed(main, place, _soil("batch", "publish"))
        change = _clone(main, place / "change")
        _write_batch(change / "batches", len(batches))
        _dvc(change, place, "add", "-q", f"batches/{_name(len(batches))}")
        _dvc(change, place, "push", "-q")
        _commit(change)

        _say("the change, sparse")
        sparse = _clone(change, place / "sparse")
        pull = _timed(sparse, place, _soil("batch", "pull", "--against", "HEAD~1"))
        pulled = _bytes(sparse / ".dvc" / "cache")
        restored = _bytes(sparse / ".soil" / "repository" / "data" / "assets", besides="reference_spectra")
        judge = _timed(sparse, place, _soil("run", _CHAIN, "--each", "--go-on"))

        _say("the change, whole")
        whole = _clone(change, place / "whole")
        whole_pull = _timed(whole, place, _soil("batch", "pull"))
        whole_bytes = _bytes(whole / ".dvc" / "cache")
        for name in [*batches, _name(len(batches))][part:]:
            shutil.rmtree(whole / "batches" / name)
            (whole / "batches" / f"{name}.dvc").unlink()
        part_seconds = _timed(
            whole, place, _soil("run", "raw_spectra,validated_batches,drift_reports", "--each", "--go-on")
        )
        shutil.rmtree(whole)

        _say("main, after the merge")
        _git(main, "pull", "-q", str(change), "HEAD")
        _dvc(main, place, "pull", "-q", f"batches/{_name(len(batches))}.dvc")
        train = _timed(
            main, place, _soil("run", "training_drift,training_set,trained_models", "--each", "--go-on")
        )
        same = [
            _hashes(sparse, asset) == _hashes(main, asset)
            for asset in ("training_set", "trained_models/clay")
        ]
        scans = (len(batches) + 1) * _SCANS
    whole_judge = part_seconds * (len(batches) + 1) / part + train
    remote = (
        f"remote of {whole_bytes / 1e9:.2f} GB in {len(batches) + 1} batches, {scans} scans, one batch added"
    )
    figures = [
        Figure(
            "sparse_bytes",
            (pulled + restored) / 1e6,
            "MB",
            1,
            None,
            f"{remote}: its data, and main's results",
        ),
        Figure("whole_bytes", whole_bytes / 1e6, "MB", 1, None, "every batch"),
        Figure("bytes_ratio", whole_bytes / (pulled + restored), "x", 1, "whole_bytes"),
        Figure(
            "sparse_seconds", pull + judge, "s", 1, None, f"{remote}: pull {pull:.0f} s, chain {judge:.0f} s"
        ),
        Figure(
            "whole_seconds",
            whole_pull + whole_judge,
            "s",
            1,
            None,
            f"pull of everything {whole_pull:.0f} s; judging timed on {part} batches and scaled to "
            f"{len(batches) + 1}; training {train:.0f} s on all",
        ),
        Figure("seconds_ratio", (whole_pull + whole_judge) / (pull + judge), "x", 1, "whole_seconds"),
        Figure(
            "same_training_set_and_model", float(all(same)), "", 2, None, "equal bytes, from main's own run"
        ),
    ]
    seconds = {"main_judges_all": main_seconds, "publish": publish_seconds, "train": train}
    return figures, {"seconds": seconds, "bytes": {"data": pulled, "results": restored}}


_JUDGE = """
from soil_assets.config import load_settings
from soil_assets.defs.build import build_definitions
from soil_assets.defs.pipeline import add_landed_batches
from soil_assets.defs.run import open_instance, run_job, run_selection
from soil_assets.cli.console import prepare_environment
prepare_environment()
settings = load_settings()
definitions = build_definitions(settings)
with open_instance() as instance:
    add_landed_batches(instance, settings)
    for outcome in (
        run_selection(definitions, instance, "reference_spectra,benchmark_spectra"),
        run_job(definitions, instance, "judge_many_batches"),
    ):
        assert outcome.success, outcome.errors
"""


def _main(place: Path, size: float) -> tuple[Path, list[str]]:
    """Write main's repository and its remote; return it and its batches."""
    import yaml

    main = place / "main"
    (main / "batches").mkdir(parents=True)
    (main / "soil.yaml").write_text(yaml.safe_dump(_SETTINGS), encoding="utf-8")
    (main / ".gitignore").write_text(".soil/\n", encoding="utf-8")
    _git(main, "init", "-q", "-b", "main")
    _dvc(main, place, "init", "-q")
    _dvc(main, place, "remote", "add", "-q", "-d", "store", str(place / "remote"))
    names: list[str] = []
    written = 0
    while written < size:
        written += _write_batch(main / "batches", len(names))
        names.append(_name(len(names)))
        if len(names) % 8 == 0:
            _say(f"{len(names)} batches, {written / 1e9:.2f} GB")
    _dvc(main, place, "add", "-q", *(f"batches/{name}" for name in names))
    _dvc(main, place, "push", "-q")
    shutil.rmtree(main / ".dvc" / "cache")
    _commit(main)
    return main, names


def _name(number: int) -> str:
    return f"batch-{number:04}"


_library: Library | None = None


def _write_batch(folder: Path, number: int) -> int:
    """Write a batch as an instrument exports it; return its bytes."""
    import pyarrow as pa
    import yaml
    from pyarrow import csv

    global _library
    _library = _library or Library(_BANDS, _FIELDS)
    spectra, targets = _library.arrays(number, _SCANS)
    ids = [f"b{number}-{i}" for i in range(_SCANS)]
    bands = {
        f"scan_mir.{position:g}_abs": spectra[:, k].astype(float)
        for k, position in enumerate(_library.axis.values)
    }
    place = folder / _name(number)
    place.mkdir()
    csv.write_csv(pa.table({"sample_id": ids, **bands}), place / "spectra.csv")
    csv.write_csv(pa.table({"sample_id": ids, "clay": targets[:, 0]}), place / "lab.csv")
    manifest = {"quantity": "absorbance", "axis_unit": "cm-1", "units": {"clay": "%"}}
    (place / "batch.yaml").write_text(yaml.safe_dump(manifest), encoding="utf-8")
    (place / "_SUCCESS").write_bytes(b"")
    return _bytes(place)


def _soil(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "soil_assets", "--repository", *arguments]


def _timed(where: Path, place: Path, command: list[str]) -> float:
    begin = time.perf_counter()
    _run(where, place, command)
    return time.perf_counter() - begin


def _run(where: Path, place: Path, command: list[str]) -> None:
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("SOIL_", "DAGSTER_", "MLFLOW_"))}
    env = ours | {
        "PYTHONPATH": str(_ROOT),
        "SOIL_RESULTS": str(place / "results"),
        "SOIL_HOME": str(where / ".soil" / "repository"),
        "SOIL_LANDING": str(where / "batches"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DVC_NO_ANALYTICS": "1",
    }
    done = subprocess.run(command, cwd=where, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BadInput(
            "a command of the bench failed", found=f"{' '.join(command[2:])[:200]}: {done.stderr[-1500:]}"
        )


def _dvc(where: Path, place: Path, *arguments: str) -> None:
    _run(where, place, [sys.executable, "-m", "dvc", *arguments])


def _git(where: Path, *arguments: str) -> None:
    who = ["-c", "user.name=bench", "-c", "user.email=bench@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=where, check=True, capture_output=True)


def _clone(source: Path, target: Path) -> Path:
    _git(source.parent, "clone", "-q", str(source), str(target))
    return target


def _commit(repository: Path) -> None:
    _git(repository, "add", "-A")
    _git(repository, "commit", "-q", "-m", "batches")


def _bytes(folder: Path, besides: str = "") -> int:
    files = (f for f in folder.rglob("*") if f.is_file() and not (besides and besides in f.parts))
    return sum(f.stat().st_size for f in files)


def _hashes(repository: Path, asset: str) -> str:
    pointer = repository / ".soil" / "repository" / "data" / "assets" / asset / "current.json"
    return str(json.loads(pointer.read_text(encoding="utf-8"))["sha256"])


def _say(what: str) -> None:
    sys.stderr.write(f"large_data: {what}\n")
    sys.stderr.flush()
