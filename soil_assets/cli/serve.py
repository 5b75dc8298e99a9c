"""``soil serve``: the prediction service; ``soil api-key``: a key to ask it with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soil_assets.cli.app import app
from soil_assets.cli.console import AsJson, say, show, show_json
from soil_assets.config import Settings, load_settings
from soil_assets.errors import BadInput

if TYPE_CHECKING:
    from soil_assets.serving.live import Followed


@app.command()
def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=VERSION pins a version, NAME@ALIAS follows an alias; repeat for more. Default: every property "
            "of soil.yaml at --alias."
        ),
    ] = None,
    alias: Annotated[str, typer.Option(help="The alias to follow where no --model is given.")] = "staging",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8080,
    kept_models: Annotated[
        bool,
        typer.Option(
            "--kept-models",
            help="When the registry cannot be reached at start, answer from the last good local copies.",
        ),
    ] = False,
) -> None:
    """Answer spectra over HTTP with registered models: value, interval, inside the domain or not, version.

    POST /v1/predict takes JSON or an instrument's file; / is a page to drop files on; /v1/models, /healthz, /readyz,
    /metrics and /openapi.json tell the rest. Limits, API keys and the prediction log are set in soil.yaml, section
    service. A followed alias is looked at every few seconds: a new version is loaded beside the old one and swapped in
    without dropping a request. Logs are lines of JSON on standard output.
    """
    # numpy's linear algebra reads it when it is loaded; requests and pieces of them are the unit of parallel work here.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    settings = load_settings()
    followed = _followed(model or [], alias, settings)
    try:
        from soil_assets.adapters.registry_reader import reader_of
        from soil_assets.serving.live import LiveModels
        from soil_assets.serving.logs import EventLog
        from soil_assets.serving.model_store import ModelStore
        from soil_assets.serving.server import serve as answer
        from soil_assets.serving.service import PredictionService
    except ImportError as error:
        raise BadInput(
            "the prediction service is not installed",
            found=f"no module {error.name}",
            mend="pip install 'soil-assets[serve]'",
        ) from None
    tell = EventLog()
    store = ModelStore(
        Path(settings.service.models.format(home=settings.home)),
        reader_of(settings.url("mlflow_tracking")),
        lambda text: tell("model", {"note": text}),
    )
    live = LiveModels(store, followed, tell)
    live.start(from_kept=kept_models)
    service = PredictionService(settings.service, settings.policy.quality, live, tell, settings.home)
    say(f"http://{host}:{port}  (Ctrl-C to stop)")
    answer(service, host, port)


@app.command("api-key")
def api_key(
    name: Annotated[str, typer.Argument(help="Whose key it is; logs say this name.")],
    days: Annotated[
        int | None, typer.Option(help="Days until it expires; never, when left out.", min=1)
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="File of keys (default: service.keys of soil.yaml).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key for the prediction service. It is shown once; the file keeps its hash alone."""
    import datetime as dt

    from soil_assets.serving.keys import add_key

    settings = load_settings()
    chosen = file or (
        Path(settings.service.keys.format(home=settings.home)) if settings.service.keys else None
    )
    if chosen is None:
        raise BadInput(
            "no file of keys",
            column="service.keys",
            found="nothing",
            mend="set service.keys in soil.yaml, or give --file",
        )
    expires = None if days is None else dt.datetime.now(dt.UTC).date() + dt.timedelta(days=days)
    key = add_key(chosen, name, expires)
    if as_json:
        show_json({"name": name, "key": key, "expires": expires, "file": str(chosen)})
    else:
        say(f"added to {chosen}{f', expires on {expires}' if expires else ''}; the key, shown this once:")
        show(key)


def _followed(model: list[str], alias: str, settings: Settings) -> list[Followed]:
    from dataclasses import replace

    from soil_assets.serving.live import Followed

    if model:
        found = [Followed.parse(text) for text in model]
        names = [f.name for f in found]
        if len(set(names)) < len(names):
            raise BadInput(
                "a model is named twice", column="--model", found=", ".join(names), expected="each once"
            )
        return found
    # One property without a version yet must not keep the others from answering.
    return [
        replace(Followed.parse(f"{settings.model_name(p)}@{alias}"), needed=False)
        for p in settings.properties
    ]
