"""A model's card: what it is for, how it was trained, how well it does, where it may be used.

Belongs here: telling a model's facts, after Mitchell et al. (2019), "Model Cards for Model Reporting".
Does not belong here: computing them (``modeling``), registering the model (``adapters``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from soil_assets.config import ModelPolicy
from soil_assets.reporting.decision_figures import property_figures, rows
from soil_assets.reporting.decision_inputs import PropertyResult, plain
from soil_assets.reporting.document import (
    Block,
    Bullets,
    Code,
    CodeBlock,
    Document,
    Figures,
    Heading,
    Image,
    Link,
    Paragraph,
    Table,
    Text,
)
from soil_assets.reporting.embedding import embedded_markdown
from soil_assets.reporting.html import render as render_html
from soil_assets.reporting.markdown import render as render_markdown
from soil_assets.reporting.model_card_facts import CardFacts
from soil_assets.reporting.model_card_validation import intervals, strata, validation
from soil_assets.reporting.numerals import NOT_JUDGED, decimals_for, finite, fixed, percent
from soil_assets.spectra.axis import Axis


@dataclass(frozen=True)
class ModelCard:
    """A finished card."""

    document: Document
    images: dict[str, bytes]
    data: dict[str, Any]

    @property
    def markdown(self) -> str:
        """The card as Markdown, images by relative name."""
        return render_markdown(self.document, limit=10**7)

    @property
    def embedded_markdown(self) -> str:
        """The card as Markdown with its pictures inside, for Dagster's pages."""
        return embedded_markdown(self.document, self.images)

    @property
    def html(self) -> str:
        """The card as one self-contained page."""
        return render_html(self.document, self.images)

    def files(self) -> dict[str, bytes]:
        """Return the card as files: Markdown with its pictures beside it, one self-contained page, the facts."""
        return {
            "card.md": self.markdown.encode(),
            "index.html": self.html.encode(),
            "card.json": json.dumps(self.data, indent=1, sort_keys=True, allow_nan=False).encode(),
            **self.images,
        }


def build(facts: CardFacts) -> ModelCard:
    """Write a model's card; what is not known is said to be not judged or not recorded."""
    judged = PropertyResult(
        name=facts.property, label=facts.label, unit=facts.unit, candidate=facts.evaluation
    )
    figures = property_figures(judged, ModelPolicy())
    images = _images(facts)
    title: Text = ("Model ", Code(facts.name), f" version {facts.version}" if facts.version else "")
    blocks: list[Block] = [
        Heading(title, 1),
        Paragraph(f"Predicts {_property(facts)} from {facts.spectra or 'spectra'}."),
        *_use(facts),
        *_performance(facts, figures, images),
        *strata(facts),
        *validation(facts),
        *_shown(images, {"validated": "predicted against observed, cross-validated"}),
        *intervals(facts),
        *_training(facts, images),
        *_domain(facts),
        *_shown(images, {"domain": "where the benchmark lies in the domain"}),
        *_caveats(facts, figures),
        *_provenance(facts),
    ]
    data = {"figures": figures, "images": sorted(images), "facts": plain(facts.model_dump(mode="json"))}
    return ModelCard(Document(f"Model {facts.name}", tuple(blocks)), images, data)


def _property(facts: CardFacts) -> str:
    unit = f" in {facts.unit}" if facts.unit and facts.unit != "index" else ""
    return f"{facts.label or facts.property}{unit}{f' ({facts.method})' if facts.method else ''}"


def _use(facts: CardFacts) -> list[Block]:
    return [
        Heading("Intended use"),
        Bullets(
            [
                "Soil samples of the kind that it was trained on, dried and ground, measured on an "
                "instrument and in a range that the training spectra cover.",
                "Every prediction comes with an interval and with whether the sample lies inside the "
                "applicability domain. Outside it the figures below promise nothing.",
                "Not for: a laboratory's reference value where one is required, samples measured in another "
                "quantity or a shorter range (refused), field-moist soil unless the training set holds it.",
            ]
        ),
    ]


