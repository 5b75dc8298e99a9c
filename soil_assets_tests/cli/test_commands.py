"""The command line: exit codes 0, 1, 2, JSON on standard output, no traceback for a person's input."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from soil_assets.cli import app
from soil_assets.demo.batches import DEMO_BATCHES, land
from soil_assets.storage import Store
from soil_assets_tests.warm import soil_of_this_checkout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The demo's batches in a landing zone, and an empty instance."""
    folder = Path(tmp_path_factory.mktemp("cli"))
    for batch in DEMO_BATCHES:
        land(batch, Store(str(folder / "landing")))
    kept = dict(os.environ)
    os.environ |= {"SOIL_HOME": str(folder), "DAGSTER_HOME": str(folder)}
    os.environ.pop("SOIL_DAGSTER_STORAGE", None)
    yield folder
    os.environ.clear()
    os.environ |= kept


def soil(*arguments: str) -> tuple[int, str, str]:
    """Run ``soil`` as a person does."""
    done = subprocess.run([soil_of_this_checkout(), *arguments], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def landing(home: Path, name: str) -> str:
    return str(home / "landing" / name)


def test_help_teaches_every_command() -> None:
    runner = CliRunner()
    top = runner.invoke(app, ["--help"])
    assert top.exit_code == 0
    for name in (
        "demo",
        "init",
        "read",
        "validate",
        "drift",
        "train",
        "evaluate",
        "predict",
        "report",
        "run",
        "registry",
        "bench",
    ):
        assert name in top.output
        said = runner.invoke(app, [name, "--help"]).output
        assert "--json" in said or name == "registry"
    assert "0 pass, 1 a gate failed, 2 bad input" in top.output


def test_read_says_what_a_batch_is(home: Path) -> None:
    code, out, _ = soil("read", landing(home, "same-field"), "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["scans"] == facts["landed"] == 24
    assert facts["quantity"] == "reflectance"
    assert {"clay", "ph", "soc"} <= set(facts["columns"])


def test_validate_accepts_and_quarantines_with_reasons(home: Path) -> None:
    code, out, _ = soil("validate", landing(home, "damaged"), "--json")
    facts = json.loads(out)
    assert code == 0, "the batch goes on without its five bad scans"
    assert (facts["landed"], facts["accepted"], facts["quarantined"]) == (12, 7, 5)
    rules = {row["rules"] for row in facts["quarantine"]}
    assert len(rules) == 5
    assert all(row["found"] and row["expected"] and row["mend"] for row in facts["quarantine"])


def test_validate_fails_a_batch_that_the_model_cannot_cover(home: Path) -> None:
    code, out, err = soil("validate", landing(home, "short-range"), "--json")
    assert code == 1
    assert json.loads(out)["accepted"] == 0
    assert "refused" in err


def test_drift_tells_another_field_from_the_same(home: Path) -> None:
    code, out, _ = soil("drift", "nrw115-reference", landing(home, "same-field"), "--json")
    assert (code, json.loads(out)["verdict"]) == (0, "pass")
    code, out, _ = soil("drift", "nrw115-reference", landing(home, "other-field"), "--json")
    assert (code, json.loads(out)["verdict"]) == (1, "fail")


def test_train_evaluate_predict_agree(home: Path, tmp_path: Path) -> None:
    model = str(tmp_path / "clay")
    code, out, _ = soil("train", "nrw115-reference", "-p", "clay", "--out", model, "--json")
    assert code == 0
    assert json.loads(out)["n"] == 58
    code, out, _ = soil("evaluate", model, "nrw115-benchmark", "--json")
    assert code == 0
    measured = json.loads(out)
    assert measured["n"] == 22
    code, out, _ = soil("predict", model, "nrw115-benchmark", "--json")
    assert code == 0
    predicted = json.loads(out)["predictions"]
    assert [p["value"] for p in predicted] == [p["value"] for p in measured["predictions"]]


def test_run_exits_1_when_a_blocking_check_fails(home: Path) -> None:
    assert soil("run", "reference_spectra,benchmark_spectra", "--json")[0] == 0
    import dagster as dg

    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.add_dynamic_partitions("batch", ["short-range"])
    code, out, err = soil("run", "raw_spectra,validated_batches", "--partition", "short-range", "--json")
    assert code == 1
    assert "validated_batches.spectral_quality" in err
    assert not json.loads(out)["success"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["read", "nowhere.csv"], "nowhere.csv"),
        (["validate", "nowhere"], "nowhere"),
        (["predict", "models:/soil-clay@staging", "nrw115-benchmark"], "nothing is registered yet"),
        (["predict", "no-such-model", "nrw115-benchmark"], "models:/<name>@<alias>"),
        (["train", "nrw115-reference", "-p", "gold", "--out", "x"], "unknown property"),
        (["run", "no_such_asset"], "raw_spectra"),
        (["run", "raw_spectra"], "--partition"),
        (["run", "trained_models", "--partition", "gold"], "clay"),
        (["bench", "nothing"], "load"),
        (["--config", "nowhere.yaml", "registry", "list"], "nowhere.yaml"),
    ],
)
def test_bad_input_exits_2_and_says_why(home: Path, arguments: list[str], says: str) -> None:
    code, _, err = soil(*arguments)
    assert code == 2, err
    assert says in err


