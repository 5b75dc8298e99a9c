from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from soil_assets.benchmarks.accuracy import Task, coverage_counts, limesoda_table, limesoda_tasks, score
from soil_assets.benchmarks.library import Library
from soil_assets.benchmarks.official import Ledger, data_file, definition, earlier_looks, names
from soil_assets.errors import BadInput
from soil_assets.modeling.pretreatment import average, chain, snv
from soil_assets.modeling.recipe import Recipe
from soil_assets.spectra.embedded import limesoda
from soil_assets_tests.shared import SHARED, needs

pytestmark = pytest.mark.shared

QUICK = Recipe.stack(pretreatments=(chain(average(60), snv()),), folds=5, repeats=1)


@pytest.mark.parametrize("name", names())
def test_definitions_are_complete(name: str) -> None:
    found = definition(name)
    assert found.name == name
    assert found.sha256 or found.source == "limesoda:*"
    for text in (found.obtain, found.licence, found.citation, found.split):
        assert text


def test_a_user_adds_one(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\ntitle: t\nsource: x.parquet\nobtain: o\nlicence: l\ncitation: c\nsplit: s\n")
    assert definition(str(file)).name == "mine"
    file.write_text("name: mine\nlicense: typo\n")
    with pytest.raises(BadInput, match="not a valid benchmark"):
        definition(str(file))
    with pytest.raises(BadInput, match="no such benchmark"):
        definition("nope")


def test_files_are_checked_and_stay_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOIL_BENCHMARK_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("x\n")
    (tmp_path / "secret.csv").write_text("x\n")
    assert data_file("a.csv", None).name == "a.csv"
    with pytest.raises(BadInput, match="not the file that was frozen"):
        data_file("a.csv", "0" * 64)
    with pytest.raises(BadInput, match="inside the data folder"):
        data_file("../secret.csv", None)
    with pytest.raises(BadInput, match="not here"):
        data_file("b.csv", None)


def test_ledger_counts_looks() -> None:
    ledger = Ledger()
    for task in ("a", "b"):
        ledger.look("set", task, "recipe", "why")
    assert ledger.summary() == [{"benchmark": "set", "recipe": "recipe", "why": "why", "looks": 2}]
    assert all({"variant", "decision"} <= set(look) for look in earlier_looks())


def test_scoring_never_shows_a_fold_its_own_targets() -> None:
    """Replace one fold's targets by garbage: its predictions must not move."""
    batch = limesoda("NRW.42")
    fold = batch.samples["fold"].to_numpy(dtype=np.int64)
    groups = np.arange(len(batch), dtype=np.int64)
    clay = batch.property_values("clay")
    spoiled = np.where(fold == 3, 1000.0, clay)
    spectra = batch.spectra.astype(float)
    one = score("a", spectra, {"clay": clay}, fold, groups, QUICK)[0]
    other = score("b", spectra, {"clay": spoiled}, fold, groups, QUICK)[0]
    assert np.array_equal(one.predicted[fold == 3], other.predicted[fold == 3])
    assert not np.allclose(one.predicted[fold == 4], other.predicted[fold == 4])


def test_missing_targets_are_neither_trained_on_nor_judged() -> None:
    batch = limesoda("NRW.42")
    fold = batch.samples["fold"].to_numpy(dtype=np.int64)
    clay = batch.property_values("clay").copy()
    clay[:5] = np.nan
    task = score("a", batch.spectra.astype(float), {"clay": clay}, fold, np.arange(len(batch)), QUICK)[0]
    assert task.metrics()["n"] == len(batch) - 5


def test_coverage_is_judged_with_its_calibration() -> None:
    rng = np.random.default_rng(0)

    def task(share: float) -> Task:
        covered = {0.9: rng.random(400) < share}
        return Task("t", np.zeros(400), np.zeros(400), covered, 100)

    covered, n, low, high = coverage_counts([task(0.9), task(0.9)], 0.9)
    assert (n, low <= covered <= high) == (800, True)
    covered, _, low, high = coverage_counts([task(0.75), task(0.75)], 0.9)
    assert covered < low


@needs(SHARED / "published")
def test_published_values_are_brought_to_our_unit() -> None:
    tasks = [t for _, found in limesoda_tasks(QUICK, ["MG.44"]) for t in found]
    table = limesoda_table(tasks).set_index("property")
    assert set(table.index) == {"clay", "soc", "ph"}
    assert 1.0 < table.loc["clay", "published_rmse"] < 4.0  # published in g/kg, ours in %
    assert (table["ratio"] < 3.0).all()


def test_library_is_reproducible_and_real_in_shape() -> None:
    library = Library(200)
    spectra, targets = library.arrays(3, 50)
    again, _ = library.arrays(3, 50)
    assert np.array_equal(spectra, again)
    assert spectra.shape == (50, 200)
    assert np.isfinite(targets).all()
    assert not np.array_equal(spectra, library.arrays(4, 50)[0])
