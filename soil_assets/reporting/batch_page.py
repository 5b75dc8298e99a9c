"""The page of one batch: what landed, what was accepted, what waits in quarantine and how to mend it.

Belongs here: showing what the quality gate decided, to the technician who dropped the batch. Does not belong
here: deciding anything (``quality``), drift pictures (``drift_plots``; their bytes may be handed in).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.reporting.badge import badge, drift_badge
from soil_assets.reporting.batch_facts import DriftFacts, Judged, Outcome
from soil_assets.reporting.batch_layout import quarantine_table
from soil_assets.reporting.decision_inputs import plain
from soil_assets.reporting.document import (
    Block,
    Bullets,
    Code,
    Details,
    Document,
    Figures,
    Heading,
    Image,
    Inline,
    Link,
    Paragraph,
    Strong,
    Table,
    Text,
    Tone,
)
from soil_assets.reporting.embedding import embedded_markdown
from soil_assets.reporting.html import render
from soil_assets.reporting.numerals import count
from soil_assets.spectra.batch import SpectralBatch

#: Rows of a folded table; a browser stays quick, and the whole tables are stored beside the batch.
MAX_ROWS = 1000
_FIGURES_SHOWN = 14


@dataclass(frozen=True)
class BatchPage:
    """A finished page: the document and the pictures it refers to."""

    document: Document
    images: dict[str, bytes]

    @property
    def embedded_markdown(self) -> str:
        """The page as Markdown with its pictures inside, for Dagster's pages."""
        return embedded_markdown(self.document, self.images)

    @property
    def html(self) -> str:
        """The page, self-contained."""
        return render(self.document, self.images)


def build(
    name: str,
    result: Judged,
    *,
    reference: SpectralBatch | None = None,
    drift: DriftFacts | None = None,
    next_step: str = "",
) -> BatchPage:
    """Write the page of a batch.

    Parameters
    ----------
    name : str
        As it landed; any text.
    result : Judged
        What the quality gate decided.
    reference : SpectralBatch or None
        Drawn behind the accepted spectra.
    drift : DriftFacts or None
        None where the batch did not reach the drift gate.
    next_step : str
        What happened then.
    """
    images = _images(name, result, reference, drift)
    blocks: list[Block] = [
        Heading(("Batch ", Code(name)), 1),
        Paragraph((Image("batch.svg", f"quality: {_standing(result)[0]}"), " ", *_drift_badge(drift))),
        Paragraph(_in_short(result, next_step), tone=_standing(result)[1]),
        *_mends(result),
        Heading("Checks"),
        _checks(result),
        *_drift(drift),
        *_pictures(images, drift),
        *_findings(result),
        *_figures(result),
        Paragraph(Link("The decision report", "../../report.html")),
    ]
    if result.notes:
        blocks += [Heading("How the files were read"), Bullets(list(map(str, result.notes)))]
    return BatchPage(Document(f"Batch {name}", tuple(blocks)), images)


def _standing(result: Judged) -> tuple[str, Tone]:
    if any(not c.passed and c.severity == "critical" for c in result.checks.values()):
        return "refused", "bad"
    if result.counts["quarantined"]:
        return f"{result.counts['quarantined']:,} in quarantine", "warning"
    return "accepted", "good"


def _in_short(result: Judged, next_step: str) -> str:
    counts = result.counts
    told = (
        f"{count(counts['landed'], 'scan')} landed = {counts['accepted']:,} accepted + "
        f"{counts['quarantined']:,} in quarantine."
    )
    if _standing(result)[0] == "refused":
        told += " The batch as a whole is refused: see its checks."
    return told + (f" What happened next: {next_step}." if next_step else "")


def _mends(result: Judged) -> list[Block]:
    rows = tuple(plain(result.quarantine.head(MAX_ROWS).to_dict("records")))
    if not rows:
        return []
    blocks: list[Block] = [
        Heading("Needs fixing"),
        Paragraph(
            "Fix these rows in the file and let the batch land again; what was accepted stays accepted."
        ),
        quarantine_table(rows),
    ]
    return blocks + _more(len(result.quarantine))


def _checks(result: Judged) -> Table:
    rows: list[list[Text]] = []
    for check, outcome in result.checks.items():
        judged = not outcome.summary.startswith("not judged")
        state = ("passed" if judged else "not judged") if outcome.passed else _failure(outcome)
        rows.append(
            [str(check).replace("_", " "), Strong(state) if state != "passed" else state, outcome.summary]
        )
    return Table(("Check", "Outcome", "In words"), rows)


def _failure(outcome: Outcome) -> str:
    if outcome.severity == "critical":
        return "batch refused"
    return "in quarantine" if outcome.quarantined else "warning"


def _drift_badge(drift: DriftFacts | None) -> tuple[Inline, ...]:
    return () if drift is None else (Image("drift.svg", f"drift: {drift.verdict.replace('_', ' ')}"),)


def _drift(drift: DriftFacts | None) -> list[Block]:
    if drift is None:
        return []
    words = drift.verdict.replace("_", " ")
    more: list[Inline] = [Link("The whole drift report", drift.page)] if drift.page else []
    if drift.check_samples:
        more += [" and " if more else "", Link("the check samples of every instrument", drift.check_samples)]
    return [
        Heading("Drift against the golden reference"),
        Bullets([f"verdict: {words}", *drift.reasons]),
        *([Paragraph((*more, "."))] if more else []),
    ]


