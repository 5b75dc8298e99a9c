"""A model file predicts the same on another machine and with the next versions of its dependencies."""

from __future__ import annotations

import json

import numpy as np
import pytest

from soil_assets.modeling.artifact import load
from soil_assets_tests.modeling.golden_models import COLUMNS, FOLDER, made_up

FRESH = made_up(12, 2)


@pytest.mark.parametrize("name", sorted(p.name for p in FOLDER.iterdir()))
def test_what_was_saved_once_predicts_the_same(name: str) -> None:
    model = load(FOLDER / name)
    assert model.predictor.facts()["kind"] == name
    found = model.predict(FRESH)
    expected = json.loads((FOLDER / name / "expected.json").read_text(encoding="utf-8"))
    assert found["inside"].tolist() == expected["inside"]
    for column in COLUMNS:
        # Q is a difference of two sums of squares: its own size is 1e-4 of theirs.
        tolerance = 1e-6 if column == "q" else 1e-9
        assert np.allclose(found[column], expected[column], rtol=tolerance, atol=1e-9), column


def test_both_kinds_are_kept() -> None:
    assert {p.name for p in FOLDER.iterdir()} == {"linear", "landmarks"}
