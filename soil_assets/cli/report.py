"""The decision report from the command line: ``soil report``, ``soil badges``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from soil_assets.cli.app import app
from soil_assets.cli.console import AsJson, GateFailed, say, show, show_json
from soil_assets.config import Settings, load_settings
from soil_assets.errors import BadInput

if TYPE_CHECKING:
    from soil_assets.defs.resources import Soil
    from soil_assets.reporting.decision_inputs import DecisionInputs

#: Pages of batches that a report brings along; each holds its pictures.
MOST_PAGES = 20


@app.command()
def report(
    inputs: Annotated[
        Path | None, typer.Option(help="Render a report.json again instead of reading this instance.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for report.md, report.html, report.json and plots.")
    ] = Path("report"),
    pull_request: Annotated[
        int | None, typer.Option(help="Number of the pull request, for the job that posts the report.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the decision report: verdict first, candidate against main, drift, quarantine.

    Exit code 1 when the report's verdict blocks a merge.
    """
    from soil_assets.pull_request.artifact import write_report
    from soil_assets.reporting.decision import build
    from soil_assets.reporting.decision_inputs import DecisionInputs

    models: dict[str, Any] = {}
    if inputs is not None:
        facts = DecisionInputs.from_json(facts_in(inputs), str(inputs))
    else:
        from soil_assets.cli.inputs import soil_of
        from soil_assets.defs.build import assets_of, blocking_of, build_definitions
        from soil_assets.defs.evidence import decision_inputs
        from soil_assets.defs.pipeline import materialize_each
        from soil_assets.defs.run import open_instance

        settings = load_settings()
        if pull_request is not None:
            _claim(out, pull_request, settings)
        with open_instance() as instance:
            if os.environ.get("SOIL_LANDING"):  # a checkout has no daemon: what is out of date is made first
                needed = "drift_reports,training_drift,model_comparisons"
                definitions = build_definitions(settings)
                for step in materialize_each(definitions, instance, settings, needed, only_stale=True):
                    say(f"{step.what}{f'[{step.partition}]' if step.partition else ''}: {step.why}")
            soil = soil_of(settings)
            facts = decision_inputs(instance, soil, blocking_of(assets_of(settings)))
            facts = _with_pages(facts, soil, out)
        if pull_request is not None:
            models = _candidates(settings)
    made = build(facts)
    write_report(made, out, models)
    if as_json:
        show_json({**made.data, "folder": str(out)})
    else:
        show(made.recommendation)
        show(f"written to {out}")
    if made.blocks:
        raise GateFailed(made.rule)


def _with_pages(facts: DecisionInputs, soil: Soil, out: Path) -> DecisionInputs:
    """Copy the pages of the change's batches beside the report; the facts then link to those that are there."""
    from soil_assets.storage import Store

    store, batches, copied = Store(str(out)), [], 0
    for batch in facts.batches:
        copies = bool(batch.page) and batch.part_of_change and copied < MOST_PAGES
        if copies:
            folder = batch.page.rpartition("/")[0]
            for name in ("index.html", "drift.html"):
                if soil.reports.exists(f"{folder}/{name}"):
                    store.write(f"{folder}/{name}", soil.reports.read(f"{folder}/{name}"))
            copied += 1
        batches.append(batch if copies else batch.model_copy(update={"page": ""}))
    return facts.model_copy(update={"batches": tuple(batches)})


def _claim(out: Path, number: int, settings: Settings) -> None:
    """Write which pull request and base the report is of; a report for a pull request needs main beside it."""
    from soil_assets.pull_request.artifact import Claim, write_claim
    from soil_assets.pull_request.baseline import Baseline

    main = Baseline.read(Path(settings.baseline)) if settings.baseline else Baseline()
    if not main.commit:
        raise BadInput(
            "there is no baseline to compare with",
            file=settings.baseline or "baseline",
            mend="soil baseline --against HEAD^1 (and use soil --repository report)",
        )
    write_claim(out, Claim(number, main.commit))


def _candidates(settings: Settings) -> dict[str, Any]:
    from soil_assets.cli.inputs import soil_of
    from soil_assets.defs.io import has_value, load_value

    soil = soil_of(settings)
    return {
        prop: load_value(soil.data, "trained_models", prop)
        for prop in settings.properties
        if has_value(soil.data, "trained_models", prop)
    }


def facts_in(file: Path) -> str:
    """Return the facts of a report.json, or of a file that holds the facts alone.

    Raises
    ------
    BadInput
        When it is not JSON.
    """
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise BadInput("not a report: no JSON", file=str(file), found=str(error)[:120]) from None
    if not isinstance(raw, dict):
        raise BadInput("not a report: no JSON object", file=str(file), found=type(raw).__name__)
    return json.dumps(raw.get("inputs", raw))


@app.command()
def badges(
    inputs: Annotated[Path, typer.Option(help="The report.json of a decision.")] = Path("report/report.json"),
    out: Annotated[Path, typer.Option(help="Folder for the SVG files.")] = Path("badges"),
    as_json: AsJson = False,
) -> None:
    """Write badges that a README can show: the decision, the drift of each batch, the RMSE of each model."""
    from soil_assets.reporting.badge import readme_badges
    from soil_assets.reporting.decision import build
    from soil_assets.reporting.decision_inputs import DecisionInputs
    from soil_assets.storage import Store

    made = build(DecisionInputs.from_json(facts_in(inputs), str(inputs)))
    store = Store(str(out))
    written = {name: store.write(name, content) for name, content in readme_badges(made.data).items()}
    if as_json:
        show_json(written)
    else:
        show("\n".join(written.values()))
