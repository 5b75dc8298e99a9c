"""``soil comment``: the one comment on a pull request, and the status check ``soil / decision``."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from soil_assets.cli.app import app
from soil_assets.cli.console import AsJson, say, show, show_json
from soil_assets.config import load_settings
from soil_assets.errors import BadInput

CONTEXT = "soil / decision"


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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the comment; read from GitHub, write nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Post or renew the one comment on a pull request, from the facts that another run left, judged again here.

    Run it on main's checkout: report and plots are made by this code, by this soil.yaml, on this benchmark, whatever
    the artifact holds. GITHUB_REPOSITORY, GITHUB_TOKEN and GITHUB_API_URL say where. Exit code 0 when it was posted,
    whatever the verdict: the status check "soil / decision" carries that. Without a readable report the check says
    "error", the exit code is 2.
    """
    from soil_assets.adapters.github import GitHub, Refused
    from soil_assets.pull_request.artifact import read_artifact
    from soil_assets.pull_request.event import head_of
    from soil_assets.pull_request.message import addresses, message, report_of, trusted
    from soil_assets.pull_request.poster import post

    _one_of("--backend", backend, ("own", "cml"))
    _one_of("--plots", plots, ("branch", "cml", "none"))
    if plots == "cml" and (backend != "cml" or not publish_url):
        raise BadInput(
            "--plots cml uploads through CML to a server that you name",
            mend="give --backend cml --publish-url",
        )
    settings = load_settings()
    head = head_of(event, sha, os.environ)
    server = os.environ.get("GITHUB_SERVER_URL", "https://github.com").rstrip("/")
    repository = os.environ.get("GITHUB_REPOSITORY", "")
    token = os.environ.get("GITHUB_TOKEN", "")
    if not token:
        raise BadInput(
            "no token", column="GITHUB_TOKEN", mend="give the job's token to this step's environment"
        )
    github = GitHub(os.environ.get("GITHUB_API_URL", "https://api.github.com"), repository, token)
    try:
        found = read_artifact(artifact)
        pull_request = github.pull_request(found.number)
        newest = head.belongs_to(pull_request, found.number)
    except (
        BadInput
    ) as error:  # a run that broke before its report must not leave the commit without a decision
        if not dry_run:
            github.set_status(head.sha, "error", CONTEXT, f"no report: {error.what}", head.run_url)
        raise
    if not newest:
        said = {"outcome": "superseded", "number": found.number, "sha": head.sha}
        if as_json:
            show_json(said)
        else:
            show(f"pull request {found.number} moved on from {head.sha[:12]}; its newer run reports")
        return
    say(f"judging the report of {head.sha[:12]} again")
    facts = trusted(
        found.facts,
        settings.policy,
        _benchmark(settings),
        head.origin(
            found.number,
            settings.alerts.ui_url,
            settings.branches.address(pull_request, github.statuses(head.sha)),
        ),
        github.changed_files(found.number),
    )
    made = report_of(facts)
    base = ""
    if plots == "branch" and not dry_run:
        folder = f"pull-{found.number}/{head.sha[:12]}"
        files = {f"{folder}/{name}": content for name, content in made.images.items()}
        try:
            commit = github.publish(branch, files, f"Plots of pull request {found.number} at {head.sha[:12]}")
            base = f"{server}/{repository}/blob/{commit}/{folder}"
        except Refused as error:  # a comment without pictures is better than none
            say(f"plots are not published: {error}")
    local = plots == "cml"
    text = message(made, (lambda name: name) if local else addresses(base, made.images))
    _summary(text)
    if dry_run:
        if as_json:
            show_json({"outcome": "dry run", "number": found.number, "verdict": made.verdict, "body": text})
        else:
            show(text)
        return
    said = {"number": found.number, "sha": head.sha, "verdict": made.verdict, "blocks": made.blocks}
    url = head.run_url
    try:
        if backend == "cml":
            url = _by_cml(
                text,
                made.images if local else {},
                number=found.number,
                sha=head.sha,
                repository_url=f"{server}/{repository}",
                token=token,
                publish_url=publish_url,
            )
            said |= {"outcome": "posted by cml", "url": url}
        else:
            posted = post(github, found.number, text, head.run, author)
            url = posted.url
            said |= {**vars(posted)}
    finally:  # the check must tell the verdict even where the comment cannot be written
        github.set_status(
            head.sha,
            "failure" if made.blocks else "success",
            CONTEXT,
            made.recommendation,
            url or head.run_url,
        )
    if as_json:
        show_json(said)
    else:
        show(f"{said['outcome']}: {url or f'comment on pull request {found.number}'} ({made.verdict})")


def _by_cml(text: str, images: dict[str, bytes], *, number: int, **where: Any) -> str:
    from soil_assets.adapters import cml

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "report.md").write_text(text, encoding="utf-8")
        for name, content in images.items():
            (Path(folder) / name).write_bytes(content)
        return cml.comment(Path(folder), number, **where)


def _benchmark(settings: Any) -> dict[str, dict[str, tuple[str, float]]]:
    from soil_assets.cli.inputs import batch_from
    from soil_assets.defs.rejudge import known_samples

    return known_samples(batch_from(settings.benchmark, settings), settings.properties)


def _summary(text: str) -> None:
    """Show the report on the run's own page too; GitHub takes one mebibyte there."""
    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if file:
        with open(file, "a", encoding="utf-8") as stream:
            stream.write(text[:1_000_000])


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise BadInput(f"not a value of {option}", found=value, expected=", ".join(allowed))
