"""Which samples are left out together.

Belongs here: assigning groups to folds. Does not belong here: what is fitted on them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.modeling.metrics import group_codes

IntArray = npt.NDArray[np.int64]


def grouped_folds(groups: npt.ArrayLike, n_folds: int, seed: int) -> IntArray:
    """Assign every sample to a fold so that no group is split and folds are of nearly equal size.

    Groups are shuffled by ``seed``, then the largest go first, each to the fold that is smallest so far.
    Folds are as many as there are groups when that is fewer than ``n_folds``.

    Parameters
    ----------
    groups : array_like, shape (n,)
        Group of each sample.
    n_folds : int
        Wanted number of folds, at least 2.
    seed : int
        Seed of the shuffle.

    Returns
    -------
    ndarray of int64, shape (n,)
        Fold of each sample, 0 .. folds-1, none of them empty.

    Raises
    ------
    BadInput
        For fewer than two folds or groups.
    """
    labels = np.asarray(groups)
    codes = group_codes(labels, labels.shape[0] if labels.ndim else 0)
    n_groups = int(codes.max()) + 1 if codes.size else 0
    if n_folds < 2 or n_groups < 2:
        raise BadInput(
            "samples cannot be split into folds without splitting a group",
            found=f"{n_groups} group(s), {n_folds} fold(s)",
            expected="at least two of each",
            mend="add samples of another profile or site, or group by a finer column",
        )
    n_folds = min(n_folds, n_groups)
    sizes = np.bincount(codes, minlength=n_groups)
    shuffled = np.random.default_rng(seed).permutation(n_groups)
    order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    fold_of_group = np.empty(n_groups, dtype=np.int64)
    filled = np.zeros(n_folds, dtype=np.int64)
    for group in order:
        smallest = int(np.argmin(filled))
        fold_of_group[group] = smallest
        filled[smallest] += sizes[group]
    return fold_of_group[codes]


def leave_one_out_of(groups: npt.ArrayLike) -> IntArray:
    """Return one fold per distinct group: leave-one-site-, instrument- or campaign-out."""
    labels = np.asarray(groups)
    codes = group_codes(labels, labels.shape[0])
    if codes.size == 0 or codes.max() == 0:
        raise BadInput(
            "there is one group only, nothing can be left out", found="1 group", expected="at least two"
        )
    return codes