def _performance(facts: CardFacts, figures: Mapping[str, Any], images: Mapping[str, bytes]) -> list[Block]:
    n = figures["n"]
    where = facts.benchmark or "the benchmark"
    table: list[list[Text]] = [[m["name"], m["text"]] for m in figures["metrics"].values()]
    holds: list[list[Text]] = [
        [
            percent(c["level"]),
            c["text"],
            fixed(c["mean_width"], decimals_for([c["mean_width"]])),
            c["verdict"],
        ]
        for c in figures["coverage"]
    ]
    judged = Table(("Interval", "Holds the observed value", "Mean width", "Coverage"), holds)
    return [
        Heading("Performance"),
        Paragraph(f"On {where}" + (f": {NOT_JUDGED}." if n is None else f", n = {n}, never trained on.")),
        Table(("Measure", "Value"), table),
        judged if holds else Paragraph(f"Coverage of the intervals: {NOT_JUDGED}."),
        *_shown(images, {"observed": "predicted against observed", "errors": "distribution of errors",
                         "residuals": "residuals", "coverage": "coverage of the intervals"}),
    ]  # fmt: skip


def _training(facts: CardFacts, images: Mapping[str, bytes]) -> list[Block]:
    t = facts.training
    chosen = t.get("chosen")
    ends = t.get("range")
    told: list[list[Text]] = [
        ["samples", f"{fixed(t.get('n'), 0)} in {fixed(t.get('n_groups'), 0)} groups"],
        ["left out (no reference value)", fixed(t.get("n_left_out"), 0)],
        ["range", _range(ends, facts.unit)],
        ["scale", str(t.get("back_transform") or "not recorded")],
        ["seed", fixed(t.get("seed"), 0)],
    ]
    if isinstance(chosen, dict):
        told += [[str(k), str(v)] for k, v in chosen.items()]
    blocks: list[Block] = [Heading("Training"), Table(("What", "Value"), told)]
    if facts.data:
        blocks += [Paragraph("Data:"), Bullets(list(facts.data))]
    return blocks + _shown(
        images, {"curves": "how the complexity was chosen", "vip": "band importance (VIP)"}
    )


def _domain(facts: CardFacts) -> list[Block]:
    limits = facts.domain.get("limits")
    if not isinstance(limits, dict):
        return [Heading("Applicability domain"), Paragraph("Not recorded.")]
    words = {
        "t2": "Hotelling's T2",
        "q": "residual Q",
        "distance": "distance to the nearest training spectrum",
    }
    table: list[list[Text]] = [
        [words.get(str(k), str(k)), fixed(v, decimals_for([v]))] for k, v in limits.items()
    ]
    rate, n = facts.domain.get("rate"), facts.domain.get("calibration_n")
    return [
        Heading("Applicability domain"),
        Paragraph(
            "A sample over any of these limits is outside. They are order statistics of "
            f"{fixed(n, 0)} spectra held out while the components were fitted; about {percent(rate, 1)} of "
            "new samples of the same kind are outside."
        ),
        Table(("Measure", "Limit"), table, frozenset({1})),
    ]


def _caveats(facts: CardFacts, figures: Mapping[str, Any]) -> list[Block]:
    caveats = [*facts.caveats, *figures["notes"]]
    n = figures["n"]
    if n is not None and n < 100:
        caveats.append(f"The benchmark is small (n = {n}): read the intervals, not only the figures.")
    caveats += [
        f"The {percent(c['level'])} interval is {c['verdict']}."
        for c in figures["coverage"]
        if not c["covered"]
    ]
    return [Heading("Caveats"), Bullets(caveats)] if caveats else []


