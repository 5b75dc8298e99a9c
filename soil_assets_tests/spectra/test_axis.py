"""The axis: strictly monotone, with units, ranges and coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soil_assets.errors import BadInput
from soil_assets.spectra.axis import Axis

positions = st.lists(st.floats(200.0, 20_000.0), min_size=2, max_size=40, unique=True).map(sorted)


@given(values=positions, turned=st.booleans())
def test_any_monotone_axis_stands_in_either_direction(values: list[float], turned: bool) -> None:
    axis = Axis(np.array(values[::-1] if turned else values), "cm-1")
    assert axis.ascending is not turned
    assert (axis.low, axis.high) == (values[0], values[-1])
    assert axis.covers(axis)
    assert axis.step > 0


@given(values=positions)
def test_units_there_and_back(values: list[float]) -> None:
    axis = Axis(np.array(values), "nm")
    turned = axis.to_unit("cm-1")
    assert turned.unit == "cm-1"
    assert turned.ascending is not axis.ascending
    np.testing.assert_allclose(turned.to_unit("nm").values, axis.values, rtol=1e-12)


def test_a_known_conversion() -> None:
    assert Axis(np.array([2500.0, 10_000.0]), "nm").to_unit("cm-1").values.tolist() == [4000.0, 1000.0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([600.0, 602.0, 601.0], "not monotone"),
        ([600.0, 600.0, 602.0], "not monotone"),
        ([600.0, 600.0], "not monotone"),
        ([600.0, 602.0, 602.0], "not monotone"),
        ([4000.0, 3998.0, 3999.0], "not monotone"),
        ([600.0], "at least two"),
        ([], "at least two"),
        ([600.0, np.nan], "finite"),
        ([600.0, np.inf], "finite"),
        ([0.0, 600.0], "positive"),
        ([-5.0, 600.0], "positive"),
    ],
)
def test_what_is_no_axis_is_refused(values: list[float], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Axis(np.array(values), "cm-1")


def test_a_turn_is_named_with_its_neighbours() -> None:
    with pytest.raises(BadInput) as error:
        Axis(np.array([600.0, 602.0, 604.0, 603.0, 606.0]), "cm-1")
    assert error.value.column == "band 4"
    assert error.value.found == "604, 603, 606"


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(BadInput, match="unit"):
        Axis(np.array([1.0, 2.0]), "µm")  # type: ignore[arg-type]


def test_coverage_needs_both_ends() -> None:
    model = Axis.regular(3796.0, 552.0, 4.0, "cm-1")
    assert len(model) == 812
    assert Axis(np.array([4000.0, 500.0]), "cm-1").covers(model)
    assert not Axis(np.array([4000.0, 600.0]), "cm-1").covers(model)
    assert not Axis(np.array([3700.0, 500.0]), "cm-1").covers(model)
    assert not Axis(np.array([500.0, 4000.0]), "nm").covers(model)


def test_equal_axes_are_one_key() -> None:
    one, two = Axis(np.array([1.0, 2.0]), "nm"), Axis(np.array([1.0, 2.0]), "nm")
    assert one == two
    assert len({one, two, Axis(np.array([1.0, 2.0]), "cm-1"), Axis(np.array([2.0, 1.0]), "nm")}) == 3
