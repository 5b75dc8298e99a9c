from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soil_assets.errors import BadInput
from soil_assets.modeling.splits import grouped_folds, leave_one_out_of


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=2, max_size=60), st.integers(2, 10), st.integers(0, 99))
def test_no_group_is_split_and_no_fold_empty(groups: list[int], n_folds: int, seed: int) -> None:
    if len(set(groups)) < 2:
        with pytest.raises(BadInput, match="splitting a group"):
            grouped_folds(groups, n_folds, seed)
        return
    fold = grouped_folds(groups, n_folds, seed)
    assert set(fold) == set(range(min(n_folds, len(set(groups)))))
    for group in set(groups):
        assert len(set(fold[np.array(groups) == group])) == 1
    assert np.array_equal(fold, grouped_folds(groups, n_folds, seed))


def test_balanced_and_shuffled() -> None:
    fold = grouped_folds(np.arange(103), 10, 1)
    assert sorted(np.bincount(fold)) == [10] * 7 + [11] * 3
    assert not np.array_equal(fold, grouped_folds(np.arange(103), 10, 2))


def test_leave_one_out_of() -> None:
    assert leave_one_out_of(["a", "b", "a"]).tolist() == [0, 1, 0]
    with pytest.raises(BadInput, match="one group"):
        leave_one_out_of(["a", "a"])
