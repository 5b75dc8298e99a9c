"""What every learner must hold to, and what each adds."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from soil_assets.errors import BadInput
from soil_assets.modeling import learners as registry
from soil_assets.modeling.artifact import load, save
from soil_assets.modeling.learners import TrainingData, learner, learners
from soil_assets.modeling.learning import svr
from soil_assets.modeling.learning.local import LocalPredictor, local_ridge
from soil_assets.modeling.pretreatment import average, chain, msc, savgol, snv
from soil_assets.modeling.recipe import Recipe
from soil_assets.modeling.train import train
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import BUILT_IN

CLAY = BUILT_IN["clay"]
PRE = (chain(average(100), snv()), chain(average(100), msc(), savgol(7, 2, 1)))
EVERY = ("pls", "stack", "selection", "svr", "local")


def recipe_of(name: str) -> Recipe:
    return Recipe(learner=name, pretreatments=PRE, folds=4, repeats=1, max_components=8)


def data_of(batch: SpectralBatch) -> TrainingData:
    return TrainingData(
        batch.spectra.astype(float), batch.property_values("clay"), np.arange(len(batch), dtype=np.int64)
    )


def test_these_are_found() -> None:
    assert set(learners()) == set(EVERY)


@pytest.mark.parametrize("name", EVERY)
def test_learns_and_predicts_the_same_from_its_file(
    name: str, parts: tuple[SpectralBatch, SpectralBatch], tmp_path: Path
) -> None:
    model = train(parts[0], CLAY, recipe_of(name))
    assert model.training["chosen"]["learner"] == name
    predicted = model.predict(parts[1])
    observed = parts[1].property_values("clay")
    error = ((predicted["value"].to_numpy() - observed) ** 2).sum()
    assert 1.0 - error / ((observed - observed.mean()) ** 2).sum() > 0.85
    # The numbers read back are the same; how they lie in memory moves the last bits of a product on some processors.
    again = load(save(model, tmp_path)).predict(parts[1])
    pd.testing.assert_frame_equal(again, predicted, check_exact=False, rtol=1e-11, atol=0.0)


@pytest.mark.parametrize("name", EVERY)
def test_permuted_targets_give_no_skill(name: str, field: SpectralBatch) -> None:
    clay = np.random.default_rng(8).permutation(field.property_values("clay"))
    model = train(field.with_samples(field.samples.assign(clay=clay)), CLAY, recipe_of(name))
    assert model.training["cross_validation"]["r2"] < 0.1


@pytest.mark.parametrize("name", EVERY)
def test_garbage_in_a_test_fold_changes_no_fitted_number(name: str, field: SpectralBatch) -> None:
    """The fold's spectra and targets are replaced; what the other folds fitted is the same to the last bit."""
    data = data_of(field)
    fold = np.arange(len(field)) % 4
    rng = np.random.default_rng(9)
    out = fold == 2
    spectra, target = data.spectra.copy(), data.target.copy()
    spectra[out] = rng.normal(size=(int(out.sum()), spectra.shape[1])) * 50.0
    target[out] = rng.normal(size=int(out.sum())) * 1e4
    spoiled = replace(data, spectra=spectra, target=target)
    fit = learner(name).fit
    recipe = recipe_of(name)
    assert fit(data.take(~out), recipe).digest() == fit(spoiled.take(~out), recipe).digest()
    other = fold == 1
    assert fit(data.take(~other), recipe).digest() != fit(spoiled.take(~other), recipe).digest()


@pytest.mark.parametrize("name", ["svr", "local", "pls"])
def test_sensors_and_unnested_validation_are_refused_not_ignored(name: str) -> None:
    with pytest.raises(BadInput, match="recipe"):
        Recipe(learner=name, sensors=("eca",))
    with pytest.raises(BadInput, match="recipe"):
        Recipe(learner=name, nested=False)


