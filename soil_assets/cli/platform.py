"""Commands on the platform: ``soil run``, ``soil demo``, ``soil ui``, ``soil bench``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from soil_assets.cli.app import app
from soil_assets.cli.console import AsJson, GateFailed, say, show, show_json, show_table
from soil_assets.config import load_settings
from soil_assets.errors import BadInput


@app.command()
def run(
    selection: Annotated[str, typer.Argument(help="Assets, by name or in Dagster's selection syntax.")],
    partition: Annotated[str | None, typer.Option(help="Batch or property, for partitioned assets.")] = None,
    each: Annotated[
        bool,
        typer.Option(
            help="Every partition in turn, after whatever upstream is out of date. DVC stages use it."
        ),
    ] = False,
    record: Annotated[
        list[str] | None,
        typer.Option(
            help="With --each: write versions and verdicts of what was made here (JSON); ASSET=FILE for one alone."
        ),
    ] = None,
    models: Annotated[
        Path | None, typer.Option(help="With --each: write the candidates here, as soil candidate does.")
    ] = None,
    metrics: Annotated[
        Path | None, typer.Option(help="With --each: write their benchmark figures here (JSON).")
    ] = None,
    go_on: Annotated[
        bool,
        typer.Option(
            help="With --each: a gate that says no holds what is behind it, and the exit code is 0."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Materialize assets in this process, with their checks: the gate that CI and Dagster share.

    Exit code 1 when a blocking check fails, or when something asked for has no verdict: a run that was killed, or that
    failed before its gates came to one, is no pass. The next run with --each does it again.
    """
    from soil_assets.defs.build import build_definitions
    from soil_assets.defs.pipeline import add_landed_batches
    from soil_assets.defs.run import open_instance, run_selection

    if each and partition is not None:
        raise BadInput(
            "--each takes every partition", found=f"--partition {partition}", mend="name one of the two"
        )
    if not each and (record or go_on or models is not None or metrics is not None):
        raise BadInput("--record, --models, --metrics and --go-on belong to --each", mend="add --each")
    settings = load_settings()
    definitions = build_definitions(settings)
    with open_instance() as instance:
        if each:
            from soil_assets.cli.pipeline import write_candidates

            _run_each(definitions, instance, settings, selection, record or [], go_on, as_json)
            write_candidates(settings, models, metrics)
            return
        if partition is not None:  # a batch that no daemon has seen yet
            add_landed_batches(instance, settings)
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
        raise GateFailed(", ".join(_failed_gates(outcome)) or "a step failed")


def _failed_gates(outcome: Any) -> list[str]:
    return [f"{c.asset}.{c.check}" for c in outcome.checks if c.blocking and not c.passed]


def _run_each(
    definitions: Any,
    instance: Any,
    settings: Any,
    selection: str,
    records: list[str],
    go_on: bool,
    as_json: bool,
) -> None:
    import json

    from soil_assets.defs import pipeline
    from soil_assets.defs.landing_zone import GROWING, untaken
    from soil_assets.storage import Store

    steps = []
    for step in pipeline.materialize_each(definitions, instance, settings, selection):
        steps.append(step)
        what = step.what + (f"[{step.partition}]" if step.partition else "")
        failed = [c for c in step.outcome.checks if c.blocking and not c.passed]
        say(
            f"{what}: "
            + ("; ".join(f"{c.check} failed: {c.summary}" for c in failed) or f"done ({step.why})")
        )
        for error in step.outcome.errors:
            say(error)
    for stated in records:
        asset, _, file = stated.rpartition("=")
        current = pipeline.record(definitions, instance, settings, asset or selection)
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text(json.dumps(current, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    now = pipeline.standing(definitions, instance, settings, selection)
    held = [f"{gate} of {step.partition or 'all'}" for step in steps for gate in _failed_gates(step.outcome)]
    held = list(dict.fromkeys([*held, *now.held]))
    broken = [*(e for step in steps for e in step.outcome.errors), *now.open]
    waiting = untaken(Store(settings.url("landing")), settings.landing.quiet_seconds)
    for name, reason in waiting.items():
        say(f"{name} is not taken: {reason}")
    broken += [f"{name} is not taken: {reason}" for name, reason in waiting.items() if reason != GROWING]
    if as_json:
        show_json(
            {
                "runs": [
                    {
                        "asset": s.what,
                        "partition": s.partition,
                        "why": s.why,
                        "run_id": s.outcome.run_id,
                        "success": s.outcome.success,
                    }
                    for s in steps
                ],
                "gates_failed": held,
                "errors": broken,
                "not_taken": waiting,
            }
        )
    else:
        for reason in now.open:
            say(f"no verdict: {reason}")
        show(f"{len(steps)} runs; held by a gate: {', '.join(held) or 'nothing'}")
    if broken or (held and not go_on):
        raise GateFailed("; ".join([*held, *broken]))


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
