from __future__ import annotations

import math

import numpy as np
import pytest

from soil_assets.modeling.intervals import conformal_half_width, half_widths, level_name


def test_single_samples_follow_the_split_conformal_rule() -> None:
    scores = np.random.default_rng(0).random(99)
    for level in (0.5, 0.68, 0.9, 0.95):
        k = math.ceil(round(100 * level, 9))
        assert conformal_half_width(scores, np.arange(99), level) == np.sort(scores)[k - 1]


def test_too_few_groups_give_no_finite_interval() -> None:
    assert math.isinf(conformal_half_width([1, 2, 3], [0, 1, 2], 0.9))
    assert math.isinf(conformal_half_width(np.ones(100), np.zeros(100), 0.9))
    assert conformal_half_width(np.ones(19), np.arange(19), 0.95) == 1.0


def test_covers_samples_of_new_groups() -> None:
    """Errors shared within groups: each level covers a sample of a new group at least at its level."""
    rng = np.random.default_rng(1)
    covered = {0.68: 0, 0.9: 0}
    for _ in range(400):
        sizes = rng.integers(1, 8, 25)
        groups = np.repeat(np.arange(25), sizes)
        shared = rng.normal(size=26)
        scores = np.abs(shared[groups] + 0.3 * rng.normal(size=groups.size))
        new = abs(shared[25] + 0.3 * rng.normal())
        for level in covered:
            covered[level] += new <= conformal_half_width(scores, groups, level)
    assert 0.61 <= covered[0.68] / 400 <= 0.78
    assert 0.855 <= covered[0.9] / 400 <= 0.96


def test_levels() -> None:
    widths = half_widths(np.arange(1.0, 100.0), np.arange(99), (0.68, 0.95))
    assert widths == {0.68: 68.0, 0.95: 95.0}
    assert [level_name(v) for v in (0.68, 0.9, 0.999)] == ["68", "90", "99.9"]


@pytest.mark.parametrize("level", [0.68, 0.9])
def test_order_does_not_matter(level: float) -> None:
    rng = np.random.default_rng(2)
    scores, groups = rng.random(60), rng.integers(0, 20, 60)
    order = rng.permutation(60)
    assert conformal_half_width(scores, groups, level) == conformal_half_width(
        scores[order], groups[order], level
    )
