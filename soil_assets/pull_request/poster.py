"""One comment a pull request, kept up to date, whoever else comments and however many runs race for it.

Belongs here: finding our comment, replacing it, never by an older run, never someone else's. Does not belong here:
what it says (``message``), requests (``adapters.github``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from soil_assets.adapters.github import GitHub, Refused

#: GITHUB_TOKEN comments under this name.
AUTHOR = "github-actions[bot]"
_MARKER = re.compile(r"\A<!-- soil: decision report, run (\d+)\.(\d+) -->")

Outcome = Literal["created", "updated", "kept newer"]


@dataclass(frozen=True, order=True)
class Run:
    """A run of the workflow that made a report: its number and attempt say which of two is newer."""

    number: int = 0
    attempt: int = 1

    @property
    def marker(self) -> str:
        """The hidden first line by which our comment is found again."""
        return f"<!-- soil: decision report, run {self.number}.{self.attempt} -->"


@dataclass(frozen=True)
class Posted:
    """What became of a comment."""

    outcome: Outcome
    comment: int
    url: str
    removed: tuple[int, ...] = ()


def post(github: GitHub, number: int, text: str, run: Run, author: str = AUTHOR) -> Posted:
    """Write or replace the one comment on a pull request.

    Parameters
    ----------
    number : int
        Of the pull request.
    text : str
        Markdown without the marker.
    run : Run
        Of the report; an older one never replaces a newer one.
    author : str
        Whose comments are ours: a marker in someone else's comment is only text.

    Returns
    -------
    Posted
        ``removed`` are doubles of our own that two runs had made at once.
    """
    body = f"{run.marker}\n{text}"
    ours = _ours(github, number, author)
    if ours:
        return _settle(github, ours, body, run)
    made = github.create_comment(number, body)
    # Another run may have done the same at this moment: both look again, and both keep the older comment.
    ours = _ours(github, number, author)
    if len(ours) < 2:
        return Posted("created", int(made["id"]), str(made.get("html_url", "")))
    settled = _settle(github, ours, body, run)
    outcome: Outcome = "created" if settled.comment == int(made["id"]) else settled.outcome
    return Posted(outcome, settled.comment, settled.url, settled.removed)


def _settle(github: GitHub, ours: Sequence[dict[str, Any]], body: str, run: Run) -> Posted:
    kept, doubles = ours[0], ours[1:]
    newest = max(_run_of(c["body"]) for c in ours)
    removed = []
    if newest > run:
        outcome: Outcome = "kept newer"
        text = max(ours, key=lambda c: _run_of(c["body"]))["body"]
        if kept["body"] != text:
            github.update_comment(int(kept["id"]), text)
    else:
        outcome = "updated"
        kept = github.update_comment(int(kept["id"]), body)
    for double in doubles:
        try:
            github.delete_comment(int(double["id"]))
        except Refused as error:
            if error.status != 404:  # the other run was first
                raise
        else:
            removed.append(int(double["id"]))
    return Posted(outcome, int(kept["id"]), str(kept.get("html_url", "")), tuple(removed))


def _ours(github: GitHub, number: int, author: str) -> list[dict[str, Any]]:
    """Return our comments, oldest first."""
    found = [
        c
        for c in github.comments(number)
        if (c.get("user") or {}).get("login") == author and _MARKER.match(c.get("body") or "")
    ]
    return sorted(found, key=lambda c: int(c["id"]))


def _run_of(body: str) -> Run:
    found = _MARKER.match(body)
    return Run(int(found[1]), int(found[2])) if found else Run()
