from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from soil_assets.errors import BadInput
from soil_assets.modeling.evaluate import evaluate
from soil_assets.modeling.model import SoilModel
from soil_assets.modeling.pretreatment import chain, savgol, snv
from soil_assets.modeling.recipe import Recipe
from soil_assets.modeling.train import train
from soil_assets.recipe_settings import RecipeSettings
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import BUILT_IN

CLAY, SOC = BUILT_IN["clay"], BUILT_IN["soc"]
SMALL = Recipe(pretreatments=(chain(snv()), chain(snv(), savgol(11, 2, 1))), max_components=10, folds=5)


def altered(batch: SpectralBatch, **columns: object) -> SpectralBatch:
    return batch.with_samples(batch.samples.assign(**columns))


def test_learns_real_clay(clay_model: SoilModel, parts: tuple[SpectralBatch, SpectralBatch]) -> None:
    found = evaluate(clay_model, parts[1], CLAY)
    assert found.metrics["r2"] > 0.9
    assert found.finite
    assert found.covered
    assert clay_model.training["n"] == 75
    assert clay_model.training["cross_validation"]["r2"] > 0.9


def test_log_target_is_predicted_in_its_unit(parts: tuple[SpectralBatch, SpectralBatch]) -> None:
    model = train(parts[0], SOC, SMALL)
    found = evaluate(model, parts[1], SOC)
    assert found.metrics["r2"] > 0.7
    assert found.scaled_metrics is not None
    assert "medians" in model.training["back_transform"]
    assert (found.predictions["value"] >= 0).all()


def test_permuted_targets_give_no_skill(field: SpectralBatch) -> None:
    scores = []
    for seed in range(3):
        shuffled = np.random.default_rng(seed).permutation(field.property_values("clay"))
        model = train(altered(field, clay=shuffled), CLAY, SMALL)
        scores.append(model.training["cross_validation"]["r2"])
    assert max(scores) < 0.15


def test_a_test_fold_changes_no_number_fitted_without_it(field: SpectralBatch) -> None:
    """Replace one outer fold's spectra and targets by garbage: the predictions for that fold come from the
    other folds alone, so neither the choice made for it nor a coefficient may move."""
    from soil_assets.modeling.splits import grouped_folds

    fold = grouped_folds(field.groups(), SMALL.folds, SMALL.seed)
    rng = np.random.default_rng(0)
    spectra, clay = field.spectra.copy(), field.property_values("clay").copy()
    spectra[fold == 2] = rng.random((int((fold == 2).sum()), spectra.shape[1])).astype(np.float32)
    clay[fold == 2] = rng.uniform(0, 100, int((fold == 2).sum()))
    garbage = dataclasses.replace(altered(field, clay=clay), spectra=spectra)
    honest, spoiled = train(field, CLAY, SMALL).training, train(garbage, CLAY, SMALL).training
    assert honest["nested_choices"][2] == spoiled["nested_choices"][2]
    assert honest["nested_choices"][1] != spoiled["nested_choices"][1]


def test_replicates_stay_together(field: SpectralBatch) -> None:
    """Two noisy scans a soil: validation by scan would find its twin, by soil it must not gain from it."""
    rng = np.random.default_rng(5)
    double = field.take(np.repeat(np.arange(len(field)), 2))
    noise = rng.normal(scale=1e-4, size=double.spectra.shape).astype(np.float32)
    permuted = np.repeat(rng.permutation(field.property_values("clay")), 2)
    double = dataclasses.replace(altered(double, clay=permuted), spectra=double.spectra + noise)
    assert train(double, CLAY, SMALL).training["cross_validation"]["r2"] < 0.15
    assert train(double, CLAY, SMALL).training["n_groups"] == len(field)


def test_missing_targets_are_left_out_and_counted(field: SpectralBatch) -> None:
    clay = field.property_values("clay").copy()
    clay[[3, 50]] = np.nan
    model = train(altered(field, clay=clay), CLAY, SMALL)
    assert (model.training["n"], model.training["n_left_out"]) == (113, 2)
    assert model.training["ids_sha256"] != train(field, CLAY, SMALL).training["ids_sha256"]


def test_same_seed_same_model(parts: tuple[SpectralBatch, SpectralBatch]) -> None:
    first, second = train(parts[0], CLAY, SMALL), train(parts[0], CLAY, SMALL)
    assert np.array_equal(first.predict(parts[1])["value"], second.predict(parts[1])["value"])
    assert dict(first.half_widths) == dict(second.half_widths)


