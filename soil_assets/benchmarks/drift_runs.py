"""False alarms of the drift gate on real sets, and what their applicability limits let through.

Belongs here: drawing disjoint references and batches and calling the public ``fit_profile`` and ``compare``.
Does not belong here: changed batches and models (``drift_power``), which figures come out of it (``bench_drift``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from soil_assets.benchmarks.drift_generator import smooth_spectra
from soil_assets.benchmarks.drift_sets import read
from soil_assets.config import DriftPolicy
from soil_assets.drift.battery import Decomposed
from soil_assets.drift.compare import compare
from soil_assets.drift.features import Features, features
from soil_assets.drift.profile import ReferenceProfile, fit_profile
from soil_assets.modeling.applicability import fit_domain
from soil_assets.spectra.batch import SpectralBatch

SIZES = (10, 20, 50, 100, 300)
PERMUTATIONS = 999


def sizes_for(soils: int) -> list[int]:
    """Return the batch sizes of a set: up to a third of it."""
    return [n for n in SIZES if n <= soils / 3]


def in_control(name: str, n: int, splits: Iterable[int]) -> npt.NDArray[np.float64]:
    """Return the family-wise p-value of every seeded disjoint split: ``n`` soils against all others of the set."""
    batch, _ = set_of(name)
    known, whole = _features(name), _decomposed(name)
    policy = DriftPolicy(permutations=PERMUTATIONS)
    out = []
    for seed in splits:
        order = np.random.default_rng([seed, n, len(batch)]).permutation(len(batch))
        new, rest = order[:n], order[n:]
        report = compare(
            _part(_profile(name), rest),
            batch.take(new),
            policy=policy,
            values=known.take(new),
            decomposed=whole.take(np.concatenate([rest, new])),
        )
        out.append(math.nan if report.family_p is None else report.family_p)
    return np.array(out)


def limit_exceedances(
    name: str, least: int, splits: Iterable[int]
) -> dict[tuple[str, float], npt.NDArray[np.float64]]:
    """Return, for every measure and nominal rate, the share of held-out soils beyond the frozen limit, by
    split.

    The domain is fitted and its limits set on two thirds of the set (at least ``least`` soils); the rest is
    new.
    """
    batch, _ = set_of(name)
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
    return len(set_of(name)[0])


@lru_cache(maxsize=16)
def set_of(name: str) -> tuple[SpectralBatch, tuple[str, ...]]:
    """Return a set and its properties; read once a process."""
    return read(name)


@lru_cache(maxsize=16)
def _profile(name: str) -> ReferenceProfile:
    """Profile of all soils of a set."""
    batch, properties = set_of(name)
    return fit_profile(batch, properties=properties, values=_features(name))


def _part(profile: ReferenceProfile, rows: npt.NDArray[np.intp]) -> ReferenceProfile:
    """Profile of a part of the soils, in so far as tests see it.

    What is drawn and named (envelope, frozen space, hash) stays that of all soils: it costs a third of a comparison,
    and no p-value hangs on it.
    """
    part = replace(
        profile,
        features=profile.features.take(rows),
        rows=np.arange(rows.size),
        groups=np.arange(rows.size, dtype=np.int64),
        properties={name: values[rows] for name, values in profile.properties.items()},
        n=rows.size,
        n_scans=rows.size,
    )
    vars(part)["fingerprint"] = profile.fingerprint
    return part


@lru_cache(maxsize=16)
def _features(name: str) -> Features:
    """Features of a set's scans, computed once: each is of one scan alone, whichever side it is drawn to."""
    return features(set_of(name)[0])


@lru_cache(maxsize=16)
def _decomposed(name: str) -> Decomposed:
    """What is fitted to all soils of a set: every split divides the same ones."""
    return Decomposed.of(_features(name), set_of(name)[0].axis)
