"""How a request's JSON is read: numbers exactly, booleans never, and nothing remembered that differs."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soil_assets.errors import BadInput
from soil_assets.serving import incoming
from soil_assets.serving.incoming import Asked, from_json

AXIS = {"unit": "cm-1", "first": 4000.0, "last": 400.0}


def read(rows: list[list[Any]], **changes: Any) -> Asked:
    asked = {"spectra": [{"intensities": r} for r in rows], "axis": AXIS, "quantity": "absorbance", **changes}
    return from_json(json.dumps(asked).encode(), 100)


@given(
    st.integers(2, 40).flatmap(
        lambda n: st.lists(
            st.lists(
                st.none() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False),
                min_size=n,
                max_size=n,
            ),
            min_size=1,
            max_size=3,
        )
    )
)
def test_numbers_are_numpys(rows: list[list[Any]]) -> None:
    with np.errstate(over="ignore"):
        expected = np.array([[np.nan if v is None else float(v) for v in r] for r in rows]).astype(np.float32)
    expected[~np.isfinite(expected)] = np.nan
    np.testing.assert_array_equal(read(rows).spectra, expected)


@pytest.mark.parametrize("wrong", [True, False, "1", [1], {}])
@pytest.mark.parametrize("beside", [[0.5, 0.25], [0, 1], [None, 0.5]])
def test_what_is_no_number_is_found_wherever_it_stands(wrong: Any, beside: list[Any]) -> None:
    for place in range(3):
        row = [*beside[:place], wrong, *beside[place:]]
        with pytest.raises(BadInput) as caught:
            read([[0.5] * 3, row])
        assert (caught.value.row, caught.value.column) == (2, f"intensities.{place + 1}")
    assert np.isfinite(read([[0, 1, 0.5], [1.0, 0.0, -0.0]]).spectra).all()


def test_the_same_words_beside_other_spectra() -> None:
    first, second = read([[0.1, 0.2]]), read([[0.3, 0.4, 0.5]])
    assert (len(first.axis), len(second.axis)) == (2, 3)  # an axis of first and last depends on the bands
    assert (second.axis.values[0], second.axis.values[-1]) == (4000.0, 400.0)
    assert read([[0.1, 0.2]]).axis is first.axis
    assert read([[0.1, 0.2]], levels=[0.9]).wanted.levels == [0.9]
    assert read([[0.1, 0.2]]).wanted.levels is None
    assert read([[0.1, 0.2]], axis={**AXIS, "unit": "nm"}).axis.unit == "nm"
    assert read([[0.1, 0.2]], axis={"unit": "nm", "values": [3.0, 5.0]}).axis.values.tolist() == [3.0, 5.0]
    assert read([[0.1, 0.2]], axis={"unit": "nm", "values": [3.0, 6.0]}).axis.values.tolist() == [3.0, 6.0]


def test_what_was_refused_is_refused_again() -> None:
    for _ in range(2):
        with pytest.raises(BadInput, match="not a valid request"):
            read([[0.1, 0.2]], colour="brown")
        with pytest.raises(BadInput, match="not monotone"):
            read([[0.1, 0.2]], axis={"unit": "nm", "first": 5.0, "last": 5.0})


def test_a_client_cannot_fill_the_memory_with_what_is_remembered() -> None:
    """Axes of many bands and requests of many words are read anew each time."""
    incoming._even.cache_clear()
    incoming._listed.cache_clear()
    incoming._known.cache_clear()
    many = incoming._KNOWN_BANDS + 1
    read([[0.5] * many])
    read([[0.5] * many], axis={"unit": "nm", "values": list(range(1, many + 1))})
    read([[0.5] * 2], properties=["x" * incoming._KNOWN_BYTES])
    assert incoming._listed.cache_info().currsize == 0
    assert incoming._even.cache_info().currsize == 1
    assert incoming._known.cache_info().currsize == 1