def test_bad_input_is_json_too(home: Path) -> None:
    code, out, _ = soil("read", "nowhere.csv", "--json")
    assert code == 2
    assert "nowhere.csv" in json.dumps(json.loads(out)["error"])


def test_a_spectrum_of_another_range_is_refused_with_both_ranges(home: Path, tmp_path: Path) -> None:
    model = str(tmp_path / "clay")
    soil("train", "nrw115-reference", "-p", "clay", "--out", model)
    code, _, err = soil("predict", model, landing(home, "short-range"))
    assert code == 2
    assert "552 to 3796 cm-1" in err


def test_registry_list_of_nothing(home: Path) -> None:
    code, out, _ = soil("registry", "list", "--json")
    assert (code, json.loads(out)) == (0, [])


def test_init_proposes_settings_that_fit(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "soil.yaml"
    code, printed, _ = soil("init", str(home / "landing"), "--out", str(out), "--json")
    assert code == 0
    assert json.loads(printed)["axis"]["unit"] == "cm-1"
    assert soil("--config", str(out), "validate", landing(home, "short-range"), "--json")[0] == 0
    assert soil("init", str(home / "landing"), "--out", str(out))[0] == 2, (
        "an existing file is not overwritten"
    )


def test_drift_compares_any_two_tables(home: Path, tmp_path: Path) -> None:
    """As a step of any other project: plain CSV files, a badge, a page, an exit code."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(1)
    clay = rng.normal(22.0, 6.0, 120)
    table = pd.DataFrame({"sample_id": [f"s{i}" for i in range(120)], "clay": clay, "lab": ["a", "b"] * 60})
    table.iloc[:80].to_csv(tmp_path / "reference.csv", index=False)
    table.iloc[80:].to_csv(tmp_path / "same.csv", index=False)
    table.iloc[80:].assign(clay=clay[80:] * 10).to_csv(tmp_path / "tenfold.csv", index=False)
    reference, badge, page = str(tmp_path / "reference.csv"), tmp_path / "b.svg", tmp_path / "p.html"
    assert soil("drift", reference, str(tmp_path / "same.csv"), "--json")[0] == 0
    code, out, _ = soil(
        "drift",
        reference,
        str(tmp_path / "tenfold.csv"),
        "--json",
        "--badge",
        str(badge),
        "--html",
        str(page),
    )
    assert code == 1
    assert "clay" in " ".join(json.loads(out)["reasons"])
    assert badge.read_text().startswith("<svg")
    assert "://" not in page.read_text().replace("http://www.w3.org", "")


def test_drift_refuses_spectra_against_a_table(home: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("sample_id,clay\na,1\nb,2\n")
    code, _, err = soil("drift", landing(home, "same-field") + "/spectra.csv", str(table))
    assert code == 2
    assert "only one of the two holds spectra" in err
