"""Commands on landed batches: ``soil quarantine``, ``soil batch``, ``soil why``."""

from __future__ import annotations

import datetime
import getpass
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from soil_assets.cli.app import app
from soil_assets.cli.console import AsJson, say, show, show_json, show_table
from soil_assets.config import load_settings
from soil_assets.errors import BadInput

if TYPE_CHECKING:
    import pandas as pd

    from soil_assets.defs.resources import Soil

quarantine_app = typer.Typer(
    no_args_is_help=True, help="Scans that a gate set aside, and how to mend them.", rich_markup_mode=None
)
batch_app = typer.Typer(no_args_is_help=True, help="Landed batches and their fate.", rich_markup_mode=None)
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(batch_app, name="batch")

Batch = Annotated[str, typer.Argument(help="Name of a landed batch.")]
Who = Annotated[str, typer.Option(help="Your name (default: the account's).")]
Why = Annotated[str, typer.Option(help="The reason, for those who read it later.")]
_SHOWN = ["sample_id", "source_file", "source_row", "rules", "found", "expected", "mend"]


@quarantine_app.command("list")
def quarantine_list(as_json: AsJson = False) -> None:
    """List the batches that have something in quarantine."""
    from soil_assets.quality.quarantine import list_quarantines

    soil = soil_here()
    table = list_quarantines({name: q.quarantine for name, q in _judged(soil).items()})
    _print(table, as_json, "nothing is in quarantine")


