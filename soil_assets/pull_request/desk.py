"""Desk at which a pull request's run ends: one status check on its commit, and the one comment.

Belongs here: what every way in which a run can end leads to, and telling GitHub. Does not belong here: judging
(``judgement``), how a comment replaces another (``poster``), requests (``adapters.github``).
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soil_assets.adapters.github import GitHub, Refused
from soil_assets.config import Settings, load_settings
from soil_assets.errors import BadInput
from soil_assets.pull_request.artifact import REPORT, Claim, read_claim
from soil_assets.pull_request.event import Head
from soil_assets.pull_request.poster import Run
from soil_assets.pull_request.scope import is_documentation, only_documentation
from soil_assets.reporting.decision import DecisionReport
from soil_assets.reporting.escaping import visible

if TYPE_CHECKING:
    from soil_assets.pull_request.judgement import PullRequest

CONTEXT = "soil / decision"
#: GitHub's comparison of two commits lists this many files at most.
MOST_COMPARED = 300
#: Which run set a status, at the end of its description: an older one never replaces a newer one's.
_RUN = re.compile(r"\[run (\d+)\.(\d+)\]$")
#: Conclusions of a run after which its artifact is read; any other is no evidence at all.
READABLE = ("success", "failure")
_CONCLUSIONS = {
    "cancelled": "the validating run was cancelled or ran out of time",
    "timed_out": "the validating run ran out of time",
    "skipped": "the validating run was skipped",
    "startup_failure": "the validating run could not be started",
    "action_required": "the validating run waits for a maintainer's approval",
}


@dataclass
class Desk:
    """Where a run's outcome becomes a status and a comment.

    Parameters
    ----------
    github : GitHub
    head : Head
        The commit that was validated, and how its run ended.
    backend, plots, branch, publish_url, author
        Who posts, and where pictures go; see ``soil comment --help``.
    dry_run : bool
        Read from GitHub, write nothing.
    tell : callable
        Takes a line about what is going on.
    number : int or None
        Of the pull request, once it is certain that the run belongs to it.
    """

    github: GitHub
    head: Head
    backend: str = "own"
    plots: str = "branch"
    branch: str = "soil-reports"
    publish_url: str | None = None
    author: str = "github-actions[bot]"
    dry_run: bool = False
    tell: Callable[[str], None] = print
    number: int | None = None

    def decide(self, artifact: Path, baseline: Path | None) -> dict[str, Any]:
        """Decide on the run's commit and tell GitHub; return what became of it.

        Raises
        ------
        BadInput
            When nothing can be decided; the caller then calls :meth:`report_error`.
        """
        from soil_assets.pull_request.judgement import PullRequest, judge_run
        from soil_assets.reporting.notices import documentation_only

        if self._decided_by_newer():
            return self._outcome("kept newer", Claim(0, ""), "none", False)
        claim = self._claim(artifact)
        facts = self.github.pull_request(claim.number)
        if not self.head.belongs_to(facts, claim.number):
            return self._superseded(claim, facts)
        self._check_target(facts)
        # Only now: a number that is not the run's own must not get a comment.
        self.number = claim.number
        files = self._files(claim, facts)
        facts = self.github.pull_request(claim.number)  # the list is of a number: was it of this very head?
        if not self.head.belongs_to(facts, claim.number):
            return self._superseded(claim, facts)
        queued = self.head.queued is not None
        sha = self.head.sha if queued else str((facts.get("head") or {}).get("sha"))
        main = self.head.default_branch
        pull_request = PullRequest(claim.number, sha, "", files, facts)
        if queued and claim.base != self.head.queue_base:
            raise BadInput(
                "the change was compared with another commit than the merge queue's",
                found=claim.base[:12],
                expected=self.head.queue_base[:12],
                mend="let the queue run it again",
            )
        if only_documentation(pull_request.paths) and not _links_beside_documentation():
            return self._post(
                claim, documentation_only(pull_request.paths), "documentation only", "success", {}
            )
        if self.head.conclusion and self.head.conclusion not in READABLE:
            raise BadInput(
                self._ending(), mend="run validate again; for a time-out, look at which step took so long"
            )
        self._check_report(artifact, pull_request)
        fork = (
            {"sha": claim.base} if queued else self.github.compare(main, sha).get("merge_base_commit") or {}
        )
        pull_request = PullRequest(claim.number, sha, str(fork.get("sha") or ""), files, facts)
        report = judge_run(
            Path(),
            self._settings(),
            self.github,
            pull_request,
            self.head,
            claim,
            artifact,
            baseline,
            self.tell,
        )
        if not report.blocks and self.head.conclusion == "failure":
            raise BadInput(
                "a step of the validating run failed, although what it left would pass",
                mend="look at the run: a pass needs a run in which every step ended well",
            )
        return self._publish(claim, report)

    def report_error(self, error: Exception) -> None:
        """Set the status check to 'error' with the reason, and say it in the comment where its place is certain."""
        from soil_assets.pull_request.poster import post
        from soil_assets.reporting.notices import error_comment

        if self.dry_run:
            return
        reason = error.what if isinstance(error, BadInput) else f"{type(error).__name__} in soil comment"
        try:
            if self._decided_by_newer():
                return
        except (Refused, BadInput, AttributeError, TypeError, ValueError):
            self.tell("the statuses of this commit cannot be read")
        try:
            self._status("error", f"no decision: {reason}")
        finally:
            if self.number is not None and self.head.queued is None:
                details = [str(error)] if str(error) != reason else []
                try:
                    post(
                        self.github,
                        self.number,
                        error_comment(reason, details, self.head.run_url),
                        self.head.run,
                        self.author,
                    )
                # The status says it already.
                except (Refused, BadInput, AttributeError, TypeError, ValueError) as refusal:
                    self.tell(f"the comment is not posted: {refusal}")

    def _check_target(self, facts: dict[str, Any]) -> None:
        """Refuse a pull request that is closed or leads elsewhere: its files say nothing of a merge into main."""
        target = str((facts.get("base") or {}).get("ref"))
        state = str(facts.get("state"))
        if state != "open" or target != self.head.default_branch:
            raise BadInput(
                "the pull request is not an open one into the default branch",
                found=f"{state}, into {target}",
                expected=f"open, into {self.head.default_branch}",
            )

    def _files(self, claim: Claim, facts: dict[str, Any]) -> list[dict[str, Any]]:
        """Files of the change: of the pull request, or of everything that a merge queue put on main together."""
        if self.head.queued is not None:
            files = list(self.github.compare(claim.base, self.head.sha).get("files") or ())
            if not files or len(files) >= MOST_COMPARED:
                raise BadInput(
                    "GitHub does not list every file of the queue's merge", found=f"{len(files)} files"
                )
            return files
        files = self.github.files(claim.number)
        listed = facts.get("changed_files")
        if isinstance(listed, int) and listed != len(files):
            raise BadInput(
                "GitHub does not list every file of the change", found=f"{len(files)} of {listed} files"
            )
        return files

    def _superseded(self, claim: Claim, facts: dict[str, Any]) -> dict[str, Any]:
        newest = str((facts.get("head") or {}).get("sha"))[:12]
        self._status("error", f"superseded: the pull request's head is {newest}, whose own run reports")
        return self._outcome("superseded", claim, "none", False)

    def _decided_by_newer(self) -> bool:
        """Whether a newer run has decided on this very commit already."""
        runs = [
            Run(int(match[1]), int(match[2]))
            for status in self.github.statuses(self.head.sha)
            if status.get("context") == CONTEXT
            and (match := _RUN.search(str(status.get("description") or "")))
        ]
        return max(runs, default=Run()) > self.head.run

    def _claim(self, artifact: Path) -> Claim:
        try:
            claim = read_claim(artifact)
        except BadInput as error:
            if self.head.conclusion and self.head.conclusion not in READABLE:
                raise BadInput(self._ending(), found=error.what) from None
            raise
        queued = self.head.queued
        if queued is not None and queued != claim.number:
            raise BadInput(
                "the artifact names another pull request than its place in the merge queue",
                found=str(claim.number),
                expected=str(queued),
            )
        return claim

    def _check_report(self, artifact: Path, pull_request: PullRequest) -> None:
        """Refuse an artifact without a report, naming the likeliest step that broke."""
        if (artifact / REPORT).exists() or artifact.is_file():
            return
        pointers = sorted(
            Path(str(file["filename"])).stem
            for file in pull_request.files
            if str(file["filename"]).startswith("batches/") and str(file["filename"]).endswith(".dvc")
        )
        data = f"; the change brings data by pointer: {', '.join(pointers)}" if pointers else ""
        raise BadInput(
            f"a step of the validating run failed before its report{data}",
            mend="look at the run"
            + (
                "; data by pointer must be pushed (soil batch add NAME --push), and readable for the run"
                if pointers
                else ""
            ),
        )

    def _ending(self) -> str:
        """How a run ended that left no evidence."""
        other = f"the validating run ended as {self.head.conclusion}"
        return _CONCLUSIONS.get(self.head.conclusion, other)

    def _settings(self) -> Settings:
        return load_settings(
            env={k: v for k, v in os.environ.items() if k not in ("SOIL_BASELINE", "SOIL_LANDING")}
        )

    def _publish(self, claim: Claim, report: DecisionReport) -> dict[str, Any]:
        from soil_assets.pull_request.message import addresses, message

        base = ""
        if self.plots == "branch" and not self.dry_run and self.head.queued is None:
            folder = f"pull-{claim.number}/{self.head.sha[:12]}"
            files = {f"{folder}/{name}": content for name, content in report.images.items()}
            title = f"Plots of pull request {claim.number} at {self.head.sha[:12]}"
            try:
                commit = self.github.publish(self.branch, files, title)
                base = f"{_server()}/{self.github.repository}/blob/{commit}/{folder}"
            except Refused as error:  # a comment without pictures is better than none
                self.tell(f"plots are not published: {error}")
        local = self.plots == "cml"
        text = message(report, (lambda name: name) if local else addresses(base, report.images))
        state = "failure" if report.blocks else "success"
        images = report.images if local else {}
        return self._post(claim, text, report.verdict, state, images, report.recommendation)

    def _post(
        self,
        claim: Claim,
        text: str,
        verdict: str,
        state: str,
        images: dict[str, bytes],
        description: str = "",
    ) -> dict[str, Any]:
        """Write the comment, then the one status of this commit."""
        from soil_assets.pull_request.poster import post

        blocks = state != "success"
        if self.dry_run:
            return {**self._outcome("dry run", claim, verdict, blocks), "body": text}
        facts = self.github.pull_request(claim.number)
        if not self.head.belongs_to(facts, claim.number):  # it moved on while this run was judged
            return self._superseded(claim, facts)
        _summary(text)
        description = description or verdict
        if (
            self.head.queued is not None
        ):  # a merge queue asks for the check alone; the pull request has its comment
            self._status(state, description)
            return self._outcome("queued", claim, verdict, blocks)
        if self.backend == "cml":
            url = self._by_cml(claim, text, images)
            if not self._decided_by_newer():
                self._status(state, description, url)
            return {**self._outcome("posted by cml", claim, verdict, blocks), "url": url}
        try:
            posted = post(self.github, claim.number, text, self.head.run, self.author)
        except Refused as error:  # the check must tell the verdict even where the comment cannot be written
            self._status(state, description)
            self.tell(f"the comment is not posted: {error}")
            return {**self._outcome("comment refused", claim, verdict, blocks), "why": str(error)}
        if not self._decided_by_newer():
            self._status(state, description, posted.url)
        return {**self._outcome(posted.outcome, claim, verdict, blocks), **vars(posted)}

    def _by_cml(self, claim: Claim, text: str, images: dict[str, bytes]) -> str:
        from soil_assets.adapters import cml

        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "report.md").write_text(text, encoding="utf-8")
            for name, content in images.items():
                (Path(folder) / name).write_bytes(content)
            return cml.comment(
                Path(folder),
                claim.number,
                sha=self.head.sha,
                repository_url=f"{_server()}/{self.github.repository}",
                token=self.github.token,
                publish_url=self.publish_url,
            )

    def _status(self, state: str, description: str, url: str = "") -> None:
        if self.dry_run:
            return
        run = f" [run {self.head.run.number}.{self.head.run.attempt}]"
        description = visible(" ".join(description.split()))
        text = description if len(description) + len(run) <= 140 else f"{description[: 139 - len(run)]}…"
        self.github.set_status(self.head.sha, state, CONTEXT, text + run, url or self.head.run_url)
        file = os.environ.get("GITHUB_OUTPUT")
        if file:  # the workflow sets a status of its own only where there is none
            with open(file, "a", encoding="utf-8") as stream:
                stream.write(f"decision={state}\n")

    def _outcome(self, outcome: str, claim: Claim, verdict: str, blocks: bool) -> dict[str, Any]:
        return {
            "outcome": outcome,
            "number": claim.number,
            "sha": self.head.sha,
            "verdict": verdict,
            "blocks": blocks,
        }


def _links_beside_documentation() -> bool:
    """Whether main holds links outside of its documentation: one may lead into it, and make it more than that."""
    from soil_assets.adapters import git

    commit = git.commit_of(Path(), "HEAD")
    return commit is None or any(not is_documentation(path) for path in git.links_at(Path(), commit))


def _server() -> str:
    return os.environ.get("GITHUB_SERVER_URL", "https://github.com").rstrip("/")


def _summary(text: str) -> None:
    """Show the report on the run's own page too; GitHub takes one mebibyte there."""
    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if file:
        with open(file, "a", encoding="utf-8") as stream:
            stream.write(text[:1_000_000])
