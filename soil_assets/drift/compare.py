"""Compare a batch with a reference profile at one stated false-alarm rate.

Belongs here: the one call, and when a batch is not judged. Does not belong here: the tests (``battery``,
``two_sample``, ``family``), attribution (``explain``), wording (``words``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from soil_assets.config import DriftPolicy
from soil_assets.drift.battery import Decomposed, Pool, labellings, pair_predictions, run
from soil_assets.drift.exceedances import exceedance_test
from soil_assets.drift.family import Family, combine, tests_table
from soil_assets.drift.features import Features, features
from soil_assets.drift.pool import Soils, soils_of
from soil_assets.drift.profile import MAX_SOILS, ReferenceProfile
from soil_assets.drift.report import DriftReport
from soil_assets.drift.two_sample import Tested
from soil_assets.drift.verdict import Evidence, judge, not_judged
from soil_assets.spectra.batch import SpectralBatch

#: Labellings of the first look.
_FIRST_STAGE = 199
#: Family-wise p-value beyond which no further labellings are drawn.
_LET_OFF = 0.15


def compare(
    profile: ReferenceProfile,
    batch: SpectralBatch,
    *,
    policy: DriftPolicy,
    predictions: Mapping[str, npt.ArrayLike] | None = None,
    reference_predictions: Mapping[str, npt.ArrayLike] | None = None,
    reference_prediction_groups: Mapping[str, npt.ArrayLike] | None = None,
    exceedances: Mapping[str, tuple[int, int]] | None = None,
    exceedance_rate: float = 0.01,
    exceedance_reference_n: int | None = None,
    groups: npt.ArrayLike | None = None,
    values: Features | None = None,
    decomposed: Decomposed | None = None,
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
    reference_prediction_groups : mapping of str to array_like, optional
        Site or profile of each of those predictions; needed where the reference is grouped and they are not one per
        reference scan.
    exceedances : mapping of str to (count, n), optional
        Samples of the batch beyond each of the model's frozen limits, as ``ApplicabilityDomain.exceedances``
        gives.
    exceedance_rate : float
        Nominal rate of those limits.
    exceedance_reference_n : int, optional
        Held-out values behind those limits (``calibration_n``); the profile's soils by default.
    groups : array_like of shape (n_scans,), optional
        Groups of the batch, needed only when the profile was fitted with groups of its own.
    values : Features, optional
        Features of the batch's scans where they are known already; only for a batch of one usable scan a soil.
    decomposed : Decomposed, optional
        Of the reference's rows and, below them, the batch's, where it is known already; as for ``values``, and only
        where neither side is drawn from.

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
    known = None if values is None else soils.features_of(values)
    if total > MAX_SOILS:
        chosen = np.random.default_rng(policy.seed).choice(total, MAX_SOILS, replace=False)
        soils = soils.take(np.sort(chosen))
        known = None if known is None else known.take(np.sort(chosen))
        notes.append(f"judged on {MAX_SOILS} soils drawn from the batch's {total}")
    smallest = labellings(profile, soils, policy.permutations, policy.seed).smallest_p
    if smallest > policy.false_alarm_rate:
        units = np.unique(soils.groups).size
        return not_judged(
            profile,
            soils,
            len(batch),
            policy,
            notes,
            f"the batch comes from {units} {profile.group_column}{'s' if units != 1 else ''}: against "
            f"{np.unique(profile.groups).size} in the reference the smallest p-value that can be reached is "
            f"{smallest:.3g}, above the false-alarm rate {policy.false_alarm_rate:g}",
            total=total,
        )
    pool = Pool(profile, soils, features(soils.batch) if known is None else known, policy, decomposed)
    predicted, more = pair_predictions(
        pool, predictions or {}, reference_predictions or {}, reference_prediction_groups or {}
    )
    counts = exceedances or {}

    def battery(permutations: int) -> list[Tested]:
        counted = [
            exceedance_test(
                name,
                count,
                n,
                rate=exceedance_rate,
                reference_n=exceedance_reference_n or profile.n,
                permutations=permutations,
                seed=policy.seed,
            )
            for name, (count, n) in counts.items()
        ]
        return [*run(pool, predicted, permutations), *counted]

    tests, family = _in_stages(battery, policy)
    evidence = Evidence(
        profile=profile,
        soils=soils,
        n=total,
        n_scans=len(batch),
        reference=profile.features,
        batch=pool.batch,
        table=tests_table(tests, family, policy.false_alarm_rate),
        family_p=family.p_value,
        permutations=tests[0].score.size - 1,
        predicted={name: (p.reference, p.batch) for name, p in predicted.items()},
        excess=pool.excess,
        notes=[*notes, *more],
    )
    return judge(evidence, policy)


def _in_stages(battery: Callable[[int], list[Tested]], policy: DriftPolicy) -> tuple[list[Tested], Family]:
    """Run the battery; a batch that is plainly unremarkable is let off after a few labellings.

    An alarm needs the full number, so that stopping early only ever turns an alarm into none (Besag & Clifford 1991)
    and the stated rate holds. A batch whose p-value with all of them is a third of the letting-off one is let off with
    a chance below 1e-7.
    """
    few = min(_FIRST_STAGE, policy.permutations)
    if few < policy.permutations:
        tests = battery(few)
        family = combine(tests, policy.false_alarm_rate)
        if family.p_value > max(_LET_OFF, 10 * policy.false_alarm_rate):
            return tests, family
    tests = battery(policy.permutations)
    return tests, combine(tests, policy.false_alarm_rate)


def _notes(profile: ReferenceProfile, soils: Soils, n_scans: int) -> list[str]:
    notes = []
    if profile.n > len(profile.features):
        notes.append(
            f"the reference's {profile.n} soils are represented by {len(profile.features)} drawn from them"
        )
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
