"""Compare a batch with a reference profile at one stated false-alarm rate.

Belongs here: which tests are run on what, the verdict. Does not belong here: the statistics themselves
(``permutation``), attribution (``explain``), wording (``words``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.config import DriftPolicy
from soil_assets.drift.exceedances import exceedance_test
from soil_assets.drift.features import SUMMARIES, Features, bin_positions, features
from soil_assets.drift.permutation import (
    Family,
    Labellings,
    Tested,
    chi_squared,
    combine,
    energy,
    even_labellings,
    far_out,
    grouped_labellings,
    kolmogorov_smirnov,
    log_excess,
    neighbours,
)
from soil_assets.drift.pool import Soils, soils_of
from soil_assets.drift.profile import MAX_SOILS, ReferenceProfile
from soil_assets.drift.report import TEST_COLUMNS, DriftReport
from soil_assets.drift.signatures import SIGNATURES, filtered
from soil_assets.drift.space import pooled_space, robust_distances, robust_scores
from soil_assets.drift.verdict import Evidence, judge, not_judged
from soil_assets.spectra.batch import SpectralBatch

FloatArray = npt.NDArray[np.float64]

#: Components that are tested one by one; the energy distance sees all of them.
TESTED_COMPONENTS = 10
#: Values of a property (or predictions) needed on either side.
MIN_VALUES = 5


def compare(
    profile: ReferenceProfile,
    batch: SpectralBatch,
    *,
    policy: DriftPolicy,
    predictions: Mapping[str, npt.ArrayLike] | None = None,
    reference_predictions: Mapping[str, npt.ArrayLike] | None = None,
    exceedances: Mapping[str, tuple[int, int]] | None = None,
    exceedance_rate: float = 0.01,
    exceedance_reference_n: int | None = None,
    groups: npt.ArrayLike | None = None,
) -> DriftReport:
    """Judge a batch against a reference.

    All tests share the family-wise false-alarm rate ``policy.false_alarm_rate``: when batch and reference
    come from one population, the chance that *any* test alarms is at most that, at every batch size.

    Parameters
    ----------
    profile : ReferenceProfile
        What to compare with.
    batch : SpectralBatch
        Scans on the profile's axis and quantity. Replicates of a soil are averaged; scans with missing values
        are left out and counted.
    policy : DriftPolicy
        False-alarm rate, smallest batch, permutations, seed and what a verdict blocks.
    predictions : mapping of str to array_like of shape (n_scans,), optional
        Predictions of the live model for the batch, by property.
    reference_predictions : mapping of str to array_like, optional
        *Out-of-fold* predictions of the same model for reference soils (in-sample ones would make every batch
        look foreign). One per reference scan, or any other number when the model was trained on more.
    exceedances : mapping of str to (count, n), optional
        Samples of the batch beyond each of the model's frozen limits, as ``ApplicabilityDomain.exceedances``
        gives.
    exceedance_rate : float
        Nominal rate of those limits.
    exceedance_reference_n : int, optional
        Held-out values behind those limits (``calibration_n``); the profile's soils by default.
    groups : array_like of shape (n_scans,), optional
        Groups of the batch, needed only when the profile was fitted with groups of its own.

    Returns
    -------
    DriftReport

    Raises
    ------
    BadInput
        When axis, quantity or scale differ from the profile's, or a column has the wrong length.
    """
    profile.check_comparable(batch)
    wanted = None if profile.group_column == "given" else profile.group_column
    soils = soils_of(batch, list(profile.properties), list(profile.categories), groups, wanted)
    notes = _notes(profile, soils, len(batch))
    if len(soils) < policy.min_samples:
        return not_judged(
            profile,
            soils,
            len(batch),
            policy,
            notes,
            f"{len(soils)} soils are too few to judge (at least {policy.min_samples} are needed)",
        )
    total = len(soils)
    if total > MAX_SOILS:
        chosen = np.random.default_rng(policy.seed).choice(total, MAX_SOILS, replace=False)
        soils = soils.take(np.sort(chosen))
        notes.append(f"judged on {MAX_SOILS} soils drawn from the batch's {total}")
    labels = _labellings(profile, soils, policy)
    if labels.smallest_p > policy.false_alarm_rate:
        units = np.unique(soils.groups).size
        return not_judged(
            profile,
            soils,
            len(batch),
            policy,
            notes,
            f"the batch comes from {units} {profile.group_column}{'s' if units != 1 else ''}: against "
            f"{np.unique(profile.groups).size} in the reference the smallest p-value that can be reached is "
            f"{labels.smallest_p:.3g}, above the false-alarm rate {policy.false_alarm_rate:g}",
            total=total,
        )
    pool = _Pool(profile, soils, features(soils.batch), labels, policy)
    tests = _spectral_tests(pool)
    tests += _property_tests(pool)
    tests += _category_tests(pool)
    predicted = _predicted(pool, predictions or {}, reference_predictions or {}, notes)
    tests += _prediction_tests(pool, predicted)
    for name, (count, n) in (exceedances or {}).items():
        tests.append(
            exceedance_test(
                name,
                count,
                n,
                rate=exceedance_rate,
                reference_n=exceedance_reference_n or profile.n,
                permutations=policy.permutations,
                seed=policy.seed,
            )
        )
    family = combine(tests, policy.false_alarm_rate)
    evidence = Evidence(
        profile=profile,
        soils=soils,
        n=total,
        n_scans=len(batch),
        reference=profile.features,
        batch=pool.batch,
        table=tests_table(tests, family, policy.false_alarm_rate),
        family_p=family.p_value,
        predicted={name: (p.reference, p.batch) for name, p in predicted.items()},
        excess=pool.excess,
        notes=notes,
    )
    return judge(evidence, policy)


#: Differences smaller than these do not matter however significant they are, by family of tests.
MATERIAL: Mapping[str, float] = {
    "spectra": 0.005,
    "components": 0.10,
    "signatures": 0.10,
    "summaries": 0.10,
    "properties": 0.10,
    "predictions": 0.10,
    "categories": 0.10,
    "outliers": 0.05,
    "neighbours": 0.02,
    "exceedances": 0.005,
}


def tests_table(tests: list[Tested], family: Family, rate: float) -> pd.DataFrame:
    """Tabulate tests with family-wise p-values; significant: at the rate *and* large enough to matter."""
    rows = [
        (
            t.family,
            t.name,
            float(t.statistic[0]),
            t.p_value,
            adjusted,
            t.effect,
            threshold,
            bool(adjusted <= rate and t.effect >= MATERIAL[t.family]),
        )
        for t, adjusted, threshold in zip(tests, family.adjusted, family.thresholds, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(TEST_COLUMNS))


@dataclass(frozen=True, eq=False)
class _Predicted:
    """Finite predictions of both sides; ``aligned`` when they belong to the pool's rows."""

    reference: FloatArray
    batch: FloatArray
    aligned: bool


