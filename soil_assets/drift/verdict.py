"""From tests to a verdict, with reasons in words and the answers of the three asset checks.

Belongs here: the rules that turn significant tests into pass, warn, fail or not judged.
Does not belong here: running tests (``compare``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.config import DriftPolicy
from soil_assets.drift.explain import Amount, differing_bands, furthest, likely_cause, signature_amounts
from soil_assets.drift.features import Features
from soil_assets.drift.pool import Soils
from soil_assets.drift.profile import ReferenceProfile
from soil_assets.drift.report import (
    CHECK_OF_FAMILY,
    TEST_COLUMNS,
    Band,
    CheckName,
    DriftCheck,
    DriftReport,
    Verdict,
)
from soil_assets.drift.words import (
    bands_in_words,
    category_in_words,
    cause_in_words,
    noise_in_words,
    shift_in_words,
    unit_factor,
)

FloatArray = npt.NDArray[np.float64]

_CHECKS: tuple[CheckName, ...] = ("batch_drift", "prediction_shift", "applicability")
_WHAT: Mapping[CheckName, str] = {
    "batch_drift": "spectra, properties and categories",
    "prediction_shift": "predictions",
    "applicability": "samples far out",
}
_SPECTRAL = ("spectra", "components", "signatures", "summaries", "outliers", "neighbours", "combined")
_NOISE_COLUMNS = slice(4, 7)
#: A change of noise smaller than this is not worth a sentence.
_NOISE_RATIO = 1.5


@dataclass(frozen=True, eq=False)
class Evidence:
    """Everything a verdict rests on."""

    profile: ReferenceProfile
    soils: Soils
    n: int
    n_scans: int
    reference: Features
    batch: Features
    table: pd.DataFrame
    family_p: float
    permutations: int
    predicted: Mapping[str, tuple[FloatArray, FloatArray]]
    excess: FloatArray
    notes: list[str]


def judge(evidence: Evidence, policy: DriftPolicy) -> DriftReport:
    """Return the report of a batch that could be judged."""
    table = evidence.table
    significant = table[table["significant"]]
    alarmed = evidence.family_p <= policy.false_alarm_rate
    verdict: Verdict = "fail" if len(significant) else ("warn" if alarmed else "pass")
    bands: tuple[Band, ...] = ()
    amounts: tuple[Amount, ...] = ()
    cause: str | None = None
    kind: str | None = None
    reasons: list[str] = []
    if verdict == "fail":
        axis = evidence.profile.axis
        if set(significant["family"]) & set(_SPECTRAL):
            bands = differing_bands(evidence.reference, evidence.batch, axis)
            amounts = signature_amounts(evidence.reference, evidence.batch, axis)
        kind, cause, reasons = _reasons(evidence, significant, bands, amounts)
    elif verdict == "warn":
        worst = table.iloc[int(table["p_adjusted"].argmin())]
        reasons = [
            f"{worst['family']} ({worst['name']}) differ significantly (adjusted p "
            f"{worst['p_adjusted']:.2g}), yet by too little to matter (effect {worst['effect']:.2g})"
        ]
    else:
        reasons = [
            f"no difference found at a family-wise false-alarm rate of {policy.false_alarm_rate:g} "
            f"(smallest adjusted p {evidence.family_p:.2g}, {len(table)} tests, {evidence.n} soils against "
            f"{evidence.profile.n})"
        ]
    samples: tuple[tuple[str, float], ...] = ()
    if (significant["family"] == "outliers").any() or verdict == "fail":
        ids = [str(s) for s in evidence.soils.batch.sample_ids]
        is_reference = np.arange(evidence.excess.size) < len(evidence.reference)
        samples = furthest(evidence.excess, is_reference, ids)
    return DriftReport(
        verdict=verdict,
        blocks=verdict == "fail" and policy.when_drift == "hold",
        n=evidence.n,
        reference_n=evidence.profile.n,
        n_scans=evidence.n_scans,
        n_left_out=evidence.soils.n_left_out,
        n_groups=int(np.unique(evidence.soils.groups).size),
        family_p=evidence.family_p,
        false_alarm_rate=policy.false_alarm_rate,
        reasons=tuple(reasons),
        cause=cause,
        bands=bands,
        samples=samples,
        tests=table,
        checks={name: _check(name, table) for name in _CHECKS},
        notes=tuple(evidence.notes),
        profile=evidence.profile.fingerprint,
        permutations=evidence.permutations,
        seed=policy.seed,
        signature_amounts={a.signature.name: a.amount for a in amounts},
        cause_kind=kind,
    )


def not_judged(
    profile: ReferenceProfile,
    soils: Soils,
    n_scans: int,
    policy: DriftPolicy,
    notes: list[str],
    reason: str,
    total: int | None = None,
) -> DriftReport:
    """Return the report of a batch that is too small to judge; it neither passed nor failed."""
    check = DriftCheck(passed=True, judged=False, summary=f"not judged: {reason}")
    return DriftReport(
        verdict="not_judged",
        blocks=policy.when_not_judged == "hold",
        n=len(soils) if total is None else total,
        reference_n=profile.n,
        n_scans=n_scans,
        n_left_out=soils.n_left_out,
        n_groups=int(np.unique(soils.groups).size),
        family_p=None,
        false_alarm_rate=policy.false_alarm_rate,
        reasons=(reason,),
        cause=None,
        bands=(),
        samples=(),
        tests=pd.DataFrame({c: [] for c in TEST_COLUMNS}),
        checks=dict.fromkeys(_CHECKS, check),
        notes=tuple(notes),
        profile=profile.fingerprint,
        permutations=policy.permutations,
        seed=policy.seed,
    )


def _check(name: CheckName, table: pd.DataFrame) -> DriftCheck:
    mine = table[table["family"].map(CHECK_OF_FAMILY) == name]
    if mine.empty:
        return DriftCheck(True, False, f"not judged: there are no {_WHAT[name]} to compare")
    smallest = float(mine["p_adjusted"].min())
    tests = "1 test" if len(mine) == 1 else f"{len(mine)} tests"
    found = mine[mine["significant"]]
    if found.empty:
        return DriftCheck(
            True,
            True,
            f"{_WHAT[name]}: no difference in {tests} (smallest adjusted p {smallest:.2g})",
        )
    strongest = found.sort_values(["p_adjusted", "p_value", "effect"], ascending=[True, True, False]).iloc[0]
    return DriftCheck(
        False,
        True,
        f"{_WHAT[name]}: {len(found)} of {tests} differ{'s' if len(found) == 1 else ''}, most of all "
        f"{strongest['name']} (adjusted p {strongest['p_adjusted']:.2g}, effect {strongest['effect']:.2g})",
    )


def _reasons(
    evidence: Evidence, significant: pd.DataFrame, bands: tuple[Band, ...], amounts: tuple[Amount, ...]
) -> tuple[str | None, str | None, list[str]]:
    """Say what differs: the kind of the likely cause, the cause in words where the pattern tells one, all reasons."""
    found = {family: [str(n) for n in part["name"]] for family, part in significant.groupby("family")}
    axis, soils, profile = evidence.profile.axis, evidence.soils, evidence.profile
    spectral = [f for f in _SPECTRAL[:4] if f in found]
    noise = (
        _noise_change(evidence) if any(n.startswith("noise") for n in found.get("summaries", [])) else None
    )
    best = likely_cause(amounts, noisy=noise is not None) if spectral else None
    kind: str | None = None
    cause: str | None = None
    reasons: list[str] = []
    if best is not None:
        kind, cause = best.signature.name, cause_in_words(best, axis)
    elif noise and ("spectra" not in found or _noise_foremost(evidence.table)):
        kind, cause = "noise", noise
    elif "spectra" in found:
        kind, cause = "other", "other soils than the reference's, or a change of no known pattern"
    elif {"outliers", "neighbours", "combined"} & set(found):
        kind, cause = (
            "foreign scans",
            "a few scans that are foreign to the reference among others that are not",
        )
    elif slips := [n for n in found.get("properties", []) if _unit_slip(evidence, n)]:
        kind, cause = "unit", f"a wrong unit of measured {', '.join(slips)}"
    if cause:
        reasons.append(f"likely cause: {cause}")
    if noise and noise != cause:
        reasons.append(noise)
    if spectral and bands:
        reasons.append(f"the spectra differ {bands_in_words(bands, axis)}")
    elif spectral and not noise:
        reasons.append(f"the spectra differ in {', '.join(n for f in spectral for n in found[f][:2])}")
    if "outliers" in found:
        reasons.append("several scans lie far outside what the reference shows")
    elif "neighbours" in found:
        reasons.append("scans of the batch resemble each other more than they resemble the reference")
    elif "combined" in found and not bands:
        reasons.append("shape, outliers and neighbours of the scans taken together differ from the reference")
    reasons += [
        shift_in_words(f"predicted {name}", *evidence.predicted[name])
        for name in found.get("predictions", [])
    ]
    reasons += [
        shift_in_words(f"measured {name}", _finite(profile.properties[name]), _finite(soils.properties[name]))
        for name in found.get("properties", [])
    ]
    reasons += [
        category_in_words(name, profile.categories[name], soils.categories[name])
        for name in found.get("categories", [])
    ]
    counts = significant[significant["family"] == "exceedances"]
    reasons += [
        f"{count:.0f} samples lie beyond the model's {name} limit, more than chance allows"
        for name, count in zip(counts["name"], counts["statistic"], strict=True)
    ]
    return kind, cause, reasons


def _noise_change(evidence: Evidence) -> str | None:
    before = np.median(evidence.reference.summaries[:, _NOISE_COLUMNS], axis=0)
    after = np.median(evidence.batch.summaries[:, _NOISE_COLUMNS], axis=0)
    ratios = np.exp(after - before)
    overall = float(np.median(ratios))
    if max(overall, 1 / overall) >= _NOISE_RATIO:
        return noise_in_words(overall)
    most = int(np.abs(after - before).argmax())
    ratio = float(ratios[most])
    if max(ratio, 1 / ratio) < _NOISE_RATIO:
        return None
    return f"{noise_in_words(ratio)} in the {('lowest', 'middle', 'highest')[most]} third of the axis"


def _noise_foremost(table: pd.DataFrame) -> bool:
    """Whether noise separates batch and reference clearly better than any component or other summary of a scan."""
    judged = table[table["family"].isin(["components", "summaries"])]
    noise = judged["name"].str.startswith("noise")
    rest = judged["effect"][~noise].max() if (~noise).any() else 0.0
    return bool(judged["effect"][noise].max() > 1.25 * rest)


def _unit_slip(evidence: Evidence, name: str) -> bool:
    """Whether a property moved by a factor that speaks of a unit."""
    return (
        unit_factor(_finite(evidence.profile.properties[name]), _finite(evidence.soils.properties[name]))
        is not None
    )


def _finite(values: FloatArray) -> FloatArray:
    return values[np.isfinite(values)]
