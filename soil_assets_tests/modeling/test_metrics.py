from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soil_assets.errors import BadInput
from soil_assets.modeling.metrics import METRICS, bootstrap_intervals, regression_metrics

VALUES = st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=4, max_size=40)


@settings(max_examples=80, deadline=None)
@given(VALUES)
def test_formulas(pairs: list[tuple[float, float]]) -> None:
    o, p = np.array(pairs).T
    found = regression_metrics(o, p)
    e = p - o
    assert found["n"] == len(o)
    assert found["me"] == pytest.approx(e.mean(), abs=1e-9)
    assert found["rmse"] == pytest.approx(np.sqrt((e**2).mean()), abs=1e-6)
    assert found["sep"] == pytest.approx(e.std(ddof=1), abs=1e-6)
    assert found["mae"] == pytest.approx(np.abs(e).mean(), abs=1e-9)
    if o.std() > 1e-3:
        assert found["r2"] == pytest.approx(
            1 - (e**2).sum() / ((o - o.mean()) ** 2).sum(), rel=1e-6, abs=1e-6
        )
        ccc = 2 * np.cov(o, p, ddof=0)[0, 1] / (o.var() + p.var() + (o.mean() - p.mean()) ** 2)
        assert found["ccc"] == pytest.approx(ccc, rel=1e-6, abs=1e-6)
    if found["rmse"] > 1e-3:
        iqr = np.subtract(*np.quantile(o, [0.75, 0.25]))
        assert found["rpiq"] == pytest.approx(iqr / found["rmse"], rel=1e-6, abs=1e-9)


def test_r2_is_not_the_squared_correlation() -> None:
    o = np.arange(10.0)
    assert regression_metrics(o, 2 * o + 5)["r2"] < 0
    assert np.corrcoef(o, 2 * o + 5)[0, 1] == pytest.approx(1)


def test_constant_observation_has_no_r2() -> None:
    assert np.isnan(regression_metrics([3, 3, 3], [1, 2, 3])["r2"])


def test_large_offset_keeps_digits() -> None:
    rng = np.random.default_rng(1)
    o = rng.normal(size=50)
    p = o + 0.1 * rng.normal(size=50)
    near, far = regression_metrics(o, p), regression_metrics(o + 1e7, p + 1e7)
    for name in METRICS:
        if name != "me":
            assert far[name] == pytest.approx(near[name], rel=1e-5)


def test_intervals_are_seeded_and_hold_the_estimate() -> None:
    rng = np.random.default_rng(2)
    o = rng.normal(size=80)
    p = o + 0.3 * rng.normal(size=80)
    first = bootstrap_intervals(o, p, n_boot=400, seed=7)
    assert first == bootstrap_intervals(o, p, n_boot=400, seed=7)
    assert first != bootstrap_intervals(o, p, n_boot=400, seed=8)
    found = regression_metrics(o, p)
    assert all(first[m][0] < found[m] < first[m][1] for m in METRICS if m != "rpiq")


def test_groups_widen_intervals() -> None:
    """Ten copies of each error carry no more information than one."""
    rng = np.random.default_rng(3)
    o, e = rng.normal(size=30), rng.normal(size=30)
    many_o, many_p = np.repeat(o, 10), np.repeat(o + e, 10)
    groups = np.repeat(np.arange(30), 10)
    naive = bootstrap_intervals(many_o, many_p, n_boot=600)["rmse"]
    honest = bootstrap_intervals(many_o, many_p, groups, n_boot=600)["rmse"]
    once = bootstrap_intervals(o, o + e, n_boot=600)["rmse"]
    assert honest[1] - honest[0] > 2 * (naive[1] - naive[0])
    assert honest[1] - honest[0] == pytest.approx(once[1] - once[0], rel=0.1)


def test_coverage_of_the_interval() -> None:
    """The 90 % interval of the mean error holds the truth in about 90 % of repeats (binomial bounds)."""
    rng = np.random.default_rng(4)
    held = 0
    for repeat in range(200):
        o = np.zeros(60)
        low, high = bootstrap_intervals(o, rng.normal(size=60), level=0.9, n_boot=200, seed=repeat)["me"]
        held += low <= 0.0 <= high
    assert 164 <= held <= 196


@pytest.mark.parametrize(
    ("o", "p", "message"),
    [([1, 2], [1], "pair up"), ([], [], "pair up"), ([1, np.nan], [1, 2], "not finite")],
)
def test_bad_input(o: list[float], p: list[float], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        regression_metrics(o, p)


def test_one_group_gives_no_interval() -> None:
    low, high = bootstrap_intervals([1, 2, 3], [1, 2, 4], [0, 0, 0], n_boot=10)["rmse"]
    assert np.isnan(low)
    assert np.isnan(high)
