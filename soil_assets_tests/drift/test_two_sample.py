from __future__ import annotations

from math import comb

import numpy as np
import pytest
from scipy.spatial import KDTree
from scipy.stats import chi2_contingency, ks_2samp, rankdata, ttest_ind

from soil_assets.drift.distances import nearest_rows, pairwise
from soil_assets.drift.family import combine
from soil_assets.drift.labellings import even_labellings, grouped_labellings
from soil_assets.drift.two_sample import (
    chi_squared,
    energy,
    far_out,
    kolmogorov_smirnov,
    location,
    log_excess,
    neighbours,
    ranks,
    together,
)


def test_ranks_are_scipys_with_ties_and_without() -> None:
    generator = np.random.default_rng(4)
    values = generator.normal(size=(60, 5))
    for given in (values, np.round(values, 1), np.round(values * 1e6).astype(np.int64)):
        np.testing.assert_array_equal(ranks(given), rankdata(given, axis=0).T)


def test_nearest_rows_are_those_of_a_tree() -> None:
    points = np.random.default_rng(5).normal(size=(80, 4))
    _, found = KDTree(points).query(points, k=4)
    assert [set(r) for r in nearest_rows(points)] == [set(r[1:]) for r in found.tolist()]


def test_the_first_labelling_is_the_true_one_and_none_repeats_a_row() -> None:
    labels = even_labellings(50, 12, 199, seed=3)
    assert labels.rows[0].tolist() == list(range(38, 50))
    assert all(np.unique(row).size == 12 for row in labels.rows)
    assert labels.rows.max() < 50
    counts = np.bincount(labels.rows[1:].ravel(), minlength=50)
    assert counts.min() > 0.5 * counts.mean()


@pytest.mark.parametrize("n", [10, 37])
def test_kolmogorov_smirnov_statistic_is_scipys(n: int) -> None:
    values = np.random.default_rng(n).normal(size=(80, 3))
    labels = even_labellings(80, n, 199, seed=1)
    for k, tested in enumerate(kolmogorov_smirnov("f", ["a", "b", "c"], values, labels)):
        for draw in (0, 1, 17):
            inside = np.zeros(80, bool)
            inside[labels.rows[draw]] = True
            expected = ks_2samp(values[inside, k], values[~inside, k]).statistic
            assert tested.statistic[draw] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("n", [6, 40])
def test_energy_distance_agrees_with_its_definition(n: int) -> None:
    points = np.random.default_rng(0).normal(size=(60 + n, 4))
    labels = even_labellings(len(points), n, 199, seed=1)
    tested = energy("f", "shape", pairwise(points), labels)
    for draw in (0, 5):
        inside = np.zeros(len(points), bool)
        inside[labels.rows[draw]] = True
        x, y = points[inside], points[~inside]

        def mean_distance(a: np.ndarray, b: np.ndarray) -> float:
            return float(np.linalg.norm(a[:, None] - b[None], axis=2).mean())

        expected = 2 * mean_distance(x, y) - mean_distance(x, x) - mean_distance(y, y)
        assert tested.statistic[draw] == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_chi_squared_and_cramers_v_are_scipys() -> None:
    generator = np.random.default_rng(2)
    codes = generator.integers(0, 3, 70)
    labels = even_labellings(70, 25, 199, seed=1)
    tested = chi_squared("categories", "lab", codes, labels)
    inside = np.arange(70) >= 45
    table = np.array([[np.sum(inside & (codes == c)), np.sum(~inside & (codes == c))] for c in range(3)])
    expected = chi2_contingency(table, correction=False)
    assert tested.statistic[0] == pytest.approx(expected.statistic)
    assert tested.effect == pytest.approx(np.sqrt(expected.statistic / 70))


def test_location_is_as_significant_as_a_t_test_on_normal_data() -> None:
    generator = np.random.default_rng(3)
    values = generator.normal(size=(120, 2))
    values[-20:, 1] += 0.9
    labels = even_labellings(120, 20, 1999, seed=1)
    same, shifted = location("signatures", ["same", "shifted"], values, labels)
    for tested, column in ((same, 0), (shifted, 1)):
        expected = ttest_ind(values[-20:, column], values[:-20, column]).pvalue
        assert np.log10(tested.p_value) == pytest.approx(max(np.log10(expected), -3.3), abs=0.35)
    assert shifted.effect == pytest.approx(0.9, abs=0.4)
    assert shifted.statistic_at(shifted.score[0]) == pytest.approx(shifted.statistic[0], rel=1e-6)


def test_a_few_rows_far_out_are_noticed_where_kolmogorov_smirnov_does_not() -> None:
    generator = np.random.default_rng(4)
    values = np.abs(generator.normal(size=(220, 1)))
    values[-3:] += 10  # 3 of the last 20
    labels = even_labellings(220, 20, 999, seed=1)
    assert far_out("outliers", "q", log_excess(values[:, 0]), labels).p_value <= 0.01
    assert kolmogorov_smirnov("outliers", ["q"], values, labels)[0].p_value > 0.01