def _pictures(images: Mapping[str, bytes], drift: DriftFacts | None) -> list[Block]:
    words = {"accepted.png": "accepted spectra", "quarantined.png": "spectra in quarantine, as landed"}
    words |= {f"drift-{i}.png": shown for i, shown in enumerate(drift.images if drift else ())}
    words |= {"figures.png": "quality figures of every scan"}
    shown = [Image(name, alt) for name, alt in words.items() if name in images]
    return [Heading("Spectra"), Figures(shown)] if shown else []


def _findings(result: Judged) -> list[Block]:
    findings = result.findings
    if findings.empty:
        return []
    tally = findings.groupby(["check", "rule", "severity"], sort=False, dropna=False)
    summary: list[list[Text]] = [
        [str(check).replace("_", " "), str(rule), str(severity), str(len(group)), _first(group, "expected")]
        for (check, rule, severity), group in tally
    ]
    header = ("sample_id", "source_file", "row", "column", "rule", "severity", "found", "expected")
    shown = findings.reindex(columns=list(header)).head(MAX_ROWS)
    rows: list[list[Text]] = [
        [Code(_cell(r[0])) if _cell(r[0]) != "-" else "(no id)", *map(_cell, r[1:])]
        for r in shown.itertuples(index=False, name=None)
    ]
    titles = ("Sample", "File", "Row", "Column", "Rule", "Severity", "Found", "Expected")
    return [
        Heading("Findings"),
        Table(("Check", "Rule", "Severity", "Findings", "Expected"), summary, frozenset({3})),
        Details(
            count(len(findings), "finding"), [Table(titles, rows, frozenset({2})), *_more(len(findings))]
        ),
    ]


def _figures(result: Judged) -> list[Block]:
    figures = result.figures
    numeric = [c for c in figures.columns if c != "row" and pd.api.types.is_numeric_dtype(figures[c])]
    numeric = numeric[:_FIGURES_SHOWN]
    if figures.empty or not numeric:
        return []
    shown = figures.head(MAX_ROWS)
    ids = shown["sample_id"] if "sample_id" in shown.columns else pd.Series([None] * len(shown))
    values = shown[numeric].to_numpy(dtype=np.float64)
    rows: list[list[Text]] = [
        [Code(_cell(i)) if _cell(i) != "-" else "(no id)", *(_figure(v) for v in row)]
        for i, row in zip(ids, values, strict=True)
    ]
    header = ("Sample", *(c.replace("_", " ") for c in numeric))
    inside = [Table(header, rows, frozenset(range(1, len(header)))), *_more(len(figures))]
    return [Details(f"Quality figures of {count(len(figures), 'scan')}", inside)]


def _images(
    name: str, result: Judged, reference: SpectralBatch | None, drift: DriftFacts | None
) -> dict[str, bytes]:
    from soil_assets.reporting import plots, quality_plots

    colour = {"good": "good", "warning": "warning", "bad": "bad", "neutral": "neutral"}[_standing(result)[1]]
    images = {"batch.svg": badge("quality", _standing(result)[0], colour)}
    if len(result.accepted):
        images["accepted.png"] = plots.spectra(result.accepted, f"{name}: accepted", reference)
    if result.quarantined_batch is not None and len(result.quarantined_batch):
        images["quarantined.png"] = plots.spectra(
            result.quarantined_batch, f"{name}: in quarantine, as landed"
        )
    quarantined = _quarantined_rows(result)
    if len(result.figures) and quarantined is not None:
        wanted = [
            c for c in ("median", "contrast", "noise_ratio", "clipped_share") if c in result.figures.columns
        ]
        if wanted:
            images["figures.png"] = quality_plots.quality_strips(result.figures[wanted], quarantined)
    if drift is not None:
        images["drift.svg"] = drift_badge(drift.verdict)
        images |= {f"drift-{i}.png": content for i, content in enumerate(drift.images.values())}
    return images


def _quarantined_rows(result: Judged) -> npt.NDArray[np.bool_] | None:
    """Which rows of the figures are in quarantine; None where that cannot be told for sure."""
    figures = result.figures
    if "quarantined" in figures.columns:
        return np.asarray(figures["quarantined"], dtype=bool)
    # Without source rows the quarantine counts scans from 1; the ids tell whether it does.
    scans = (
        result.quarantine
        if result.quarantined_batch is None
        else result.quarantine.head(len(result.quarantined_batch))
    )
    rows = pd.to_numeric(scans["row"], errors="coerce").to_numpy(dtype=np.float64) - 1
    if not ((rows >= 0) & (rows < len(figures))).all() or "sample_id" not in figures.columns:
        return None
    positions = rows.astype(np.intp)
    ours = figures["sample_id"].iloc[positions]
    if [plain(v) for v in ours] != [plain(v) for v in scans["sample_id"]]:
        return None
    mask = np.zeros(len(figures), dtype=bool)
    mask[positions] = True
    return mask


def _more(total: int) -> list[Block]:
    return [Paragraph(f"… {total - MAX_ROWS:,} more rows in the stored table.")] if total > MAX_ROWS else []


def _first(group: pd.DataFrame, column: str) -> str:
    return _cell(group[column].iloc[0])


def _cell(value: Any) -> str:
    value = plain(value)
    if value is None or value == "":
        return "-"
    if isinstance(value, float):
        return _figure(value)
    return str(value)[:300]


def _figure(value: float) -> str:
    return f"{value:.4g}" if np.isfinite(value) else "-"
