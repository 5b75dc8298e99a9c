"""The decision report: what a project lead reads to approve, request changes or reject within a minute.

Belongs here: putting the report together, its layout and its pictures. Does not belong here: the facts
(``decision_inputs``), the figures' texts (``decision_figures``), the rules (``rules``), any syntax
(``markdown``, ``html``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from soil_assets.reporting.decision_figures import errors, property_figures, rows
from soil_assets.reporting.decision_inputs import DecisionInputs, PropertyResult, plain
from soil_assets.reporting.decision_layout import decided, layout
from soil_assets.reporting.document import Document, slug
from soil_assets.reporting.embedding import embedded_markdown
from soil_assets.reporting.html import render as render_html
from soil_assets.reporting.markdown import GITHUB_CAP
from soil_assets.reporting.markdown import render as render_markdown
from soil_assets.reporting.policy_diff import policy_differences
from soil_assets.reporting.rules import Decision, Verdict, decide


@dataclass(frozen=True, eq=False)
class DecisionReport:
    """A finished report.

    Parameters
    ----------
    verdict : {"approve", "request changes", "reject", "cannot tell", "first version"}
        What is recommended.
    blocks : bool
        Whether the status check fails.
    recommendation : str
        One sentence.
    rule : str
        The rule of the SOP that gives it, with its number.
    document : Document
        The report as a tree.
    images : dict of str to bytes
        PNG and SVG files by the names that the Markdown refers to.
    data : dict
        JSON-ready: every figure that the report shows, with its text, and the inputs to draw it again.
    """

    verdict: Verdict
    blocks: bool
    recommendation: str
    rule: str
    document: Document
    images: dict[str, bytes]
    data: dict[str, Any] = field(repr=False)

    @property
    def markdown(self) -> str:
        """The report as GitHub-flavoured Markdown, images by relative name."""
        return self.to_markdown()

    def to_markdown(
        self, *, limit: int = GITHUB_CAP - 5_000, image_url: Callable[[str], str | None] = lambda n: n
    ) -> str:
        """Return the Markdown with other image addresses (None: no picture) or another limit."""
        return render_markdown(
            self.document, limit=limit, image_url=image_url, whole="the report's HTML and JSON"
        )

    @property
    def embedded_markdown(self) -> str:
        """The Markdown with its pictures inside and nothing folded, for Dagster's pages."""
        return embedded_markdown(self.document, self.images)

    @property
    def html(self) -> str:
        """The report as one self-contained page."""
        return render_html(self.document, self.images)


def build(inputs: DecisionInputs) -> DecisionReport:
    """Judge the facts by the rules and write the report.

    Parameters
    ----------
    inputs : DecisionInputs
        What earlier steps found. The same inputs give the same bytes.

    Returns
    -------
    DecisionReport
        Degrades by saying ``not judged`` where a fact is missing; never raises for a missing fact.
    """
    decision = decide(inputs)
    by_its_own = inputs.as_proposed()
    proposed = None if by_its_own is None else decide(by_its_own)
    properties = [property_figures(result, inputs.policy.model) for result in inputs.properties]
    recommendation = _recommendation(decision, properties)
    rule = f"SOP rule {decision.rule.number}: {decision.rule.verdict}"
    images = _images(inputs, decision, properties)
    data = {
        "schema_version": inputs.schema_version,
        "verdict": decision.verdict,
        "blocks": decision.blocks,
        "recommendation": recommendation,
        "rule": {"number": decision.rule.number, "verdict": decision.rule.verdict},
        "proposal": _proposal(inputs, proposed),
        "reasons": list(decision.reasons),
        "cautions": list(decision.cautions),
        "properties": properties,
        "batches": [
            {
                "name": b.name,
                "landed": b.landed,
                "accepted": b.accepted,
                "quarantined": b.quarantined,
                "drift": b.drift,
                "held": b.held,
            }
            for b in inputs.batches
        ],
        "images": sorted(images),
        "inputs": plain(inputs.model_dump(mode="json")),
    }
    document = layout(inputs, decision, properties, recommendation, images, proposed)
    return DecisionReport(
        verdict=decision.verdict,
        blocks=decision.blocks,
        recommendation=recommendation,
        rule=rule,
        document=document,
        images=images,
        data=data,
    )


