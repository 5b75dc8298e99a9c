"""Training from per-batch statistics: adding and dropping a batch is arithmetic, and equals the full refit."""

from __future__ import annotations

import dataclasses
from functools import reduce
from operator import add

import numpy as np
import pytest

from soil_assets.errors import BadInput
from soil_assets.modeling.additive_features import AdditiveFeatures
from soil_assets.modeling.additive_training import AdditiveRecipe, leave_one_batch_out, release
from soil_assets.modeling.artifact import load, save
from soil_assets.modeling.batch_statistics import BatchStatistics, group_names
from soil_assets.modeling.calibration_sample import chosen_rows
from soil_assets.modeling.evaluate import evaluate
from soil_assets.modeling.judge import all_finite
from soil_assets.spectra.batch import SpectralBatch, concatenate
from soil_assets.spectra.catalogue import BUILT_IN

PROPERTIES = [BUILT_IN[p] for p in ("clay", "ph", "soc")]
RECIPE = AdditiveRecipe()


@pytest.fixture(scope="module")
def holed(field: SpectralBatch) -> SpectralBatch:
    soc = field.property_values("soc").copy()
    soc[::7] = np.nan  # measured on fewer samples than the others
    return field.with_samples(field.samples.assign(soc=soc))


@pytest.fixture(scope="module")
def features(field: SpectralBatch) -> AdditiveFeatures:
    return AdditiveFeatures.fit(field.take(range(40)), landmarks=40, folds=5)


@pytest.fixture(scope="module")
def batches(holed: SpectralBatch) -> list[SpectralBatch]:
    order = np.random.default_rng(3).permutation(len(holed))
    return [holed.take(rows) for rows in np.array_split(order, 4)]


@pytest.fixture(scope="module")
def parts(features: AdditiveFeatures, batches: list[SpectralBatch]) -> list[BatchStatistics]:
    return [BatchStatistics.of(features, b, PROPERTIES, f"b{i}") for i, b in enumerate(batches)]


def refit(features: AdditiveFeatures, batches: list[SpectralBatch]) -> BatchStatistics:
    return BatchStatistics.of(features, concatenate(batches), PROPERTIES, "all")


def test_adding_batches_is_the_full_refit(
    features: AdditiveFeatures,
    batches: list[SpectralBatch],
    parts: list[BatchStatistics],
    field: SpectralBatch,
) -> None:
    added = release(features, reduce(add, parts), PROPERTIES, RECIPE)
    whole = release(features, refit(features, batches), PROPERTIES, RECIPE)
    spectra = field.spectra.astype(float)
    for name in ("clay", "ph", "soc"):
        one, other = added[name].predictor.predict(spectra), whole[name].predictor.predict(spectra)
        assert np.max(np.abs(one - other) / np.abs(other)) < 1e-8
        # The domain is that of all spectra, however they arrived.
        ours, theirs = added[name].domain.measures(spectra), whole[name].domain.measures(spectra)
        for measure in ("t2", "q"):
            assert np.allclose(ours[measure], theirs[measure], rtol=1e-6)


def test_dropping_a_batch_leaves_no_trace(
    features: AdditiveFeatures, parts: list[BatchStatistics], field: SpectralBatch
) -> None:
    whole = reduce(add, parts)
    dropped = release(features, whole - parts[1], PROPERTIES, RECIPE)
    never = release(features, parts[0] + parts[2] + parts[3], PROPERTIES, RECIPE)
    for name, model in never.items():
        one, other = dropped[name].predict(field), model.predict(field)
        for column in ("value", "lower_90", "upper_90", "t2", "q", "distance"):
            # A kept sample is its own neighbour: its distance of 0 is the root of a rounding error.
            assert np.allclose(one[column], other[column], rtol=1e-6, atol=1e-6), column
        assert dropped[name].training["ids_sha256"] == model.training["ids_sha256"]
        assert dropped[name].training["n"] == model.training["n"]


def test_order_of_adding_does_not_matter(features: AdditiveFeatures, parts: list[BatchStatistics]) -> None:
    one, other = parts[0] + parts[1] + parts[2], parts[2] + parts[0] + parts[1]
    assert one.sample.batch.tolist() == other.sample.batch.tolist()
    assert np.array_equal(one.sample.kernel, other.sample.kernel)
    assert list(one.batches) == list(other.batches)


