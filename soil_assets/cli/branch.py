"""``soil branch``: the storage of branch deployments."""

from __future__ import annotations

from typing import Annotated

import typer

from soil_assets.cli.app import app
from soil_assets.cli.console import AsJson, show, show_json
from soil_assets.config import branch_from_environment, load_settings
from soil_assets.errors import BadInput

branch = typer.Typer(help="Branch deployments: what they keep beside production.", no_args_is_help=True)
app.add_typer(branch, name="branch")


@branch.command("list")
def list_(as_json: AsJson = False) -> None:
    """Name the branches that keep values of their own."""
    from soil_assets.branch_store import BRANCHES
    from soil_assets.storage import Store

    settings = load_settings()
    found = sorted(
        {n for kind in ("data", "reports") for n in Store(settings.main_url(kind)).folders(BRANCHES)}
    )
    if as_json:
        show_json({"branches": found})
    else:
        show("\n".join(found) or "no branch keeps anything")


@branch.command()
def remove(
    name: Annotated[str, typer.Argument(help="As it was in SOIL_BRANCH, for example pr-12.")] = "",
    git_branch: Annotated[
        str, typer.Option(help="The git branch, where Dagster+ named the deployment after it.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Delete what a closed branch wrote; production's values are out of reach, and twice does no harm."""
    from soil_assets.defs.branches import remove_branch

    if bool(name) == bool(git_branch):
        raise BadInput(
            "which branch is to be removed?",
            found=f"name {name!r}, --git-branch {git_branch!r}",
            expected="one of the two",
            mend="give the name that soil branch list tells, or --git-branch",
        )
    name = name or branch_from_environment({"SOIL_BRANCH": git_branch})
    gone = remove_branch(load_settings(), name)
    if as_json:
        show_json({"branch": name, "removed": gone})
    else:
        show("\n".join(f"removed {folder}" for folder in gone) or f"branch {name} keeps nothing")
