"""Commands of the repository's pipeline: ``soil fetch``, ``soil candidate``, ``soil graph``, ``soil baseline``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from soil_assets.cli.app import app
from soil_assets.cli.console import AsJson, say, show, show_json
from soil_assets.config import Settings, load_settings
from soil_assets.errors import BadInput


@app.command()
def fetch(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Embedded batches; without a name, those that main is trained on."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to write them into, a folder a batch.")] = Path("batches"),
    as_json: AsJson = False,
) -> None:
    """Write the embedded batches, byte for byte the same every time: a clone without a DVC remote has data too."""
    from soil_assets.adapters.dvc import directory_hash
    from soil_assets.defs.landing_zone import all_files
    from soil_assets.demo.batches import DEMO_BATCHES, REPOSITORY_BATCHES, land
    from soil_assets.storage import Store

    known = {b.name: b for b in DEMO_BATCHES}
    landing = Store(str(out))
    written = {}
    for name in names or REPOSITORY_BATCHES:
        if name not in known:
            raise BadInput("no such embedded batch", found=name, expected=", ".join(known))
        land(known[name], landing)
        written[name] = directory_hash(all_files(landing, name))
    if as_json:
        show_json({"folder": str(out), "batches": written})
    else:
        for name, digest in written.items():
            show(f"{out / name}: {digest}")


@app.command()
def candidate(
    models: Annotated[
        Path | None, typer.Option(help="Write the candidates here, a folder a property: arrays and JSON.")
    ] = None,
    metrics: Annotated[Path | None, typer.Option(help="Write their benchmark figures here (JSON).")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the models of the last training and their figures on the benchmark, for DVC to track."""
    figures = write_candidates(load_settings(), models, metrics)
    if as_json:
        show_json({"models": None if models is None else str(models), "metrics": figures})
    else:
        show(", ".join(f"{prop} RMSE {f['rmse']:.4g}" for prop, f in figures.items()) or "no figures")


def write_candidates(settings: Settings, models: Path | None, metrics: Path | None) -> dict[str, Any]:
    """Write candidates into a folder and their benchmark figures into a file, where these are named.

    Returns
    -------
    dict of str to dict
        The figures by property.

    Raises
    ------
    BadInput
        When models are asked for and a property has none.
    """
    from soil_assets.cli.inputs import soil_of
    from soil_assets.defs.io import has_value, load_value
    from soil_assets.modeling.artifact import save
    from soil_assets.reporting.decision_figures import tracked_figures

    soil = soil_of(settings)
    figures: dict[str, Any] = {}
    for prop in settings.properties:
        if models is not None:
            if not has_value(soil.data, "trained_models", prop):
                raise BadInput(
                    "this property has no candidate", found=prop, mend="soil run trained_models --each"
                )
            save(load_value(soil.data, "trained_models", prop), models / prop)
        if has_value(soil.data, "benchmark_evaluations", prop):
            figures[prop] = tracked_figures(load_value(soil.data, "benchmark_evaluations", prop))
    if metrics is not None:
        text = json.dumps(figures, indent=1, sort_keys=True, allow_nan=False)
        metrics.write_text(text + "\n", encoding="utf-8")
    return figures


@app.command()
def graph(as_json: AsJson = False) -> None:
    """Print the asset graph: code version, inputs and checks of every asset, for comparing two commits."""
    from soil_assets.defs.build import assets_of
    from soil_assets.defs.snapshot import snapshot

    found = snapshot(assets_of(load_settings()))
    if as_json:
        show_json(found)
    else:
        for name, node in found.items():
            show(f"{name}  {node['code_version']}  <- {', '.join(node['depends_on']) or '-'}")


@app.command()
def baseline(
    against: Annotated[str, typer.Option(help="Commit, branch or tag that is main.")] = "origin/main",
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("baseline"),
    retrain: Annotated[
        bool, typer.Option(help="Train main's commit again when neither registry nor DVC has its models.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Lay main beside a change: its models, its policy and benchmark, its asset graph, its data and past figures.

    Models come from the registry's alias, else from main's DVC artifact, else main's commit is trained again.
    """
    import shutil

    from soil_assets.pull_request.baseline import bring

    if out.exists() and not (out / "baseline.json").is_file() and any(out.iterdir()):
        raise BadInput(
            "this folder is not a baseline and not empty", file=str(out), mend="name another with --out"
        )
    shutil.rmtree(out, ignore_errors=True)
    found = bring(Path(), against, out, say, retrain=retrain)
    if as_json:
        show_json({**vars(found), "folder": str(out)})
    else:
        show(f"main {found.commit[:12] or '(none)'}: models from {found.source}, written to {out}")