def test_left_out_predictions_do_not_know_their_fold(
    features: AdditiveFeatures, holed: SpectralBatch
) -> None:
    """Garbage in one fold's spectra and values moves no coefficient of the model without that fold."""
    fold = features.fold_of(group_names(holed, "x"))
    out = fold == 2
    rng = np.random.default_rng(0)
    spectra = holed.spectra.copy()
    spectra[out] = rng.random((int(out.sum()), spectra.shape[1])).astype(np.float32)
    samples = holed.samples.copy()
    samples.loc[out, "clay"] = rng.uniform(0, 100, int(out.sum()))
    spoiled = dataclasses.replace(holed.with_samples(samples), spectra=spectra)

    def choices(batch: SpectralBatch) -> dict[int, dict[str, object]]:
        total = BatchStatistics.of(features, batch, PROPERTIES, "x")
        [model] = release(features, total, PROPERTIES[:1], AdditiveRecipe(penalty=1e-3)).values()
        return {c["fold"]: c for c in model.training["nested_choices"]}

    honest, garbage = choices(holed), choices(spoiled)
    assert honest[2] == garbage[2]
    assert honest[1] != garbage[1]


def test_permuted_targets_give_no_skill(features: AdditiveFeatures, field: SpectralBatch) -> None:
    scores = []
    for seed in range(3):
        shuffled = np.random.default_rng(seed).permutation(field.property_values("clay"))
        batch = field.with_samples(field.samples.assign(clay=shuffled))
        model = release(
            features, BatchStatistics.of(features, batch, PROPERTIES[:1], "x"), PROPERTIES[:1], RECIPE
        )["clay"]
        scores.append(model.training["cross_validation"]["r2"])
    assert max(scores) < 0.15


def test_released_models_predict_with_honest_intervals(
    features: AdditiveFeatures, field: SpectralBatch, tmp_path: object
) -> None:
    order = np.random.default_rng(1).permutation(len(field))
    learn, test = field.take(order[:75]), field.take(order[75:])
    own = AdditiveFeatures.choose(learn, PROPERTIES, landmarks=75, folds=10)
    model = release(own, BatchStatistics.of(own, learn, PROPERTIES, "x"), PROPERTIES, RECIPE)["clay"]
    found = evaluate(model, test, BUILT_IN["clay"])
    assert found.metrics["r2"] > 0.6
    assert found.covered
    assert all_finite(model)
    assert np.mean(model.importance**2) == pytest.approx(1.0)
    assert model.calibration_n == 75
    save(model, str(tmp_path))
    again = load(str(tmp_path)).predict(test)
    for column in ("value", "upper_95"):  # last bits hang on how arrays lie in memory
        np.testing.assert_allclose(again[column], model.predict(test)[column], rtol=1e-11)


def test_leaving_every_batch_out_is_fitting_without_it(
    features: AdditiveFeatures, parts: list[BatchStatistics], batches: list[SpectralBatch]
) -> None:
    whole = reduce(add, parts)
    found = leave_one_batch_out(whole.whole("clay"), [p.whole("clay") for p in parts], 1e-3)
    fixed = AdditiveRecipe(penalty=1e-3)
    for i, (n, squared) in enumerate(found):
        rest = reduce(add, [p for j, p in enumerate(parts) if j != i])
        model = release(features, rest, PROPERTIES[:1], fixed)["clay"]
        error = model.predictor.predict(batches[i].spectra.astype(float)) - batches[i].property_values("clay")
        assert n == len(batches[i])
        assert squared == pytest.approx(float(error @ error), rel=1e-6)


def test_stored_and_read_back(parts: list[BatchStatistics], features: AdditiveFeatures) -> None:
    loaded = BatchStatistics.from_bytes(parts[0].to_bytes())
    assert loaded.kernel[0].sums["clay"].xx is loaded.kernel[0].sums["ph"].xx  # the same samples: one matrix
    assert any(k.sums["soc"].xx is not k.sums["ph"].xx for k in loaded.kernel)
    assert loaded.to_bytes() == parts[0].to_bytes()
    assert dict(loaded.batches) == dict(parts[0].batches)
    again = AdditiveFeatures.from_bytes(features.to_bytes())
    assert again.identity == features.identity
    assert again.to_bytes() == features.to_bytes()