@quarantine_app.command("show")
def quarantine_show(
    batch: Batch,
    sample: Annotated[list[str] | None, typer.Option(help="Only this sample; may be repeated.")] = None,
    rule: Annotated[list[str] | None, typer.Option(help="Only this rule; may be repeated.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what is quarantined in a batch: rule, found, expected, mend."""
    from soil_assets.quality.quarantine import show_quarantine

    table = show_quarantine(
        _quality(soil_here(), batch).quarantine, samples=sample or None, rules=rule or None
    )
    _print(table if as_json else table[_SHOWN], as_json, "nothing of it is in quarantine")


@quarantine_app.command("export")
def quarantine_export(
    batch: Batch,
    out: Annotated[Path, typer.Argument(help="The workbook to write (.xlsx).")],
    lab: Annotated[
        str | None, typer.Option(help="The lab's own table; its rows come back with mends beside them.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the lab's own spreadsheet with a column of mends."""
    from soil_assets.cli.inputs import lab_table
    from soil_assets.quality.lab_return import lab_table_with_mends, workbook_bytes

    soil = soil_here()
    result = _quality(soil, batch)
    source = lab or _landed_lab(soil, batch)
    accepted = result.accepted.samples["sample_id"].astype(str).tolist()
    table = (
        lab_table_with_mends(lab_table(source), result.findings, accepted)
        if source
        else result.quarantine[_SHOWN]
    )
    out.write_bytes(workbook_bytes(table))
    facts = {"written": str(out), "rows": len(table), "quarantined": len(result.quarantine), "lab": source}
    if as_json:
        show_json(facts)
    else:
        show(f"{len(table)} rows written to {out}")


@quarantine_app.command("release")
def quarantine_release(
    batch: Batch,
    sample: Annotated[list[str], typer.Option(help="Sample to release; may be repeated.")],
    why: Why,
    who: Who = "",
    run: Annotated[bool, typer.Option(help="Judge the batch again at once.")] = True,
    as_json: AsJson = False,
) -> None:
    """Let quarantined scans go on, recorded with who and why; the batch is judged again with them."""
    from soil_assets.quality.releases import release

    soil = soil_here()
    made = release(
        _quality(soil, batch).quarantine,
        samples=sample,
        who=who or getpass.getuser(),
        why=why,
        when=datetime.datetime.now(datetime.UTC),
    )
    kept = [asdict(r) for r in soil.releases(batch)]
    soil.data.write_json(f"releases/{batch}.json", kept + [asdict(r) for r in made])
    facts: dict[str, Any] = {"batch": batch, "released": [asdict(r) for r in made]}
    if run:
        facts |= _judge_again(batch, soil)
    if as_json:
        show_json(facts)
    else:
        show(f"{len(made)} scans of {batch} released" + (f"; now {facts['now']}" if run else ""))


@batch_app.command("list")
def batch_list(as_json: AsJson = False) -> None:
    """List landed batches: scans, drift verdict, what happened next; and what lies there and is not taken, with why."""
    from soil_assets.defs.build import assets_of, blocking_of
    from soil_assets.defs.evidence import batch_result
    from soil_assets.defs.landing_zone import untaken
    from soil_assets.defs.partitions import BATCH
    from soil_assets.defs.run import open_instance

    settings = load_settings()
    soil, checks = soil_here(), blocking_of(assets_of(settings))
    with open_instance() as instance:
        found = [
            batch_result(instance, soil, checks, b) for b in sorted(instance.get_dynamic_partitions(BATCH))
        ]
    rows = [
        {
            "batch": b.name,
            "landed": b.landed,
            "accepted": b.accepted,
            "quarantined": b.quarantined,
            "drift": b.drift or "not reached",
            "next": b.next_step,
        }
        for b in found
    ]
    judged = {b.name for b in found}
    rows += [
        {
            "batch": n,
            "landed": 0,
            "accepted": 0,
            "quarantined": 0,
            "drift": "not reached",
            "next": f"not taken: {why}",
        }
        for n, why in untaken(soil.landing, settings.landing.quiet_seconds).items()
        if n not in judged
    ]
    if as_json:
        show_json(rows)
    elif rows:
        show_table(list(rows[0]), [list(r.values()) for r in rows])
    else:
        show("no batch has landed yet")


@batch_app.command("add")
def batch_add(
    batch: Annotated[
        str, typer.Argument(help="Name of a batch in the landing zone, or the path of its folder.")
    ],
    push: Annotated[bool, typer.Option(help="Push it to DVC's default remote, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put a batch under DVC: git keeps a pointer, the batch's DVC hash becomes its version in Dagster.

    Run it in the repository's folder. A batch of a landing zone that git ignores, or that is elsewhere, is copied into
    batches/ first.
    """
    from soil_assets.adapters.dvc import add
    from soil_assets.pull_request.baseline import BATCHES
    from soil_assets.pull_request.tracking import tracking_folder

    folder = tracking_folder(batch, soil_here().landing, Path(BATCHES))
    tracked = add(folder, push=push)
    facts = {"pointer": tracked.pointer, "version": f"dvc:{tracked.md5}", "pushed": push}
    if as_json:
        show_json(facts)
    else:
        pushed = ", pushed to the default remote" if push else ""
        ignored = Path(tracked.pointer).with_name(".gitignore")
        show(f"{tracked.pointer}: {facts['version']}{pushed}")
        show(f"commit its pointer: git add {tracked.pointer} {ignored}")


@batch_app.command("pull")
def batch_pull(
    folder: Annotated[str, typer.Option(help="Where the repository keeps its batches.")] = "batches",
    against: Annotated[
        str | None,
        typer.Option(
            help="Main's commit: of batches that are the same there, take main's results from $SOIL_RESULTS, and pull "
            "the others only. Without that variable every batch is pulled."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring the batches that this commit records: from DVC's remote where one is set, else from its cache.

    Every batch is compared with its pointer: other bytes are an error.
    """
    from soil_assets.adapters.dvc import pull
    from soil_assets.pull_request import sparse

    sources = {
        "remote": "brought from the remote",
        "cache": "taken from the cache",
        "none": "nothing to bring",
    }
    if against is None:
        pulled = pull(Path(), folder)
        facts, source, note = vars(pulled), pulled.source, pulled.note
    else:
        outcome = sparse.pull(Path(), folder, against, load_settings(), os.environ.get(sparse.VARIABLE, ""))
        facts, source, note = asdict(outcome), outcome.source, outcome.note
        for batch, reason in outcome.reasons.items():
            say(f"{batch} is pulled: {reason}")
        if outcome.restored:
            say(
                f"main's results of {len(outcome.restored)} batches are used; {len(outcome.pulled)} are pulled"
            )
    if as_json:
        show_json(facts)
    else:
        show(sources[source] + (f" ({note})" if note else ""))


@batch_app.command("publish")
def batch_publish(as_json: AsJson = False) -> None:
    """Publish what this instance made of each batch under DVC to $SOIL_RESULTS: for main's own job, and no other.

    Who validates a change takes these results for the batches that the change leaves as they are (soil batch pull
    --against): nobody else may be able to write there.
    """
    from soil_assets.pull_request import sparse

    url = os.environ.get(sparse.VARIABLE, "")
    if not url:
        raise BadInput(
            "there is no place to publish to",
            column=sparse.VARIABLE,
            found="nothing",
            expected="a folder or URL",
        )
    written = sparse.publish(load_settings(), url)
    if as_json:
        show_json({"results": url, "written": written})
    else:
        show(f"{len(written)} results published to {url}")


@app.command()
def why(
    sample: Annotated[str, typer.Argument(help="A sample's id.")],
    as_json: AsJson = False,
) -> None:
    """Tell one sample's path through every gate: where it is, and why."""
    from soil_assets.defs.records import batch_records, benchmark_ids, released_scans
    from soil_assets.defs.run import open_instance
    from soil_assets.reporting.why import trace

    soil = soil_here()
    with open_instance() as instance:
        records = batch_records(instance, soil)
    path = trace(
        sample,
        records,
        benchmark=benchmark_ids(soil),
        released=released_scans(soil, [r.batch for r in records]),
    )
    if as_json:
        show_json(path.to_dict())
    else:
        show(path.to_text().rstrip())


def soil_here() -> Soil:
    """Batches, store and registry of the settings."""
    from soil_assets.cli.inputs import soil_of

    return soil_of(load_settings())


def _judged(soil: Soil) -> dict[str, Any]:
    from soil_assets.defs.io import has_value, load_value

    names = soil.data.folders("assets/validated_batches")
    return {
        n: load_value(soil.data, "validated_batches", n)
        for n in names
        if has_value(soil.data, "validated_batches", n)
    }


def _quality(soil: Soil, batch: str) -> Any:
    from soil_assets.defs.io import has_value, load_value
    from soil_assets.storage import safe_key

    name = safe_key(batch, "batch name")
    if not has_value(soil.data, "validated_batches", name):
        known = ", ".join(soil.data.folders("assets/validated_batches"))
        raise BadInput("no such batch was judged", found=batch, expected=known or "(none yet)")
    return load_value(soil.data, "validated_batches", name)


def _landed_lab(soil: Soil, batch: str) -> str | None:
    """Return the lab table that landed with the batch, where there is one."""
    for key in soil.landing.files(batch):
        if key.rsplit("/", 1)[-1].lower().startswith("lab"):
            return soil.landing.where(key)
    return None


def _judge_again(batch: str, soil: Soil) -> dict[str, Any]:
    from soil_assets.defs.build import build_definitions
    from soil_assets.defs.run import open_instance, run_selection

    definitions = build_definitions(load_settings())
    with open_instance() as instance:
        outcome = run_selection(definitions, instance, "validated_batches,drift_reports", batch)
    counts = dict(_quality(soil, batch).counts)
    now = f"{counts['accepted']} accepted, {counts['quarantined']} quarantined"
    return {"now": now, "counts": counts, "held": outcome.gate_failed}


def _print(table: pd.DataFrame, as_json: bool, nothing: str) -> None:
    if as_json:
        show_json(table.to_dict("records"))
    elif table.empty:
        show(nothing)
    else:
        show_table(
            [str(c) for c in table.columns], table.astype(object).where(table.notna(), "").to_numpy().tolist()
        )
