"""The tests that a batch goes through: what is tested on which rows.

Belongs here: pooling a profile's rows with a batch's, and the list of tests. Does not belong here: the
statistics (``two_sample``), their combination (``family``), the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from soil_assets.config import DriftPolicy
from soil_assets.drift.distances import nearest_rows
from soil_assets.drift.family import MATERIAL
from soil_assets.drift.features import SUMMARIES, Features, bin_positions
from soil_assets.drift.labellings import Labellings, even_labellings, grouped_labellings
from soil_assets.drift.pool import Soils
from soil_assets.drift.profile import MAX_SOILS, ReferenceProfile
from soil_assets.drift.signatures import SIGNATURES, filtered
from soil_assets.drift.space import PooledSpace, pooled_space, robust_distances, robust_scores
from soil_assets.drift.two_sample import (
    Tested,
    chi_squared,
    energy,
    far_out,
    kolmogorov_smirnov,
    location,
    log_excess,
    neighbours,
    together,
)
from soil_assets.spectra.axis import Axis

FloatArray = npt.NDArray[np.float64]

#: Components that are tested one by one; the energy distance sees all of them.
TESTED_COMPONENTS = 10
#: Values of a property (or predictions) needed on either side.
MIN_VALUES = 5


@dataclass(frozen=True, eq=False)
class Predicted:
    """Finite predictions of both sides.

    ``aligned`` when they belong to the pool's rows; else ``groups`` holds the group of each, reference first, where
    groups stay together.
    """

    reference: FloatArray
    batch: FloatArray
    aligned: bool
    groups: npt.NDArray[np.intp] | None = None


@dataclass(frozen=True, eq=False)
class Decomposed:
    """What is fitted to reference and batch rows together, the costly part of a comparison.

    Nothing in it depends on which rows are the batch's: whoever compares many divisions of the same rows may fit it
    once and :meth:`take` the rows in each order.

    Parameters
    ----------
    spaces : mapping of str to PooledSpace or None
        Component spaces of the broad and the sharp features.
    amounts : ndarray, shape (n_rows, n_signatures)
        How much of each known change every row shows.
    nearest : ndarray of int, shape (n_rows, n_neighbours)
        The rows nearest to each, by leading components and noise.
    """

    spaces: Mapping[str, PooledSpace | None]
    amounts: FloatArray
    nearest: npt.NDArray[np.intp]

    @classmethod
    def of(cls, rows: Features, axis: Axis) -> Decomposed:
        """Fit to all rows of a pool."""
        spaces = {"broad": pooled_space(rows.broad), "sharp": pooled_space(rows.sharp)}
        nearest = nearest_rows(_points(spaces, rows.summaries))
        return cls(spaces, filtered(rows.raw, bin_positions(axis), axis), nearest)

    def take(self, rows: npt.NDArray[np.intp]) -> Decomposed:
        """Return it for the same rows in another order."""
        spaces = {name: None if s is None else s.take(rows) for name, s in self.spaces.items()}
        place = np.empty(rows.size, dtype=np.intp)
        place[rows] = np.arange(rows.size)
        return Decomposed(spaces, self.amounts[rows], place[self.nearest[rows]])


def _points(spaces: Mapping[str, PooledSpace | None], summaries: FloatArray) -> FloatArray:
    """Return where each row lies for finding its neighbours: leading components and the noise."""
    parts = [s.scores[:, :TESTED_COMPONENTS] for s in spaces.values() if s is not None]
    noisy = [
        i
        for i, name in enumerate(SUMMARIES)
        if name.startswith("noise") and bool(np.isfinite(summaries[:, i]).all())
    ]
    parts.append(np.clip(robust_scores(summaries[:, noisy]), -8.0, 8.0))
    return np.concatenate(parts, axis=1)


class Pool:
    """Reference and batch rows together, with everything that tests share."""

    def __init__(
        self,
        profile: ReferenceProfile,
        soils: Soils,
        batch: Features,
        policy: DriftPolicy,
        decomposed: Decomposed | None = None,
    ) -> None:
        self.profile, self.soils, self.batch, self.policy = profile, soils, batch, policy
        joined = profile.features.joined(batch)
        fitted = decomposed or Decomposed.of(joined, profile.axis)
        self.spaces, self.amounts, self.nearest = fitted.spaces, fitted.amounts, fitted.nearest
        summaries = joined.summaries
        #: Names of the summaries that every row has.
        self.summary_names = [n for n, c in zip(SUMMARIES, summaries.T, strict=True) if np.isfinite(c).all()]
        self.summaries = summaries[:, np.isfinite(summaries).all(axis=0)]
        #: How far out each row is, in the log of its distance over the pool's upper quartile, shape
        #: (n_pool,).
        self.excess = self._excess()

    def _excess(self) -> FloatArray:
        distances = [space.robust_distances() for space in self.spaces.values() if space is not None]
        distances.append(robust_distances(self.summaries))
        return np.asarray(np.sum([log_excess(d) for d in distances], axis=0))

    def labellings(self, permutations: int) -> Labellings:
        """Labellings of all rows, by whole groups where the reference has them."""
        return labellings(self.profile, self.soils, permutations, self.policy.seed)

    def partial(
        self,
        reference: npt.NDArray[np.bool_],
        batch: npt.NDArray[np.bool_],
        permutations: int,
        salt: int,
    ) -> Labellings:
        """Labellings of the rows that carry a value."""
        groups = _joint_groups(self.profile.groups[reference], self.soils.groups[batch])
        return grouped_labellings(groups, int(batch.sum()), permutations, self.policy.seed + salt)


def labellings(profile: ReferenceProfile, soils: Soils, permutations: int, seed: int) -> Labellings:
    """Draw labellings of the profile's soils and the batch's, the batch's last."""
    if profile.group_column == "sample_id":
        return even_labellings(len(profile.features) + len(soils), len(soils), permutations, seed)
    return grouped_labellings(_joint_groups(profile.groups, soils.groups), len(soils), permutations, seed)


