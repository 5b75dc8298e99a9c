"""A proposed policy tried on the past: which batches and versions would have been judged otherwise.

Belongs here: setting old and new judgements side by side. Does not belong here: judging under the new policy,
which takes the figures of other rooms (the caller hands in a function that does it).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from soil_assets.config import Policy
from soil_assets.reporting.decision_inputs import DecisionInputs
from soil_assets.reporting.document import (
    Block,
    Bullets,
    Code,
    CodeBlock,
    Document,
    Heading,
    Paragraph,
    Table,
    Text,
)
from soil_assets.reporting.numerals import count
from soil_assets.reporting.policy_diff import as_diff, policy_differences
from soil_assets.reporting.rules import decide

#: Gives the facts of a past report as the proposed policy would have had them: comparisons made by its margin
#: and confidence, batches held or not by its thresholds.
Rejudge = Callable[[DecisionInputs, Policy], DecisionInputs]


@dataclass(frozen=True)
class Judgement:
    """One batch or decision under both policies."""

    report: str
    subject: str
    before: str
    after: str
    why: str = ""

    @property
    def changed(self) -> bool:
        """Whether the two differ."""
        return self.before != self.after


@dataclass(frozen=True)
class Trial:
    """Every judgement of the past under both policies."""

    before: Policy
    after: Policy
    judgements: tuple[Judgement, ...]

    @property
    def changed(self) -> tuple[Judgement, ...]:
        """What would have come out otherwise."""
        return tuple(j for j in self.judgements if j.changed)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        return {
            "differences": [str(d) for d in policy_differences(self.before, self.after)],
            "judged": len(self.judgements),
            "changed": [vars(j) for j in self.changed],
        }

    def document(self) -> Document:
        """Return the trial as a page."""
        differences = policy_differences(self.before, self.after)
        blocks: list[Block] = [Heading("A policy tried on the past", 1)]
        blocks.append(
            CodeBlock(as_diff(differences), "diff") if differences else Paragraph("The policies are equal.")
        )
        blocks.append(
            Paragraph(
                f"{len(self.changed)} of {count(len(self.judgements), 'judgement')} would have come out otherwise.",
                tone="warning" if self.changed else "good",
            )
        )
        if self.changed:
            rows: list[list[Text]] = [
                [Code(j.report), Code(j.subject), j.before, j.after, j.why or "-"] for j in self.changed
            ]
            blocks.append(Table(("Report", "Of", "Was", "Would be", "Why"), rows))
        looser = [str(d) for d in differences if d.direction == "looser"]
        if looser:
            blocks += [Paragraph("These make the judge looser:"), Bullets(looser)]
        return Document("A policy tried on the past", tuple(blocks))


def trial(past: Sequence[tuple[str, DecisionInputs]], proposed: Policy, rejudge: Rejudge) -> Trial:
    """Judge past reports again under a proposed policy.

    Parameters
    ----------
    past : sequence of (str, DecisionInputs)
        Past reports by what they are called, oldest first, with the facts they were made from.
    proposed : Policy
        What is to be tried.
    rejudge : callable
        See :data:`Rejudge`.

    Returns
    -------
    Trial
        A judgement for each report's decision and each of its batches; a batch that appears in many reports is
        judged in each of them.
    """
    judgements: list[Judgement] = []
    for label, facts in past:
        again = rejudge(facts, proposed)
        was, would = decide(facts), decide(again)
        judgements.append(Judgement(label, "decision", was.verdict, would.verdict, "; ".join(would.reasons)))
        fates = {b.name: b for b in again.batches}
        judgements += [
            Judgement(
                label,
                f"batch {b.name}",
                _fate(b.held),
                _fate(fates[b.name].held),
                "; ".join(fates[b.name].reasons),
            )
            for b in facts.batches
            if b.name in fates
        ]
    before = past[0][1].policy if past else Policy()
    return Trial(before, proposed, tuple(judgements))


def _fate(held: bool) -> str:
    return "held" if held else "passed on"
