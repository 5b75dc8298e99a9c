"""Additive training through real materializations: batches come, go and change, and the model is the full refit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from soil_assets.defs.gates import gate_records
from soil_assets.defs.io import load_value
from soil_assets.defs.summing import update_total
from soil_assets.modeling.additive_training import AdditiveRecipe, release
from soil_assets.modeling.batch_statistics import BatchStatistics
from soil_assets_tests.conftest import Platform, make_platform
from soil_assets_tests.defs.batches import folds, land_as

# mlflow 3.17 and its dependencies warn about themselves while they start.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Platform]:
    made = make_platform(
        tmp_path,
        properties=["clay", "ph"],
        recipe={"training": "additive", "folds": 5},
        policy={"drift": {"when_drift": "warn"}},
    )
    try:
        yield made
    finally:
        made.instance.dispose()


def arrive(house: Platform, name: str, *wanted: int) -> None:
    land_as(house.landing, name, folds(*wanted))
    assert house.judge(name).success
    assert house.run("batch_statistics", name).success


def refit_difference(house: Platform) -> float:
    """Largest relative difference of the stored total's models from a fit on the training set itself."""
    data = house.soil.data
    features, total = load_value(data, "landmark_features"), load_value(data, "training_statistics")
    training = load_value(data, "training_set")
    properties = [house.soil.catalogue[p] for p in house.settings.properties]
    fixed = AdditiveRecipe(penalty=1e-3)
    ours = release(features, total, properties, fixed)
    whole = release(features, BatchStatistics.of(features, training, properties, "all"), properties, fixed)
    worst = 0.0
    for name, model in whole.items():
        a, b = (m.predictor.predict(training.spectra.astype(float)) for m in (ours[name], model))
        worst = max(worst, float(np.max(np.abs(a - b) / np.abs(b))))
    assert sum(f.n for f in total.batches.values()) == len(training)
    return worst


def test_batches_come_go_and_change(house: Platform) -> None:
    assert house.run("reference_spectra,benchmark_spectra").success
    assert house.run("landmark_features").success
    arrive(house, "b1", 6)
    assert house.run("training_set").success
    assert house.run("training_statistics").success
    assert list(load_value(house.soil.data, "training_statistics").batches) == ["b1", "reference"]
    assert refit_difference(house) < 1e-8

    arrive(house, "b2", 7)
    assert house.run("training_set").success
    assert house.run("training_statistics").success
    assert log(house)["added"] == ["b2"]  # and nothing else: the history was not summed again
    assert refit_difference(house) < 1e-8

    land_as(house.landing, "b1", folds(10))  # other content under the old name
    assert house.judge("b1").success
    assert house.run("training_set").success
    assert house.run("training_statistics").success
    assert log(house)["taken_away"] == ["b1"]
    assert log(house)["added"] == ["b1"]
    assert refit_difference(house) < 1e-8

    outcome = house.run("trained_models,benchmark_evaluations", "clay")
    assert outcome.success, outcome
    model = load_value(house.soil.data, "trained_models", "clay")
    assert model.training["chosen"]["learner"] == "additive"
    facts = load_value(house.soil.data, "benchmark_evaluations", "clay")
    assert facts["metrics"]["r2"] > 0.5
    assert facts["finite"]


def log(house: Platform) -> dict[str, object]:
    from soil_assets.defs.gates import materialization

    record = materialization(house.instance, "training_statistics")
    assert record is not None
    assert record.asset_materialization is not None
    return {k: v.value for k, v in record.asset_materialization.metadata.items()}


def test_a_total_that_lacks_a_batch_does_not_pass(house: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    assert house.run("reference_spectra,benchmark_spectra").success
    assert house.run("landmark_features").success
    arrive(house, "b1", 6)
    assert house.run("training_set").success
    monkeypatch.setattr(
        "soil_assets.defs.assets.statistics.update_total",
        lambda instance, soil, features, reference, taken: update_total(
            instance, soil, features, reference, []
        ),
    )
    assert not house.run("training_statistics").success
    [record] = gate_records(house.instance, "training_statistics", ["complete"])
    assert record.passed is False
    assert "in the training set" in record.summary


def test_without_the_switch_there_are_no_statistics(platform: Platform) -> None:
    keys = {key.path[-1] for key in platform.definitions.resolve_all_asset_keys()}
    assert not keys & {"landmark_features", "batch_statistics", "training_statistics"}
