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
) -> None:
    import os

    prepare_environment()
    if config is not None:
        os.environ["SOIL_CONFIG"] = config


def main() -> None:
    """Run ``soil``."""
    with explained():
        app()


from soil_assets.cli import batches, data, models, platform  # noqa: E402, F401  # each registers its commands
