"""Figures of today beside those of the registration."""

from __future__ import annotations

import json
import math

import pytest

from soil_assets.modeling.as_registered import TOLERANCE, AsRegistered, differences, kept_figures

FULL = {"n": 22.0, "rmse": 2.64, "me": 0.001, "mae": 2.1, "rpiq": 4.3, "r2": 0.9, "ccc": 0.95, "sep": 2.6}


def test_equal_figures_do_not_differ() -> None:
    assert differences(kept_figures({"soil.benchmark_metrics": json.dumps(FULL)}), FULL) == []


@pytest.mark.parametrize("name", ["n", "rmse", "mae", "rpiq"])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_figure_may_differ_by_the_tolerance_and_no_more(name: str, sign: int) -> None:
    kept = kept_figures({"soil.benchmark_metrics": json.dumps(FULL)})
    within = {**FULL, name: FULL[name] * (1 + sign * 0.9 * TOLERANCE)}
    beyond = {**FULL, name: FULL[name] * (1 + sign * 1.1 * TOLERANCE)}
    assert differences(kept, within) == []
    [said] = differences(kept, beyond)
    assert said.startswith(f"{name} is ")


def test_a_mean_error_near_zero_is_compared_by_the_size_of_the_error() -> None:
    kept = AsRegistered(FULL)
    assert differences(kept, {**FULL, "me": 0.001 + 0.9 * TOLERANCE * FULL["rmse"]}) == []
    assert len(differences(kept, {**FULL, "me": 0.001 + 1.1 * TOLERANCE * FULL["rmse"]})) == 1


@pytest.mark.parametrize("today", [{}, {"rmse": math.nan}, {"rmse": math.inf}])
def test_a_figure_that_is_no_number_any_more_differs(today: dict[str, float]) -> None:
    assert len(differences(AsRegistered({"rmse": 2.64}), today)) == 1


@pytest.mark.parametrize(
    ("text", "rmse"), [("2.64 % (n = 22)", 2.64), ("0.169 (n = 22)", 0.169), ("1e+03 g/kg (n = 5)", 1000.0)]
)
def test_three_digits_are_compared_as_three_digits(text: str, rmse: float) -> None:
    kept = kept_figures({"soil.benchmark_rmse": text})
    assert kept.figures == {"rmse": rmse}
    assert differences(kept, {"rmse": rmse * 1.0018}) == [], "what rounds to the same text"
    assert differences(kept, {"rmse": rmse * 1.02})


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"soil.benchmark_rmse": ""},
        {"soil.benchmark_rmse": "n/a"},
        {"soil.benchmark_metrics": "not json"},
        {"soil.benchmark_metrics": "[1]"},
        {"soil.benchmark_metrics": '{"rmse": "far"}'},
        {"soil.benchmark_metrics": '{"rmse": null}'},
    ],
)
def test_what_cannot_be_read_counts_as_not_kept(tags: dict[str, str]) -> None:
    kept = kept_figures(tags)
    assert kept.figures == {}
    assert differences(kept, FULL) == []
