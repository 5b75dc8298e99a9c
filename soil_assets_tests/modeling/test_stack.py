from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from soil_assets.errors import BadInput
from soil_assets.modeling.artifact import load, save
from soil_assets.modeling.evaluate import evaluate
from soil_assets.modeling.kernels import COMPONENTS, PENALTIES, KernelRidge
from soil_assets.modeling.learners import TrainingData
from soil_assets.modeling.pretreatment import average, chain, savgol, snv
from soil_assets.modeling.recipe import Recipe
from soil_assets.modeling.splits import grouped_folds
from soil_assets.modeling.stack import StackBasis, repeated_folds, solve, stack_weights
from soil_assets.modeling.train import train
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import BUILT_IN

CLAY = BUILT_IN["clay"]
PRE = (chain(average(100), snv()), chain(average(100), snv(), savgol(7, 2, 1)))
QUICK = Recipe.stack(pretreatments=PRE, folds=5, repeats=1, nested=False)


def data_of(batch: SpectralBatch, sensors: np.ndarray | None = None) -> TrainingData:
    return TrainingData(
        batch.spectra.astype(float), batch.property_values("clay"), np.arange(len(batch)), sensors
    )


def test_left_out_predictions_are_those_of_refits() -> None:
    """The closed form against scikit-learn refitted without each fold, intercept included."""
    from sklearn.kernel_ridge import KernelRidge as Peer

    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 12)) + 3.0
    y = x[:, 0] + np.sin(x[:, 1]) + 7.0
    kernel = x @ x.T
    ridge = KernelRidge.of(kernel)
    fold = grouped_folds(np.arange(40), 4, 1)
    found = ridge.left_out(y, [fold])
    for index in (6, 12):
        alpha = PENALTIES[index] * ridge.scale
        for k in range(4):
            out = fold == k
            # An unpenalised intercept is the limit of a large constant added to the kernel.
            peer = Peer(alpha=alpha, kernel="precomputed").fit(kernel[np.ix_(~out, ~out)] + 1e7, y[~out])
            assert np.allclose(peer.predict(kernel[np.ix_(out, ~out)] + 1e7), found[index, out], atol=1e-3)


def test_dual_form_predicts_what_the_kernel_says() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(30, 5)), rng.normal(size=30)
    ridge = KernelRidge.of(x @ x.T)
    setting = int(np.argmin(np.abs(PENALTIES - 1e-2)))
    dual, intercept = ridge.dual(y, setting)
    from sklearn.linear_model import Ridge

    peer = Ridge(alpha=1e-2 * ridge.scale).fit(x, y)
    assert np.allclose(x @ (x.T @ dual) + intercept, peer.predict(x), atol=1e-8)
    assert dual.sum() == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("with_sensors", [False, True])
def test_merged_predictor_is_the_weighted_sum_of_members(
    field: SpectralBatch, with_sensors: bool, joint: bool
) -> None:
    rng = np.random.default_rng(2)
    sensors = rng.normal(size=(60, 2)) * 5 + 30 if with_sensors else None
    basis = StackBasis.of(data_of(field.take(range(60)), sensors), PRE, joint=joint)
    target = basis.data.target
    folds = repeated_folds(basis.data.groups, QUICK)
    recipe = replace(QUICK, second_scale=False, weighted_from=0)  # those: test_weighted_kernels
    predictor = solve(basis, target[:, None], folds, recipe)[0].predictor
    left_out = basis.left_out(target[:, None], folds, components=100)
    picked = left_out.pick(0, target, np.ones(60, dtype=bool))
    members = left_out.of(0, picked)
    assert len(picked) == 2 * len(basis.members)
    weights = stack_weights(members, target, left_out.prior(picked))
    expected = np.zeros(60)
    for (member, setting), weight in zip(picked, weights, strict=True):
        kernel = basis.kernels[member]
        if setting < len(PENALTIES):
            damped = kernel.values / (kernel.values + PENALTIES[setting] * kernel.scale)
        else:
            damped = np.arange(59) >= 59 - COMPONENTS[setting - len(PENALTIES)]
        expected += weight * (target.mean() + kernel.vectors @ (damped * (kernel.vectors.T @ target)))
    assert np.allclose(predictor.predict(basis.data.spectra, sensors), expected, atol=1e-6)


def test_weights_favour_the_better_member_and_diversity() -> None:
    rng = np.random.default_rng(3)
    y = rng.normal(size=200)
    shared = rng.normal(size=200)
    members = np.array([y + shared, y + shared, y + 2 * shared, y + rng.normal(size=200)])
    weights = stack_weights(members, y, np.full(4, 0.25))
    assert weights.sum() == pytest.approx(1.0)
    assert (weights >= 0).all()
    assert weights[3] > weights[0] > weights[2]
    assert ((weights @ members - y) ** 2).mean() < ((members[0] - y) ** 2).mean() * 0.8


def test_beats_or_equals_pls_on_a_real_field(parts: tuple[SpectralBatch, SpectralBatch]) -> None:
    found = evaluate(train(parts[0], CLAY, QUICK), parts[1], CLAY)
    assert found.metrics["r2"] > 0.95
    assert found.covered


def test_cross_fitted_predictions_are_as_honest_as_nested_ones(field: SpectralBatch) -> None:
    """Permuted targets: neither shows skill."""
    for nested in (False, True):
        clay = np.random.default_rng(4).permutation(field.property_values("clay"))
        recipe = Recipe.stack(pretreatments=PRE, folds=5, repeats=1, nested=nested)
        model = train(field.with_samples(field.samples.assign(clay=clay)), CLAY, recipe)
        assert model.training["cross_validation"]["r2"] < 0.1
        assert model.training["validation"] == ("nested" if nested else "cross-fitted")


