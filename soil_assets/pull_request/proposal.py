"""New batches of an inbox become pull requests, one a batch, each judged like any other change.

Belongs here: which batches are new, the branch and the words of each pull request. Does not belong here: requests
(``adapters.github``), judging a batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from soil_assets.adapters.dvc import hash_of_digests
from soil_assets.adapters.github import GitHub, Refused
from soil_assets.defs.landing_zone import list_batch
from soil_assets.errors import BadInput
from soil_assets.reporting.escaping import markdown_code
from soil_assets.storage import Store, batch_name

#: A batch of more bytes belongs under DVC: git keeps every version of it for ever.
MAX_BYTES = 50_000_000
BRANCHES = "data/"


@dataclass(frozen=True)
class NewBatch:
    """A batch that the repository does not have."""

    name: str
    files: Mapping[str, bytes]
    content: str

    @property
    def branch(self) -> str:
        """The branch of its pull request: one a content, so that nothing is proposed twice."""
        return f"{BRANCHES}{self.name.replace(' ', '-')}-{self.content[:8]}"


@dataclass
class Outcome:
    """What became of the batches of an inbox, each by its name."""

    #: Without a pull request yet: only of a dry run.
    new: list[str] = field(default_factory=list)
    #: Addresses of pull requests: opened now, and those of earlier times, open or closed.
    opened: dict[str, str] = field(default_factory=dict)
    earlier: dict[str, str] = field(default_factory=dict)
    failures: dict[str, BadInput] = field(default_factory=dict)


def propose_all(
    inbox: Store,
    recorded: Mapping[str, str],
    quiet_seconds: float,
    propose_one: Callable[[NewBatch], Proposal] | None,
) -> Outcome:
    """Propose every new batch of an inbox; one that fails does not stop the others.

    Parameters
    ----------
    recorded : mapping of str to str
        The repository's batches by the hash of their content.
    propose_one : callable or None
        Usually `propose` of one repository; None: only say what is new.
    """
    outcome = Outcome()
    for name in inbox.folders():
        try:
            batch = new_batch(inbox, name, recorded, quiet_seconds)
            if batch is None:
                continue
            if propose_one is None:
                outcome.new.append(name)
                continue
            proposal = propose_one(batch)
        except BadInput as error:
            outcome.failures[name] = error
        except OSError as error:
            outcome.failures[name] = BadInput(
                "this batch cannot be read", file=inbox.where(name), found=str(error)
            )
        else:
            (outcome.opened if proposal.is_new else outcome.earlier)[name] = proposal.url
    return outcome


def new_batch(inbox: Store, name: str, recorded: Mapping[str, str], quiet_seconds: float) -> NewBatch | None:
    """Return a batch whose content the repository does not have; None when it does, or the batch is not whole.

    Raises
    ------
    BadInput
        For a name that cannot be a folder's, or a batch too large for git.
    """
    batch_name(name)
    if not list_batch(inbox, name, quiet_seconds).whole:
        return None
    digests: dict[str, str] = {}
    files: dict[str, bytes] = {}
    size = 0
    for key in inbox.files(name):  # of a large batch no more than one file is held
        content = inbox.read(key)
        size += len(content)
        path = key.removeprefix(f"{name}/")
        digests[path] = hashlib.md5(content, usedforsecurity=False).hexdigest()
        files[path] = content
        if size > MAX_BYTES:
            files.clear()
    digest = hash_of_digests(digests)
    if recorded.get(name) == digest:
        return None
    if size > MAX_BYTES:
        raise BadInput(
            "a batch too large for git",
            file=inbox.where(name),
            found=f"{size:,} bytes",
            expected=f"at most {MAX_BYTES:,}",
            mend=f"put it under DVC: soil batch add {name} --push, and commit its pointer",
        )
    return NewBatch(name, files, digest)


@dataclass(frozen=True)
class Proposal:
    """The pull request of a batch, and whether it was opened now."""

    url: str
    is_new: bool


def propose(
    github: GitHub,
    batch: NewBatch,
    folder: str,
    main: str,
    commit: str,
    workflows: Mapping[str, bool],
) -> Proposal:
    """Open the pull request of a batch and start its checks, unless its content has a pull request already.

    A closed pull request is a decision: its content is not proposed again. A branch without one is what an earlier run
    left that was not allowed to open it: it is opened now.

    Parameters
    ----------
    folder : str
        Where the repository keeps its batches.
    main, commit : str
        The branch to merge into, and its head.
    workflows : mapping of str to bool
        File names of the workflows to start on the branch, and whether each takes the number as ``pull_request``.

    Raises
    ------
    BadInput
        When GitHub refuses; the next run goes on from there.
    """
    earlier = github.pull_requests_of(batch.branch)
    if earlier:
        request, is_new = next((r for r in earlier if r["state"] == "open"), earlier[0]), False
    else:
        if not github.branch_exists(batch.branch):
            files = {f"{folder}/{batch.name}/{name}": content for name, content in batch.files.items()}
            github.publish(batch.branch, files, f"Add batch {batch.name}", base=commit)
        request, is_new = _open(github, batch, main), True
    if request["state"] == "open":
        for file, takes_number in workflows.items():
            if not github.was_started(file, batch.branch):
                number = {"pull_request": str(request["number"])} if takes_number else {}
                github.start_workflow(file, batch.branch, number)
    return Proposal(str(request.get("html_url") or request["number"]), is_new)


def _open(github: GitHub, batch: NewBatch, main: str) -> dict[str, Any]:
    try:
        return github.open_pull_request(
            f"Batch {batch.name}",
            batch.branch,
            main,
            f"Batch {markdown_code(batch.name)} of {len(batch.files)} files landed; content "
            f"{markdown_code(batch.content)}. Its report follows as a comment.",
        )
    except Refused as error:
        if error.status != 403:
            raise
        raise BadInput(
            "this job may not open pull requests",
            found=error.found,
            mend="in the repository's settings (Actions, General) allow GitHub Actions to create pull requests, or "
            f"open one of the branch {batch.branch}, which is there; until then each run tries again",
        ) from None
