"""``soil metrics``: the platform in figures, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soil_assets.cli.app import app
from soil_assets.cli.console import AsJson, say, show, show_json
from soil_assets.config import load_settings
from soil_assets.errors import BadInput

if TYPE_CHECKING:
    from soil_assets.adapters.prometheus import Family


@app.command()
def metrics(
    output: Annotated[
        Path | None,
        typer.Option(help="Write a file for node_exporter's textfile collector, whole or not at all."),
    ] = None,
    serve: Annotated[int | None, typer.Option(help="Answer scrapes on this port until interrupted.")] = None,
    host: Annotated[str, typer.Option(help="With --serve: address to listen on.")] = "127.0.0.1",
    as_json: AsJson = False,
) -> None:
    """Print batches, gates, drift, models and runs as figures in Prometheus's text format.

    Reads records of the instance and small files of the store. A part that cannot be looked at (a registry that does
    not answer) is named in soil_export_failed, and the others are there; the exit code is 0 all the same.
    """
    from soil_assets.adapters import prometheus
    from soil_assets.defs.metrics import Metrics
    from soil_assets.defs.run import open_instance

    if sum((output is not None, serve is not None, as_json)) > 1:
        raise BadInput("--output, --serve and --json exclude one another", mend="choose one of them")
    if serve is not None and not 0 <= serve <= 65535:
        raise BadInput("not a port", column="--serve", found=str(serve), expected="1 to 65535, or 0 for any")
    with open_instance() as instance:
        platform = Metrics(instance, load_settings(), tell=say)
        if serve is not None:
            _serve(platform.look, serve, host)
            return
        families = platform.look()
    if output is not None:
        prometheus.write(families, output)
        say(f"{sum(len(f.samples) for f in families)} series in {output}")
    elif as_json:
        show_json(prometheus.as_json(families))
    else:
        show(prometheus.text(families).rstrip("\n"))


def _serve(look: Callable[[], Sequence[Family]], port: int, host: str) -> None:
    import signal
    import threading

    from soil_assets.adapters import prometheus

    ended = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: ended.set())
    port, stop = prometheus.serve(look, port, host)
    say(f"http://{host}:{port}/metrics  (Ctrl-C to stop)")
    ended.wait()
    stop()
