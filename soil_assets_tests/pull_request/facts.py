"""A pull request as its run leaves it, on the real embedded benchmark: models, facts, artifact, and main beside it.

The candidates differ in the data they were trained on, so that a recipe is the same for all: ``weak`` on 24 samples of
the golden reference, ``full`` on all of it, ``strong`` on ten benchmark samples besides.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from soil_assets.cli.inputs import batch_from, catalogue_of
from soil_assets.config import Policy, Settings
from soil_assets.defs.build import assets_of, blocking_of
from soil_assets.defs.gates import BATCH_CHAIN
from soil_assets.defs.rejudge import known_samples
from soil_assets.modeling.artifact import save
from soil_assets.modeling.model import SoilModel
from soil_assets.modeling.recipe import Recipe
from soil_assets.modeling.train import train
from soil_assets.pull_request.artifact import Claim, write_claim, write_report
from soil_assets.pull_request.baseline import Baseline
from soil_assets.pull_request.recomputation import MainSide, property_result
from soil_assets.reporting.decision import build
from soil_assets.reporting.decision_inputs import BatchResult, Check, DecisionInputs, TrainingPart
from soil_assets.spectra.batch import SpectralBatch, concatenate

PROPERTIES = ("clay", "ph")
RAW: dict[str, Any] = {
    "properties": list(PROPERTIES),
    "axis": {"start": 3796, "stop": 552, "step": 12, "unit": "cm-1", "quantity": "absorbance"},
    "recipe": {"folds": 3, "max_components": 6},
    "policy": {"model": {"bootstrap": 200}},
}
#: Of the settings that the tests' main has: fewer properties, bands and resamples than the repository's, to be quick.
SETTINGS = yaml.safe_dump(RAW)
POLICY: Policy = Settings.model_validate(RAW).policy


@cache
def settings() -> Settings:
    return Settings.model_validate(RAW)


@cache
def benchmark() -> SpectralBatch:
    return batch_from(settings().benchmark, settings())


@cache
def known() -> dict[str, dict[str, tuple[str, float]]]:
    """Groups and observed values of the benchmark."""
    return known_samples(benchmark(), PROPERTIES)


@cache
def models(kind: str) -> Mapping[str, SoilModel]:
    """Models of both properties: ``weak``, ``full`` or ``strong``."""
    reference = batch_from(settings().reference, settings()).labelled("batch", "reference")
    if kind == "weak":
        samples = reference.take(np.arange(24))
    elif kind == "full":
        samples = reference
    else:
        samples = concatenate([reference, benchmark().take(np.arange(10)).labelled("batch", "june")])
    recipe = Recipe.from_settings(settings().recipe)
    catalogue = catalogue_of(settings())
    return {p: train(samples, catalogue[p], recipe, groups=samples.groups()) for p in PROPERTIES}


@cache
def check_names() -> Mapping[str, tuple[str, ...]]:
    """Blocking checks of main's graph by asset."""
    return {asset: tuple(names) for asset, names in blocking_of(assets_of(settings())).items()}


def batch(name: str, **other: Any) -> BatchResult:
    """A batch that passed every check of main's graph."""
    checks = tuple(
        Check(name=check, passed=True) for asset in BATCH_CHAIN for check in check_names().get(asset, ())
    )
    stated = {"landed": 20, "accepted": 20, "quarantined": 0, "drift": "pass", "checks": checks, **other}
    return BatchResult(name=name, **stated)


def held(name: str, check: str = "batch_drift", **other: Any) -> BatchResult:
    """A batch that failed one check."""
    passing = batch(name)
    checks = tuple(
        c.model_copy(update={"passed": False, "summary": "too unlike"}) if c.name == check else c
        for c in passing.checks
    )
    stated = {
        "checks": checks,
        "held": True,
        "drift": "fail",
        "reasons": ("the spectra differ around 1632 cm-1",),
    }
    return batch(name, **(stated | other))


def facts(kind: str = "strong", of_main: str | None = "weak", **other: Any) -> DecisionInputs:
    """Facts of a change that adds the batch ``june``; ``kind`` and ``of_main`` name models (None: no main)."""
    main_models = {} if of_main is None else models(of_main)
    main_side = MainSide(main_models, benchmark(), POLICY, {})
    catalogue = catalogue_of(settings())
    results = [
        property_result(catalogue[p], models(kind)[p], main_side, added=of_main is None)[0]
        for p in PROPERTIES
    ]
    batches = other.pop("batches", (batch("june", part_of_change=True),))
    stated: dict[str, Any] = {
        "candidate": "the change",
        "main": "" if of_main is None else "main",
        "properties": tuple(results),
        "batches": batches,
        "training": (
            TrainingPart(name="reference", scans=58, taken=True),
            *(TrainingPart(name=b.name, scans=b.accepted, taken=not b.held) for b in batches),
        ),
        "checks": (
            *(Check(name=check, passed=True) for check in check_names()["training_set"]),
            Check(name="training_drift", passed=True, blocking=False),
        ),
        "policy": POLICY,
        **other,
    }
    return DecisionInputs(**stated)


def checkout(folder: Path, batches: tuple[str, ...] = (), text: str = SETTINGS) -> str:
    """Make a checkout of main in a folder; return its commit."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "soil.yaml").write_text(text, encoding="utf-8")
    for name in batches:
        (folder / "batches" / name).mkdir(parents=True)
        (folder / "batches" / name / "spectra.csv").write_text(name, encoding="utf-8")
    if not (folder / ".git").exists():
        git(folder, "init", "-q", "-b", "main")
    return commit(folder, "main")


def commit(folder: Path, message: str) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def write_baseline(
    folder: Path, base: str, of_main: str | None = "weak", batches: tuple[str, ...] = ()
) -> Path:
    """Write what ``soil baseline`` leaves for a commit."""
    names = PROPERTIES if of_main else ()
    for prop in names:
        save(models(str(of_main))[prop], folder / "models" / prop)
    main = Baseline(
        commit=base,
        source="retrained" if of_main else "none",
        models={p: {"version": None} for p in names},
        batches=dict.fromkeys(batches, "0"),
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "baseline.json").write_text(json.dumps(vars(main)), encoding="utf-8")
    return folder


def write_artifact(
    folder: Path, change: DecisionInputs, number: int = 7, base: str = "0" * 40, kind: str | None = "strong"
) -> Path:
    """Write what the validating job leaves: claim, report, and the models of ``kind``."""
    write_claim(folder, Claim(number, base))
    write_report(build(change), folder, None if kind is None else models(kind))
    return folder


def event(folder: Path, sha: str, **run: Any) -> Path:
    """Write the event of a workflow's run."""
    stated = {
        "event": "pull_request",
        "head_sha": sha,
        "run_number": 1,
        "run_attempt": 1,
        "created_at": "2026-01-01T00:00:00Z",
        "head_branch": "topic",
        "head_repository": {"full_name": "lab/soil"},
        "html_url": "https://github.example/lab/soil/actions/runs/1",
        "conclusion": "success",
        **run,
    }
    file = folder / "event.json"
    file.write_text(json.dumps({"workflow_run": stated}), encoding="utf-8")
    return file
