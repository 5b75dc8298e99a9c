"""The front page of the reports: the last decision, every batch and its fate, every model on main.

Belongs here: the list and its links. Does not belong here: the pages it links to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from soil_assets.reporting.badge import decision_badge, drift_badge
from soil_assets.reporting.decision_inputs import BatchResult
from soil_assets.reporting.document import (
    Block,
    Code,
    Document,
    Heading,
    Image,
    Inline,
    Link,
    Paragraph,
    Table,
    Text,
    slug,
)
from soil_assets.reporting.html import render
from soil_assets.reporting.numerals import count


@dataclass(frozen=True)
class DecisionEntry:
    """The last decision report; ``page`` is its address below the front page."""

    verdict: str
    recommendation: str
    page: str = ""


@dataclass(frozen=True)
class BatchEntry:
    """A batch and the address of its page, where it has one."""

    result: BatchResult
    page: str = ""


@dataclass(frozen=True)
class ModelEntry:
    """A registered model: which version an alias names, how well it does, the address of its card."""

    name: str
    version: str
    alias: str = ""
    rmse: str = ""
    page: str = ""


def build(
    decision: DecisionEntry | None,
    batches: Sequence[BatchEntry],
    models: Sequence[ModelEntry],
    title: str = "Soil assets",
) -> str:
    """Return the front page as one self-contained HTML page.

    Parameters
    ----------
    decision : DecisionEntry or None
        None before the first report.
    batches, models : sequence
        In the order in which they are to be shown.
    title : str
        Any text.
    """
    images: dict[str, bytes] = {}
    blocks: list[Block] = [Heading(title, 1), Heading("Decision")]
    if decision is None:
        blocks.append(Paragraph("No decision report yet."))
    else:
        images["decision.svg"] = decision_badge(decision.verdict)
        blocks.append(Paragraph((Image("decision.svg", f"soil decision: {decision.verdict}"),)))
        blocks.append(Paragraph((decision.recommendation, " ", *_page("the report", decision.page))))
    waiting = sum(b.result.held for b in batches)
    quarantined = sum(b.result.quarantined for b in batches)
    blocks += [
        Heading("Batches"),
        Paragraph(
            f"{count(len(batches), 'batch', 'batches')}: {waiting} held, "
            f"{count(quarantined, 'scan')} in quarantine."
        ),
    ]
    rows: list[list[Text]] = []
    for entry in batches:
        b = entry.result
        badge = f"drift-{slug(b.name)}.svg"
        images[badge] = drift_badge(b.drift or "not_reached")
        words = (b.drift or "not reached").replace("_", " ")
        rows.append(
            [
                _page(b.name, entry.page) or Code(b.name),
                f"{b.landed:,}",
                f"{b.accepted:,}",
                f"{b.quarantined:,}",
                Image(badge, f"drift: {words}"),
                b.next_step or ("held" if b.held else "-"),
            ]
        )
    header = ("Batch", "Landed", "Accepted", "Quarantined", "Drift", "What happened next")
    if rows:
        blocks.append(Table(header, rows, frozenset({1, 2, 3})))
    blocks.append(Heading("Models"))
    if models:
        cards: list[list[Text]] = [
            [_page(m.name, m.page) or Code(m.name), m.version, m.alias or "-", m.rmse or "not judged"]
            for m in models
        ]
        blocks.append(Table(("Model", "Version", "Alias", "Benchmark RMSE"), cards))
    else:
        blocks.append(Paragraph("No registered model yet."))
    return render(Document(title, tuple(blocks)), images)


def _page(words: str, page: str) -> tuple[Inline, ...]:
    return (Link(words, page),) if page else ()