def test_a_group_is_in_one_fold_whichever_batch_it_came_with(features: AdditiveFeatures) -> None:
    names = [f"profile:{i}" for i in range(200)]
    fold = features.fold_of(names)
    assert np.array_equal(features.fold_of(names[::-1]), fold[::-1])
    assert set(fold.tolist()) == set(range(5))
    assert features.fold_of(["profile:7", "profile:7"]).tolist() == [fold[7]] * 2


def test_calibration_samples_are_bounded_and_hang_on_names_alone(
    features: AdditiveFeatures, parts: list[BatchStatistics], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"s{i}" for i in range(500)]
    rows = chosen_rows(names, 1)
    assert rows.size == len(set(rows.tolist())) == 100
    assert set(chosen_rows(names[:300], 1)) >= set(rows[rows < 300])
    monkeypatch.setattr("soil_assets.modeling.calibration_sample.MOST", 40)
    total = reduce(add, parts)
    assert len(total.sample) == 40
    assert {b: int((total.sample.batch == b).sum()) for b in total.batches} == dict.fromkeys(
        total.batches, 10
    )
    for i, part in enumerate(parts):  # of every batch those with the lowest hashes, whatever came when
        kept = total.sample.take(total.sample.batch == f"b{i}")
        assert np.array_equal(kept.kernel, part.sample.kernel[:10])
    assert total.whole("clay").n == 115  # sums hold every sample all the same
    assert release(features, total, PROPERTIES[:1], RECIPE)["clay"].calibration_n == 40


def test_what_cannot_be_combined_is_refused(
    features: AdditiveFeatures, batches: list[SpectralBatch], parts: list[BatchStatistics]
) -> None:
    other = AdditiveFeatures.fit(batches[0], landmarks=20, folds=5)
    with pytest.raises(BadInput, match="cannot be combined"):
        _ = parts[0] + BatchStatistics.of(other, batches[1], PROPERTIES, "b1")
    with pytest.raises(BadInput, match="cannot be combined"):
        _ = parts[0] + BatchStatistics.of(features, batches[1], PROPERTIES[:2], "b1")
    with pytest.raises(BadInput, match="other features"):
        release(other, parts[0], PROPERTIES, RECIPE)
    with pytest.raises(BadInput, match="counted twice"):
        _ = parts[0] + parts[0]
    with pytest.raises(BadInput, match="not in the statistics"):
        _ = parts[0] - parts[1]
    changed = BatchStatistics.of(features, batches[1], PROPERTIES, "b0")
    with pytest.raises(BadInput, match="not in the statistics"):
        _ = parts[0] - changed
    reflecting = dataclasses.replace(batches[0], quantity="reflectance")
    with pytest.raises(BadInput, match="cannot be summed"):
        BatchStatistics.of(features, reflecting, PROPERTIES, "b9")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full(115, np.nan), "too few samples"),
        (np.full(115, 20.0), "constant"),
        (np.where(np.arange(115) == 3, 140.0, np.linspace(10, 30, 115)), "physically impossible"),
    ],
)
def test_bad_targets_are_refused(
    features: AdditiveFeatures, field: SpectralBatch, values: np.ndarray, message: str
) -> None:
    batch = field.with_samples(field.samples.assign(clay=values))
    with pytest.raises(BadInput, match=message) as refusal:
        release(features, BatchStatistics.of(features, batch, PROPERTIES, "x"), PROPERTIES[:1], RECIPE)
    assert refusal.value.column == "clay"


def test_one_group_is_refused(features: AdditiveFeatures, field: SpectralBatch) -> None:
    one = field.with_samples(field.samples.assign(site="here"))
    with pytest.raises(BadInput, match="too few groups"):
        release(features, BatchStatistics.of(features, one, PROPERTIES, "x"), PROPERTIES[:1], RECIPE)


def test_a_broken_spectrum_with_a_value_is_refused(features: AdditiveFeatures, field: SpectralBatch) -> None:
    spectra = field.spectra.copy()
    spectra[4] = np.nan
    with pytest.raises(BadInput, match="cannot be used") as refusal:
        BatchStatistics.of(features, dataclasses.replace(field, spectra=spectra), PROPERTIES, "x")
    assert refusal.value.row == 5