def test_sensors_are_used_required_and_saved(field: SpectralBatch, tmp_path: Path) -> None:
    """A sensor that carries what the spectra do not must raise the skill; without its column: refused."""
    rng = np.random.default_rng(5)
    clay = rng.permutation(field.property_values("clay"))
    sensed = field.with_samples(field.samples.assign(clay=clay, eca=clay + rng.normal(size=len(field))))
    recipe = Recipe.stack(pretreatments=PRE, folds=5, repeats=1, nested=False, sensors=("eca",))
    model = train(sensed, CLAY, recipe)
    assert model.training["cross_validation"]["r2"] > 0.8
    loaded = load(save(model, tmp_path))
    assert loaded.predict(sensed).equals(model.predict(sensed))
    with pytest.raises(BadInput, match="sensor columns"):
        model.predict(field)
    eca = sensed.samples["eca"].copy()
    eca[3] = np.nan
    holed = sensed.with_samples(sensed.samples.assign(eca=eca))
    assert "sensor value is missing" in model.predict(holed)["reason"][3]
    with pytest.raises(BadInput, match="sensor value is missing"):
        train(holed, CLAY, recipe)


@pytest.mark.parametrize("joint", [False, True])
def test_saved_stack_predicts_identically(
    parts: tuple[SpectralBatch, SpectralBatch], tmp_path: Path, joint: bool
) -> None:
    model = train(parts[0], CLAY, replace(QUICK, joint=joint))
    assert ("all together" in model.training["weights"]) == joint
    assert load(save(model, tmp_path)).predict(parts[1]).equals(model.predict(parts[1]))
    assert model.importance.shape == model.axis.values.shape


def test_recipe_options_that_would_be_ignored_are_refused() -> None:
    with pytest.raises(BadInput, match="spectra alone"):
        Recipe(sensors=("eca",))
    with pytest.raises(BadInput, match="recipe"):
        Recipe(nested=False)
    assert Recipe.from_dict(QUICK.to_dict()) == QUICK


def test_too_many_samples_for_exact_kernels() -> None:
    spectra = np.ones((3001, 20))
    with pytest.raises(BadInput, match="too many samples"):
        StackBasis.of(TrainingData(spectra, np.ones(3001), np.arange(3001)), PRE)


def test_left_out_components_are_those_of_refits_on_the_same_components() -> None:
    """Least squares on fixed principal components, refitted without each fold; impossible counts predict infinity."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=(40, 12))
    targets = np.column_stack([x[:, 0] + rng.normal(size=40), x[:, 1] + 3.0])
    ridge = KernelRidge.of((x - x.mean(axis=0)) @ (x - x.mean(axis=0)).T)
    fold = grouped_folds(np.arange(40), 4, 1)
    found = ridge.left_out(targets, [fold], components=(2, 5, 13, 35))[len(PENALTIES) :]
    for place, count in enumerate((2, 5)):
        design = np.column_stack([np.ones(40), ridge.vectors[:, -count:]])
        for k in range(4):
            out = fold == k
            slopes = np.linalg.lstsq(design[~out], targets[~out], rcond=None)[0]
            assert np.allclose(design[out] @ slopes, found[place][out], atol=1e-6)
    assert np.isinf(found[2:]).all()  # rank 12 has no 13 components; 40 samples in four folds have no 35


def test_second_scale_helps_a_lognormal_target_and_survives_its_file(
    field: SpectralBatch, tmp_path: Path
) -> None:
    clay = np.exp(field.property_values("clay") / 14.0)
    skewed = field.with_samples(field.samples.assign(clay=100.0 * clay / clay.max()))
    r2 = {}
    for second_scale in (False, True):
        model = train(skewed, CLAY, replace(QUICK, second_scale=second_scale, weighted_from=0))
        r2[second_scale] = model.training["cross_validation"]["r2"]
        assert ("logarithmic scale" in model.training["weights"]) == second_scale
        assert load(save(model, tmp_path / str(second_scale))).predict(field).equals(model.predict(field))
    assert 1.0 - r2[True] < 0.9 * (1.0 - r2[False])


def test_finer_pretreatments_are_tried_where_there_are_many_samples_and_kept_where_they_help(
    field: SpectralBatch, tmp_path: Path
) -> None:
    """A target that only fine bands carry: few averaged bands cannot see it."""
    coarse, fine = (chain(average(8)),), (chain(average(400), savgol(7, 2, 1)),)
    r2 = {}
    for start in (1000, 50):
        recipe = replace(QUICK, pretreatments=coarse, fine=fine, fine_from=start)
        model = train(field, CLAY, recipe)
        assert model.training["chosen"]["fine"] == (start == 50)
        assert Recipe.from_dict(recipe.to_dict()) == recipe
        assert load(save(model, tmp_path / str(start))).predict(field).equals(model.predict(field))
        r2[start] = model.training["cross_validation"]["r2"]
    assert 1.0 - r2[50] < 0.8 * (1.0 - r2[1000])


def test_a_recipe_of_the_first_version_is_read_as_it_trained_then() -> None:
    """It knew neither members by number of components nor a second scale nor finer pre-treatments."""
    later = ("components", "second_scale", "weighted_from", "fine", "fine_from", "joint")
    raw = {k: v for k, v in Recipe.stack().to_dict().items() if k not in later} | {"version": 1}
    read = Recipe.from_dict(raw)
    assert (read.components, read.weighted_from, read.second_scale) == (0, 0, False)
    assert (read.fine, read.joint) == ((), False)
    assert read.pretreatments == Recipe.stack().pretreatments
    assert Recipe.from_dict(read.to_dict()) == read
    assert read.fingerprint() != Recipe.stack().fingerprint()
