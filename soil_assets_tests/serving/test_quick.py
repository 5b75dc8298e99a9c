"""What is said of one spectrum is what the model says of it among many: inside, outside, damaged, of every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from soil_assets.modeling.pretreatment import Pretreatment, Step
from soil_assets.serving.quick import Columns, Domain, chain_of
from soil_assets.serving.together import ModelSet
from soil_assets_tests.delivery.models import field
from soil_assets_tests.serving.test_compiled import RECIPES, trained


def same(found: dict[str, list[Any]], expected: Any) -> None:
    for column in expected.columns.drop("sample_id"):
        if column in ("inside", "reason"):
            assert found[column] == expected[column].tolist()
        elif column == "distance":  # a root: near to zero it keeps half the digits
            np.testing.assert_allclose(found[column], expected[column], rtol=1e-8, atol=1e-6)
        else:
            np.testing.assert_allclose(found[column], expected[column], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", RECIPES)
def test_one_by_one_as_all_at_once(kind: str) -> None:
    models = [trained(kind, p) for p in ("clay", "ph")]
    together = ModelSet(models)
    batch = field()
    inside = 0
    for i in range(0, len(batch), 3):
        one = batch.take([i])
        found = together.predict(one.spectra, one.axis, "absorbance", "fraction", ["clay", "ph"])
        for model in models:
            same(found[model.property], model.predict(one))
            inside += found[model.property]["inside"][0]
    assert inside  # where the short way is


@pytest.mark.parametrize("damage", ["missing", "flat", "zero", "steep", "huge"])
def test_what_a_damaged_spectrum_is_told(damage: str) -> None:
    from dataclasses import replace

    one = field().take([70])
    spectra = one.spectra.copy()
    if damage == "missing":
        spectra[0, 5] = np.nan
    elif damage == "flat":
        spectra[:] = 0.4
    elif damage == "zero":
        spectra[:] = 0.0
    elif damage == "steep":
        spectra[0] *= np.linspace(1.0, 40.0, spectra.shape[1], dtype=np.float32)
    else:
        spectra[0, 5] = 3e38
    one = replace(one, spectra=spectra)
    models = [trained(k, p) for k, p in (("pls", "clay"), ("stack", "ph"))]
    found = ModelSet(models).predict(spectra, one.axis, "absorbance", "fraction", ["clay", "ph"])
    for model in models:
        with np.errstate(all="ignore"):
            same(found[model.property], model.predict(one))
        assert found[model.property]["inside"] == [False]
        assert found[model.property]["reason"][0]


@pytest.mark.parametrize(
    "steps",
    [
        (Step("snv"),),
        (Step("snv"), Step("savgol", {"window": 11, "polyorder": 2, "deriv": 1})),
        (Step("savgol", {"window": 7, "polyorder": 3, "deriv": 0}), Step("snv")),
        (Step("detrend", {"order": 2}), Step("average", {"bands": 50})),
        (Step("reflectance"), Step("continuum")),
    ],
)
@pytest.mark.parametrize("n", [1, 5])
@pytest.mark.parametrize("damage", ["none", "missing", "flat"])
def test_steps_of_spectra(steps: tuple[Step, ...], n: int, damage: str) -> None:
    row = field().spectra[70 : 70 + n].astype(np.float64)
    if damage == "missing":
        row[-1, 7] = np.nan
    elif damage == "flat":
        row[-1] = 0.25
    treated = row
    for k in range(len(steps)):
        chain = chain_of(steps[: k + 1])
        assert chain is chain_of(steps[: k + 1])
        treated = chain.last(treated)
    np.testing.assert_allclose(treated, Pretreatment("", steps).apply(row), rtol=1e-10, atol=1e-13)


def test_models_of_one_training_set_share_their_domain() -> None:
    clay, ph = (Domain(trained("pls", p).domain) for p in ("clay", "ph"))
    assert clay.key == ph.key
    other = Domain(trained("svr", "clay").domain)
    assert other.key == clay.key  # the domain is of the spectra, not of the learner
    from dataclasses import replace

    moved = replace(trained("pls", "clay").domain, mean=clay.domain.mean + 1e-9)
    assert Domain(moved).key != clay.key


def test_columns_outside_are_asked_of_the_model() -> None:
    model = trained("pls", "clay")
    low, high = model.training["scaled_range"]
    limits = [model.domain.limits[m] for m in ("t2", "q", "distance")]
    columns = Columns(model)
    for scaled in (low - 100.0, 0.5 * (low + high), high + 100.0, float("nan")):
        for factor in (0.0, 0.01, 0.5, 1.0, 1.0 + 1e-9, 3.0, float("nan")):
            measures = tuple(factor * v for v in limits)
            arrays = {m: np.array([v]) for m, v in zip(("t2", "q", "distance"), measures, strict=True)}
            expected = model.columns_of(np.array([scaled]), arrays)
            found = columns.of_one(scaled, measures)
            assert set(found) == set(expected)
            for name, column in expected.items():
                if name == "reason":
                    assert found[name] == list(column)
                else:
                    np.testing.assert_allclose(found[name], column, rtol=1e-12, atol=1e-12)
