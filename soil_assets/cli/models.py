"""Commands on models: ``soil train``, ``soil evaluate``, ``soil predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soil_assets.cli.app import app
from soil_assets.cli.console import AsJson, GateFailed, say, show, show_json, show_table
from soil_assets.config import load_settings

if TYPE_CHECKING:
    from soil_assets.modeling.model import SoilModel

Model = Annotated[
    str,
    typer.Argument(help="models:/soil-clay@staging, models:/soil-clay/3, or the folder of a trained model."),
]
Spectra = Annotated[str, typer.Argument(help="A frozen set's name, or a file, folder or URL of spectra.")]


@app.command()
def train(
    data: Spectra,
    prop: Annotated[str, typer.Option("--property", "-p", help="Property to model, such as clay.")],
    out: Annotated[Path, typer.Option(help="Folder for the model: arrays and JSON, nothing pickled.")],
    as_json: AsJson = False,
) -> None:
    """Train a model by the recipe of soil.yaml and say how good it is by nested, grouped cross-validation.

    Writes the model and its card (card/index.html, card/card.md). A training that is cancelled leaves an earlier
    model in OUT as it was; the same command goes on from the folds that were finished.
    """
    import shutil

    from rich.console import Console
    from rich.progress import Progress

    from soil_assets.cli.inputs import batch_from, catalogue_of
    from soil_assets.modeling.artifact import save
    from soil_assets.modeling.recipe import Recipe
    from soil_assets.modeling.train import train as fit

    settings = load_settings()
    known = catalogue_of(settings)[prop]
    batch = batch_from(data, settings)
    kept = out.with_name(f".{out.name}.unfinished")
    try:
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("cross-validation", total=None)
            model = fit(
                batch,
                known,
                Recipe.from_settings(
                    settings.recipe, batch.axis, batch.quantity, levels=settings.policy.model.levels
                ),
                groups=batch.groups(),
                progress=lambda what, done, total: bar.update(
                    task, description=what, completed=done, total=total
                ),
                keep=kept,
            )
    except KeyboardInterrupt:
        say(f"cancelled; finished folds are kept in {kept}: the same command goes on from there")
        raise typer.Exit(130) from None
    save(model, out)
    write_card(model, settings.model_name(prop), out / "card")
    shutil.rmtree(kept, ignore_errors=True)
    measured = model.training["cross_validation"]
    if as_json:
        show_json({"model": str(out), "property": prop, "unit": known.unit, **model.training})
    else:
        show(f"{known.label}: {model.training['chosen']} on {model.training['n']} samples, written to {out}")
        show_table(("metric", "cross-validated"), [(k, f"{v:.4g}") for k, v in measured.items()])
        random = model.training["random_validation"]
        show(
            f"random folds: RMSE {random['rmse']:.4g}, groups {100 * random['gap']:+.0f} %"
            if random["judged"] and random["gap"] is not None
            else f"random folds: not judged ({random['why']})"
        )
        show(f"card: {out / 'card' / 'index.html'}")


def write_card(model: SoilModel, name: str, folder: Path) -> None:
    """Write a model's card: a page of its own, and Markdown with its pictures beside it."""
    from soil_assets.reporting.model_card import build
    from soil_assets.reporting.model_card_facts import CardFacts

    card = build(CardFacts.of(model, name))
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in card.files().items():
        (folder / file).write_bytes(content)


@app.command()
def evaluate(
    model: Model,
    data: Spectra,
    plot: Annotated[Path | None, typer.Option(help="Write predicted against observed here (PNG).")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a model on data with lab values: metrics with intervals, coverage of its intervals.

    Exit code 1 when RPIQ is under the floor of soil.yaml, or coverage is not what the intervals promise.
    """
    from soil_assets.cli.inputs import batch_from, catalogue_of, model_from
    from soil_assets.modeling.evaluate import evaluate as measure
    from soil_assets.modeling.judge import coverage_in_words

    settings = load_settings()
    fitted, name = model_from(model, settings)
    prop = catalogue_of(settings)[fitted.property]
    policy = settings.policy.model
    result = measure(
        fitted, batch_from(data, settings), prop, n_boot=policy.bootstrap, seed=policy.bootstrap_seed
    )
    if plot is not None:
        from soil_assets.reporting import plots

        plot.write_bytes(plots.predicted_against_observed(result.predictions, prop.unit, prop.label))
    if as_json:
        show_json({"model": name, **result.to_dict()})
    else:
        rows = []
        for metric, value in result.metrics.items():
            low, high = result.intervals.get(metric, (None, None))
            interval = "" if low is None or high is None else f"{low:.4g} .. {high:.4g}"
            rows.append((metric, f"{value:.4g}", interval))
        show_table(
            ("metric", "value", "95 % interval"), rows, f"{prop.label} ({prop.unit}), {name}, n = {result.n}"
        )
        show(coverage_in_words(result.coverage))
    if result.metrics["rpiq"] < policy.min_rpiq:
        raise GateFailed(f"RPIQ {result.metrics['rpiq']:.2f} is under the floor of {policy.min_rpiq:g}")
    if not result.covered:
        raise GateFailed("the intervals do not hold as many values as they promise")


@app.command()
def predict(
    model: Model,
    data: Spectra,
    out: Annotated[Path | None, typer.Option(help="Write the predictions as CSV here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Predict a property: value, interval, and whether the sample lies inside what the model knows."""
    from soil_assets.cli.inputs import batch_from, model_from

    settings = load_settings()
    fitted, name = model_from(model, settings)
    batch = batch_from(data, settings)
    say(f"{name}: {len(batch)} spectra")
    table = fitted.predict(batch)
    if out is not None:
        table.to_csv(out, index=False)
    if as_json:
        show_json(
            {
                "model": name,
                "property": fitted.property,
                "unit": fitted.unit,
                "predictions": table.to_dict("records"),
            }
        )
    else:
        rows = [
            (
                r.sample_id,
                f"{r.value:.3g}",
                f"{r.lower_90:.3g} .. {r.upper_90:.3g}",
                "yes" if r.inside else r.reason,
            )
            for r in table.itertuples()
        ]
        show_table(
            ("sample", f"{fitted.label} ({fitted.unit})", "90 % interval", "inside the domain"), rows, name
        )
