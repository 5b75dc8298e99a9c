"""Kernels on weighted bands: weights find what tells of the target, and nothing of a fold is known outside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from soil_assets.modeling.artifact import load, save
from soil_assets.modeling.kernels import PENALTIES
from soil_assets.modeling.learners import TrainingData
from soil_assets.modeling.pretreatment import average, chain, snv
from soil_assets.modeling.recipe import Recipe
from soil_assets.modeling.splits import grouped_folds
from soil_assets.modeling.stack import StackBasis, prepare, repeated_folds, solve
from soil_assets.modeling.train import train
from soil_assets.modeling.weighted_kernels import (
    WeightedMember,
    band_weights,
    fit_weighted,
    left_out_predictions,
    weighted_members,
)
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import BUILT_IN

N, BANDS, TELLS = 80, 40, 7
RECIPE = Recipe.stack(pretreatments=(chain(), chain(average(20))), folds=5, weighted_from=50)


@pytest.fixture(scope="module")
def data() -> TrainingData:
    """One of forty bands tells of the target, and not in proportion."""
    rng = np.random.default_rng(5)
    spectra = rng.normal(size=(N, BANDS))
    target = np.sin(1.5 * spectra[:, TELLS]) + 0.1 * rng.normal(size=N)
    return TrainingData(spectra, target, np.arange(N, dtype=np.int64))


@pytest.mark.parametrize("weighting", ["correlation", "importance"])
def test_the_band_that_tells_has_the_largest_weight(data: TrainingData, weighting: str) -> None:
    x = data.spectra - data.spectra.mean(axis=0)
    weights = band_weights(x / x.std(axis=0), data.target, weighting)  # type: ignore[arg-type]
    assert weights.argmax() == TELLS
    assert weights.max() == 1.0
    assert (weights > 0.0).all()
    again = band_weights(x / x.std(axis=0), -3.0 * data.target + 100.0, weighting)  # type: ignore[arg-type]
    np.testing.assert_allclose(again, weights, rtol=1e-9)


@pytest.mark.parametrize("weighting", ["correlation", "importance"])
def test_a_target_that_is_constant_weighs_all_bands_the_same(weighting: str) -> None:
    x = np.random.default_rng(1).normal(size=(20, 6))
    x -= x.mean(axis=0)
    np.testing.assert_array_equal(band_weights(x, np.full(20, 2.5), weighting), np.ones(6))  # type: ignore[arg-type]


def test_left_out_predictions_are_those_of_members_fitted_without_the_fold(data: TrainingData) -> None:
    members = weighted_members(1, N)
    fold = grouped_folds(data.groups, 4, 3)
    found = left_out_predictions([data.spectra], data.target[:, None], data.groups, [fold], members, seed=1)
    assert found.shape == (len(members), len(PENALTIES), N, 1)
    inside, out = fold != 2, fold == 2
    centre, spread = data.spectra[inside].mean(axis=0), data.spectra[inside].std(axis=0)
    for place, member in enumerate(members):
        one = fit_weighted(member, data.spectra[inside] - centre, spread, data.target[inside], 9)
        new = (data.spectra[out] - centre) / spread * one.weights
        if one.gamma is None:
            expected = (new @ one.features.T / one.scale) @ one.dual + one.intercept
            along = (data.spectra[out] - centre) @ one.coefficients(spread) + one.intercept
            np.testing.assert_allclose(along, expected, rtol=1e-8, atol=1e-10)
        else:
            squared = ((new[:, None] - one.features) ** 2).sum(axis=2)
            expected = np.exp(-one.gamma * squared) @ one.dual + one.intercept
        np.testing.assert_allclose(found[place, 9, out, 0], expected, rtol=1e-6, atol=1e-8)


def test_garbage_in_a_fold_changes_nothing_that_was_fitted_without_it(data: TrainingData) -> None:
    fold = grouped_folds(data.groups, 4, 3)
    members, out = weighted_members(1, N), fold == 1
    target, spectra = data.target.copy(), data.spectra.copy()
    target[out] = 1e6
    spectra[fold == 3] *= 1e3

    def predicted(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return left_out_predictions([x], y[:, None], data.groups, [fold], members, seed=1)

    plain = predicted(data.spectra, data.target)
    np.testing.assert_array_equal(predicted(data.spectra, target)[:, :, out], plain[:, :, out])
    changed = predicted(spectra, data.target)[:, :, fold == 3]
    assert not np.allclose(changed, plain[:, :, fold == 3])


def test_many_samples_have_fewer_members_and_folds() -> None:
    assert {m.weighting for m in weighted_members(2, 200)} == {"correlation", "importance"}
    assert {m.weighting for m in weighted_members(2, 201)} == {"correlation"}
    assert weighted_members(1, 201)[0] == WeightedMember(0, "correlation", None)


def test_a_stack_with_them_finds_what_one_without_misses(data: TrainingData) -> None:
    errors = {}
    for start in (0, 50):
        recipe = replace(RECIPE, weighted_from=start)
        basis = StackBasis.of(data, recipe.pretreatments)
        fitted = solve(basis, data.target[:, None], repeated_folds(data.groups, recipe), recipe)[0]
        errors[start] = float(np.mean((fitted.held_out - data.target) ** 2))
    assert errors[50] < 0.7 * errors[0]


def test_shuffled_targets_give_no_skill(data: TrainingData) -> None:
    skills = []
    for seed in range(10):
        target = np.random.default_rng(seed).permutation(data.target)
        basis = StackBasis.of(data, RECIPE.pretreatments)
        fitted = solve(basis, target[:, None], repeated_folds(data.groups, RECIPE), RECIPE)[0]
        skills.append(1.0 - np.mean((fitted.held_out - target) ** 2) / target.var())
    assert np.mean(skills) < 0.05


def test_the_merged_predictor_is_the_weighted_sum_of_its_members(data: TrainingData) -> None:
    basis = StackBasis.of(data, (chain(snv()),))
    prepared = prepare(
        basis, data.target[:, None], repeated_folds(data.groups, RECIPE), components=0, second_scale=False,
        weighted_from=50, seed=1,
    )  # fmt: skip
    left_out = prepared.left_out
    first = len(basis.members)
    picked = [(first + i, 8) for i in range(len(left_out.weighted))]
    weights = np.linspace(0.1, 0.4, len(picked))
    merged = basis.merge(data.target, picked, weights, (), left_out.weighted)
    x = basis.treated[0]
    expected = np.zeros(N)
    for member, weight in zip(left_out.weighted, weights, strict=True):
        one = fit_weighted(member, x, basis.spreads[0], data.target, 8)
        if one.gamma is None:
            kernel = one.features @ one.features.T / one.scale
        else:
            kernel = np.exp(-one.gamma * ((one.features[:, None] - one.features) ** 2).sum(axis=2))
        expected += weight * (kernel @ one.dual + one.intercept)
    assert len(merged.parts) == 3, "one of the pre-treatment, and one a weighting"
    # Landmarks are kept in single precision.
    np.testing.assert_allclose(merged.predict(data.spectra), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("second_scale", [False, True])
def test_a_model_with_them_is_kept_and_read(field: SpectralBatch, tmp_path: Path, second_scale: bool) -> None:
    recipe = replace(
        RECIPE, nested=False, repeats=1, second_scale=second_scale, pretreatments=(chain(average(30), snv()),)
    )
    model = train(field, BUILT_IN["clay"], recipe)
    assert any("/dual/" in name and not name.startswith("0/") for name in model.predictor.arrays())
    assert load(save(model, tmp_path / "model")).predict(field).equals(model.predict(field))