class _Pool:
    """Reference and batch rows together, with everything that tests share."""

    def __init__(
        self,
        profile: ReferenceProfile,
        soils: Soils,
        batch: Features,
        labels: Labellings,
        policy: DriftPolicy,
    ) -> None:
        self.profile, self.soils, self.batch, self.labels, self.policy = profile, soils, batch, labels, policy
        self.reference_rows = len(profile.features)
        self.raw = np.concatenate([profile.features.raw, batch.raw])
        self.spaces = {
            "broad": pooled_space(np.concatenate([profile.features.broad, batch.broad])),
            "sharp": pooled_space(np.concatenate([profile.features.sharp, batch.sharp])),
        }
        summaries = np.concatenate([profile.features.summaries, batch.summaries])
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

    def points(self) -> FloatArray:
        """Return where each row lies for finding its neighbours: leading components and the noise."""
        parts = [s.scores[:, :TESTED_COMPONENTS] for s in self.spaces.values() if s is not None]
        noisy = [i for i, name in enumerate(self.summary_names) if name.startswith("noise")]
        parts.append(np.clip(robust_scores(self.summaries[:, noisy]), -8.0, 8.0))
        return np.concatenate(parts, axis=1)

    def partial(
        self, reference: npt.NDArray[np.bool_], batch: npt.NDArray[np.bool_], salt: int
    ) -> Labellings:
        """Labellings of the rows that carry a value."""
        groups = _joint_groups(self.profile.groups[reference], self.soils.groups[batch])
        return grouped_labellings(groups, int(batch.sum()), self.policy.permutations, self.policy.seed + salt)


def _labellings(profile: ReferenceProfile, soils: Soils, policy: DriftPolicy) -> Labellings:
    if profile.group_column == "sample_id":
        pool = len(profile.features) + len(soils)
        return even_labellings(pool, len(soils), policy.permutations, policy.seed)
    groups = _joint_groups(profile.groups, soils.groups)
    return grouped_labellings(groups, len(soils), policy.permutations, policy.seed)


