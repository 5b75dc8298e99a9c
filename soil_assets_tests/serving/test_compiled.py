"""Models that answer together say what each says alone, whatever kind they are."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soil_assets.modeling.recipe import Recipe
from soil_assets.modeling.train import train
from soil_assets.serving import together as together_module
from soil_assets.serving.compiled import AsItIs, Terms
from soil_assets.serving.together import ModelSet
from soil_assets.spectra.catalogue import BUILT_IN
from soil_assets_tests.delivery.models import field

if TYPE_CHECKING:
    from soil_assets.modeling.model import SoilModel

RECIPES: dict[str, Callable[[], Recipe]] = {
    "pls": Recipe,
    "stack": lambda: Recipe.stack(nested=False, repeats=1, folds=3),
    "joint": lambda: Recipe.stack(nested=False, repeats=1, folds=3, joint=True),
    "svr": lambda: Recipe(learner="svr", folds=3),
    "local": lambda: Recipe(learner="local", folds=3),
    "selection": lambda: Recipe(learner="selection", folds=3, nested=False),
}


@cache
def trained(kind: str, prop: str) -> SoilModel:
    return train(field().take(np.arange(60)), BUILT_IN[prop], RECIPES[kind]())


@pytest.mark.parametrize("kind", RECIPES)
def test_together_as_alone(kind: str) -> None:
    models = [trained(kind, p) for p in ("clay", "ph")]
    batch = field()
    found = ModelSet(models).predict(batch.spectra, batch.axis, "absorbance", "fraction", ["ph", "clay"])
    assert list(found) == ["ph", "clay"]
    for one in models:
        table = one.predict(batch)
        for column in table.columns.drop("sample_id"):
            if column in ("inside", "reason"):
                assert list(found[one.property][column]) == table[column].tolist()
            else:
                # The distance of a training spectrum from itself is the root of what rounding leaves of zero.
                slack = 1e-6 if column == "distance" else 1e-9
                np.testing.assert_allclose(found[one.property][column], table[column], rtol=1e-8, atol=slack)


def test_kinds_may_be_mixed() -> None:
    models = [trained("stack", "clay"), trained("pls", "ph")]
    batch = field().take([70, 71])
    found = ModelSet(models).predict(batch.spectra, batch.axis, "absorbance", "fraction", ["clay", "ph"])
    for one in models:
        np.testing.assert_allclose(found[one.property]["value"], one.predict(batch)["value"], rtol=1e-8)


@settings(max_examples=10, deadline=None)
@given(n=st.integers(1, 115), chunk=st.integers(1, 40))
def test_pieces_side_by_side_give_the_same(n: int, chunk: int) -> None:
    batch = field().take(np.arange(n))
    together = ModelSet([trained("pls", "clay")])
    whole = together.predict(batch.spectra, batch.axis, "absorbance", "fraction", ["clay"])["clay"]
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr(together_module, "CHUNK", chunk)
        pieces = together.predict(
            batch.spectra, batch.axis, "absorbance", "fraction", ["clay"], executor=pool
        )["clay"]
    np.testing.assert_allclose(pieces["value"], whole["value"], rtol=1e-10)
    assert len(pieces["reason"]) == n


def test_stacks_of_one_training_set_share_their_distances() -> None:
    together = ModelSet([trained("stack", "clay"), trained("stack", "ph")])
    kept = []
    for prop in ("clay", "ph"):
        answering = together._answering[prop]
        terms = getattr(answering, "plain", answering)
        assert isinstance(terms, Terms)
        kept.append({p.key: id(p) for r in terms.radial for p in r.places})
    both = set(kept[0]) & set(kept[1])
    assert both
    assert all(kept[0][k] == kept[1][k] for k in both)


def test_work_stops_when_its_time_is_over() -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise TimeoutError

    batch = field()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(together_module, "CHUNK", 10)
        with pytest.raises(TimeoutError):
            ModelSet([trained("pls", "clay")]).predict(
                batch.spectra, batch.axis, "absorbance", "fraction", ["clay"], check_time=check
            )
    assert calls == 2


@pytest.mark.parametrize("kind", ["pls", "stack", "joint", "selection"])
def test_known_kinds_have_a_fast_form(kind: str) -> None:
    assert not isinstance(ModelSet([trained(kind, "clay")])._answering["clay"], AsItIs)


def test_what_the_fast_form_does_not_know_is_used_as_it_is() -> None:
    """A predictor that learns something new must not be answered by what it was before."""
    from dataclasses import replace

    from soil_assets.modeling.predictors import LinearPredictor

    class Doubled(LinearPredictor):
        def predict(self, spectra: Any, sensors: Any = None) -> Any:
            return 2.0 * super().predict(spectra, sensors)

    known = trained("pls", "clay")
    assert isinstance(known.predictor, LinearPredictor)
    new = Doubled(known.predictor.pretreatment, known.predictor.coefficients, known.predictor.intercept)
    together = ModelSet([replace(known, predictor=new)])
    assert isinstance(together._answering["clay"], AsItIs)
    batch = field().take([70])
    found = together.predict(batch.spectra, batch.axis, "absorbance", "fraction", ["clay"])["clay"]["value"]
    expected = 2.0 * known.predictor.predict(batch.spectra.astype(np.float64))
    np.testing.assert_allclose(found, np.clip(expected, *known.limits))
