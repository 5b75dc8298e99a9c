"""Commands on the platform: ``soil run``, ``soil report``, ``soil demo``, ``soil ui``, ``soil bench``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from soil_assets.cli.app import app
from soil_assets.cli.console import AsJson, GateFailed, say, show, show_json, show_table
from soil_assets.config import load_settings


@app.command()
def run(
    selection: Annotated[str, typer.Argument(help="Assets, by name or in Dagster's selection syntax.")],
    partition: Annotated[str | None, typer.Option(help="Batch or property, for partitioned assets.")] = None,
    as_json: AsJson = False,
) -> None:
    """Materialize assets in this process, with their checks: the gate that CI and Dagster share.

    Exit code 1 when a blocking check fails.
    """
    from soil_assets.defs.build import build_definitions
    from soil_assets.defs.run import open_instance, run_selection

    definitions = build_definitions(load_settings())
    with open_instance() as instance:
        outcome = run_selection(definitions, instance, selection, partition)
    if as_json:
        show_json(
            {
                "run_id": outcome.run_id,
                "success": outcome.success,
                "materialized": outcome.materialized,
                "checks": [vars(c) for c in outcome.checks],
                "errors": outcome.errors,
            }
        )
    else:
        show(f"materialized: {', '.join(outcome.materialized) or 'nothing'}")
        rows = [
            (c.asset, c.check, "passed" if c.passed else c.severity, "yes" if c.blocking else "", c.summary)
            for c in outcome.checks
        ]
        if rows:
            show_table(("asset", "check", "result", "blocks", "in words"), rows)
    for error in outcome.errors:
        say(error)
    if not outcome.success:
        failed = [f"{c.asset}.{c.check}" for c in outcome.checks if c.blocking and not c.passed]
        raise GateFailed(", ".join(failed) or "a step failed")


@app.command()
def report(
    inputs: Annotated[
        Path | None, typer.Option(help="Render a report.json again instead of reading this instance.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for report.md, report.html, report.json and plots.")
    ] = Path("report"),
    as_json: AsJson = False,
) -> None:
    """Write the decision report: verdict first, candidate against main, drift, quarantine.

    Exit code 1 when the report's verdict blocks a merge.
    """
    import json

    from soil_assets.cli.inputs import soil_of
    from soil_assets.reporting.decision import build
    from soil_assets.reporting.decision_inputs import DecisionInputs
    from soil_assets.storage import Store

    if inputs is not None:
        raw = json.loads(inputs.read_text(encoding="utf-8"))
        facts = DecisionInputs.from_json(json.dumps(raw.get("inputs", raw)), str(inputs))
    else:
        from soil_assets.defs.build import assets_of, blocking_of
        from soil_assets.defs.evidence import decision_inputs
        from soil_assets.defs.run import open_instance

        settings = load_settings()
        with open_instance() as instance:
            facts = decision_inputs(instance, soil_of(settings), blocking_of(assets_of(settings)))
    made = build(facts)
    store = Store(str(out))
    for name, content in made.images.items():
        store.write(name, content)
    store.write("report.md", made.markdown.encode())
    store.write("report.html", made.html.encode())
    store.write_json("report.json", made.data)
    if as_json:
        show_json({**made.data, "folder": str(out)})
    else:
        show(made.recommendation)
        show(f"written to {out}")
    if made.blocks:
        raise GateFailed(made.rule)


@app.command()
def demo(as_json: AsJson = False) -> None:
    """Run the whole chain on real spectra: four batches land, each meets its fate, a model is registered."""
    from soil_assets.demo.story import play

    start = time.perf_counter()

    def tell(what: str, detail: str) -> None:
        say(f"{time.perf_counter() - start:6.1f} s  {what:<32} {detail}")

    result = play(load_settings(), tell)
    if as_json:
        show_json(result.to_dict())
    else:
        _show_demo(result)
        say(
            f"\n{result.runs} runs, {result.materialized} materializations, {time.perf_counter() - start:.1f} s"
        )
    if result.unexpected:
        raise GateFailed("the demo did not go as told: " + "; ".join(result.unexpected))


def _show_demo(result: Any) -> None:
    show()
    show_table(
        ("batch", "what it is", "landed", "accepted", "quarantined", "drift", "what happened next"),
        [tuple(vars(b).values()) for b in result.batches],
        "Batches (scans)",
    )
    show_table(
        ("sample", "file", "row", "rule", "found", "expected", "mend"),
        [
            (
                q["sample_id"],
                q["source_file"],
                q["source_row"],
                q["rules"],
                q["found"],
                q["expected"],
                q["mend"],
            )
            for q in result.quarantine
        ],
        "Quarantine of the damaged batch",
    )
    show_table(
        ("property", "staging", "candidate against main", "n", "in words"),
        [(m.property, f"version {m.version}", m.verdict, m.n, m.words) for m in result.models],
        "Models on the frozen benchmark",
    )
    show(f"\nDecision: {result.decision}")
    show(f"Report:   {result.report}")
    show("Look at it in Dagster: make ui")


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Port of the web page.")] = 3000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Open the Dagster UI with daemon and sensors on this instance."""
    import os
    import shutil
    import sys

    beside = Path(sys.executable).parent / "dagster"
    command = str(beside) if beside.exists() else shutil.which("dagster")
    if command is None:
        raise FileNotFoundError(2, "dagster is not installed", "dagster")
    say(f"http://{host}:{port}  (Ctrl-C to stop)")
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    os.execv(command, [command, "dev", "-m", "soil_assets.definitions", "-h", host, "-p", str(port)])  # noqa: S606


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="Which bench; without it, list them.")] = "",
    as_json: AsJson = False,
) -> None:
    """Measure: print a bench's figures, each with its unit, its n, and the peer it is a ratio against."""
    from soil_assets.benchmarks import harness

    if not name:
        show("\n".join(harness.names()))
        return
    result = harness.run(name)
    if as_json:
        show_json(result)
    else:
        rows = [
            (f["name"], f"{f['value']:.4g}", f["unit"], f["n"], f["peer"], f["note"])
            for f in result["figures"]
        ]
        show_table(("figure", "value", "unit", "n", "peer", "how"), rows, f"bench {name}")
