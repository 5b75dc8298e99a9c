"""A person refreshes the reference profile, with a reason; nothing else does."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner

from soil_assets.cli import app
from soil_assets.defs.io import load_value
from soil_assets.demo.batches import DEMO_BATCHES, land
from soil_assets.storage import Store


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One batch of the reference's field, judged; 20 folds of a reference definition to change to."""
    folder = Path(tmp_path_factory.mktemp("reference"))
    kept = dict(os.environ)
    os.environ |= {"SOIL_HOME": str(folder), "DAGSTER_HOME": str(folder)}
    os.environ.pop("SOIL_DAGSTER_STORAGE", None)
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    land(next(b for b in DEMO_BATCHES if b.name == "same-field"), Store(str(folder / "landing")))
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        instance.add_dynamic_partitions("batch", ["same-field"])
    yield folder
    os.environ.clear()
    os.environ |= kept


def soil(*arguments: str) -> tuple[int, Any]:
    """Run a command in this process; return its exit code and the JSON it printed, or its error."""
    done = CliRunner().invoke(app, [*arguments, "--json"])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        return -1, done.exception
    return done.exit_code, json.loads(done.stdout) if done.stdout.strip() else None


def other_reference(folder: Path) -> Path:
    """Return a soil.yaml whose golden reference is another frozen set: two folds fewer."""
    from soil_assets.benchmarks.frozen_sets import definition
    from soil_assets.spectra.embedded import limesoda

    field = limesoda("NRW.115")
    fewer = field.take(field.samples["fold"].isin([1, 2, 3]).to_numpy())
    facts = definition("nrw115-reference").model_dump()
    facts |= {
        "name": "fewer",
        "folds": [1, 2, 3],
        "sha256": fewer.content_hash(),
        "samples": len(fewer),
    }
    (folder / "fewer.yaml").write_text(json.dumps(facts))
    chosen = folder / "soil.yaml"
    chosen.write_text(f"properties: [clay]\nreference: {folder / 'fewer.yaml'}\n")
    return chosen


def drift_of(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = load_value(Store(str(home / "data")), "drift_reports", "same-field")
    return found


def test_the_profile_changes_by_a_persons_word_only(home: Path, tmp_path: Path) -> None:
    code, error = soil("reference", "update", "--why", "too early")
    assert code == -1
    assert "was not read yet" in str(error)
    assert soil("run", "reference_spectra")[0] == 0
    gates = ("raw_spectra,validated_batches,drift_reports", "--partition", "same-field")
    assert soil("run", *gates)[0] == 0
    _, [first] = soil("reference", "show")
    assert (first["who"], first["replaces"], first["soils"]) == ("the platform", None, 58)
    assert drift_of(home)["profile"] == first["fingerprint"]

    changed = str(other_reference(tmp_path))
    assert soil("--config", changed, "run", "reference_spectra")[0] == 0
    assert soil("--config", changed, "run", *gates)[0] == 0
    report = drift_of(home)
    assert report["profile"] == first["fingerprint"], "a changed golden reference refreshes nothing by itself"
    assert any("no longer the one behind profile" in note for note in report["notes"])

    code, error = soil("--config", changed, "reference", "update", "--why", "  ")
    assert code == -1
    assert "recorded with a reason" in str(error)
    code, record = soil(
        "--config", changed, "reference", "update", "--why", "new lamp", "--who", "A. Person", "--judge"
    )
    assert code == 0
    assert record["judged"] == {"same-field": "goes on"}
    assert record["replaces"] == first["fingerprint"] != record["fingerprint"]
    assert (record["who"], record["why"]) == ("A. Person", "new lamp")
    report = drift_of(home)
    assert report["profile"] == record["fingerprint"]
    assert not any("no longer" in note for note in report["notes"])
    _, kept = soil("reference", "show")
    assert [r["fingerprint"] for r in kept] == [first["fingerprint"], record["fingerprint"]]
    assert (home / "data" / "reference_profile" / "profiles" / f"{first['fingerprint']}.zip").is_file()


def test_a_new_axis_needs_a_new_profile(home: Path, tmp_path: Path) -> None:
    chosen = tmp_path / "soil.yaml"
    chosen.write_text("properties: [clay]\naxis: {start: 3500, stop: 700, step: 4, unit: cm-1}\n")
    assert soil("--config", str(chosen), "run", "reference_spectra")[0] == 0
    gates = ("run", "raw_spectra,validated_batches,drift_reports", "--partition", "same-field")
    done = CliRunner().invoke(app, ["--config", str(chosen), *gates])
    assert done.exception is not None
    assert "soil reference update" in done.output
