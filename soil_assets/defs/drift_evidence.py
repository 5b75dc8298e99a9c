"""Everything the drift gate knows of one batch, gathered from stores, registry and earlier batches.

Belongs here: gathering, and remembering the outcome for later batches. Does not belong here: any statistics
(``drift``), layout (``reporting``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from soil_assets.defs.live_models import look_at
from soil_assets.defs.reference_profile import current_profile
from soil_assets.defs.resources import Soil
from soil_assets.defs.streams import BatchRecord, Stream, instrument_of, with_predecessors

if TYPE_CHECKING:
    from soil_assets.drift.gate import Assessment
    from soil_assets.drift.history import BatchMeans, History
    from soil_assets.drift.profile import ReferenceProfile
    from soil_assets.drift.views import LiveView
    from soil_assets.spectra.batch import SpectralBatch


@dataclass(frozen=True, eq=False)
class DriftEvidence:
    """One batch through the drift gate.

    Parameters
    ----------
    name : str
        The batch's.
    profile : ReferenceProfile
    judged : SpectralBatch
        What was judged: the batch without its check samples, with the small ones before it.
    assessment : Assessment
    live : LiveView
    history : History or None
        Trends over successive batches; None while there is none that could end or carry one.
    stream : Stream
        Of its instrument.
    record : BatchRecord
        What later batches will know of it.
    """

    name: str
    profile: ReferenceProfile
    judged: SpectralBatch
    assessment: Assessment
    live: LiveView
    history: History | None
    stream: Stream
    record: BatchRecord

    def pictures(self) -> dict[str, bytes]:
        """Return the PNGs of the batch by what they show."""
        from soil_assets.reporting import drift_plots

        bands = self.assessment.report.bands
        found = {
            "against the reference": drift_plots.envelope(self.profile, self.judged, bands),
            "where it differs": drift_plots.difference(self.profile, self.judged, bands),
            "component scores": drift_plots.scores(self.profile, self.judged),
        }
        if self.history is not None and len(self.history.batches) > 1:
            found["successive batches"] = drift_plots.trends(self.history)
        return found

    def in_words(self) -> tuple[str, ...]:
        """Return the reasons, and what is to be known beside them, for the page of the batch."""
        pooled = self.assessment.pooled_with
        said = [f"judged together with {', '.join(pooled)}, too small alone"] if pooled else []
        said += [d.words for d in self.assessment.damage]
        return (*self.assessment.report.reasons, *said, *([self.trend_in_words()] if self.trending() else []))

    def verdict_in_words(self) -> str:
        """Return the verdict with its reasons."""
        report = self.assessment.report
        pooled = self.assessment.pooled_with
        with_them = f" (together with {', '.join(pooled)})" if pooled else ""
        return f"{report.verdict.replace('_', ' ')}{with_them}: {'; '.join(report.reasons) or 'like the reference'}"

    def harmful(self) -> bool:
        """Whether the error on any property is larger than expected."""
        return any(d.verdict == "harmful" for d in self.assessment.damage)

    def harm_in_words(self) -> str:
        """Return the damage of every property, or that it is not judged."""
        return (
            "; ".join(d.words for d in self.assessment.damage)
            or "not judged: no model on main knows its errors"
        )

    def trending(self) -> bool:
        """Whether the newest batch ends a slow trend."""
        return self.history is not None and bool(self.history.alarming)

    def trend_in_words(self) -> str:
        """Return what the charts show."""
        if self.history is None:
            return "not judged: no earlier batch, and this one differs by itself or has no usable scan"
        return self.history.words()

    def to_dict(self) -> dict[str, Any]:
        """Return everything JSON-ready."""
        return {
            **self.assessment.to_dict(),
            "instrument": self.stream.instrument,
            "trend": None if self.history is None else self.history.to_dict(),
            "models": self.live.versions,
        }

    def remember(self) -> None:
        """Keep what later batches need to know."""
        self.stream.keep(self.record)

    def share_verdict(self, instance: dg.DagsterInstance, run_id: str) -> None:
        """Let small batches that were judged with this one share its verdict, as events of the run that judged."""
        report, pooled = self.assessment.report, self.assessment.pooled_with
        if report.verdict == "not_judged" or not pooled:
            return
        self.stream.mark_judged(pooled, self.name, report.verdict)
        for other in pooled:
            words = f"in the pool of {self.name}: {self.verdict_in_words()}"
            _report_checks(instance, run_id, other, words, not report.blocks)


def gather(
    instance: dg.DagsterInstance, soil: Soil, name: str, accepted: SpectralBatch, reference: SpectralBatch
) -> DriftEvidence:
    """Take one batch through the drift gate; nothing is written but a first reference profile."""
    from dataclasses import replace

    from soil_assets.drift.check_samples import apart, check_scans
    from soil_assets.drift.gate import assess
    from soil_assets.drift.history import batch_means

    policy = soil.settings.policy.drift
    profile, notes = current_profile(soil, reference, instance)
    batch, checks = apart(accepted, policy.check_samples)
    if len(checks):
        notes.append(f"{len(checks)} scans of check samples are charted and not judged with the batch")
    stream = Stream(soil.data, instrument_of(accepted))
    judged, pooled_with = with_predecessors(soil.data, stream, name, batch, policy)
    live = look_at(soil, judged)
    assessment = assess(profile, judged, live, policy, pooled_with)
    noted = replace(assessment.report, notes=(*assessment.report.notes, *notes))
    newest = batch_means(profile, name, batch)
    return DriftEvidence(
        name=name,
        profile=profile,
        judged=judged,
        assessment=replace(assessment, report=noted),
        live=live,
        history=_trends(profile, stream, name, newest, noted.verdict == "fail", policy.trend_run_length),
        stream=stream,
        record=BatchRecord(
            batch=name,
            instrument=stream.instrument,
            verdict=noted.verdict,
            judged_with="" if noted.verdict == "not_judged" else name,
            profile=profile.fingerprint,
            n=0 if newest is None else newest.n,
            sums={} if newest is None else dict(newest.sums),
            checks=[
                scan.to_dict()
                for scan in check_scans(
                    profile,
                    name,
                    checks,
                    {n: v.predicted.tolist() for n, v in look_at(soil, checks).properties.items()},
                )
            ],
        ),
    )


def _trends(
    profile: ReferenceProfile,
    stream: Stream,
    name: str,
    newest: BatchMeans | None,
    drifts: bool,
    run_length: float,
) -> History | None:
    """Chart the batches up to this one; a batch that differs by itself ends no slow trend and is left out."""
    from soil_assets.drift.history import trends

    means = stream.trend(name, profile.fingerprint, None if drifts else newest)
    return trends(profile, means, run_length) if means else None


def _report_checks(instance: dg.DagsterInstance, run_id: str, batch: str, words: str, passed: bool) -> None:
    """Report a pool's verdict as that of a smaller batch in it, about the version of it that is there now."""
    from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation

    from soil_assets.defs.verdict_events import report_verdict, target_of

    target = target_of(instance, "drift_reports", batch)
    if target is None:
        return
    for check, severity, blocking in (
        ("batch_drift", dg.AssetCheckSeverity.ERROR, True),
        ("judged", dg.AssetCheckSeverity.WARN, False),
    ):
        evaluation = AssetCheckEvaluation(
            asset_key=dg.AssetKey("drift_reports"),
            check_name=check,
            passed=passed if check == "batch_drift" else True,
            severity=severity,
            blocking=blocking,
            partition=batch,
            target_materialization_data=target,
            description=words,
        )
        report_verdict(instance, evaluation, run_id)
