"""Texture classes: corners of the triangle, every composition one class, and the table of a report."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soil_assets.reporting.decision import build
from soil_assets.reporting.decision_inputs import PropertyResult
from soil_assets.reporting.texture import texture_confusion, usda_class
from soil_assets_tests.reporting.facts import inputs

CLASSES = {
    "sand", "loamy sand", "sandy loam", "loam", "silt loam", "silt", "sandy clay loam", "clay loam",
    "silty clay loam", "sandy clay", "silty clay", "clay",
}  # fmt: skip


@pytest.mark.parametrize(
    ("sand", "silt", "clay", "name"),
    [
        (95, 3, 2, "sand"),
        (82, 12, 6, "loamy sand"),
        (65, 25, 10, "sandy loam"),
        (40, 40, 20, "loam"),
        (20, 65, 15, "silt loam"),
        (5, 88, 7, "silt"),
        (60, 13, 27, "sandy clay loam"),
        (33, 34, 33, "clay loam"),
        (10, 56, 34, "silty clay loam"),
        (52, 6, 42, "sandy clay"),
        (6, 47, 47, "silty clay"),
        (20, 20, 60, "clay"),
    ],
)
def test_the_middle_of_each_class(sand: float, silt: float, clay: float, name: str) -> None:
    assert usda_class([sand], [silt], [clay]).tolist() == [name]
    assert usda_class([10 * sand], [10 * silt], [10 * clay]).tolist() == [name]  # g/kg


@given(st.floats(0, 100), st.floats(0, 100))
def test_every_composition_has_a_class(clay: float, share: float) -> None:
    sand = (100 - clay) * share / 100
    assert set(usda_class([sand], [100 - clay - sand], [clay])) <= CLASSES


def test_what_is_not_known_has_none() -> None:
    found = usda_class([np.nan, 0, -5, 50], [50, 0, 60, 50], [50, 0, 45, 0])
    assert found.tolist()[:2] == ["", ""]
    assert "" not in found.tolist()[2:]


def _result(name: str, observed: list[float], value: list[float]) -> PropertyResult:
    rows = [
        {"sample_id": f"s{i}", "observed": o, "value": v}
        for i, (o, v) in enumerate(zip(observed, value, strict=True))
    ]
    return PropertyResult(name=name, label=name, unit="%", candidate={"n": len(rows), "predictions": rows})


def test_a_report_on_fractions_shows_the_classes_that_were_missed() -> None:
    clay = _result("clay", [20, 60, 10], [20, 30, 10])
    sand = _result("sand", [40, 20, 65], [40, 30, 65])
    found = texture_confusion([clay, sand])
    assert found is not None
    assert found.labels == ("clay", "clay loam", "loam", "sandy loam")
    assert found.counts == ((0, 1, 0, 0), (0, 0, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))
    shown = build(inputs(clay.model_copy(update={"confusion": found}), sand))
    assert "classes-clay.png" in shown.images
    assert "observed against predicted class" in shown.markdown


def test_without_fractions_there_is_no_table() -> None:
    clay = _result("clay", [20], [20])
    assert texture_confusion([clay]) is None
    assert texture_confusion([_result("sand", [20], [20]), _result("silt", [20], [20])]) is None
    assert texture_confusion([clay, _result("sand", [np.nan], [20])]) is None
