"""One batch through the whole drift gate: does it differ, and does that harm?

Belongs here: putting comparison and damage estimate together. Does not belong here: where batches, profiles and
models come from, and which earlier batches a small one is pooled with (``history``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from soil_assets.config import DriftPolicy
from soil_assets.drift.compare import compare
from soil_assets.drift.damage import (
    MIN_MEASURED,
    MIN_REFERENCE_ERRORS,
    Damage,
    expected_damage,
    measured_damage,
)
from soil_assets.drift.profile import ReferenceProfile
from soil_assets.drift.report import DriftReport
from soil_assets.drift.views import LiveView, PropertyView
from soil_assets.drift.words import unit_factor
from soil_assets.spectra.batch import SpectralBatch


@dataclass(frozen=True, eq=False)
class Assessment:
    """What the gate says of a batch.

    Parameters
    ----------
    report : DriftReport
        Whether it differs.
    damage : tuple of Damage
        Whether that harms, one a property whose model is there.
    pooled_with : tuple of str
        Earlier batches that were judged together with it.
    """

    report: DriftReport
    damage: tuple[Damage, ...]
    pooled_with: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the report's JSON form with the damage and the pool beside it."""
        return {
            **self.report.to_dict(),
            "damage": [d.to_dict() for d in self.damage],
            "pooled_with": list(self.pooled_with),
        }


def assess(
    profile: ReferenceProfile,
    batch: SpectralBatch,
    live: LiveView,
    policy: DriftPolicy,
    pooled_with: tuple[str, ...] = (),
) -> Assessment:
    """Compare a batch with the reference and estimate what a difference does to predictions.

    Parameters
    ----------
    profile, batch, policy
        As for :func:`~soil_assets.drift.compare.compare`; the batch includes the earlier ones it is pooled with.
    live : LiveView
        What the models on main say about this very batch.
    pooled_with : tuple of str
        Names of those earlier batches.
    """
    report = compare(
        profile,
        batch,
        policy=policy,
        predictions=live.predictions,
        reference_predictions=live.reference_predictions,
        reference_prediction_groups=live.reference_prediction_groups,
        exceedances=live.exceedances,
        exceedance_reference_n=live.exceedance_reference_n,
    )
    slips = [n for n in live.properties if _unit_slip(profile, batch, n)]
    damage, notes = harm(batch, live, policy.seed, slips)
    if pooled_with:
        notes.insert(0, f"too small alone: judged together with {', '.join(pooled_with)}")
    return Assessment(replace(report, notes=(*report.notes, *notes)), damage, pooled_with)


def harm(
    batch: SpectralBatch, live: LiveView, seed: int, slips: Sequence[str] = ()
) -> tuple[tuple[Damage, ...], list[str]]:
    """Estimate the damage to every property's predictions; what cannot be estimated is said in the notes returned.

    Parameters
    ----------
    slips : sequence of str
        Properties whose lab values seem to be in another unit: the error on them would speak of the unit.
    """
    found: list[Damage] = []
    notes = [
        f"lab values of {n} seem to be in another unit: its error is not measured on them" for n in slips
    ]
    for name, view in live.properties.items():
        one = _damage(name, batch, view, seed, name not in slips)
        if one is None:
            notes.append(f"what the difference does to {name} is not known: {_why_unknown(view)}")
        else:
            found.append(one)
    return tuple(found), notes


def _damage(
    name: str, batch: SpectralBatch, view: PropertyView, seed: int, usable_lab: bool
) -> Damage | None:
    observed = batch.property_values(name)
    both = np.isfinite(observed) & np.isfinite(view.predicted)
    if usable_lab and min(int(both.sum()), view.held_out_errors.size) >= MIN_MEASURED:
        return measured_damage(
            name, observed, view.predicted, view.held_out_errors, groups=batch.groups(), seed=seed
        )
    usable = np.isfinite(view.distances)
    if view.held_out_errors.size < MIN_REFERENCE_ERRORS or not usable.any():
        return None
    return expected_damage(
        name, view.distances[usable], view.held_out_distances, view.held_out_errors, seed=seed
    )


def _unit_slip(profile: ReferenceProfile, batch: SpectralBatch, name: str) -> bool:
    sides = [profile.properties.get(name, np.empty(0)), batch.property_values(name)]
    before, after = (side[np.isfinite(side)] for side in sides)
    return bool(before.size and after.size and unit_factor(before, after))


def _why_unknown(view: PropertyView) -> str:
    if not np.isfinite(view.distances).any():
        return "the model refused every scan"
    return f"{view.version} kept {view.held_out_errors.size} held-out errors (at least {MIN_REFERENCE_ERRORS} needed)"
