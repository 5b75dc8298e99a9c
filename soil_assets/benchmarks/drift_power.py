"""Batches against a reference whose models predict them: what changes are found, and how often nothing is.

Belongs here: training the registered recipe on a reference, changing batches and comparing them with everything the
gate has in production: spectra, properties, predictions, exceedances. Does not belong here: the changes
(``drift_changes``), which cells there are (``bench_drift``).

Training dominates, so that each reference is used for many batches; intervals take them as independent, and every row
says how many references there were.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from soil_assets.benchmarks.drift_changes import CHANGES, Change, along_nature, natural_direction
from soil_assets.benchmarks.drift_runs import PERMUTATIONS, set_of
from soil_assets.benchmarks.drift_sets import FOREIGN, RESEMBLING, on_common_axis
from soil_assets.config import DriftPolicy
from soil_assets.drift.compare import compare
from soil_assets.drift.profile import fit_profile
from soil_assets.modeling.model import SoilModel
from soil_assets.modeling.recipe import Recipe
from soil_assets.modeling.train import train
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import built_in_catalogue

#: Real pairs: reference set -> the set that batches come from.
PAIRS = (("NRW.115", "NRW.62"), ("NRW.115", "NRW.42"), ("SL.125", "UL.120"), ("yamsys BF", "yamsys CI"))
NATURAL = "0.5 sd along the set's first component (natural variation)"
NOTHING = "none"
#: References are drawn with this seed; those that the tests were weighted with had another.
_DRAW = 20261127


@dataclass(frozen=True)
class Judged:
    """One batch: what was done to how many soils of which set, and what the gate said."""

    table: str
    name: str
    change: str
    n: int
    p_value: float
    failed: bool
    reference: int
    cause: str


def batches(name: str, plan: Sequence[tuple[str, int, int]], seed: int) -> list[Judged]:
    """Train on a random two thirds of a set, and judge batches of the other third.

    Parameters
    ----------
    name : str
        A set.
    plan : sequence of (change, n, count)
        ``count`` batches of ``n`` soils with each change.
    seed : int
        Of the split; it is the number of the reference.
    """
    batch, properties = set_of(name)
    other: SpectralBatch | None = None
    partner = _partner(name, [change for change, _, _ in plan])
    if partner is not None:
        cut, other = on_common_axis(batch, set_of(partner)[0])
        if cut.axis != batch.axis and any(needs_partner(change) is None for change, _, _ in plan):
            raise ValueError(f"{partner} does not cover {name}: changes without a partner see another axis")
        batch = cut
    order = np.random.default_rng([seed, len(batch), _DRAW]).permutation(len(batch))
    new, known = order[: len(batch) // 3], np.sort(order[len(batch) // 3 :])
    gate = _Gate(batch.take(known), properties)
    found = []
    for change, n, count in plan:
        made = _change(change, batch)
        for i in range(count):
            rng = np.random.default_rng([seed, n, i, zlib.crc32(change.encode())])
            part = made(batch.take(rng.choice(new, n, replace=False)), other, rng)
            found.append(gate.judge("changed", name, change, n, part, seed))
    return found


def pair(first: str, second: str, sizes: Sequence[int], count: int, seed: int) -> list[Judged]:
    """Train on a random 90 % of ``first``, and judge batches of ``second``."""
    known, properties = _side(first)
    new, _ = _side(second)
    known, new = on_common_axis(known, new) if known.axis != new.axis else (known, new)
    rng = np.random.default_rng([seed, len(known), _DRAW])
    part = np.sort(rng.permutation(len(known))[: round(0.9 * len(known))])
    gate = _Gate(known.take(part), properties)
    return [
        gate.judge(
            "real pair",
            f"{first} -> {second}",
            NOTHING,
            n,
            new.take(rng.choice(len(new), n, replace=False)),
            seed,
        )
        for n in sizes
        for _ in range(count)
    ]


class _Gate:
    """A reference with the registered recipe's models of its properties."""

    def __init__(self, reference: SpectralBatch, properties: Sequence[str]) -> None:
        catalogue = built_in_catalogue()
        recipe = Recipe()
        self.policy = DriftPolicy(permutations=PERMUTATIONS)
        self.profile = fit_profile(reference, properties=properties)
        self.models: Mapping[str, SoilModel] = {
            name: train(reference, catalogue[name], recipe) for name in properties
        }

    def judge(
        self, table: str, name: str, change: str, n: int, batch: SpectralBatch, reference: int
    ) -> Judged:
        domain = next(iter(self.models.values())).domain
        report = compare(
            self.profile,
            batch,
            policy=self.policy,
            predictions={p: m.predict(batch)["value"].to_numpy() for p, m in self.models.items()},
            reference_predictions={p: m.held_out_values for p, m in self.models.items()},
            exceedances=domain.exceedances(batch.spectra),
            exceedance_reference_n=domain.calibration_n,
        )
        p_value = math.nan if report.family_p is None else report.family_p
        failed = report.verdict == "fail"
        return Judged(table, name, change, n, p_value, failed, reference, report.cause_kind or "")


def needs_partner(change: str) -> str | None:
    """Say which partner a change needs: ``foreign``, ``resembling`` or none."""
    if change in CHANGES and CHANGES[change].needs_foreign:
        return "resembling" if "resembles" in change else "foreign"
    return None


def partner_of(name: str, kind: str | None) -> str | None:
    """Return the set that a set's foreign scans come from; None without a kind, or where there is no such set."""
    return {"foreign": FOREIGN, "resembling": RESEMBLING}[kind].get(name) if kind else None


def keeps_axis(name: str, partner: str) -> bool:
    """Whether a set keeps all its bands beside a partner, so that one reference serves changes with and without."""
    batch = set_of(name)[0]
    return on_common_axis(batch, set_of(partner)[0])[0].axis == batch.axis


def _partner(name: str, changes: Sequence[str]) -> str | None:
    kinds = {needs_partner(change) for change in changes} - {None}
    if len(kinds) > 1:
        raise ValueError(f"changes of {name} with different partners: {kinds}")
    return partner_of(name, kinds.pop()) if kinds else None


def _change(name: str, batch: SpectralBatch) -> Change:
    if name == NOTHING:
        return lambda part, other, rng: part
    if name == NATURAL:
        return along_nature(natural_direction(batch), 0.5)
    return CHANGES[name].change


def _side(name: str) -> tuple[SpectralBatch, tuple[str, ...]]:
    """Return a set, or one country of it (``yamsys BF``)."""
    base, _, country = name.partition(" ")
    batch, properties = set_of(base)
    if not country:
        return batch, properties
    return batch.take((batch.samples["country"] == country).to_numpy()), properties
