"""Facts of decision reports for the tests, in the shapes that modeling gives."""

from __future__ import annotations

from typing import Any

import numpy as np

from soil_assets.reporting.decision_inputs import (
    BandImportance,
    BatchResult,
    Check,
    DecisionInputs,
    PropertyResult,
    TrainingPart,
    TrendPoint,
)


def evaluation(scale: float = 1.0, n: int = 26, seed: int = 3) -> dict[str, Any]:
    """Return ``Evaluation.to_dict()`` of a model with errors of about ``scale``."""
    rng = np.random.default_rng(seed)
    observed = rng.uniform(5, 40, n)
    value = observed + rng.normal(0.1, scale, n)
    e = value - observed
    rmse = float(np.sqrt(np.mean(e**2)))
    inside = int((np.abs(e) <= 1.645 * scale).sum())
    return {
        "property": "clay",
        "unit": "%",
        "n": n,
        "n_missing": 2,
        "n_refused": 0,
        "n_outside": 1,
        "metrics": {
            "n": float(n),
            "me": float(e.mean()),
            "rmse": rmse,
            "sep": float(e.std(ddof=1)),
            "mae": float(np.abs(e).mean()),
            "r2": float(1 - (e**2).sum() / ((observed - observed.mean()) ** 2).sum()),
            "ccc": 0.9871,
            "rpiq": float(np.subtract(*np.quantile(observed, [0.75, 0.25]))) / rmse,
        },
        "intervals": {"rmse": [0.8 * rmse, 1.2 * rmse], "ccc": [0.97, 0.99], "me": [-0.3, 0.4]},
        "scaled_metrics": None,
        "coverage": [
            {
                "level": level,
                "n": n,
                "inside": inside,
                "picp": inside / n,
                "mean_width": 3.3 * scale,
                "winkler": 4.0 * scale,
                "low": 18,
                "high": 26,
                "covered": True,
            }
            for level in (0.68, 0.9, 0.95)
        ],
        "covered": True,
        "finite": True,
        "predictions": [
            {
                "sample_id": f"s{i}",
                "observed": float(o),
                "value": float(v),
                "lower_90": float(v - 1.645 * scale),
                "upper_90": float(v + 1.645 * scale),
            }
            for i, (o, v) in enumerate(zip(observed, value, strict=True))
        ],
    }


def comparison(verdict: str, main: dict[str, Any], candidate: dict[str, Any], **other: Any) -> dict[str, Any]:
    """Return ``Comparison.to_dict()`` with intervals that fit the verdict."""
    before, after = main["metrics"], candidate["metrics"]
    difference = after["rmse"] - before["rmse"]
    return {
        "verdict": verdict,
        "reason": f"RMSE {100 * (after['rmse'] / before['rmse'] - 1):+.1f} %",
        "n": 26,
        "n_groups": 26,
        "margin": 0.1,
        "alpha": 0.05,
        "main": before,
        "candidate": after,
        "rmse_difference": [difference, difference - 0.08, difference + 0.09],
        "rmse_ratio": [after["rmse"] / before["rmse"], 0.8, 0.95],
        "ccc_difference": [after["ccc"] - before["ccc"], -0.01, 0.02],
        "bias_difference": [abs(after["me"]) - abs(before["me"]), -0.2, 0.1],
        "p_better": 0.01,
        "p_not_worse": 0.001,
        "p_worse": 0.99,
        "more_samples": 65 if verdict == "cannot tell" else None,
        "acceptable": verdict in ("better", "not worse"),
        **other,
    }


def result(verdict: str = "better", name: str = "clay", **other: Any) -> PropertyResult:
    """Return one property's facts with a main model."""
    main, candidate = evaluation(1.5), evaluation(1.3)
    facts: dict[str, Any] = {
        "name": name,
        "label": name.capitalize(),
        "unit": "%",
        "candidate": candidate,
        "main": main,
        "comparison": comparison(verdict, main, candidate),
        "checks": (Check(name="finite", passed=True), Check(name="coverage", passed=True)),
        "importance": BandImportance(
            positions=tuple(np.linspace(3796, 552, 60)), unit="cm-1", vip=tuple(np.linspace(0.2, 1.9, 60))
        ),
        "trend": tuple(TrendPoint(version=f"v{i}", rmse=1.6 - i / 10, low=1.2, high=1.9) for i in range(4)),
    }
    return PropertyResult(**(facts | other))


def first(name: str = "clay") -> PropertyResult:
    """Return one property's facts without a main model."""
    return result(name=name, main=None, comparison={"verdict": "first version"}, trend=())


BATCHES = (
    BatchResult(name="nrw115-june", landed=20, accepted=20, quarantined=0, drift="pass", next_step="taken"),
    BatchResult(
        name="nrw62",
        landed=62,
        accepted=62,
        quarantined=0,
        drift="fail",
        held=True,
        reasons=("spectra differ from the reference",),
    ),
    BatchResult(
        name="damaged",
        landed=13,
        accepted=12,
        quarantined=1,
        drift="not_judged",
        quarantine=(
            {"sample_id": "NRW.115-3", "source_file": "scans.csv", "source_row": 4, "rules": ["range"]},
        ),
    ),
)


def inputs(*properties: PropertyResult, **other: Any) -> DecisionInputs:
    """Return the facts of a whole report."""
    facts: dict[str, Any] = {
        "candidate": "c0ffee1",
        "main": "version 1",
        "properties": properties,
        "batches": BATCHES,
        "training": (TrainingPart(name="reference", scans=56, taken=True, why="golden reference"),),
        "checks": (Check(name="no_benchmark_leakage", passed=True),),
        "changes": ("data: nrw115-june added",),
        "versions": {"code": "c0ffee1"},
        "data_hashes": {"benchmark": "ab" * 32},
        "links": {"run": "https://ci.example/runs/1"},
        "reproduce": ("git checkout c0ffee1", "soil report"),
    }
    return DecisionInputs(**(facts | other))
