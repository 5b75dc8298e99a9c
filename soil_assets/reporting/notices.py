"""Comments on a pull request that are no decision report: documentation only, and a run without a decision.

Belongs here: their text. Does not belong here: when each is posted (``pull_request.desk``).
"""

from __future__ import annotations

from collections.abc import Sequence

from soil_assets.reporting import markdown
from soil_assets.reporting.document import Block, Bullets, Document, Heading, Link, Paragraph
from soil_assets.reporting.numerals import count

#: Room for a reason; a comment of one screen says enough.
_LIMIT = 4_000


def documentation_only(files: Sequence[str]) -> str:
    """Comment of one line on a change that touches documentation alone."""
    return f"**Soil models: documentation only** ({count(len(files), 'file')}); no data, recipe or gate is touched.\n"


def error_comment(reason: str, details: Sequence[str], run_url: str = "") -> str:
    """Comment on a run after which nothing could be decided: why, and what to do next.

    Parameters
    ----------
    reason : str
        In one sentence.
    details : sequence of str
        What else is known of it.
    run_url : str
        Of the validating run.
    """
    blocks: list[Block] = [
        Heading("Soil models: no decision", level=2),
        Paragraph(f"Nothing could be decided: {reason}.", tone="bad"),
    ]
    if details:
        blocks.append(Bullets([*details]))
    if run_url:
        blocks.append(Paragraph((Link("The run in CI", run_url), " shows which step ended how.")))
    blocks.append(
        Paragraph(
            "Next: remove the cause and push, or run validate again. Until then the check soil / decision stays "
            "at error; a change without a decision is never a pass."
        )
    )
    return markdown.render(Document("Soil models: no decision", tuple(blocks)), limit=_LIMIT)