def test_progress_reaches_its_end(field: SpectralBatch) -> None:
    seen: list[tuple[str, int, int]] = []
    train(field.take(range(30)), CLAY, SMALL, progress=lambda *a: seen.append(a))
    assert seen[-1] == ("train", 1, 1)
    by_part = {what: [done for w, done, _ in seen if w == what] for what, _, _ in seen}
    assert by_part.pop("train") == [1]
    assert list(by_part) == ["nested cross-validation", "nested cross-validation, repeated"]
    assert all(done == [1, 2, 3, 4, 5] for done in by_part.values())


def test_vip_mean_square_is_one(clay_model: SoilModel) -> None:
    assert (clay_model.importance**2).mean() == pytest.approx(1.0)
    assert clay_model.importance.shape == clay_model.axis.values.shape


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b.take(range(4)), "fewer samples than folds"),
        (lambda b: altered(b, clay=20.0), "constant"),
        (lambda b: altered(b, clay=np.nan), "no sample has a value"),
        (lambda b: b.with_samples(b.samples.drop(columns="clay")), "no sample has a value"),
        (lambda b: altered(b, clay=b.property_values("clay") * 10), "physically impossible"),
        (lambda b: altered(b, site="one"), "too few groups"),
    ],
)
def test_bad_input(field: SpectralBatch, change: object, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        train(change(field), CLAY, SMALL)  # type: ignore[operator]


def test_nan_spectra_are_refused(field: SpectralBatch) -> None:
    spectra = field.spectra.copy()
    spectra[7, 3] = np.nan
    with pytest.raises(BadInput, match="missing or infinite") as error:
        train(dataclasses.replace(field, spectra=spectra), CLAY, SMALL)
    assert error.value.row == 8


def test_flat_spectra_are_refused(field: SpectralBatch) -> None:
    spectra = field.spectra.copy()
    spectra[7] = 0.3
    with pytest.raises(BadInput, match="flat"):
        train(dataclasses.replace(field, spectra=spectra), CLAY, SMALL)


def test_more_components_than_rank_are_never_taken(field: SpectralBatch) -> None:
    few = field.take(range(12))
    model = train(few, CLAY, Recipe(pretreatments=(chain(snv()),), max_components=30, folds=4))
    assert model.training["chosen"]["components"] <= 8


def test_recipe_from_settings_and_fingerprint() -> None:
    recipe = Recipe.from_settings(RecipeSettings(folds=5, max_components=7, seed=3))
    assert (recipe.folds, recipe.max_components, recipe.seed) == (5, 7, 3)
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    assert recipe.fingerprint() == Recipe.from_dict(recipe.to_dict()).fingerprint()
    assert recipe.fingerprint() != dataclasses.replace(recipe, seed=4).fingerprint()
    with pytest.raises(BadInput, match="recipe"):
        Recipe(learner="oracle")


def test_left_out_pls_equals_scikit_learn_refits(field: SpectralBatch) -> None:
    """All counts in one pass, in rotated coordinates, against a refit per fold and count."""
    from sklearn.cross_decomposition import PLSRegression

    from soil_assets.modeling.pls import out_of_fold
    from soil_assets.modeling.splits import grouped_folds

    x, y = chain(snv()).apply(field.spectra), field.property_values("clay")
    fold = grouped_folds(field.groups(), 4, 1)
    ours = out_of_fold(x, y, fold, 6)
    for count in (1, 3, 6):
        for k in range(4):
            peer = PLSRegression(count, scale=False).fit(x[fold != k], y[fold != k])
            assert np.allclose(ours[count - 1, fold == k], peer.predict(x[fold == k]).ravel(), rtol=1e-6)


def test_learner_and_pretreatments_come_from_the_policy(field: SpectralBatch) -> None:
    settings = RecipeSettings(learner="svr", pretreatments=("msc", "snv + no_co2"), folds=5)
    recipe = Recipe.from_settings(settings, field.axis, field.quantity)
    assert (recipe.learner, [p.name for p in recipe.pretreatments]) == ("svr", ["msc", "snv + no_co2"])
    assert (
        train(field.take(range(60)), CLAY, recipe).training["chosen"]["pretreatment"]
        in settings.pretreatments
    )
    with pytest.raises(BadInput, match="axis"):
        Recipe.from_settings(settings)
    with pytest.raises(BadInput, match="not understood"):
        Recipe.from_settings(RecipeSettings(pretreatments=("magic",)), field.axis)
    with pytest.raises(BadInput, match="usable recipe"):
        Recipe.from_settings(RecipeSettings(learner="magic"))
    assert Recipe.from_settings(RecipeSettings(learner="stack")).pretreatments == Recipe.stack().pretreatments
