"""Alarm rates of the drift gate on real sets: unchanged batches and changed ones.

Belongs here: drawing disjoint references and batches and calling the public ``fit_profile`` and ``compare``.
Does not belong here: which figures come out of it (``bench_drift``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.benchmarks.drift_changes import CHANGES, along_nature, natural_direction
from soil_assets.benchmarks.drift_generator import smooth_spectra
from soil_assets.benchmarks.drift_sets import FOREIGN, RESEMBLING, on_common_axis, read
from soil_assets.config import DriftPolicy
from soil_assets.drift.compare import compare
from soil_assets.drift.features import Features, features
from soil_assets.drift.profile import fit_profile
from soil_assets.modeling.applicability import fit_domain
from soil_assets.spectra.batch import SpectralBatch

SIZES = (10, 20, 50, 100, 300)
PERMUTATIONS = 999
#: Real pairs: reference set -> the set that batches come from.
PAIRS = (("NRW.115", "NRW.62"), ("NRW.115", "NRW.42"), ("SL.125", "UL.120"), ("yamsys BF", "yamsys CI"))
NATURAL = "0.5 sd along the set's first component (natural variation)"


@dataclass(frozen=True)
class Cell:
    """Family-wise p-values of many batches of one kind.

    Parameters
    ----------
    table, name, n
        What was done to which set at which batch size.
    p_values : ndarray
        One a batch; NaN where the batch was not judged.
    failed : ndarray of bool
        Whether the verdict was ``fail`` at the policy's rate.
    references : int
        Different references behind them.
    """

    table: str
    name: str
    change: str
    n: int
    p_values: npt.NDArray[np.float64]
    failed: npt.NDArray[np.bool_]
    references: int

    def alarms(self, rate: float) -> int:
        """Count family-wise p-values at or below ``rate``."""
        return int((self.p_values <= rate).sum())

    def row(self) -> dict[str, Any]:
        """Return a JSON-ready row with 95 % Clopper-Pearson intervals."""
        total = int(np.isfinite(self.p_values).sum())
        row: dict[str, Any] = {
            "table": self.table,
            "set": self.name,
            "change": self.change,
            "n": self.n,
            "batches": total,
            "references": self.references,
            "not_judged": int(np.isnan(self.p_values).sum()),
        }
        for rate in (0.01, 0.05):
            count = self.alarms(rate)
            low, high = binomial_interval(count, total)
            key = f"at_{rate * 100:g}_percent"
            row[key] = count / total if total else None
            row[f"{key}_interval"] = [round(low, 4), round(high, 4)]
        return row


def binomial_interval(count: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Clopper-Pearson interval of a share."""
    from scipy.stats import beta

    if not total:
        return 0.0, 1.0
    tail = (1 - level) / 2
    low = 0.0 if count == 0 else float(beta.ppf(tail, count, total - count + 1))
    high = 1.0 if count == total else float(beta.ppf(1 - tail, count + 1, total - count))
    return low, high


def sizes_for(soils: int) -> list[int]:
    """Return the batch sizes of a set: up to a third of it."""
    return [n for n in SIZES if n <= soils / 3]


def in_control(name: str, n: int, splits: Iterable[int]) -> npt.NDArray[np.float64]:
    """Return the family-wise p-value of every seeded disjoint split: ``n`` soils against all others of the set."""
    batch, properties = _set(name)
    known = _features(name)
    policy = DriftPolicy(permutations=PERMUTATIONS)
    out = []
    for seed in splits:
        order = np.random.default_rng([seed, n, len(batch)]).permutation(len(batch))
        new, rest = order[:n], order[n:]
        profile = fit_profile(batch.take(rest), properties=properties, values=known.take(rest))
        report = compare(profile, batch.take(new), policy=policy, values=known.take(new))
        out.append(math.nan if report.family_p is None else report.family_p)
    return np.array(out)


