"""Publishing the pages that people browse: a page a batch, the decision report, the front page.

Belongs here: which value goes onto which page, and where it is written. Does not belong here: layout (``reporting``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from soil_assets.defs.resources import Soil

if TYPE_CHECKING:
    from soil_assets.reporting.decision_inputs import DecisionInputs


def batch_page(soil: Soil, name: str, quality: Any, reference: Any, drift: Any = None) -> str:
    """Write the page of a batch, with its drift verdict where it got that far; return its address."""
    from soil_assets.reporting.batch_page import build

    page = build(name, quality, reference=reference, drift=drift)
    return soil.reports.write(f"batches/{name}/index.html", page.html.encode())


def decision_pages(soil: Soil, report: Any, inputs: DecisionInputs) -> str:
    """Write the decision report and the front page that leads to everything; return the report's address."""
    from soil_assets.reporting.index_page import BatchEntry, DecisionEntry, ModelEntry, build

    for name, content in report.images.items():
        soil.reports.write(f"decision/{name}", content)
    soil.reports.write("decision/report.md", report.markdown.encode())
    soil.reports.write_json("decision/report.json", report.data)
    address = soil.reports.write("decision/report.html", report.html.encode())
    entries = [
        BatchEntry(
            b, f"batches/{b.name}/index.html" if soil.reports.exists(f"batches/{b.name}/index.html") else ""
        )
        for b in inputs.batches
    ]
    models = [
        ModelEntry(found.name, str(found.version), alias)
        for prop in soil.settings.properties
        for alias in ("staging", "production")
        if (found := soil.registry.version_at(soil.settings.model_name(prop), alias)) is not None
    ]
    decision = DecisionEntry(report.verdict, report.recommendation, "decision/report.html")
    soil.reports.write("index.html", build(decision, entries, models).encode())
    return address


def address(where: str) -> dg.MetadataValue:
    """Return an address as metadata that can be followed."""
    return dg.MetadataValue.url(where) if "://" in where else dg.MetadataValue.path(where)
