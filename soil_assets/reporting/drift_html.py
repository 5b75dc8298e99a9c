"""The drift report of one batch as a page that stands alone.

Belongs here: what the page says and in which order. Does not belong here: HTML syntax (``html``), drawing
(``drift_plots``), or anything that decides (``drift``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from soil_assets.reporting import drift_plots
from soil_assets.reporting.badge import drift_badge
from soil_assets.reporting.document import (
    Block,
    Bullets,
    Code,
    Details,
    Document,
    Figures,
    Heading,
    Image,
    Paragraph,
    Strong,
    Table,
    Text,
    Tone,
)
from soil_assets.reporting.html import render as render_page
from soil_assets.reporting.numerals import count

if TYPE_CHECKING:
    from soil_assets.drift.damage import Damage
    from soil_assets.drift.history import History
    from soil_assets.drift.profile import ReferenceProfile
    from soil_assets.drift.report import DriftReport
    from soil_assets.spectra.batch import SpectralBatch

_SAID: Final[Mapping[str, tuple[str, Tone]]] = {
    "pass": ("No difference from the reference was found.", "good"),
    "warn": ("A difference was found that is too small to matter.", "warning"),
    "fail": ("The batch differs from the reference.", "bad"),
    "not_judged": ("The batch could not be judged. That is not a pass.", "warning"),
}
#: Tests shown before the fold.
_SHOWN = 8


def page(
    report: DriftReport,
    *,
    name: str,
    profile: ReferenceProfile | None = None,
    batch: SpectralBatch | None = None,
    damage: Sequence[Damage] = (),
    history: History | None = None,
) -> str:
    """Render a batch's drift report.

    Parameters
    ----------
    report : DriftReport
        What ``compare`` or ``compare_tables`` returned.
    name : str
        The batch's name, any text.
    profile, batch : ReferenceProfile, SpectralBatch, optional
        For the pictures; a report on plain tables has none.
    damage : sequence of Damage
        One a property.
    history : History, optional
        Trends over successive batches.

    Returns
    -------
    str
        HTML that loads nothing and runs nothing.
    """
    images: dict[str, bytes] = {"badge.svg": drift_badge(report.verdict)}
    if profile is not None and batch is not None:
        images["envelope.png"] = drift_plots.envelope(profile, batch, report.bands)
        images["difference.png"] = drift_plots.difference(profile, batch, report.bands)
        images["scores.png"] = drift_plots.scores(profile, batch)
    if history is not None and len(history.batches) > 1:
        images["trends.png"] = drift_plots.trends(history)
    return render_page(
        document(report, name=name, damage=damage, history=history, images=tuple(images)), images
    )


def document(
    report: DriftReport,
    *,
    name: str,
    damage: Sequence[Damage] = (),
    history: History | None = None,
    images: Sequence[str] = (),
) -> Document:
    """Return the page as a tree of blocks; pictures appear when their names are in ``images``."""
    said, tone = _SAID[report.verdict]
    held = " The policy holds it back." if report.blocks else ""
    blocks: list[Block] = [
        Heading(f"Drift: {name}", 1),
        Paragraph((Image("badge.svg", f"drift {report.verdict}"),)),
        Paragraph((Strong(said), held), tone),
        Bullets(tuple(report.reasons)),
        Heading("Does it harm?"),
        _harm(report, damage),
    ]
    shown = [
        Image(file, alt)
        for file, alt in (
            ("envelope.png", "Median and 5-95 % range of the batch over the reference's 5-95 % range"),
            (
                "difference.png",
                "Difference of the mean spectra by band, in standard deviations of the reference",
            ),
            ("scores.png", "Scores of batch and reference on the first two components"),
        )
        if file in images
    ]
    if shown:
        title = "What moved" if report.verdict == "fail" else "What was compared"
        blocks += [Heading(title), Figures(tuple(shown))]
    if report.samples:
        blocks += [
            Heading("Samples furthest out"),
            Bullets([(Code(sample), f" (distance {distance:.1f})") for sample, distance in report.samples]),
        ]
    if history is not None:
        blocks += [Heading("Successive batches"), Paragraph(history.words())]
        if "trends.png" in images:
            blocks.append(Figures((Image("trends.png", "EWMA charts over successive batches"),)))
    blocks += [Heading("Checks"), _checks(report), Heading("Tests"), *_tests(report)]
    if report.notes:
        blocks += [Heading("To know when weighing this"), Bullets(tuple(report.notes))]
    blocks += [Heading("How it was judged"), Paragraph(_how(report))]
    return Document(f"Drift: {name}", tuple(blocks))


def _harm(report: DriftReport, damage: Sequence[Damage]) -> Block:
    if damage:
        return Bullets([d.words for d in damage])
    if report.verdict == "fail":
        return Paragraph(
            "Different is not harmful: without a model or lab values the effect on predictions is not known."
        )
    return Paragraph("Nothing to estimate: no difference that matters, and no model's errors were given.")


def _checks(report: DriftReport) -> Table:
    rows: list[tuple[Text, ...]] = [
        (
            Code(name),
            "not judged" if not c.judged else ("passed" if c.passed else Strong("failed")),
            c.summary,
        )
        for name, c in report.checks.items()
    ]
    return Table(("check", "result", "summary"), rows)


def _tests(report: DriftReport) -> list[Block]:
    table = report.tests
    if table.empty:
        return [Paragraph("No test was run.")]
    ordered = table.iloc[
        np.lexsort((-table["effect"].to_numpy(dtype=float), table["p_adjusted"].to_numpy(dtype=float)))
    ]
    header = ("family", "test", "statistic", "threshold", "effect", "p", "adjusted p", "differs")
    rows: list[tuple[Text, ...]] = [
        (
            str(row.family),
            str(row.name_),
            _short(row.statistic),
            _short(row.threshold),
            _short(row.effect),
            _short(row.p_value),
            _short(row.p_adjusted),
            Strong("yes") if row.significant else "no",
        )
        for row in ordered.rename(columns={"name": "name_"}).itertuples(index=False)
    ]
    numeric = frozenset(range(2, 7))
    blocks: list[Block] = [Table(header, rows[:_SHOWN], numeric)]
    if len(rows) > _SHOWN:
        rest = Table(header, rows[_SHOWN:], numeric)
        blocks.append(Details(f"{count(len(rows) - _SHOWN, 'more test')}", (rest,)))
    return blocks


def _short(value: object) -> str:
    number = float(value)  # type: ignore[arg-type]
    return f"{number:.3g}" if np.isfinite(number) else "none"


def _how(report: DriftReport) -> str:
    p = "" if report.family_p is None else f" Smallest family-wise p-value: {report.family_p:.3g}."
    return (
        f"{report.n} in the batch against {report.reference_n} in the reference (profile {report.profile}); all tests "
        f"share a false-alarm rate of {report.false_alarm_rate:g} a batch, whatever its size. {report.permutations} "
        f"labellings, seed {report.seed}.{p}"
    )
