"""What a change touches: its own judge, its batches, and where to look."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from soil_assets.config import Settings, load_settings
from soil_assets.defs import change
from soil_assets.defs.build import assets_of
from soil_assets.defs.resources import Soil
from soil_assets.defs.snapshot import snapshot
from soil_assets.storage import Store
from soil_assets_tests.reporting.facts import inputs, result

FROZEN = Path(__file__).parents[2] / "soil_assets" / "benchmarks" / "frozen"


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    """Main, with one batch and the graph of this very code."""
    folder = tmp_path / "baseline"
    folder.mkdir()
    facts = {"commit": "a" * 40, "source": "metrics", "batches": {"june": "old"}, "why": [], "models": {}}
    (folder / "baseline.json").write_text(json.dumps(facts), encoding="utf-8")
    (folder / "soil.yaml").write_text("policy: {model: {margin: 0.05}}\n", encoding="utf-8")
    (folder / "graph.json").write_text(json.dumps(snapshot(assets_of(Settings()))), encoding="utf-8")
    return folder


def settings_of(baseline: Path, own: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    file = baseline.parent / "soil.yaml"
    file.write_text(own, encoding="utf-8")
    monkeypatch.setenv("SOIL_CONFIG", str(file))
    monkeypatch.setenv("SOIL_BASELINE", str(baseline))
    monkeypatch.setenv("SOIL_LANDING", str(baseline.parent / "batches"))
    return load_settings()


def test_a_looser_policy_and_another_benchmark_are_a_proposal(
    baseline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = yaml.safe_load((FROZEN / "nrw115-benchmark.yaml").read_text(encoding="utf-8"))
    (baseline.parent / "mine.yaml").write_text(
        yaml.safe_dump({**mine, "folds": [8], "samples": 11}), encoding="utf-8"
    )
    own = f"benchmark: {baseline.parent}/mine.yaml\npolicy: {{model: {{margin: 5.0}}}}\n"
    settings = settings_of(baseline, own, monkeypatch)
    facts = inputs(result(), policy=settings.policy)
    found = change.proposal(settings, facts, Soil.of(settings))
    assert found is not None
    assert (settings.policy.model.margin, found.policy.model.margin) == (0.05, 5.0)
    assert "samples 22 -> 11" in found.benchmark[0]
    assert found.benchmark[0].endswith("Main's is used.")


def test_the_same_judge_is_no_proposal(baseline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(baseline, "policy: {model: {margin: 0.05}}\n", monkeypatch)
    assert change.proposal(settings, inputs(result()), Soil.of(settings)) is None
    assert change.proposal(Settings(), inputs(result()), Soil.of(Settings())) is None


def test_batches_that_a_change_adds_or_alters_are_its_part(
    baseline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(baseline, "{}", monkeypatch)
    landing = Store(settings.url("landing"))
    landing.write("june/spectra.csv", b"altered")
    landing.write("july/spectra.csv", b"new")
    assert change.added_batches(settings, Soil.of(settings)) == {"june", "july"}
    told = change.changes(settings, Soil.of(settings))
    assert [t.split(" (")[0] for t in told if t.startswith("data")] == [
        "data: july added",
        "data: june changed",
    ]


def test_links_lead_to_the_run_and_to_the_very_partition() -> None:
    settings = Settings.model_validate(
        {"properties": ["clay"], "alerts": {"ui_url": "https://dagster.example/"}}
    )
    env = {
        "GITHUB_SERVER_URL": "https://github.example",
        "GITHUB_REPOSITORY": "lab/soil",
        "GITHUB_RUN_ID": "5",
    }
    found = change.links(settings, {"a b": True, "old": False}, env)
    assert found["run in CI"] == "https://github.example/lab/soil/actions/runs/5"
    assert found["drift_reports of a b in Dagster"].endswith("/assets/drift_reports?partition=a%20b")
    assert found["model_comparisons of clay in Dagster"].endswith("?partition=clay")
    assert not [words for words in found if "old" in words]
    assert change.links(Settings(), {"a": True}, {}) == {}
