"""New batches of an inbox become pull requests, one a batch, each judged like any other change.

Belongs here: which batches are new, the branch and the words of each pull request. Does not belong here: requests
(``adapters.github``), judging a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from soil_assets.adapters.dvc import directory_hash
from soil_assets.adapters.github import GitHub
from soil_assets.defs.landing_zone import all_files, list_batch
from soil_assets.errors import BadInput
from soil_assets.reporting.escaping import markdown_code
from soil_assets.storage import Store, safe_key

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


def new_batches(inbox: Store, known: Mapping[str, str], quiet_seconds: float) -> Iterator[NewBatch]:
    """Yield the whole batches of an inbox whose content the repository does not have.

    Parameters
    ----------
    known : mapping of str to str
        The repository's batches by the hash of their content.

    Raises
    ------
    BadInput
        For a name that cannot be a folder's, or a batch too large for git.
    """
    for name in inbox.folders():
        safe_key(name, "batch name")
        if not list_batch(inbox, name, quiet_seconds).whole:
            continue
        files = all_files(inbox, name)
        content = directory_hash(files)
        if known.get(name) == content:
            continue
        size = sum(map(len, files.values()))
        if size > MAX_BYTES:
            raise BadInput(
                "a batch too large for git",
                file=inbox.where(name),
                found=f"{size:,} bytes",
                expected=f"at most {MAX_BYTES:,}",
                mend=f"put it under DVC: soil batch add {name} --push, and commit its pointer",
            )
        yield NewBatch(name, files, content)


def propose(
    github: GitHub, batch: NewBatch, folder: str, main: str, commit: str, workflow: str
) -> str | None:
    """Open the pull request of a batch and start its validation; None when it is there already.

    Parameters
    ----------
    folder : str
        Where the repository keeps its batches.
    main, commit : str
        The branch to merge into, and its head.
    workflow : str
        File name of the validating workflow.
    """
    if github.branch_exists(batch.branch):
        return None
    files = {f"{folder}/{batch.name}/{name}": content for name, content in batch.files.items()}
    github.publish(batch.branch, files, f"Add batch {batch.name}", base=commit)
    made = github.open_pull_request(
        f"Batch {batch.name}",
        batch.branch,
        main,
        f"Batch {markdown_code(batch.name)} of {len(batch.files)} files landed; content "
        f"{markdown_code(batch.content)}. Its report follows as a comment.",
    )
    github.start_workflow(workflow, batch.branch, {"pull_request": str(made["number"])})
    return str(made.get("html_url") or made["number"])
