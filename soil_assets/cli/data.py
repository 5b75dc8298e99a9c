"""Commands on data: ``soil read``, ``soil validate``, ``soil drift``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from soil_assets.cli.app import app
from soil_assets.cli.console import AsJson, GateFailed, say, show, show_json, show_table
from soil_assets.config import load_settings
from soil_assets.errors import BadInput

Data = Annotated[str, typer.Argument(help="A file, a folder or a URL of spectra.", metavar="DATA")]
Lab = Annotated[str | None, typer.Option(help="Lab table to join: CSV, TSV or XLSX.", metavar="TABLE")]


@app.command()
def read(
    data: Data,
    out: Annotated[Path | None, typer.Option(help="Write the batch as Parquet here.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a plot of the spectra here (PNG).")] = None,
    as_json: AsJson = False,
) -> None:
    """Read any spectra and say what they are: axis, quantity, ids, what the files did not tell."""
    from soil_assets.cli.inputs import landed_from

    landed = landed_from(data, load_settings())
    batch = landed.batch
    facts: dict[str, Any] = {
        "landed": landed.landed,
        "scans": 0 if batch is None else len(batch),
        "unreadable": [{"file": u.file, "reason": u.reason, "mend": u.mend} for u in landed.unreadable],
        "lab_rows": landed.lab_rows,
        "notes": list(landed.notes),
    }
    if batch is not None:
        facts |= {
            "axis": batch.axis.describe(),
            "quantity": batch.quantity,
            "scale": batch.scale,
            "columns": [str(c) for c in batch.samples.columns],
            "origin": dict(batch.origin),
            "content_sha256": batch.content_hash(),
        }
        if out is not None:
            from soil_assets.spectra.parquet import to_parquet

            to_parquet(batch, out)
            facts["written"] = str(out)
        if plot is not None:
            from soil_assets.reporting import plots

            plot.write_bytes(plots.spectra(batch, Path(data).name))
            facts["plot"] = str(plot)
    if as_json:
        show_json(facts)
    else:
        show_table(("", ""), [(k, _one_line(v)) for k, v in facts.items()])
    if batch is None:
        raise SystemExit(2)


@app.command()
def validate(
    data: Data,
    lab: Lab = None,
    unit: Annotated[
        list[str] | None,
        typer.Option(
            help="Unit of a column of the lab table, such as C=g/kg; may be repeated.", metavar="COLUMN=UNIT"
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the quarantine as CSV here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Put a batch through the quality gate: what is accepted, what is quarantined, and how to mend it.

    Exit code 1 when the batch as a whole is refused; single quarantined scans leave 0.
    """
    from soil_assets.adapters.great_expectations import evaluate
    from soil_assets.cli.inputs import landed_from, reference_figures_of, soil_of, units_from
    from soil_assets.quality.gate import assess

    settings = load_settings()
    soil = soil_of(settings)
    say(f"reading {data}")
    landed = landed_from(data, settings, lab, units_from(unit))
    say("judging")
    result = assess(
        landed,
        axis=soil.axis,
        quantity=settings.axis.quantity,
        catalogue=soil.catalogue,
        policy=settings.policy.quality,
        evaluate=evaluate,
        reference_figures=reference_figures_of(settings),
        used=settings.properties,
    )
    if out is not None:
        result.quarantine.to_csv(out, index=False)
    if as_json:
        show_json(
            {
                **result.counts,
                "lab_rows": landed.lab_rows,
                "refused": result.refused,
                "checks": {n: vars(c) for n, c in result.checks.items()},
                "findings": result.findings.to_dict("records"),
                "quarantine": result.quarantine.to_dict("records"),
                "notes": list(result.notes),
            }
        )
    else:
        counts = result.counts
        show(
            f"{counts['landed']} landed = {counts['accepted']} accepted + {counts['quarantined']} quarantined"
        )
        shown = ["sample_id", "source_file", "source_row", "rules", "found", "expected", "mend"]
        if len(result.quarantine):
            show_table(shown, result.quarantine[shown].astype(object).to_numpy().tolist(), "Quarantine")
        warned = result.findings[result.findings["severity"] == "warning"]
        if len(warned):
            few = warned.groupby(["check", "rule"], sort=False).agg(
                scans=("rule", "size"), found=("found", "first"), mend=("mend", "first")
            )
            show_table(
                ("check", "rule", "scans", "for example", "mend"),
                few.reset_index().to_numpy().tolist(),
                "Warnings",
            )
        for note in result.notes:
            show(f"note: {note}")
    if result.refused:
        raise GateFailed("the batch as a whole is refused: " + "; ".join(
            c.summary for c in result.checks.values() if not c.passed and c.severity == "critical"
        ))  # fmt: skip


