"""``soil benchmark``: a shipped benchmark, one of one's own, the book of looks."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from soil_assets.benchmarks.looks import LookBook
from soil_assets.benchmarks.official import OfficialBenchmark, definition
from soil_assets.benchmarks.run_one import run, summary
from soil_assets.benchmarks.user_sets import user_set
from soil_assets.cli.app import app
from soil_assets.errors import BadInput
from soil_assets.spectra.embedded import limesoda
from soil_assets_tests.shared import SHARED, needs

pytestmark = pytest.mark.shared


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A benchmark as a user would write it: a CSV of real spectra, folds, two scans a group, published results."""
    batch = limesoda("NRW.42")
    bands = {f"{v:.1f}": batch.spectra[:, i] for i, v in enumerate(batch.axis.values) if i % 8 == 0}
    table = pd.DataFrame({"clay": batch.property_values("clay"), **bands})
    table["part"] = batch.samples["fold"].to_numpy() % 4
    table["soil"] = np.arange(len(table)) // 2
    data = tmp_path / "data"
    data.mkdir()
    table.to_csv(data / "mine.csv", index=False)
    pd.DataFrame({"target": ["clay", "clay"], "rmse": [9.0, 8.0]}).to_csv(data / "best.csv", index=False)
    monkeypatch.setenv("SOIL_BENCHMARK_DATA", str(data))
    monkeypatch.setenv("SOIL_HOME", str(tmp_path / "home"))
    file = tmp_path / "mine.yaml"
    file.write_text(
        "name: mine\ntitle: My field\nsource: mine.csv\n"
        f"sha256: {_sha(data / 'mine.csv')}\n"
        "obtain: ask me\nlicence: own\ncitation: none\nsplit: four parts\n"
        "targets: {clay: none}\nquantity: reflectance\nfold: part\ngroup: soil\n"
        f"published: {{path: best.csv, sha256: {_sha(data / 'best.csv')}}}\n"
    )
    return file


def _sha(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_benchmark_of_ones_own_is_run_and_its_looks_are_written(own: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    arguments = [
        "benchmark",
        "run",
        str(own),
        "--learner",
        "pls",
        "--also-random",
        "--why",
        "a test",
        "--json",
    ]
    answer = json.loads(runner.invoke(app, arguments, catch_exceptions=False).stdout)
    (row,) = answer["rows"]
    assert (row["n"], row["published_rmse"]) == (42, 8.0)
    assert row["ratio"] == pytest.approx(row["rmse"] / 8.0)
    assert row["gap_percent"] == pytest.approx(100 * (row["rmse"] / row["random_rmse"] - 1))
    assert row["rmse"] != row["random_rmse"]
    assert (answer["looks"], answer["recipes_looked_with"], answer["wins"]) == (2, 1, int(row["ratio"] < 1))
    runner.invoke(app, arguments, catch_exceptions=False)
    looks = json.loads(runner.invoke(app, ["benchmark", "looks", "--json"]).stdout)
    assert [e["why"] for e in looks["looks"]] == ["a test", "a test, split at random"] * 2
    assert looks["looks"][0]["rmse"] == row["rmse"]
    assert len(looks["earlier_looks"]) > 10


def test_list_says_what_is_here(own: Path) -> None:
    runner = CliRunner()
    listed = json.loads(runner.invoke(app, ["benchmark", "list", "--json"]).stdout)["benchmarks"]
    assert {b["name"] for b in listed} == {"kssl500", "limesoda", "nirsoil", "yamsys"}
    here = {b["name"]: b["data_here"] for b in listed}
    assert here["limesoda"] == "yes"
    assert "not here" in here["nirsoil"]
    assert all(b["looks"] == 0 for b in listed)
    assert "My field" not in runner.invoke(app, ["benchmark", "list"]).stdout


def test_out_of_fold_predictions_never_see_their_fold(own: Path, tmp_path: Path) -> None:
    frozen = definition(str(own))
    scored, _ = user_set(frozen)
    assert len(set(scored.groups.tolist())) == 21
    book = LookBook(tmp_path / "looks.jsonl")
    before = run(str(own), book, "t", learner_name="local").rows[0]
    assert before["rmse"] > 0
    assert book.count("mine") == (1, 1)
    assert summary(run(str(own), book, "t", learner_name="pls"))["tasks"] == 1
    assert book.count("mine") == (2, 2)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"fold": None}, "column of its folds"),
        ({"fold": "nope"}, "not in its file"),
        ({"targets": {"sand": "none"}}, "not in its file"),
        ({"never_predicted": "9", "fold": "one"}, "all samples are in one fold"),
        ({"targets": {"clay": "logit"}, "quantity": "absorbance"}, None),
    ],
)
def test_what_is_wrong_with_a_definition_is_said(
    own: Path, change: dict[str, object], says: str | None
) -> None:
    raw = definition(str(own)).model_dump()
    data = own.parent / "data"
    table = pd.read_csv(data / "mine.csv").assign(one=1)
    table.to_csv(data / "mine.csv", index=False)
    frozen = OfficialBenchmark.model_validate({**raw, "sha256": None, **change})
    if says is None:
        assert user_set(frozen)[0].targets["clay"].max() < 5.0  # on the logit scale
        return
    with pytest.raises(BadInput, match=says):
        user_set(frozen)


def test_a_changed_file_is_refused(own: Path) -> None:
    with (own.parent / "data" / "mine.csv").open("a") as stream:
        stream.write("\n")
    answer = CliRunner().invoke(app, ["benchmark", "run", str(own), "--learner", "pls"])
    assert isinstance(answer.exception, BadInput)
    assert "not the file that was frozen" in str(answer.exception)


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    book = LookBook(tmp_path / "looks.jsonl")
    with pytest.raises(BadInput, match="no such benchmark"):
        run("nope", book, "t")
    with pytest.raises(BadInput, match="no such set"):
        run("limesoda", book, "t", only=("X.1",))
    with pytest.raises(BadInput, match="recipe"):
        run("limesoda", book, "t", learner_name="nope")
    assert book.entries() == []


def test_a_book_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    book = LookBook(tmp_path / "looks.jsonl")
    book.look("b", "b:clay", "r", "w", 1.0)
    with book.file.open("a") as stream:
        stream.write("{}\n")
    with pytest.raises(BadInput, match="book of looks"):
        book.entries()


@needs(SHARED / "published")
def test_a_shipped_set_beside_its_published_results(tmp_path: Path) -> None:
    book = LookBook(tmp_path / "looks.jsonl")
    found = run("limesoda", book, "t", learner_name="pls", only=("MG.44",))
    assert {r["property"] for r in found.rows} == {"clay", "soc", "ph"}
    assert all(0.3 < r["ratio"] < 3.0 for r in found.rows)
    assert book.count("limesoda") == (3, 1)
