"""Publishing the pages that people browse: a page a batch, the decision report, the front page.

Belongs here: which value goes onto which page, and where it is written. Does not belong here: layout (``reporting``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from soil_assets.defs.resources import Soil

if TYPE_CHECKING:
    from soil_assets.defs.drift_evidence import DriftEvidence
    from soil_assets.reporting.decision_inputs import DecisionInputs


def batch_page(soil: Soil, name: str, quality: Any, reference: Any, drift: Any = None) -> str:
    """Write the page of a batch, with its drift verdict where it got that far; return its address."""
    from soil_assets.reporting.batch_page import build

    page = build(name, quality, reference=reference, drift=drift)
    return soil.reports.write(f"batches/{name}/index.html", page.html.encode())


def batch_page_of(soil: Soil, name: str) -> str:
    """Address of a batch's page, relative to the reports' folder; empty where none was written."""
    page = f"batches/{name}/index.html"
    return page if soil.reports.exists(page) else ""


def drift_page(soil: Soil, name: str, found: DriftEvidence) -> str:
    """Write the drift report of a batch as a page that stands alone; return its name beside the batch's page."""
    from soil_assets.reporting.drift_html import page

    html = page(
        found.assessment.report,
        name=name,
        profile=found.profile,
        batch=found.judged,
        damage=found.assessment.damage,
        history=found.history,
    )
    soil.reports.write(f"batches/{name}/drift.html", html.encode())
    return "drift.html"


def check_samples_page(soil: Soil) -> str:
    """Write the one page of all check samples; return its address from a batch's page, empty without any scan."""
    from soil_assets.defs.streams import all_streams
    from soil_assets.drift.check_samples import check_soils
    from soil_assets.reporting.drift_check_samples import page

    if not soil.settings.policy.drift.check_samples:
        return ""
    charted = [c for s in all_streams(soil.data) for c in check_soils(s.instrument, s.check_scans())]
    soil.reports.write("check-samples/index.html", page(charted).encode())
    return "../../check-samples/index.html"


def decision_pages(soil: Soil, report: Any) -> str:
    """Write the decision report: Markdown, plots, JSON and one self-contained page; return the page's address.

    The page lies above the folder of its parts, where the batches' pages link to it.
    """
    for name, content in report.images.items():
        soil.reports.write(f"decision/{name}", content)
    soil.reports.write("decision/report.md", report.markdown.encode())
    soil.reports.write_json("decision/report.json", report.data)
    return soil.reports.write("report.html", report.html.encode())


def front_page(soil: Soil, verdict: str, recommendation: str, inputs: DecisionInputs) -> str:
    """Write the page that leads to everything: the last decision, every batch, every model on an alias."""
    from soil_assets.reporting.index_page import BatchEntry, DecisionEntry, ModelEntry, build

    entries = [BatchEntry(b, b.page) for b in inputs.batches]
    models = [
        ModelEntry(
            found.name,
            str(found.version),
            alias,
            rmse=found.tags.get("soil.benchmark_rmse", ""),
            page=_card(soil, found.name),
        )
        for prop in soil.settings.properties
        for alias in ("staging", "production")
        if (found := soil.registry.version_at(soil.settings.model_name(prop), alias)) is not None
    ]
    decision = DecisionEntry(verdict, recommendation, "report.html")
    return soil.reports.write("index.html", build(decision, entries, models).encode())


def _card(soil: Soil, name: str) -> str:
    page = f"models/{name}/index.html"
    return page if soil.reports.exists(page) else ""


def report_in_ui(report: Any) -> dg.MetadataValue:
    """Return the report as Markdown for Dagster's page: badges inside, larger pictures told in words.

    Metadata lives in the event log, so the plots stay with their own assets and in the published page.
    """
    from soil_assets.reporting.embedding import embedded_markdown

    small = {name: content for name, content in report.images.items() if name.endswith(".svg")}
    return dg.MetadataValue.md(embedded_markdown(report.document, small))


def model_card(soil: Soil, mlflow: Any, model: Any, evaluation: dict[str, Any]) -> str:
    """Write the card of a candidate model and log it to its MLflow run; return its address."""
    from soil_assets.adapters.mlflow_runs import log_files
    from soil_assets.reporting.model_card import build
    from soil_assets.reporting.model_card_facts import CardFacts

    name = soil.settings.model_name(model.property)
    training = model.training
    card = build(
        CardFacts.of(
            model,
            name,
            evaluation=evaluation,
            benchmark=soil.settings.benchmark,
            versions={
                "recipe": training["recipe_fingerprint"][:12],
                "training ids": training["ids_sha256"][:12],
            },
        )
    )
    log_files(mlflow, "model_card", card.files())
    return soil.reports.write(f"models/{name}/index.html", card.html.encode())


def address(where: str) -> dg.MetadataValue:
    """Return an address as metadata that can be followed."""
    return dg.MetadataValue.url(where) if "://" in where else dg.MetadataValue.path(where)