def _provenance(facts: CardFacts) -> list[Block]:
    blocks: list[Block] = []
    if facts.versions:
        table: list[list[Text]] = [[k, Code(v)] for k, v in facts.versions.items()]
        blocks.append(Table(("What", "Version"), table))
    if facts.links:
        blocks.append(Bullets([Link(words, url) for words, url in facts.links.items()]))
    if facts.recipe:
        recipe = "\n".join(f"{k}: {_short(v)}" for k, v in facts.recipe.items())
        blocks += [Paragraph("The recipe:"), CodeBlock(recipe, "yaml")]
    return [Heading("Provenance"), *blocks] if blocks else []


def _images(facts: CardFacts) -> dict[str, bytes]:
    from soil_assets.reporting import model_plots, plots
    from soil_assets.reporting.decision_figures import errors

    images: dict[str, bytes] = {}
    told = rows(facts.evaluation)
    label = facts.label or facts.property
    if errors(facts.evaluation):
        table = pd.DataFrame([dict(r) for r in told])
        numeric = [c for c in ("observed", "value", "lower_90", "upper_90") if c in table.columns]
        table[numeric] = table[numeric].apply(pd.to_numeric, errors="coerce")
        images["observed.png"] = plots.predicted_against_observed(
            table, facts.unit, f"{label} on the benchmark"
        )
        images["errors.png"] = plots.error_distribution({facts.name: errors(facts.evaluation)}, facts.unit)
        images["residuals.png"] = model_plots.residuals(table, facts.unit)
        limits = facts.domain.get("limits")
        if isinstance(limits, dict) and {"t2", "q", "distance"} <= {*table.columns} & {*limits}:
            images["domain.png"] = model_plots.domain(table, limits)
    found = (facts.evaluation or {}).get("coverage")
    if isinstance(found, list) and found:
        images["coverage.png"] = model_plots.coverage([r for r in found if isinstance(r, Mapping)])
    validated = _cross_validated(facts.training)
    if validated is not None:
        images["validated.png"] = plots.predicted_against_observed(
            validated, facts.unit, f"{label}, cross-validated"
        )
    curves = facts.training.get("curves")
    if isinstance(curves, dict) and curves:
        chosen = facts.training.get("chosen")
        taken = None
        if isinstance(chosen, dict) and finite(chosen.get("components")) is not None:
            taken = (str(chosen.get("pretreatment")), int(chosen["components"]))
        lists = {str(k): v for k, v in curves.items() if isinstance(v, Sequence)}
        images["curves.png"] = model_plots.validation_curves(lists, taken)
    band = facts.importance
    if band is not None and band.usable:
        images["vip.png"] = plots.vip(Axis(band.positions_array, band.unit), band.vip_array)
    return images


def _cross_validated(training: Mapping[str, Any]) -> pd.DataFrame | None:
    """Return what the model kept of its left-out predictions, or None for a model that kept none."""
    values, errors = training.get("held_out_values"), training.get("held_out_errors")
    if not isinstance(values, Sequence) or not isinstance(errors, Sequence) or len(values) != len(errors):
        return None
    table = pd.DataFrame({"value": values, "error": errors}).apply(pd.to_numeric, errors="coerce")
    return table.assign(observed=table["value"] - table["error"]) if len(table) else None


def _shown(images: Mapping[str, bytes], words: Mapping[str, str]) -> list[Block]:
    found = [Image(f"{name}.png", alt) for name, alt in words.items() if f"{name}.png" in images]
    return [Figures(found)] if found else []


def _range(ends: object, unit: str) -> str:
    if not isinstance(ends, list) or len(ends) != 2:
        return "not recorded"
    places = decimals_for(ends)
    return f"{fixed(ends[0], places)} to {fixed(ends[1], places)}{f' {unit}' if unit != 'index' else ''}"


def _short(value: object) -> str:
    if isinstance(value, list) and value and all(isinstance(v, dict) and "name" in v for v in value):
        return ", ".join(str(v["name"]) for v in value)
    return str(value)
