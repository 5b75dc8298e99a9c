"""What the members of a stack say of samples that they did not see, and which settings and priors follow.

Belongs here: picking settings, prior weights, choosing among members. Does not belong here: members (``stack_basis``,
``weighted_kernels``), their weights (``stack_weights``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from soil_assets.modeling.kernels import PENALTIES

if TYPE_CHECKING:
    from soil_assets.modeling.stack_basis import Member, StackBasis
    from soil_assets.modeling.weighted_kernels import WeightedMember

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Left-out predictions of every member, setting, sample and target.

    Parameters
    ----------
    basis : StackBasis
    values : ndarray, shape (n_members, n_settings, n, n_targets)
        Infinite where a setting is not possible.
    counts : tuple of int
        Numbers of components that settings after the penalties mean.
    weighted : tuple of WeightedMember
        Members with weighted bands, after those of the basis.
    """

    basis: StackBasis
    values: FloatArray
    counts: tuple[int, ...]
    weighted: tuple[WeightedMember, ...] = ()

    @property
    def members(self) -> tuple[Member | WeightedMember, ...]:
        """All members, in the order of ``values``."""
        return (*self.basis.members, *self.weighted)

    def pick(self, column: int, target: FloatArray, rows: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
        """Return (member, setting) of least squared error on ``rows``: one by penalty, one by components."""
        n_penalties = len(PENALTIES)
        errors = ((self.values[:, :, rows, column] - target[rows]) ** 2).mean(axis=2)
        picked: list[tuple[int, int]] = []
        for family in (slice(0, n_penalties), slice(n_penalties, None)):
            if errors[:, family].shape[1]:
                best = errors[:, family].argmin(axis=1) + family.start
                picked += [(m, int(s)) for m, s in enumerate(best) if np.isfinite(errors[m, s])]
        return picked

    def prior(self, picked: Sequence[tuple[int, int]]) -> FloatArray:
        """Return the picked members' prior weights: every kind the same."""
        members = self.members
        kinds = [(s < len(PENALTIES), *members[m].kind) for m, s in picked]
        share = np.array([1.0 / kinds.count(k) for k in kinds])
        return np.asarray(share / share.sum())

    def only(self, parts: set[int], *, components: bool, weighted: bool) -> LeftOut:
        """Return the left-out predictions of those members alone whose part is listed."""
        kept = [i for i, m in enumerate(self.basis.members) if m.part in parts]
        own = [i for i, m in enumerate(self.weighted) if weighted and m.part in parts]
        basis = replace(
            self.basis,
            members=tuple(self.basis.members[i] for i in kept),
            kernels=tuple(self.basis.kernels[i] for i in kept),
        )
        values = self.values[kept + [len(self.basis.members) + i for i in own]]
        left = tuple(self.weighted[i] for i in own)
        if components:
            return LeftOut(basis, values, self.counts, left)
        return LeftOut(basis, values[:, : len(PENALTIES)], (), left)

    def of(self, column: int, picked: Sequence[tuple[int, int]]) -> FloatArray:
        """Return the picked members' left-out predictions, shape (n_picked, n)."""
        members, settings = (np.array(v) for v in zip(*picked, strict=True))
        return np.asarray(self.values[members, settings, :, column])