def run(pool: Pool, predicted: Mapping[str, Predicted], permutations: int) -> list[Tested]:
    """Run every test that the data allow, each under ``permutations`` labellings besides the true one."""
    labels = pool.labellings(permutations)
    return [
        *_spectral_tests(pool, labels),
        *_property_tests(pool, labels),
        *_category_tests(pool, labels),
        *_prediction_tests(pool, predicted, labels),
    ]


def _joint_groups(reference: npt.NDArray[np.int64], batch: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    # A site on both sides counts as two groups: its new visit is one more draw of 'a visit to a site'.
    return np.concatenate([reference, batch + reference.max() + 1]).astype(np.intp)


def _spectral_tests(pool: Pool, labels: Labellings) -> list[Tested]:
    tests: list[Tested] = []
    for name, space in pool.spaces.items():
        if space is None:
            continue
        tests.append(energy("spectra", f"{name} shape", space.distances, labels))
        count = min(TESTED_COMPONENTS, space.scores.shape[1])
        names = [f"{name} component {i + 1}" for i in range(count)]
        tests += kolmogorov_smirnov("components", names, space.scores[:, :count], labels)
    tests.append(far_out("outliers", "distance from the centre", pool.excess, labels))
    tests.append(neighbours("neighbours", "nearest scans", pool.nearest, labels))
    whole = [t for t in tests if t.family in ("spectra", "outliers", "neighbours")]
    materials = [MATERIAL[t.family] for t in whole]
    tests.append(together("combined", "shape, outliers and neighbours together", whole, materials))
    tests += location("signatures", [s.name for s in SIGNATURES], pool.amounts, labels)
    tests += kolmogorov_smirnov("summaries", pool.summary_names, pool.summaries, labels)
    return tests


def _property_tests(pool: Pool, labels: Labellings) -> list[Tested]:
    tests: list[Tested] = []
    complete, names = [], []
    for i, (name, reference) in enumerate(pool.profile.properties.items()):
        batch = pool.soils.properties[name]
        if np.isfinite(reference).all() and np.isfinite(batch).all():
            names.append(name)
            complete.append(np.concatenate([reference, batch]))
        else:
            tests += _partial_test(pool, name, reference, batch, len(labels) - 1, salt=101 + i)
    if complete:
        tests += kolmogorov_smirnov("properties", names, np.column_stack(complete), labels)
    return tests


def _partial_test(
    pool: Pool, name: str, reference: FloatArray, batch: FloatArray, permutations: int, salt: int
) -> list[Tested]:
    """Test a property with gaps among the rows that have a value, under labellings of their own."""
    known, given = np.isfinite(reference), np.isfinite(batch)
    if min(known.sum(), given.sum()) < MIN_VALUES:
        return []
    labels = pool.partial(known, given, permutations, salt)
    if labels.smallest_p > pool.policy.false_alarm_rate:
        return []
    values = np.concatenate([reference[known], batch[given]])
    return kolmogorov_smirnov("properties", [name], values[:, None], labels)


def _category_tests(pool: Pool, labels: Labellings) -> list[Tested]:
    tests = []
    for name, reference in pool.profile.categories.items():
        batch = pool.soils.categories[name]
        if not (batch != "").any():
            continue  # a batch that names no category says nothing about it
        values = np.concatenate([reference, batch])
        levels, codes = np.unique(values, return_inverse=True)
        if levels.size > 1:
            tests.append(chi_squared("categories", name, codes.astype(np.intp), labels))
    return tests


def pair_predictions(
    pool: Pool,
    predictions: Mapping[str, npt.ArrayLike],
    reference_predictions: Mapping[str, npt.ArrayLike],
    reference_groups: Mapping[str, npt.ArrayLike],
) -> tuple[dict[str, Predicted], list[str]]:
    """Bring predictions of both sides together; what cannot be judged is said in the notes returned."""
    found: dict[str, Predicted] = {}
    notes: list[str] = []
    for name, values in predictions.items():
        batch = pool.soils.mean_of(values)
        if name not in reference_predictions:
            notes.append(f"predicted {name} is not judged: there are no reference predictions")
            continue
        reference = np.asarray(reference_predictions[name], dtype=np.float64)
        if reference.shape == (pool.profile.n_scans,):
            kept = reference[pool.profile.rows]
            if np.isfinite(kept).all() and np.isfinite(batch).all():
                found[name] = Predicted(kept, batch, aligned=True)
                continue
        one = _unaligned(pool, reference, batch, reference_groups.get(name))
        if isinstance(one, str):
            notes.append(f"predicted {name} is not judged: {one}")
        else:
            found[name] = one
    return found, notes


def _unaligned(
    pool: Pool, reference: FloatArray, batch: FloatArray, reference_groups: npt.ArrayLike | None
) -> Predicted | str:
    """Pair predictions that belong to no rows of the pool, or say why they cannot be judged."""
    grouped = pool.profile.group_column != "sample_id"
    if grouped and reference_groups is None:
        return "the groups of its reference predictions are not known"
    of_reference = np.asarray(reference_groups) if grouped else np.arange(reference.size)
    known, given = np.isfinite(reference), np.isfinite(batch)
    if min(known.sum(), given.sum()) < MIN_VALUES:
        return f"fewer than {MIN_VALUES} finite values on a side"
    rows = np.flatnonzero(known)
    if rows.size > MAX_SOILS:
        rows = np.sort(np.random.default_rng(pool.policy.seed).choice(rows, MAX_SOILS, replace=False))
    groups = None
    if grouped:
        _, codes = np.unique(of_reference[rows], return_inverse=True)
        groups = _joint_groups(codes.astype(np.int64), pool.soils.groups[given])
    return Predicted(reference[rows], batch[given], aligned=False, groups=groups)


def _prediction_tests(pool: Pool, predicted: Mapping[str, Predicted], labels: Labellings) -> list[Tested]:
    aligned = {name: p for name, p in predicted.items() if p.aligned}
    tests: list[Tested] = []
    if aligned:
        values = np.column_stack([np.concatenate([p.reference, p.batch]) for p in aligned.values()])
        tests += kolmogorov_smirnov("predictions", list(aligned), values, labels)
    for i, (name, p) in enumerate(predicted.items()):
        if p.aligned:
            continue
        values = np.concatenate([p.reference, p.batch])[:, None]
        seed = pool.policy.seed + 1001 + i
        if p.groups is None:
            own = even_labellings(values.size, p.batch.size, len(labels) - 1, seed)
        else:
            own = grouped_labellings(p.groups, p.batch.size, len(labels) - 1, seed)
        if own.smallest_p > pool.policy.false_alarm_rate:
            continue  # so few groups can never alarm
        tests += kolmogorov_smirnov("predictions", [name], values, own)
    return tests