def test_a_learner_is_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: tuple[SpectralBatch, SpectralBatch]
) -> None:
    """A file in the learners' folder is found, trained, saved and read back, with nothing else changed."""
    (tmp_path / "average_of_all.py").write_text(
        "import numpy as np\n"
        "from dataclasses import dataclass\n"
        "from soil_assets.modeling.learners import Fitted\n"
        "@dataclass\n"
        "class Mean:\n"
        "    value: float\n"
        "    def predict(self, spectra, sensors=None):\n"
        "        return np.full(len(spectra), self.value)\n"
        "    def facts(self):\n"
        "        return {'kind': 'average_of_all', 'value': self.value}\n"
        "    def arrays(self):\n"
        "        return {}\n"
        "def predictor_from_parts(facts, arrays):\n"
        "    return Mean(float(facts['value']))\n"
        "def fit(data, recipe):\n"
        "    ones = np.ones(data.spectra.shape[1])\n"
        "    return Fitted(Mean(float(data.target.mean())), ones, {'learner': 'average_of_all'})\n"
    )
    from soil_assets.modeling import learning

    monkeypatch.setattr(learning, "__path__", [*learning.__path__, str(tmp_path)])
    assert learning.__spec__ is not None
    monkeypatch.setattr(learning.__spec__, "submodule_search_locations", learning.__path__)
    registry.learners.cache_clear()
    try:
        model = train(parts[0], CLAY, replace(recipe_of("pls"), learner="average_of_all"))
        found = load(save(model, tmp_path / "model")).predict(parts[1])["value"]
        assert np.allclose(found, parts[0].property_values("clay").mean())
    finally:
        monkeypatch.undo()
        registry.learners.cache_clear()
        sys.modules.pop("soil_assets.modeling.learning.average_of_all", None)
    with pytest.raises(BadInput, match="recipe"):
        replace(recipe_of("pls"), learner="average_of_all")


def test_svr_keeps_only_support_vectors_and_equals_scikit_learn(field: SpectralBatch) -> None:
    from sklearn.svm import SVR

    data = data_of(field)
    fitted = svr.fit(data, replace(recipe_of("svr"), pretreatments=PRE[:1]))
    x = PRE[0].apply(data.spectra)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    squared = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    gamma = fitted.chosen["width"] / np.median(squared[np.triu_indices(len(x), 1)])
    centre, spread = data.target.mean(), data.target.std()
    peer = SVR(gamma=gamma, C=fitted.chosen["cost"], epsilon=fitted.chosen["tube"])
    peer.fit(x, (data.target - centre) / spread)
    expected = centre + spread * peer.predict(x)
    assert np.abs(fitted.predictor.predict(data.spectra) - expected).max() < 0.02 * spread
    assert fitted.chosen["support_vectors"] == len(peer.support_) < len(x)


def test_local_ridge_is_weighted_least_squares() -> None:
    """Without a penalty and near equal weights: ordinary least squares of the neighbours."""
    rng = np.random.default_rng(3)
    scores, target = rng.normal(size=(1, 40, 3)), rng.normal(size=(1, 40))
    at = rng.normal(size=(1, 3))
    design = np.column_stack([np.ones(40), scores[0]])
    # Equal distances have equal weights.
    found = local_ridge(at, scores, target, np.ones((1, 40)), 0.0)
    slopes = np.linalg.lstsq(design, target[0], rcond=None)[0]
    assert found[0] == pytest.approx(slopes[0] + at[0] @ slopes[1:], abs=1e-6)


def test_local_learner_follows_populations_that_no_global_line_fits() -> None:
    """Two populations with opposite slopes: the local learner must beat PLS by far."""
    rng = np.random.default_rng(4)
    n = 300
    population = rng.integers(0, 2, n)
    x = rng.normal(size=n)
    bands = np.linspace(0, 1, 60)
    spectra = 5.0 * population[:, None] * np.sin(6 * bands) + x[:, None] * np.cos(9 * bands)
    spectra += rng.normal(scale=0.01, size=spectra.shape)
    target = np.where(population == 1, x, -x)
    data = TrainingData(spectra, target, np.arange(n, dtype=np.int64))
    inside = np.arange(n) < 200
    recipe = Recipe(learner="local", pretreatments=(chain(),), folds=5)
    errors = {}
    for name in ("local", "pls"):
        fitted = learner(name).fit(data.take(inside), replace(recipe, learner=name))
        errors[name] = np.mean((fitted.predictor.predict(spectra[~inside]) - target[~inside]) ** 2)
    assert errors["local"] < 0.05 * errors["pls"]


def test_local_predictor_says_nan_for_a_broken_spectrum(field: SpectralBatch) -> None:
    fitted = learner("local").fit(data_of(field), recipe_of("local"))
    assert isinstance(fitted.predictor, LocalPredictor)
    spectra = field.spectra[:3].astype(float)
    spectra[1, 5] = np.nan
    assert np.isnan(fitted.predictor.predict(spectra)).tolist() == [False, True, False]
