"""Facts of a report on the real embedded benchmark, as a run of a change would leave them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from soil_assets.cli.inputs import batch_from
from soil_assets.config import ModelPolicy, Policy, Settings
from soil_assets.defs.rejudge import known_samples
from soil_assets.modeling.metrics import regression_metrics
from soil_assets.reporting.decision_inputs import (
    BandImportance,
    BatchResult,
    Check,
    DecisionInputs,
    PropertyResult,
    TrendPoint,
    plain,
)

#: Of the settings that the tests' main has: fewer properties and resamples than the repository's, to be quick.
PROPERTIES = ("clay", "ph")
POLICY = Policy(model=ModelPolicy(bootstrap=200))
SETTINGS = "properties: [clay, ph]\npolicy: {model: {bootstrap: 200}}\n"

Known = dict[str, dict[str, tuple[str, float]]]


@cache
def benchmark() -> Known:
    """Return groups and observed values of the repository's benchmark."""
    settings = Settings()
    return known_samples(batch_from(settings.benchmark, settings), settings.properties)


def evaluation(prop: str, spread: float, seed: int) -> dict[str, Any]:
    """Return an evaluation whose errors are about ``spread`` times the property's standard deviation."""
    known = benchmark()[prop]
    observed = np.array([v for _, v in known.values()])
    value = observed + np.random.default_rng(seed).normal(0, spread * np.nanstd(observed), observed.size)
    judged = np.isfinite(observed)
    rows = [
        {
            "sample_id": i,
            "observed": float(o),
            "value": float(v),
            "lower_90": float(v - 1),
            "upper_90": float(v + 1),
        }
        for i, o, v in zip(known, observed, value, strict=True)
    ]
    found: dict[str, Any] = plain(
        {
            "property": prop,
            "n": int(judged.sum()),
            "n_missing": int((~judged).sum()),
            "metrics": regression_metrics(observed[judged], value[judged]),
            "coverage": [],
            "predictions": rows,
        }
    )
    return found


def facts(
    spread: float = 0.15,
    of_main: float | None = 0.2,
    policy: Policy | None = None,
    properties_only: tuple[str, ...] = PROPERTIES,
    **other: Any,
) -> DecisionInputs:
    """Return the facts of a change whose models miss by ``spread``, and main's by ``of_main`` (None: no main)."""
    from soil_assets.reporting.rejudge import judged_again

    policy = policy or POLICY
    properties = tuple(
        PropertyResult(
            name=prop,
            label=prop,
            unit="%",
            candidate=evaluation(prop, spread, 1),
            main=None if of_main is None else evaluation(prop, of_main, 2),
            checks=(Check(name="finite", passed=True), Check(name="above_floor", passed=True)),
            importance=BandImportance(positions=(4000, 3000, 2000), unit="cm-1", vip=(0.5, 1.5, 1.0)),
            trend=tuple(TrendPoint(version=f"v{i}", rmse=2.0 - i / 10) for i in range(3)),
        )
        for prop in properties_only
    )
    told: dict[str, Any] = {
        "candidate": "the change",
        "main": "" if of_main is None else "main",
        "properties": properties,
        "batches": (
            BatchResult(
                name="june", landed=20, accepted=20, quarantined=0, drift="pass", part_of_change=True
            ),
        ),
        "checks": (Check(name="no_benchmark_leakage", passed=True),),
        "policy": policy,
        **other,
    }
    return judged_again(DecisionInputs(**told), policy, benchmark())


def write_artifact(folder: Path, told: DecisionInputs, number: int = 7) -> Path:
    """Write what the validating job leaves."""
    from soil_assets.pull_request.artifact import write_report
    from soil_assets.reporting.decision import build

    write_report(build(told), folder, number)
    return folder


def event(folder: Path, sha: str, **run: Any) -> Path:
    """Write the event of a workflow's run."""
    facts = {
        "event": "pull_request",
        "head_sha": sha,
        "run_number": 1,
        "run_attempt": 1,
        "head_branch": "topic",
        "head_repository": {"full_name": "lab/soil"},
        "html_url": "https://github.example/lab/soil/actions/runs/1",
        **run,
    }
    file = folder / "event.json"
    file.write_text(json.dumps({"workflow_run": facts}), encoding="utf-8")
    return file
