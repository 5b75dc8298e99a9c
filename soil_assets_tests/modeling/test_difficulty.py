"""Intervals that are wide where the model errs and outside what it knows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from soil_assets.modeling.applicability import MEASURES
from soil_assets.modeling.difficulty import Difficulty, beyond, cross_fitted
from soil_assets.modeling.intervals import calibrate
from soil_assets.modeling.model import SoilModel
from soil_assets.modeling.recipe import Recipe
from soil_assets.modeling.splits import grouped_folds
from soil_assets.modeling.train import train
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import BUILT_IN

Measures = dict[str, np.ndarray]


def simulated(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, Measures]:
    """Errors whose spread grows with the distance, three times over its range."""
    rng = np.random.default_rng(seed)
    measures = {m: np.exp(rng.normal(0, 0.5, n)) for m in MEASURES}
    spread = np.exp(0.6 * np.log(measures["distance"]) / 0.5)
    return np.abs(rng.normal(0, spread)), rng.normal(10, 2, n), measures


def test_finds_what_the_errors_hang_on() -> None:
    errors, predicted, measures = simulated(600, 0)
    fitted = Difficulty.fit(errors, predicted, measures)
    assert fitted.slopes[3] == pytest.approx(0.6, abs=0.15)
    assert np.abs(fitted.slopes[:3]).max() < 0.15
    assert np.exp(np.log(fitted.of(predicted, measures)).mean()) == pytest.approx(1.0, rel=0.05)


def test_few_samples_give_nearly_constant_widths() -> None:
    errors, predicted, measures = simulated(12, 1)
    few = np.abs(Difficulty.fit(errors, predicted, measures).slopes).max()
    assert few < 0.25  # of 0.6 in truth: the prior holds it back
    assert Difficulty.fit(np.zeros(12), predicted, measures).of(predicted, measures).tolist() == [1.0] * 12


def test_normalised_intervals_cover_and_adapt() -> None:
    """Over new samples: right coverage on the whole, and nearer to it in the easy and the hard half than without."""
    errors, predicted, measures = simulated(400, 2)
    folds = grouped_folds(np.arange(400), 10, 1)
    sign = np.where(np.random.default_rng(3).random(400) < 0.5, 1, -1)
    found = calibrate(predicted, predicted + sign * errors, np.arange(400), folds, measures, (0.9,))
    new, value, where = simulated(20_000, 4)
    width = found.half_widths[0.9] * found.difficulty.of(value, where)
    inside = new <= width
    hard = where["distance"] > np.median(where["distance"])
    assert inside.mean() == pytest.approx(0.9, abs=0.03)
    assert abs(inside[hard].mean() - inside[~hard].mean()) < 0.06
    constant = new <= np.quantile(errors, 0.9)
    assert constant[~hard].mean() - constant[hard].mean() > 0.1


def test_a_fold_is_scaled_without_its_own_errors() -> None:
    errors, predicted, measures = simulated(100, 5)
    folds = grouped_folds(np.arange(100), 5, 1)
    before = cross_fitted(errors, predicted, measures, folds)
    garbage = np.where(folds == 2, 1e6, errors)
    after = cross_fitted(garbage, predicted, measures, folds)
    assert np.array_equal(before[folds == 2], after[folds == 2])
    assert not np.allclose(before[folds != 2], after[folds != 2])


def test_the_rule_outside_the_domain() -> None:
    limits = {"t2": 4.0, "q": 1.0, "distance": 2.0}
    at = {
        "t2": np.array([1.0, 16.0, 4.0, np.nan]),
        "q": np.array([0.5, 0.5, 1.0, 0.5]),
        "distance": np.array([1.0, 3.0, 10.0, 1.0]),
    }
    assert beyond(at, limits)[:3].tolist() == [1.0, 2.0, 5.0]
    assert np.isnan(beyond(at, limits)[3])


def test_wider_outside_and_said(clay_model: SoilModel, other_field: SpectralBatch) -> None:
    found = clay_model.predict(other_field)
    further = beyond({m: found[m].to_numpy() for m in MEASURES}, clay_model.domain.limits)
    outside = further > 1
    assert outside.sum() > 20
    inner = replace(clay_model, domain=replace(clay_model.domain, limits=dict.fromkeys(MEASURES, np.inf)))
    plain = inner.predict(other_field)
    wide, narrow = (t["upper_90"] - t["lower_90"] for t in (found, plain))
    uncut = found["lower_90"].to_numpy() > 0
    assert (wide[outside & uncut] > narrow[outside & uncut] * 1.0001).all()
    assert np.allclose(wide[~outside], narrow[~outside])
    assert found["reason"][outside].str.contains("interval widened").all()
    assert not found["reason"][~outside].str.contains("interval widened").any()


def test_widths_differ_between_samples_of_a_real_field(field: SpectralBatch) -> None:
    model = train(field, BUILT_IN["soc"], Recipe())
    found = model.predict(field)
    widths = (found["upper_90"] - found["lower_90"])[found["inside"]]
    assert widths.max() > 1.5 * widths.min()
