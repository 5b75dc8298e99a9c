"""Great Expectations must give the same answer as the plain evaluator that defines what expectations mean."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soil_assets.adapters.great_expectations import evaluate as by_gx
from soil_assets.quality.expectations import Expectation, evaluate
from soil_assets_tests.quality.batches import damaged, judge, real


@pytest.mark.parametrize("batch", [damaged, lambda: real("O.32"), lambda: real("NRW.62")])
def test_the_gate_decides_the_same_with_both(batch):
    plain, gx = judge(batch()), judge(batch(), by=by_gx)
    pd.testing.assert_frame_equal(plain.findings, gx.findings)
    pd.testing.assert_frame_equal(plain.quarantine, gx.quarantine)
    assert plain.checks == gx.checks


def expectation(kind, column="x", **limits):
    return Expectation("rule", "ranges", "critical", "samples", column, kind, "expected", "mend", **limits)


@pytest.mark.parametrize(
    ("rule", "rows"),
    [
        (expectation("not_null"), [2]),
        (expectation("is_null"), [0, 1, 3]),
        (expectation("between", low=0.0, high=1.0), [1, 3]),
        (expectation("between", low=0.0), [3]),
        (expectation("between", high=1.0), [1]),
        (expectation("between", low=0.5, high=0.5), [1, 3]),
        (expectation("matches", "text", pattern="b"), [0, 3]),
        (expectation("matches", "text", pattern="^b"), [0, 1, 3]),
        (expectation("not_matches", "text", pattern="b"), [1]),
        (expectation("not_matches", "text", pattern=r"[\x00-\x1f]|^a$"), [0, 3]),
        (expectation("between", "absent", low=0.0), []),
    ],
)
def test_each_kind_means_the_same_in_both(rule, rows):
    table = pd.DataFrame({"sample_id": ["s", "s", None, "t"], "x": [0.5, 2.0, np.nan, -1.0]})
    table["text"] = ["a", "ab", None, "c\nd"]
    tables = {"samples": table}
    plain, gx = evaluate(tables, [rule]), by_gx(tables, [rule])
    assert list(plain["row"]) == rows
    assert list(gx["row"]) == rows
    pd.testing.assert_series_equal(gx["value"], plain["value"])


def test_failing_rows_carry_their_sample_id():
    table = pd.DataFrame({"sample_id": ["a", "b", None], "x": [5.0, 0.5, 7.0]})
    failed = by_gx({"samples": table}, [expectation("between", low=0.0, high=1.0)])
    assert list(failed["sample_id"]) == ["a", None]
    assert list(failed["row"]) == [0, 2]


def test_what_cannot_be_evaluated_is_an_error_and_no_pass():
    table = pd.DataFrame({"sample_id": ["a"], "x": [["a list"]]})
    with pytest.raises(RuntimeError, match="could not evaluate"):
        by_gx({"samples": table}, [expectation("between", low=0.0)])


def test_an_empty_table_has_no_failures():
    table = pd.DataFrame({"sample_id": pd.Series([], dtype=object), "x": pd.Series([], dtype=float)})
    assert by_gx({"samples": table}, [expectation("not_null")]).empty


cells = st.one_of(st.none(), st.floats(allow_infinity=True), st.sampled_from([0.0, 1.0, -1.0]))
words = st.one_of(st.none(), st.sampled_from(["", "a", "ab", "b\nb", "^", "1E5", "é", "  "]))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(cells, words, words), min_size=1, max_size=6), st.floats(-2, 2), st.floats(0, 3))
def test_any_table_is_judged_the_same_by_both(rows, low, width):
    table = pd.DataFrame(rows, columns=["x", "text", "sample_id"])
    table = table.astype({"x": float, "text": object, "sample_id": object})
    rules = [
        expectation("not_null"),
        expectation("is_null", "text"),
        expectation("between", low=low, high=low + width),
        expectation("between", high=low),
        expectation("matches", "text", pattern="^a|b$"),
        expectation("not_matches", "text", pattern=r"[\x00-\x1f]|^\s*$"),
        expectation("not_null", "sample_id"),
    ]
    plain, gx = (by({"samples": table}, rules) for by in (evaluate, by_gx))
    pd.testing.assert_frame_equal(plain, gx[["expectation", "row", "value"]])