@app.command()
def drift(
    reference: Annotated[
        str,
        typer.Argument(
            help="The reference: a frozen set's name, or a file, folder or URL: spectra or a table."
        ),
    ],
    data: Annotated[str, typer.Argument(help="The new batch or table.")],
    badge: Annotated[Path | None, typer.Option(help="Write a badge here (SVG).")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a self-contained report here (HTML).")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare a batch with a reference, or any two tables: what moved, how sure that is.

    Against a frozen set, the batch is brought onto the models' axis; otherwise both must lie on one axis. Tables
    without spectra are compared column by column. Exit code 1 when the policy of soil.yaml would hold the batch.
    """
    from soil_assets.cli.inputs import two_sides
    from soil_assets.drift.compare import compare
    from soil_assets.drift.profile import fit_profile
    from soil_assets.drift.tables import compare_tables
    from soil_assets.spectra.batch import SpectralBatch

    settings = load_settings()
    policy = settings.policy.drift
    golden, new = two_sides(reference, data, settings)
    say(f"comparing {len(new)} rows with {len(golden)}")
    profile = batch = None
    if isinstance(golden, SpectralBatch) and isinstance(new, SpectralBatch):
        named = [p for p in settings.properties if p in golden.samples and p in new.samples]
        kinds = [c for c in settings.categories if c in golden.samples and c in new.samples]
        batch, profile = new, fit_profile(golden, properties=named, categories=kinds, seed=policy.seed)
        report = compare(profile, batch, policy=policy)
    elif not isinstance(golden, SpectralBatch) and not isinstance(new, SpectralBatch):
        report = compare_tables(golden, new, policy=policy)
    else:
        raise BadInput(
            "only one of the two holds spectra",
            file=reference if isinstance(new, SpectralBatch) else data,
            expected="spectra on both sides, or plain tables on both sides",
        )
    if badge is not None:
        from soil_assets.reporting.badge import drift_badge

        badge.write_bytes(drift_badge(report.verdict))
    if html is not None:
        from soil_assets.reporting.drift_html import page

        html.write_text(page(report, name=Path(data).name, profile=profile, batch=batch), encoding="utf-8")
    if as_json:
        show_json(report.to_dict())
    else:
        show(f"{report.verdict.replace('_', ' ')}: {report.n} rows against {report.reference_n}")
        for reason in report.reasons:
            show(f"  {reason}")
        shown = report.tests.sort_values("p_adjusted").head(12)
        title = f"The {len(shown)} most telling of {len(report.tests)} tests"
        show_table([str(c) for c in shown.columns], shown.round(4).to_numpy().tolist(), title)
    if report.blocks:
        raise GateFailed(f"drift: {report.verdict}")


def _one_line(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{k}: {v}" for k, v in value.items())
    if isinstance(value, list):
        shown = [_one_line(v) for v in value[:8]]
        return "; ".join(shown) + (f" ... ({len(value)})" if len(value) > 8 else "")
    return str(value)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="A folder with spectra, or with one folder a batch.")],
    out: Annotated[Path | None, typer.Option(help="Write the proposal here instead of printing it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Propose a soil.yaml from what a folder holds: the axis every batch covers, and properties worth modelling."""
    import yaml

    from soil_assets.cli.inputs import catalogue_of, landed_from
    from soil_assets.quality_policy import quality_section
    from soil_assets.spectra.proposal import propose

    settings = load_settings()
    inside = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    batches = []
    for place in inside or [folder]:
        landed = landed_from(str(place), settings)
        if landed.batch is not None:
            batches.append(landed.batch)
        say(f"{place.name}: {landed.landed} landed, {0 if landed.batch is None else len(landed.batch)} read")
    proposal = propose(batches, catalogue_of(settings))
    wanted = {"properties": list(proposal.properties) or list(settings.properties), "axis": proposal.axis}
    text = "".join(f"# {note}\n" for note in proposal.notes) + yaml.safe_dump(wanted, sort_keys=False)
    text += quality_section(settings.policy.quality)
    if out is not None:
        if out.exists():
            raise BadInput("this file is there already", file=str(out), mend="name another file with --out")
        out.write_text(text, encoding="utf-8")
    if as_json:
        show_json({**wanted, "notes": proposal.notes, "written": None if out is None else str(out)})
    else:
        show(text.rstrip() if out is None else f"written to {out}")
