from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from soil_assets.errors import BadInput
from soil_assets.modeling.additive import CrossProducts, pls_path, ridge, total
from soil_assets.modeling.artifact import load, save
from soil_assets.modeling.kernels import squared_distances
from soil_assets.modeling.learners import TrainingData
from soil_assets.modeling.nystrom import LandmarkFeatures
from soil_assets.modeling.pretreatment import average, chain, savgol, snv
from soil_assets.modeling.recipe import Recipe
from soil_assets.modeling.selection import fit, squared_errors
from soil_assets.modeling.splits import grouped_folds
from soil_assets.modeling.train import train
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import BUILT_IN

CLAY = BUILT_IN["clay"]
PRE = (chain(average(100), snv()), chain(average(100), snv(), savgol(7, 2, 1)))
RECIPE = Recipe(learner="selection", pretreatments=PRE, max_components=10, folds=5, nested=False)


def test_errors_from_sums_are_those_of_predictions() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 6)) + 4.0
    y = x @ rng.normal(size=6) + rng.normal(size=80)
    train_sums = CrossProducts.of(x[:50], y[:50], x[0])
    held = CrossProducts.of(x[50:], y[50:], x[0])
    coefficients, intercepts = pls_path(train_sums, 4)
    expected = ((x[50:] @ coefficients.T + intercepts - y[50:, None]) ** 2).sum(axis=0)
    assert np.allclose(squared_errors(held, coefficients, intercepts), expected, rtol=1e-9)


def test_landmark_features_reproduce_the_kernel(field: SpectralBatch) -> None:
    spectra = field.spectra[:60].astype(float)
    features = LandmarkFeatures.fit(spectra, PRE[0], 60, 0.5, 1)
    treated = PRE[0].apply(spectra)
    exact = np.exp(-features.gamma * squared_distances(treated, treated))
    phi = features.transform(spectra)
    assert np.abs(phi @ phi.T - exact).max() < 1e-4


def test_adding_a_batch_is_the_full_refit(field: SpectralBatch) -> None:
    """Fixed landmarks and penalty: sums kept per batch give the refit's predictions within 1e-8."""
    spectra, clay = field.spectra.astype(float), field.property_values("clay")
    features = LandmarkFeatures.fit(spectra[:50], PRE[1], 40, 0.1, 1)
    phi = features.transform(spectra)
    parts = [CrossProducts.of(phi[i], clay[i], phi[0]) for i in np.array_split(np.arange(len(phi)), 5)]
    kept = total(parts[:4])
    a, b = ridge(kept + parts[4], 1e-4), ridge(CrossProducts.of(phi, clay, phi[0]), 1e-4)
    ours, refit = features.predictor(*a).predict(spectra), features.predictor(*b).predict(spectra)
    assert np.max(np.abs(ours - refit) / np.abs(refit)) < 1e-8
    without = ridge(total(parts) - parts[2], 1e-4)
    rows = np.setdiff1d(np.arange(len(phi)), np.array_split(np.arange(len(phi)), 5)[2])
    again = ridge(CrossProducts.of(phi[rows], clay[rows], phi[0]), 1e-4)
    assert np.allclose(phi @ without[0] + without[1], phi @ again[0] + again[1], rtol=1e-8)


def test_nested_left_out_predictions_are_those_of_the_choice_without_the_fold(field: SpectralBatch) -> None:
    """PLS alone (no landmarks of the left-out fold): refit the learner without a fold and compare."""
    recipe = Recipe(pretreatments=(PRE[0],), max_components=6, folds=4, nested=True)
    data = TrainingData(
        field.spectra.astype(float), field.property_values("clay"), np.arange(len(field), dtype=np.int64)
    )
    from soil_assets.modeling import selection

    only_pls = [c for c in selection.candidates(data, recipe) if c.name.startswith("pls")]
    fold = grouped_folds(data.groups, 4, recipe.seed)
    scored = selection._score(only_pls[0], data, fold)
    x = PRE[0].apply(data.spectra)
    for k in range(4):
        coefficients, intercepts = pls_path(CrossProducts.of(x[fold != k], data.target[fold != k], x[0]), 6)
        expected = coefficients @ x[fold == k].T + intercepts[:, None]
        assert np.allclose(scored.left_out[:, fold == k], expected, rtol=1e-6)
        both = (fold != k) & (fold != (k + 1) % 4)
        path = pls_path(CrossProducts.of(x[both], data.target[both], x[0]), 6)
        judged = fold == (k + 1) % 4
        errors = ((path[0] @ x[judged].T + path[1][:, None] - data.target[judged]) ** 2).sum(axis=1)
        assert np.allclose(scored.inner[k, (k + 1) % 4], errors, rtol=1e-6)


def test_learns_and_is_saved(parts: tuple[SpectralBatch, SpectralBatch], tmp_path: Path) -> None:
    model = train(parts[0], CLAY, RECIPE)
    assert model.training["cross_validation"]["r2"] > 0.9
    assert load(save(model, tmp_path)).predict(parts[1]).equals(model.predict(parts[1]))


def test_permuted_targets_give_no_skill(field: SpectralBatch) -> None:
    clay = np.random.default_rng(6).permutation(field.property_values("clay"))
    model = train(field.with_samples(field.samples.assign(clay=clay)), CLAY, RECIPE)
    assert model.training["cross_validation"]["r2"] < 0.1


def test_two_groups_are_refused(field: SpectralBatch) -> None:
    groups = np.arange(len(field), dtype=np.int64) % 2
    with pytest.raises(BadInput, match="at least three"):
        fit(TrainingData(field.spectra.astype(float), field.property_values("clay"), groups), RECIPE)