def _proposal(inputs: DecisionInputs, proposed: Decision | None) -> dict[str, Any] | None:
    if inputs.proposal is None or proposed is None:
        return None
    differences = policy_differences(inputs.policy, inputs.proposal.policy)
    return {
        "verdict": proposed.verdict,
        "rule": proposed.rule.number,
        "reasons": list(proposed.reasons),
        "differences": [{**vars(d)} for d in differences],
        "benchmark": list(inputs.proposal.benchmark),
    }


def _recommendation(decision: Decision, properties: list[dict[str, Any]]) -> str:
    told: Sequence[str] = decision.reasons
    if decision.verdict == "first version":
        told = [f"{p['label']} RMSE {p['metrics']['rmse']['text']}" for p in properties]
    elif decision.verdict == "approve":
        told = [f"{p['label']} {p['outcome']}, RMSE {p['metrics']['rmse']['text']}" for p in properties]
    if decision.verdict == "approve" and properties and all(p["identical"] for p in properties):
        told = ["the candidate is identical to main"]
    if decision.verdict == "cannot tell":
        return f"Cannot tell: {'; '.join(told)}. {decided(properties)}".rstrip()
    return f"{decision.verdict.capitalize()}: {'; '.join(told)}."


def _images(inputs: DecisionInputs, decision: Decision, properties: list[dict[str, Any]]) -> dict[str, bytes]:
    from soil_assets.reporting.badge import decision_badge, drift_badge

    images = {"decision.svg": decision_badge(decision.verdict)}
    for batch in inputs.batches:
        images[f"drift-{slug(batch.name)}.svg"] = drift_badge(batch.drift or "not_reached")
    for result, figures in zip(inputs.properties, properties, strict=True):
        images |= _property_images(result, figures)
    return images


def _property_images(result: PropertyResult, figures: dict[str, Any]) -> dict[str, bytes]:
    import pandas as pd

    from soil_assets.reporting import model_plots, plots
    from soil_assets.spectra.axis import Axis

    images: dict[str, bytes] = {}
    name, unit = slug(result.name), result.unit
    spread = {"candidate": errors(result.candidate), "main": errors(result.main)}
    spread = {who: values for who, values in spread.items() if values}
    if "candidate" in spread:
        images[f"errors-{name}.png"] = plots.error_distribution(spread, unit, f"{figures['label']}: errors")
        wanted = ["observed", "value", "lower_90", "upper_90"]
        table = pd.DataFrame([dict(r) for r in rows(result.candidate)])
        table = table.reindex(columns=[c for c in wanted if c in table.columns]).apply(
            pd.to_numeric, errors="coerce"
        )
        images[f"observed-{name}.png"] = plots.predicted_against_observed(
            table, unit, f"{figures['label']}: candidate on the benchmark"
        )
    if result.confusion is not None and result.confusion.labels:
        images[f"classes-{name}.png"] = model_plots.confusion(
            result.confusion.labels, result.confusion.counts, f"{figures['label']}: classes"
        )
    points = result.trend
    if len(points) > 1:
        images[f"trend-{name}.png"] = plots.metric_trend(
            [p.version for p in points],
            [p.rmse for p in points],
            low=[p.low for p in points],
            high=[p.high for p in points],
            name="RMSE",
            unit=unit,
            title=f"{figures['label']}: benchmark RMSE over versions",
        )
    band = result.importance
    if band is not None and band.usable:
        images[f"vip-{name}.png"] = plots.vip(
            Axis(band.positions_array, band.unit),
            band.vip_array,
            f"{figures['label']}: band importance (VIP)",
        )
    return images