def changed(
    name: str, change: str, n: int, splits: Iterable[int]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return p-values and 'failed' of changed batches: ``n`` changed soils against all others of the set.

    At sizes other than 20 a change that names a number of foreign scans of 20 keeps that number.
    """
    batch, properties = _set(name)
    other: SpectralBatch | None = None
    if change == NATURAL:
        made = along_nature(natural_direction(batch), 0.5)
    else:
        planned = CHANGES[change]
        made = planned.change
        if planned.needs_foreign:
            partner = RESEMBLING if "resembles" in change else FOREIGN
            batch, other = on_common_axis(batch, _set(partner[name])[0])
    policy = DriftPolicy(permutations=PERMUTATIONS)
    p_values, failed = [], []
    for seed in splits:
        rng = np.random.default_rng([seed, n, len(batch), 7])
        order = rng.permutation(len(batch))
        profile = fit_profile(batch.take(order[n:]), properties=properties)
        report = compare(profile, made(batch.take(order[:n]), other, rng), policy=policy)
        p_values.append(math.nan if report.family_p is None else report.family_p)
        failed.append(report.verdict == "fail")
    return np.array(p_values), np.array(failed)


def real_pair(
    first: str, second: str, n: int, splits: Iterable[int]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return p-values and 'failed' of batches of ``second`` against a random 90 % of ``first``."""
    known, properties = _side(first)
    new, _ = _side(second)
    known, new = on_common_axis(known, new) if known.axis != new.axis else (known, new)
    policy = DriftPolicy(permutations=PERMUTATIONS)
    p_values, failed = [], []
    for seed in splits:
        rng = np.random.default_rng([seed, n, len(known), 11])
        part = rng.permutation(len(known))[: round(0.9 * len(known))]
        profile = fit_profile(known.take(np.sort(part)), properties=properties)
        report = compare(profile, new.take(rng.choice(len(new), n, replace=False)), policy=policy)
        p_values.append(math.nan if report.family_p is None else report.family_p)
        failed.append(report.verdict == "fail")
    return np.array(p_values), np.array(failed)


def limit_exceedances(
    name: str, least: int, splits: Iterable[int]
) -> dict[tuple[str, float], npt.NDArray[np.float64]]:
    """Return, for every measure and nominal rate, the share of held-out soils beyond the frozen limit, by
    split.

    The domain is fitted and its limits set on two thirds of the set (at least ``least`` soils); the rest is
    new.
    """
    batch, _ = _set(name)
    found: dict[tuple[str, float], list[float]] = {}
    for seed in splits:
        order = np.random.default_rng([seed, len(batch), 13]).permutation(len(batch))
        known = max(least, round(len(batch) * 2 / 3))
        domain = fit_domain(batch.spectra[order[:known]], np.arange(known), seed=seed)
        new = batch.spectra[order[known:]]
        for rate in (0.01, 0.05):
            for measure, (count, n) in domain.exceedances(new, rate).items():
                found.setdefault((measure, rate), []).append(count / n)
    return {key: np.array(shares) for key, shares in found.items()}


def in_control_generated(n: int, reference: int, splits: Iterable[int]) -> npt.NDArray[np.float64]:
    """Return family-wise p-values of unchanged batches of made-up spectra, each against a reference of its own."""
    policy = DriftPolicy(permutations=PERMUTATIONS)
    out = []
    for seed in splits:
        made = smooth_spectra(reference + n, seed=1000 + seed)
        profile = fit_profile(made.take(np.arange(reference)), properties=("clay",))
        report = compare(profile, made.take(np.arange(reference, reference + n)), policy=policy)
        out.append(math.nan if report.family_p is None else report.family_p)
    return np.array(out)


def soils_in(name: str) -> int:
    """Return how many soils a set has."""
    return len(_set(name)[0])


@lru_cache(maxsize=16)
def _set(name: str) -> tuple[SpectralBatch, tuple[str, ...]]:
    return read(name)


@lru_cache(maxsize=16)
def _features(name: str) -> Features:
    """Features of a set's scans, computed once: each is of one scan alone, whichever side it is drawn to."""
    return features(_set(name)[0])


def _side(name: str) -> tuple[SpectralBatch, tuple[str, ...]]:
    """Return a set, or one country of it (``yamsys BF``)."""
    base, _, country = name.partition(" ")
    batch, properties = _set(base)
    if not country:
        return batch, properties
    return batch.take((batch.samples["country"] == country).to_numpy()), properties
