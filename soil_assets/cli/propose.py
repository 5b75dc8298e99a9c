"""Commands of scheduled jobs: ``soil propose`` for new batches, ``soil prune-reports`` for old plots."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soil_assets.cli.app import app
from soil_assets.cli.console import BAD_INPUT, AsJson, say, show, show_json
from soil_assets.config import load_settings
from soil_assets.errors import BadInput

if TYPE_CHECKING:
    from soil_assets.adapters.github import GitHub


@app.command()
def propose(
    inbox: Annotated[str, typer.Argument(help="Folder or URL where new batches arrive, a folder a batch.")],
    main: Annotated[str, typer.Option(help="Branch that pull requests are to be merged into.")] = "main",
    workflow: Annotated[
        str, typer.Option(help="File name of the validating workflow; its input pull_request is the number.")
    ] = "validate.yml",
    start: Annotated[
        list[str] | None,
        typer.Option(help="Another workflow to start on the branch, without inputs; may be repeated."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is new; write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Open a pull request for each new batch of an inbox, and start its validation.

    GITHUB_REPOSITORY, GITHUB_TOKEN and GITHUB_API_URL say where. A batch whose content has a pull request, open or
    closed, is left alone. One that fails does not stop the others: the exit code is 2 when all were tried, and the next
    run tries it again.
    """
    from soil_assets.adapters import git
    from soil_assets.pull_request import proposal
    from soil_assets.pull_request.baseline import BATCHES
    from soil_assets.pull_request.batches import batches_at
    from soil_assets.storage import Store

    commit = git.commit_of(Path(), "HEAD")
    if commit is None:
        raise BadInput(
            "not a git repository", file=str(Path().absolute()), mend="run it in a checkout of main"
        )
    workflows = {workflow: True, **dict.fromkeys(start or (), False)}
    propose_one = (
        None
        if dry_run
        else partial(
            proposal.propose, _github(), folder=BATCHES, main=main, commit=commit, workflows=workflows
        )
    )
    quiet = load_settings().landing.quiet_seconds
    outcome = proposal.propose_all(Store(inbox), batches_at(Path(), commit, BATCHES), quiet, propose_one)
    if as_json:
        failures = {name: error.to_dict() for name, error in outcome.failures.items()}
        show_json({**vars(outcome), "failures": failures})
    else:
        for name, url in outcome.opened.items():
            show(f"{name}: {url}")
        for name, url in outcome.earlier.items():
            show(f"{name}: was proposed before, {url}")
        for name in outcome.new:
            show(f"{name}: new")
        if not (outcome.opened or outcome.new):
            show("no new batches")
    for name, error in outcome.failures.items():
        say(f"{name}: {error}")
    if outcome.failures:
        raise SystemExit(BAD_INPUT)


@app.command("prune-reports")
def prune_reports(
    days: Annotated[
        int, typer.Option(min=0, help="Plots of pull requests that were closed longer ago are dropped.")
    ] = 90,
    branch: Annotated[str, typer.Option(help="Branch with the plots.")] = "soil-reports",
    author: Annotated[
        str, typer.Option(help="Account that wrote the comments whose addresses are renewed.")
    ] = "github-actions[bot]",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Drop old plots from the branch that comments show, and its history; comments of the others get new addresses.

    GITHUB_REPOSITORY, GITHUB_TOKEN and GITHUB_API_URL say where. Pull requests that are open keep their plots.
    """
    import datetime

    from soil_assets.pull_request.plots import prune

    pruned = prune(_github(), branch, days, datetime.datetime.now(datetime.UTC), author, dry_run=dry_run)
    if as_json:
        show_json({**vars(pruned), "dry_run": dry_run})
    elif pruned.dropped:
        verb = "would go" if dry_run else "dropped"
        show(f"{verb}: {', '.join(pruned.dropped)}; {len(pruned.renewed)} comments with new addresses")
    else:
        show("nothing to drop")


def _github() -> GitHub:
    from soil_assets.adapters.github import GitHub

    token = os.environ.get("GITHUB_TOKEN", "")
    if not token:
        raise BadInput(
            "no token", column="GITHUB_TOKEN", mend="give the job's token to this step's environment"
        )
    return GitHub(
        os.environ.get("GITHUB_API_URL", "https://api.github.com"),
        os.environ.get("GITHUB_REPOSITORY", ""),
        token,
    )