def test_neighbours_notice_a_cluster_inside_the_range_of_the_reference() -> None:
    generator = np.random.default_rng(5)
    points = generator.normal(size=(300, 6))
    points[-6:] = points[0] * 0.5 + 0.05 * generator.normal(size=(6, 6))  # 6 of the last 20 are near twins
    labels = even_labellings(300, 20, 999, seed=1)
    tested = neighbours("outliers", "neighbours", nearest_rows(points), labels)
    assert tested.p_value <= 0.005
    assert tested.effect > 0.1
    assert (
        neighbours("outliers", "neighbours", nearest_rows(points[generator.permutation(300)]), labels).p_value
        > 0.05
    )


def test_groups_move_as_a_whole_and_limit_the_p_value() -> None:
    groups = np.repeat(np.arange(9), 4)
    labels = grouped_labellings(groups, 8, 199, seed=1)
    for row in labels.rows[1:20]:
        taken = row[row >= 0]
        assert set(np.bincount(groups[taken], minlength=9)) <= {0, 4}
    assert labels.smallest_p == pytest.approx(1 / comb(9, 2))


def test_unequal_groups_give_the_same_statistics_as_scipy() -> None:
    generator = np.random.default_rng(5)
    groups = np.repeat(np.arange(8), [3, 5, 2, 7, 4, 6, 3, 4])
    values = generator.normal(size=(groups.size, 1))
    labels = grouped_labellings(groups, 7, 199, seed=1)
    assert not labels.even
    tested = kolmogorov_smirnov("f", ["a"], values, labels)[0]
    shape = energy("f", "e", pairwise(values), labels)
    for draw in range(5):
        inside = np.zeros(groups.size, bool)
        inside[labels.rows[draw][labels.rows[draw] >= 0]] = True
        x, y = values[inside, 0], values[~inside, 0]
        assert tested.statistic[draw] == pytest.approx(ks_2samp(x, y).statistic, abs=1e-6)
        between = np.abs(x[:, None] - y).mean()
        expected = 2 * between - np.abs(x[:, None] - x).mean() - np.abs(y[:, None] - y).mean()
        assert shape.statistic[draw] == pytest.approx(expected, abs=1e-5)


def test_the_family_wise_rate_holds_over_many_tests() -> None:
    generator = np.random.default_rng(6)
    labels = even_labellings(60, 20, 199, seed=9)
    alarms = 0
    for _ in range(400):
        values = generator.normal(size=(60, 12)) @ generator.normal(size=(12, 12))
        tests = kolmogorov_smirnov("f", [str(k) for k in range(12)], values, labels)
        tests.append(energy("f", "shape", pairwise(values), labels))
        alarms += combine(tests, 0.05).p_value <= 0.05
    assert alarms <= 36  # upper 99.9 % binomial bound of 5 % of 400
    assert alarms >= 7  # and it is not empty caution


def test_one_extreme_test_among_many_reaches_the_smallest_p_value() -> None:
    generator = np.random.default_rng(7)
    values = generator.normal(size=(90, 30))
    values[-20:, 3] += 6
    labels = even_labellings(90, 20, 999, seed=1)
    tests = kolmogorov_smirnov("f", [str(k) for k in range(30)], values, labels)
    family = combine(tests, 0.01)
    assert family.p_value == pytest.approx(1 / 1000)
    assert int(np.argmin(family.adjusted)) == 3
    assert tests[3].statistic[0] > family.thresholds[3]


def test_adjusted_p_values_agree_with_the_threshold() -> None:
    generator = np.random.default_rng(8)
    labels = even_labellings(80, 25, 499, seed=2)
    for shift in np.linspace(0, 1.5, 12):
        values = generator.normal(size=(80, 5))
        values[-25:, 0] += shift
        tests = kolmogorov_smirnov("f", list("abcde"), values, labels)
        tests += [
            energy("f", "shape", pairwise(values), labels),
            far_out("o", "out", log_excess(np.abs(values[:, 0])), labels),
        ]
        family = combine(tests, 0.05)
        for tested, adjusted, threshold in zip(tests, family.adjusted, family.thresholds, strict=True):
            over = tested.statistic[0] >= threshold - 1e-4
            assert over == (adjusted <= 0.05) or abs(adjusted - 0.05) < 0.005


def test_pools_with_more_labellings_than_a_float_holds() -> None:
    assert even_labellings(4000, 1500, 199, seed=1).smallest_p == pytest.approx(1 / 200)


def test_what_several_tests_half_see_is_found_by_all_of_them_together() -> None:
    labels = even_labellings(100, 20, 999, 1)
    rng = np.random.default_rng(4)
    alone, combined, quiet = [], [], []
    for _ in range(60):
        moved = rng.normal(size=(100, 4))
        moved[80:] += 0.55
        tests = [location("a", ["x"], column[:, None], labels)[0] for column in moved.T]
        alone.append(min(t.p_value for t in tests))
        combined.append(together("combined", "all", tests, [0.2] * 4).p_value)
        same = [location("a", ["x"], rng.normal(size=(100, 1)), labels)[0] for _ in range(4)]
        quiet.append(together("combined", "all", same, [0.2] * 4).p_value)
    assert np.mean(np.array(combined) <= 0.0025) > np.mean(np.array(alone) <= 0.0025 / 4) + 0.1
    assert np.mean(np.array(quiet) <= 0.05) < 0.15
    assert 0.3 < np.median(quiet) < 0.7
