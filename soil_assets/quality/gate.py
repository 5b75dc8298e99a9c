"""The quality gate: a landed batch goes in, accepted scans and a quarantine with reasons come out.

Belongs here: the order of events and the conservation of scans (landed = accepted + quarantined).
Does not belong here: rules and figures (``quality.rules``, ``quality.figures``) and who evaluates them: the
evaluator is an argument (Great Expectations in the pipeline).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.quality.batch_findings import batch_findings
from soil_assets.quality.cross_rules import blank_zero_texture, cross_columns, set_impossible_aside
from soil_assets.quality.duplicates import copies_within, landed_before
from soil_assets.quality.expectations import Check, Evaluate, Expectation, Severity
from soil_assets.quality.figures import quality_figures
from soil_assets.quality.findings import FINDING_COLUMNS, findings_table, quarantine_table
from soil_assets.quality.known import KnownSpectra
from soil_assets.quality.outcomes import CheckOutcome, check_outcomes
from soil_assets.quality.placing import no_scans, place_on, placeable
from soil_assets.quality.reference_figures import ReferenceFigures, feature_figures
from soil_assets.quality.releases import Release, apply_releases, scan_keys
from soil_assets.quality.replicates import contradicting_results, replicate_figures
from soil_assets.quality.rulebook import all_rules
from soil_assets.quality_policy import QualityPolicy
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import Quantity, SpectralBatch
from soil_assets.spectra.catalogue import Catalogue
from soil_assets.spectra.lab import standardise

#: No instrument writes such numbers, in absorbance or in reflectance, fraction or percent.
_GARBAGE = 1e4


class UnreadableFile(Protocol):
    """A file of a landed batch that could not be read (``spectra.landed.Unreadable``)."""

    @property
    def file(self) -> str:
        """Name of the file."""

    @property
    def reason(self) -> str:
        """What was found."""

    @property
    def expected(self) -> str | None:
        """What should have been there."""

    @property
    def mend(self) -> str | None:
        """What to do about it."""


class LandedBatch(Protocol):
    """What landing hands over (``spectra.landed.Landed``)."""

    @property
    def batch(self) -> SpectralBatch | None:
        """The scans, or None when no file could be read."""

    @property
    def unreadable(self) -> Sequence[UnreadableFile]:
        """Files that could not be read."""

    @property
    def landed(self) -> int:
        """Scans and unreadable files."""

    @property
    def notes(self) -> Sequence[str]:
        """What the readers inferred."""


@dataclass(frozen=True)
class QualityResult:
    """What the gate decided about one batch.

    Parameters
    ----------
    accepted : SpectralBatch
        Scans that passed, on the model's axis and quantity, properties in canonical names and units; may be
        empty.
    quarantine : DataFrame
        One row a quarantined scan or unreadable file: ``row``, ``sample_id``, ``scan_id``, ``source_file``,
        ``source_row``, ``checks``, ``rules``, ``found``, ``expected``, ``mend``, ``scan_key`` (what a release
        names).
    quarantined_batch : SpectralBatch or None
        The quarantined scans as they landed, in the order of ``quarantine``, so that they can be released.
    findings : DataFrame
        One row a finding, warnings included: ``check``, ``rule``, ``severity``, ``sample_id``,
        ``source_file``, ``row``, ``column``, ``found``, ``expected``, ``mend``.
    figures : DataFrame
        The quality figures, one row a scan.
    counts : mapping
        ``landed``, ``accepted``, ``quarantined``; the first is always the sum of the others.
    notes : tuple of str
        What was read, converted or not judged, in words.
    checks : mapping
        One :class:`CheckOutcome` an asset check.
    """

    accepted: SpectralBatch
    quarantine: pd.DataFrame
    quarantined_batch: SpectralBatch | None
    findings: pd.DataFrame
    figures: pd.DataFrame
    counts: Mapping[str, int]
    notes: tuple[str, ...]
    checks: Mapping[Check, CheckOutcome]

    @property
    def refused(self) -> bool:
        """Whether the batch as a whole is refused (some check failed critically)."""
        return any(not c.passed and c.severity == "critical" for c in self.checks.values())


# Whatever lands is measured, 3e38 included: what overflows becomes a finding, not a warning of numpy.
@np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore")
def assess(
    landed: LandedBatch | SpectralBatch,
    *,
    axis: Axis,
    quantity: Quantity,
    catalogue: Catalogue,
    policy: QualityPolicy,
    evaluate: Evaluate,
    known: KnownSpectra | SpectralBatch | None = None,
    reference_figures: ReferenceFigures | None = None,
    releases: Sequence[Release] = (),
    used: Collection[str] | None = None,
) -> QualityResult:
    """Judge a batch scan by scan, and as a whole by the policy.

    Parameters
    ----------
    landed : LandedBatch or SpectralBatch
        What landed, with the files that could not be read.
    axis, quantity :
        What models see; accepted scans are brought onto it, never extrapolated.
    catalogue : Catalogue
        Names, units and limits of properties.
    policy : QualityPolicy
        When the batch as a whole is refused, and the limits of quality figures.
    evaluate : callable
        Evaluates expectations over tables (``adapters.great_expectations.evaluate``, or
        ``quality.expectations.evaluate`` without Great Expectations).
    known : KnownSpectra or SpectralBatch, optional
        Accepted scans of other batches, harmonised; a scan that is there already is quarantined. Older
        versions of this batch must not be among them (:meth:`KnownSpectra.without_batch`).
    reference_figures : ReferenceFigures, optional
        What is normal for the instrument; without it scans are compared with their own batch.
    releases : sequence of Release, optional
        Scans that a person let go on, with the rules that they may break.
    used : collection of str, optional
        Properties that the project models (default: all). By the policy, an impossible value of another one is
        set aside: missing in what is accepted, told as a warning, kept in what is quarantined.

    Returns
    -------
    QualityResult
    """
    read, unreadable, notes = _unpack(landed)
    batch = no_scans(axis, quantity) if read is None else read
    samples, said = standardise(batch.samples, catalogue)
    samples, zero_texture = blank_zero_texture(samples)
    batch = batch.with_samples(samples)
    notes += said
    every = set(catalogue.properties)
    spare = every - set(every if used is None or policy.unused_impossible == "quarantine" else used)
    blanked, aside = set_impossible_aside(samples, catalogue, spare)
    notes += [aside] if aside else []
    figures = quality_figures(batch, axis)
    ready = np.flatnonzero(placeable(figures, axis))
    harmonised = place_on(batch.with_samples(blanked), ready, axis, quantity)
    # Comparisons between scans are made without those whose numbers are garbage: one of them would spoil a mean.
    sane = np.abs(harmonised.spectra).max(axis=1, initial=0.0) <= _GARBAGE
    compared, rows = (harmonised, ready) if sane.all() else (harmonised.take(sane), ready[sane])
    features, note = feature_figures(compared, rows, len(batch), reference_figures)
    notes += [note] if note and len(batch) else []
    replicates, summary = replicate_figures(compared, rows, len(batch), policy.replicate_ratio)
    notes += [summary.describe() or "replicates: no sample has two usable scans"] if len(batch) else []
    copies = copies_within(batch, compared, rows, policy.near_copy_distance)
    index = KnownSpectra.of(known) if isinstance(known, SpectralBatch) else known
    if index is None:
        notes.append("duplicates: no earlier batches to compare with")
    else:
        earlier = landed_before(compared, rows, index, len(batch), policy.near_copy_distance)
        copies["landed_before"] = pd.array(earlier, dtype=object)
        notes.append(f"duplicates: compared with {len(index)} scans of earlier batches")
    figures = pd.concat([figures, features, replicates, copies], axis=1)
    tables = {"samples": _judged_samples(samples, blanked, zero_texture, catalogue), "figures": figures}
    rules = all_rules(axis, batch.quantity, catalogue, policy, spare)
    failures = evaluate(tables, rules)
    about_batch = batch_findings(batch, axis, catalogue, index)
    findings = findings_table(failures, rules, tables, batch.samples, unreadable, about_batch)
    if releases:
        findings, count = apply_releases(findings, scan_keys(batch), releases)
        notes.append(f"{count} scans go on because a person released them")
    bad = _critical_rows(findings, len(batch))
    accepted = harmonised.take(~bad[ready])
    rejected = np.flatnonzero(bad)
    if len(accepted) + len(rejected) != len(batch):
        raise RuntimeError(_leak(len(batch), len(accepted), rejected.size))
    held = batch.take(rejected)
    quarantine = quarantine_table(findings, batch.samples, rejected, unreadable, scan_keys(held))
    counts = {
        "landed": len(batch) + len(unreadable),
        "accepted": len(accepted),
        "quarantined": len(rejected) + len(unreadable),
    }
    return QualityResult(
        accepted=accepted,
        quarantine=quarantine,
        quarantined_batch=None if read is None else held,
        findings=findings[list(FINDING_COLUMNS)],
        figures=figures,
        counts=counts,
        notes=tuple(notes),
        checks=check_outcomes(findings, counts, policy, _judged(rules, tables)),
    )


def _unpack(landed: LandedBatch | SpectralBatch) -> tuple[SpectralBatch | None, list[Any], list[str]]:
    if isinstance(landed, SpectralBatch):
        return landed, [], []
    scans = len(landed.batch) if landed.batch is not None else 0
    if landed.landed != scans + len(landed.unreadable):
        raise RuntimeError(_leak(landed.landed, scans, len(landed.unreadable)))
    return landed.batch, list(landed.unreadable), list(landed.notes)


def _judged_samples(
    samples: pd.DataFrame, blanked: pd.DataFrame, zero_texture: npt.NDArray[np.bool_], catalogue: Catalogue
) -> pd.DataFrame:
    """Return what rules look at: values as they landed; what several values tell, without those set aside."""
    ids = samples["sample_id"]
    blank = ids.isna() | (ids.astype(str).str.strip() == "")
    judged = samples.assign(sample_id=ids.astype(str).astype(object).mask(blank, None))
    said = "clay, silt and sand are all 0; taken as missing"
    judged["zero_texture"] = pd.array([said if zero else None for zero in zero_texture], dtype=object)
    told = blanked.assign(sample_id=judged["sample_id"])
    return pd.concat([judged, cross_columns(told, catalogue), contradicting_results(told, catalogue)], axis=1)


def _critical_rows(findings: pd.DataFrame, count: int) -> npt.NDArray[np.bool_]:
    bad = np.zeros(count, dtype=bool)
    rows = findings.loc[(findings["severity"] == "critical") & (findings["position"] >= 0), "position"]
    bad[rows.to_numpy(dtype=np.intp)] = True
    return bad


def _judged(rules: Sequence[Expectation], tables: Mapping[str, pd.DataFrame]) -> dict[Check, int]:
    judged: dict[Check, int] = {}
    for rule in rules:
        table = tables[rule.table]
        # A limit on a column without any number judged nothing; a column of texts is empty when all is well.
        if rule.column in table.columns and (rule.kind != "between" or table[rule.column].notna().any()):
            judged[rule.check] = judged.get(rule.check, 0) + 1
    return judged


def _leak(landed: int, accepted: int, quarantined: int) -> str:
    return f"scans were lost or doubled: {landed} landed, {accepted} accepted, {quarantined} quarantined"


__all__ = ["CheckOutcome", "LandedBatch", "QualityResult", "Severity", "UnreadableFile", "assess"]
