"""A person works with what a gate set aside: sees it, exports it, releases it, accepts a drifted batch, asks why."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from soil_assets.cli import app
from soil_assets.cli.inputs import lab_table
from soil_assets.demo.batches import DEMO_BATCHES, land
from soil_assets.storage import Store


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The damaged and the drifting batch of the demo, judged."""
    folder = Path(tmp_path_factory.mktemp("batches"))
    kept = dict(os.environ)
    os.environ |= {"SOIL_HOME": str(folder), "DAGSTER_HOME": str(folder)}
    os.environ.pop("SOIL_DAGSTER_STORAGE", None)
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    names = ["damaged", "other-field"]
    for batch in DEMO_BATCHES:
        if batch.name in names:
            land(batch, Store(str(folder / "landing")))
    assert soil("run", "reference_spectra,benchmark_spectra")[0] == 0
    for name in names:  # no daemon has seen them: the command finds them in the landing zone
        soil("run", "raw_spectra,validated_batches,drift_reports", "--partition", name)
    yield folder
    os.environ.clear()
    os.environ |= kept


def soil(*arguments: str) -> tuple[int, Any]:
    """Run a command in this process; return its exit code and the JSON it printed, or its error."""
    done = CliRunner().invoke(app, [*arguments, "--json"])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        return -1, done.exception
    return done.exit_code, json.loads(done.stdout) if done.stdout.strip() else None


def test_the_quarantine_is_listed_and_shown(home: Path) -> None:
    code, batches = soil("quarantine", "list")
    assert code == 0
    assert [b["batch"] for b in batches] == ["damaged"]
    _, rows = soil("quarantine", "show", "damaged", "--rule", "impossible_value")
    assert [r["sample_id"] for r in rows] == ["NRW.115-062"]
    assert "140" in rows[0]["found"]


def test_the_labs_own_table_comes_back_with_mends(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "mends.xlsx"
    code, facts = soil("quarantine", "export", "damaged", str(out))
    assert code == 0
    table = lab_table(str(out))
    assert len(table) == facts["rows"]
    row = table[table["sample_id"] == "NRW.115-062"].iloc[0]
    assert row["gate"] == "quarantined"
    assert "clay" in str(row["mend"])


def test_a_release_is_recorded_and_the_next_run_knows_it(home: Path) -> None:
    code, facts = soil(
        "quarantine", "release", "damaged", "--sample", "NRW.115-062", "--why", "clay typed twice, spectrum is good",
        "--who", "A. Technician",
    )  # fmt: skip
    assert code == 0
    assert facts["counts"] == {"landed": 12, "accepted": 8, "quarantined": 4}
    kept = json.loads((home / "data" / "releases" / "damaged.json").read_text())
    assert [(r["sample_id"], r["who"]) for r in kept] == [("NRW.115-062", "A. Technician")]
    _, path = soil("why", "NRW.115-062")
    assert "A. Technician" in json.dumps(path)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["quarantine", "release", "damaged", "--sample", "NRW.115-045", "--why", "x"], "cannot be released"),
        (["quarantine", "release", "damaged", "--sample", "NRW.115-062", "--why", " "], "who and why"),
        (["quarantine", "show", "damaged", "--sample", "nobody"], "no such sample"),
        (["quarantine", "show", "nowhere"], "no such batch was judged"),
        (["quarantine", "show", "../nowhere"], "cannot be used as a key"),
        (["batch", "accept", "nowhere", "--why", "x"], "no drift verdict"),
        (["batch", "accept", "other-field", "--why", ""], "with a reason"),
        (["why", "nobody"], "nobody"),
    ],
)
def test_what_cannot_be_done_says_why(home: Path, arguments: list[str], says: str) -> None:
    code, error = soil(*arguments)
    assert code == -1
    assert says in str(error)


def test_an_accepted_batch_is_trained_on(home: Path) -> None:
    code, record = soil(
        "batch", "accept", "other-field", "--why", "a field we sampled on purpose", "--who", "P. Lead"
    )
    assert code == 0
    assert record["who"] == "P. Lead"
    assert soil("run", "training_set")[0] == 0
    _, rows = soil("batch", "list")
    fate = {r["batch"]: r for r in rows}
    assert fate["other-field"]["drift"] == "fail"
    assert (
        fate["other-field"]["next"]
        == "in the training set: drift accepted by P. Lead (a field we sampled on purpose)"
    )
    _, path = soil("why", "NRW.62-001")
    assert "training set" in json.dumps(path)


def test_a_batch_has_a_page(home: Path) -> None:
    page = (home / "reports" / "batches" / "damaged" / "index.html").read_text()
    assert "NRW.115-062" in page
    assert "http://" not in page


def test_a_withdrawn_batch_is_trained_on_no_more(home: Path) -> None:
    code, record = soil("batch", "withdraw", "damaged", "--why", "labels were permuted", "--who", "P. Lead")
    assert (code, record["who"]) == (0, "P. Lead")
    assert soil("run", "training_set")[0] == 0
    fate = {r["batch"]: r for r in soil("batch", "list")[1]}
    assert "withdrawn by P. Lead: labels were permuted" in fate["damaged"]["next"]
    code, error = soil("batch", "withdraw", "nowhere", "--why", "x")
    assert code == -1
    assert "no such batch was taken" in str(error)
