"""The command line's entry point: commands by topic, and one place that turns errors into exit codes."""

from __future__ import annotations

from typing import Annotated

import typer

from soil_assets.cli.console import explained, prepare_environment

app = typer.Typer(
    name="soil",
    help="Continuous validation for soil-spectroscopy models.\n\n"
    "Exit codes: 0 pass, 1 a gate failed, 2 bad input. Every command takes --json.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _options(
    config: Annotated[
        str | None, typer.Option(help="The soil.yaml to use (default: $SOIL_CONFIG, else ./soil.yaml).")
    ] = None,
    repository: Annotated[
        bool,
        typer.Option(
            "--repository",
            help="Work on the repository in this folder, as its DVC stages and CI do: batches from ./batches, main's "
            "policy and models from ./baseline, an instance of its own.",
        ),
    ] = False,
) -> None:
    import os

    if repository:
        os.environ.setdefault("SOIL_HOME", os.path.abspath(".soil/repository"))
        os.environ.setdefault("SOIL_LANDING", os.path.abspath("batches"))
        if os.path.isfile("baseline/baseline.json"):
            os.environ.setdefault("SOIL_BASELINE", os.path.abspath("baseline"))
    prepare_environment()
    if config is not None:
        os.environ["SOIL_CONFIG"] = config


def main() -> None:
    """Run ``soil``."""
    with explained():
        app()


from soil_assets.cli import (  # noqa: E402  # each registers its commands
    batch_decisions,  # noqa: F401
    batches,  # noqa: F401
    benchmark,  # noqa: F401
    branch,  # noqa: F401
    change,  # noqa: F401
    comment,  # noqa: F401
    data,  # noqa: F401
    metrics,  # noqa: F401
    models,  # noqa: F401
    pipeline,  # noqa: F401
    platform,  # noqa: F401
    policy,  # noqa: F401
    propose,  # noqa: F401
    reference,  # noqa: F401
    registry,  # noqa: F401
    release,  # noqa: F401
    report,  # noqa: F401
    serve,  # noqa: F401
)
