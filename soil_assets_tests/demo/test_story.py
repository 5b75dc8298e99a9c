"""The demo goes as it is told, and a second run with nothing changed runs nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from soil_assets.demo.batches import DEMO_BATCHES, land_missing
from soil_assets.spectra.catalogue import built_in_catalogue
from soil_assets.storage import Store

CHECKOUT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(tmp_path_factory.mktemp("demo"))


def soil(home: Path, *arguments: str) -> Any:
    env = {k: v for k, v in os.environ.items() if k != "SOIL_DAGSTER_STORAGE"}
    env |= {"SOIL_HOME": str(home), "DAGSTER_HOME": str(CHECKOUT)}
    done = subprocess.run(
        [sys.executable, "-m", "soil_assets", *arguments, "--json"],
        capture_output=True, text=True, check=False, env=env, cwd=CHECKOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def first(home: Path) -> Any:
    return soil(home, "demo")


def test_each_batch_meets_its_fate(first: Any) -> None:
    fate = {b["batch"]: b for b in first["batches"]}
    assert list(fate) == ["same-field", "other-field", "damaged", "short-range"]
    counts = {name: (b["landed"], b["accepted"], b["quarantined"]) for name, b in fate.items()}
    assert counts == {
        "same-field": (24, 24, 0),
        "other-field": (62, 62, 0),
        "damaged": (12, 7, 5),
        "short-range": (32, 0, 32),
    }
    assert {n: b["drift"] for n, b in fate.items()} == {
        "same-field": "pass",
        "other-field": "fail",
        "damaged": "not judged",
        "short-range": "not reached",
    }
    assert fate["same-field"]["next"] == fate["damaged"]["next"] == "in the training set"
    assert fate["other-field"]["next"].startswith("held: drift_reports.batch_drift")
    assert fate["short-range"]["next"].startswith("held: validated_batches.spectral_quality")


def test_each_damaged_row_has_its_own_reason(first: Any) -> None:
    rules = sorted(row["rules"] for row in first["quarantine"])
    assert len(rules) == len(set(rules)) == 5
    assert all(row["found"] and row["expected"] and row["mend"] for row in first["quarantine"])


def test_a_model_of_every_property_is_registered_and_the_second_is_compared(first: Any) -> None:
    assert {m["property"] for m in first["models"]} == {"clay", "ph", "soc"}
    for model in first["models"]:
        assert model["verdict"] in ("better", "not worse", "worse", "cannot tell")
        assert model["n"] == 22
        assert model["version"] == (2 if model["verdict"] in ("better", "not worse") else 1)
    assert Path(first["report"]).is_file()
    assert first["unexpected"] == []


def test_every_link_of_a_page_leads_to_a_page(first: Any) -> None:
    report = Path(first["report"])
    links = {
        (page.relative_to(report.parent).as_posix(), link)
        for page in report.parent.rglob("*.html")
        for link in re.findall(r'href="([^":#]+)"', page.read_text(encoding="utf-8"))
    }
    assert [x for x in sorted(links) if not (report.parent / x[0]).parent.joinpath(x[1]).is_file()] == []
    assert ("batches/other-field/index.html", "../../report.html") in links
    assert ("report.html", "batches/other-field/index.html") in links


def test_a_second_run_materializes_nothing(home: Path, first: Any) -> None:
    second = soil(home, "demo")
    assert (second["runs"], second["materialized"]) == (0, 0)
    assert {k: second[k] for k in ("batches", "models", "decision")} == {
        k: first[k] for k in ("batches", "models", "decision")
    }


def test_the_registered_model_predicts_a_landed_batch(home: Path, first: Any) -> None:
    answer = soil(home, "predict", "models:/soil-clay@staging", str(home / "landing" / "same-field"))
    assert answer["unit"] == "%"
    assert len(answer["predictions"]) == 24
    assert all(p["lower_90"] < p["value"] < p["upper_90"] for p in answer["predictions"])


def test_batches_land_once(tmp_path: Path) -> None:
    landing = Store(str(tmp_path))
    assert land_missing(landing) == [b.name for b in DEMO_BATCHES]
    assert land_missing(landing) == []


@pytest.mark.parametrize("batch", DEMO_BATCHES, ids=lambda b: b.name)
def test_values_are_in_the_catalogues_units(batch: Any) -> None:
    catalogue = built_in_catalogue()
    data = batch.make()
    for name in ("clay", "ph", "soc"):
        low, high = catalogue[name].warning
        values = data.property_values(name)
        inside = (values >= low) & (values <= high)
        assert inside.mean() > 0.9, f"{name} of {batch.name} does not look like {catalogue[name].unit}"