def _joint_groups(reference: npt.NDArray[np.int64], batch: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    # A site on both sides counts as two groups: its new visit is one more draw of 'a visit to a site'.
    return np.concatenate([reference, batch + reference.max() + 1]).astype(np.intp)


def _spectral_tests(pool: _Pool) -> list[Tested]:
    labels = pool.labels
    tests: list[Tested] = []
    for name, space in pool.spaces.items():
        if space is None:
            continue
        tests.append(energy("spectra", f"{name} shape", space.scores, labels))
        count = min(TESTED_COMPONENTS, space.scores.shape[1])
        names = [f"{name} component {i + 1}" for i in range(count)]
        tests += kolmogorov_smirnov("components", names, space.scores[:, :count], labels)
    tests.append(far_out("outliers", "distance from the centre", pool.excess, labels))
    tests.append(neighbours("neighbours", "nearest scans", pool.points(), labels))
    amounts = filtered(pool.raw, bin_positions(pool.profile.axis), pool.profile.axis)
    tests += kolmogorov_smirnov("signatures", [s.name for s in SIGNATURES], amounts, labels)
    tests += kolmogorov_smirnov("summaries", pool.summary_names, pool.summaries, labels)
    return tests


def _property_tests(pool: _Pool) -> list[Tested]:
    tests: list[Tested] = []
    complete, names = [], []
    for i, (name, reference) in enumerate(pool.profile.properties.items()):
        batch = pool.soils.properties[name]
        if np.isfinite(reference).all() and np.isfinite(batch).all():
            names.append(name)
            complete.append(np.concatenate([reference, batch]))
        else:
            tests += _partial_test(pool, "properties", name, reference, batch, salt=101 + i)
    if complete:
        tests += kolmogorov_smirnov("properties", names, np.column_stack(complete), pool.labels)
    return tests


def _partial_test(
    pool: _Pool, family: str, name: str, reference: FloatArray, batch: FloatArray, salt: int
) -> list[Tested]:
    """Test a column with gaps among the rows that have a value, under labellings of their own."""
    known, given = np.isfinite(reference), np.isfinite(batch)
    if min(known.sum(), given.sum()) < MIN_VALUES:
        return []
    labels = pool.partial(known, given, salt)
    if labels.smallest_p > pool.policy.false_alarm_rate:
        return []
    values = np.concatenate([reference[known], batch[given]])
    return kolmogorov_smirnov(family, [name], values[:, None], labels)


def _category_tests(pool: _Pool) -> list[Tested]:
    tests = []
    for name, reference in pool.profile.categories.items():
        batch = pool.soils.categories[name]
        if not (batch != "").any():
            continue  # a batch that names no category says nothing about it
        values = np.concatenate([reference, batch])
        levels, codes = np.unique(values, return_inverse=True)
        if levels.size > 1:
            tests.append(chi_squared("categories", name, codes.astype(np.intp), pool.labels))
    return tests


def _predicted(
    pool: _Pool,
    predictions: Mapping[str, npt.ArrayLike],
    reference_predictions: Mapping[str, npt.ArrayLike],
    notes: list[str],
) -> dict[str, _Predicted]:
    found: dict[str, _Predicted] = {}
    for name, values in predictions.items():
        batch = pool.soils.mean_of(values)
        if name not in reference_predictions:
            notes.append(f"predicted {name} is not judged: there are no reference predictions")
            continue
        reference = np.asarray(reference_predictions[name], dtype=np.float64)
        if reference.shape == (pool.profile.n_scans,):
            kept = reference[pool.profile.rows]
            if np.isfinite(kept).all() and np.isfinite(batch).all():
                found[name] = _Predicted(kept, batch, aligned=True)
                continue
        reference, batch = reference[np.isfinite(reference)], batch[np.isfinite(batch)]
        if min(reference.size, batch.size) < MIN_VALUES:
            notes.append(f"predicted {name} is not judged: fewer than {MIN_VALUES} finite values on a side")
            continue
        found[name] = _Predicted(reference, batch, aligned=False)
    return found


def _prediction_tests(pool: _Pool, predicted: Mapping[str, _Predicted]) -> list[Tested]:
    aligned = {name: p for name, p in predicted.items() if p.aligned}
    tests: list[Tested] = []
    if aligned:
        values = np.column_stack([np.concatenate([p.reference, p.batch]) for p in aligned.values()])
        tests += kolmogorov_smirnov("predictions", list(aligned), values, pool.labels)
    for i, (name, p) in enumerate(predicted.items()):
        if p.aligned:
            continue
        values = np.concatenate([p.reference, p.batch])[:, None]
        labels = even_labellings(
            values.size, p.batch.size, pool.policy.permutations, pool.policy.seed + 1001 + i
        )
        tests += kolmogorov_smirnov("predictions", [name], values, labels)
    return tests


def _notes(profile: ReferenceProfile, soils: Soils, n_scans: int) -> list[str]:
    notes = []
    if soils.n_left_out:
        notes.append(f"{soils.n_left_out} of {n_scans} scans have missing values and were left out")
    if len(soils) < n_scans - soils.n_left_out:
        notes.append(f"{n_scans - soils.n_left_out} scans were averaged to {len(soils)} soils")
    if soils.group_column != profile.group_column:
        notes.append(
            f"the reference is grouped by {profile.group_column}, the batch names none: its soils are taken "
            "as independent, and the stated false-alarm rate does not hold if they share one"
        )
    for name, values in soils.properties.items():
        if not np.isfinite(values).any():
            notes.append(f"{name} is not judged: the batch carries no lab values of it")
    return notes
