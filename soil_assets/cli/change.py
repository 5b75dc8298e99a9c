"""``soil change``: what a change touches, and the first file of a pull request's artifact."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from soil_assets.cli.app import app
from soil_assets.cli.console import AsJson, show, show_json
from soil_assets.errors import BadInput

#: Files that ``dvc repro`` writes beside the pipeline's definition.
DERIVED = ("dvc.lock", "metrics.json")


@app.command()
def change(
    against: Annotated[
        str, typer.Option(help="Commit that the change is merged into: HEAD^1 of a merge commit.")
    ] = "HEAD^1",
    pull_request: Annotated[
        int | None, typer.Option(help="Number of the pull request, for the job that decides.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder of the artifact: pull_request.json is written first.")
    ] = Path("report"),
    as_json: AsJson = False,
) -> None:
    """Say whether a change touches documentation alone or needs the whole chain, and claim its pull request.

    Prints "kind=documentation" or "kind=full", to $GITHUB_OUTPUT too where that is set.
    """
    from soil_assets.adapters import git
    from soil_assets.pull_request.artifact import Claim, write_claim
    from soil_assets.pull_request.scope import is_documentation, only_documentation

    root = Path()
    base, head = git.commit_of(root, against), git.commit_of(root, "HEAD")
    if base is None or head is None:
        raise BadInput(
            "the commit to compare with is not in this clone",
            column="--against",
            found=against,
            expected="a commit of main",
            mend="fetch it: actions/checkout with fetch-depth: 2 has HEAD^1 of a merge commit",
        )
    if pull_request is not None:
        write_claim(out, Claim(pull_request, base))
    paths = git.changed_paths(root, base, head)
    derived = [path for path in paths if path in DERIVED and git.file_at(root, head, path) is not None]
    if derived:
        raise BadInput(
            "the change commits what dvc repro derives, which conflicts with every other change",
            file=", ".join(derived),
            expected="dvc.yaml and the .dvc pointers alone",
            mend=f"git rm --cached {' '.join(derived)}, and commit",
        )
    links = [path for path in git.links_at(root, head) if not is_documentation(path)]
    if links:
        raise BadInput(
            "the change holds a link: what it leads to would be read under another name",
            file=", ".join(links[:5]),
            expected="files",
            mend="put the file itself there",
        )
    kind = "documentation" if only_documentation(paths) else "full"
    if os.environ.get("GITHUB_OUTPUT"):
        with open(os.environ["GITHUB_OUTPUT"], "a", encoding="utf-8") as stream:
            stream.write(f"kind={kind}\nbase={base}\n")
    if as_json:
        show_json({"kind": kind, "base": base, "head": head, "files": paths})
    else:
        show(f"kind={kind}")
