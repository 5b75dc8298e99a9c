"""``soil comment``: the one comment on a pull request, and the status check ``soil / decision``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from soil_assets.cli.app import app
from soil_assets.cli.console import AsJson, say, show, show_json
from soil_assets.errors import BadInput


@app.command()
def comment(
    artifact: Annotated[
        Path, typer.Option(help="What soil report --pull-request wrote: its folder, or a ZIP of it.")
    ] = Path("report"),
    event: Annotated[
        Path | None,
        typer.Option(
            help="The workflow_run event (default: $GITHUB_EVENT_PATH): whose run the artifact is of."
        ),
    ] = None,
    sha: Annotated[
        str, typer.Option(help="Head commit that the report is of, where there is no event.")
    ] = "",
    backend: Annotated[str, typer.Option(help="own | cml: who posts.")] = "own",
    plots: Annotated[
        str,
        typer.Option(
            help="branch | cml | none: where pictures go; without a place Mermaid and words stand in."
        ),
    ] = "branch",
    branch: Annotated[str, typer.Option(help="Branch for plots, apart from the code.")] = "soil-reports",
    publish_url: Annotated[
        str | None, typer.Option(help="Image server for --plots cml; there is no default.")
    ] = None,
    author: Annotated[
        str, typer.Option(help="Account that the token belongs to; only its comment is replaced.")
    ] = "github-actions[bot]",
    baseline: Annotated[
        Path | None,
        typer.Option(
            help="What soil baseline wrote here for the compared commit; brought by itself otherwise."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the comment; read from GitHub, write nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Post or renew the one comment on a pull request, from the artifact that another run left, judged again here.

    Run it on main's checkout: this code, this soil.yaml, main's models and the models of the artifact give the verdict,
    whatever the artifact says of itself. GITHUB_REPOSITORY, GITHUB_TOKEN and GITHUB_API_URL say where. The commit ends
    with one status check "soil / decision": success, failure, or error with the reason why nothing could be decided.
    Exit code 0 when a decision was posted, whatever it is; 2 when there is none.
    """
    from soil_assets.adapters.github import GitHub
    from soil_assets.pull_request.desk import Desk
    from soil_assets.pull_request.event import head_of

    _one_of("--backend", backend, ("own", "cml"))
    _one_of("--plots", plots, ("branch", "cml", "none"))
    if plots == "cml" and (backend != "cml" or not publish_url):
        raise BadInput(
            "--plots cml uploads through CML to a server that you name",
            mend="give --backend cml --publish-url",
        )
    head = head_of(event, sha, os.environ)
    token = os.environ.get("GITHUB_TOKEN", "")
    if not token:
        raise BadInput(
            "no token", column="GITHUB_TOKEN", mend="give the job's token to this step's environment"
        )
    github = GitHub(
        os.environ.get("GITHUB_API_URL", "https://api.github.com"),
        os.environ.get("GITHUB_REPOSITORY", ""),
        token,
    )
    desk = Desk(github, head, backend, plots, branch, publish_url, author, dry_run, say)
    try:
        outcome = desk.decide(artifact, baseline)
    except Exception as error:
        # Whatever went wrong: the commit must not be left without a decision, and never with a green one.
        desk.report_error(error)
        if isinstance(error, BadInput):
            raise
        raise BadInput("nothing could be decided", found=f"{type(error).__name__}: {error}"[:300]) from error
    if as_json:
        show_json(outcome)
    elif outcome["outcome"] == "dry run":
        show(outcome["body"])
    else:
        show(f"{outcome['outcome']}: {outcome.get('url') or outcome['sha'][:12]} ({outcome['verdict']})")


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise BadInput(f"not a value of {option}", found=value, expected=", ".join(allowed))
