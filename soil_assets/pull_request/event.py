"""Whose run an artifact is of, as GitHub's own event says it, and whether that is still the pull request's head.

Belongs here: reading a ``workflow_run`` event, and comparing it with a pull request. Does not belong here: posting.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from soil_assets.errors import BadInput
from soil_assets.pull_request.artifact import Claim
from soil_assets.pull_request.message import Origin
from soil_assets.pull_request.poster import Run

#: What starts the validating workflow: a pull request, or the job that opened one (its token starts no workflow).
_EVENTS = ("pull_request", "workflow_dispatch", "merge_group")
#: Branch that a merge queue makes for a pull request.
_QUEUE = re.compile(r"gh-readonly-queue/.+/pr-(\d+)-([0-9a-f]{40})")
_SHA = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Head:
    """The commit that was built, and the run that built it."""

    sha: str
    run: Run = field(default_factory=Run)
    run_url: str = ""
    branch: str = ""
    repository: str = ""
    conclusion: str = ""
    event: str = ""
    default_branch: str = "main"
    #: Unix time at which the run began to exist; a repeated attempt keeps it, and the merge that it checks out. None
    #: outside of a run.
    created: float | None = None

    @property
    def queued(self) -> int | None:
        """Number of the pull request whose place in a merge queue was built; None outside a queue."""
        match = _QUEUE.fullmatch(self.branch) if self.event == "merge_group" else None
        return int(match[1]) if match else None

    @property
    def queue_base(self) -> str:
        """Commit that a merge queue builds on, by the name that GitHub gives the queue's branch; empty outside."""
        match = _QUEUE.fullmatch(self.branch) if self.event == "merge_group" else None
        return match[2] if match else ""

    def origin(self, claim: Claim, ui_url: str, deployment_url: str = "") -> Origin:
        """Return where the report is from."""
        return Origin(claim.number, self.sha, claim.base, self.run_url, ui_url, deployment_url)

    def belongs_to(self, pull_request: Mapping[str, Any], number: int) -> bool:
        """Whether this run's commit is the head of that pull request; False when the pull request has moved on.

        Raises
        ------
        BadInput
            When the run has nothing to do with it: the number in the artifact is not to be believed.
        """
        head = pull_request.get("head") or {}
        if head.get("sha") == self.sha or self.queued == number:
            return True
        repository = str((head.get("repo") or {}).get("full_name") or "")
        if self.branch and self.branch == head.get("ref") and self.repository == repository:
            return False
        raise BadInput(
            "the artifact names a pull request that its run does not belong to",
            column="number",
            found=f"pull request {number}, whose head is {str(head.get('sha'))[:12]}",
            expected=f"one whose head is {self.sha[:12]}",
            mend="nothing was posted; look at the run that wrote the artifact",
        )


def head_of(event: Path | None, sha: str, env: Mapping[str, str]) -> Head:
    """Return the head that was built: of ``sha``, else of the event (``$GITHUB_EVENT_PATH`` by default).

    Raises
    ------
    BadInput
        When there is neither, or the event is none of a workflow's run on a pull request.
    """
    if sha:
        return Head(_commit(sha, "--sha"))
    file = event or (Path(env["GITHUB_EVENT_PATH"]) if env.get("GITHUB_EVENT_PATH") else None)
    if file is None:
        raise BadInput("which commit is the report of?", mend="give --event or --sha")
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput("not an event", file=str(file), found=str(error)[:120]) from None
    run = found.get("workflow_run") if isinstance(found, dict) else None
    if not isinstance(run, Mapping) or run.get("event") not in _EVENTS:
        raise BadInput(
            "not the event of a workflow's run on a pull request",
            file=str(file),
            expected="workflow_run, made by " + " or ".join(_EVENTS),
            mend="post from a workflow on workflow_run",
        )
    return Head(
        sha=_commit(str(run.get("head_sha")), "workflow_run.head_sha"),
        run=Run(int(run.get("run_number") or 0), int(run.get("run_attempt") or 1)),
        run_url=str(run.get("html_url") or ""),
        branch=str(run.get("head_branch") or ""),
        repository=str((run.get("head_repository") or {}).get("full_name") or ""),
        conclusion=str(run.get("conclusion") or "unknown"),
        event=str(run.get("event")),
        default_branch=str((found.get("repository") or {}).get("default_branch") or "main"),
        created=_time(run.get("created_at")),
    )


def _time(text: object) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        raise BadInput("not a time", column="workflow_run.created_at", found=str(text)[:60]) from None


def _commit(text: str, where: str) -> str:
    if not _SHA.fullmatch(text):
        raise BadInput("not a commit", column=where, found=text[:60], expected="40 hexadecimal digits")
    return text
