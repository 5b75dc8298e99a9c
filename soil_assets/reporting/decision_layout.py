"""The order and the words of the decision report: verdict first, then figures, the rest folded away.

Belongs here: which facts stand where. Does not belong here: what they are or how they are written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from soil_assets.reporting.batch_layout import batches_overview, grouped_quarantine
from soil_assets.reporting.decision_figures import IDENTICAL, errors
from soil_assets.reporting.decision_inputs import BatchResult, Check, DecisionInputs, PropertyResult
from soil_assets.reporting.document import (
    Block,
    Bullets,
    Code,
    CodeBlock,
    Details,
    Document,
    Figures,
    Heading,
    Image,
    Link,
    Paragraph,
    Strong,
    Table,
    Text,
    Tone,
    slug,
)
from soil_assets.reporting.mermaid import error_chart
from soil_assets.reporting.numerals import count, percent
from soil_assets.reporting.policy_diff import as_diff, policy_differences
from soil_assets.reporting.rules import Decision
from soil_assets.reporting.sop import criterion

_TONES: Mapping[str, Tone] = {
    "approve": "good",
    "request changes": "warning",
    "reject": "bad",
    "cannot tell": "warning",
    "first version": "good",
}
_CHECK_WORDS = {True: "passed", False: "failed", None: "not judged"}


def layout(
    inputs: DecisionInputs,
    decision: Decision,
    properties: list[dict[str, Any]],
    recommendation: str,
    images: Mapping[str, bytes],
    proposed: Decision | None = None,
) -> Document:
    """Return the report as a document; ``proposed`` is the decision by the change's own policy."""
    blocks: list[Block] = [
        Heading(f"Soil models: {decision.verdict}", level=2),
        Paragraph((Image("decision.svg", f"soil decision: {decision.verdict}"),)),
        *_opening(decision, properties, recommendation),
        *_absent(inputs, decision),
        *_own_judge(inputs, decision, proposed),
        *_this_change(inputs, properties),
        *_thumbnails(inputs, properties, images),
        Paragraph(
            f"SOP rule {decision.rule.number}: {criterion(decision.rule, inputs.policy)}. "
            f"Next: {decision.rule.then}. Decides: {decision.rule.decides}."
        ),
    ]
    if decision.cautions:
        blocks += [Paragraph(Strong("Also note")), Bullets(list(decision.cautions))]
    blocks += _metrics(properties, inputs.candidate, inputs.main)
    blocks += batches_overview(inputs.batches)
    changes = [*inputs.changes, *_other_versions(inputs)]
    if changes:
        blocks += [Heading("What changed", 3), Bullets(changes)]
    blocks += _folded(inputs, properties, images)
    return Document(f"Soil models: {decision.verdict}", tuple(blocks))


def _opening(decision: Decision, properties: list[dict[str, Any]], recommendation: str) -> list[Block]:
    tone = _TONES[decision.verdict]
    if decision.verdict in ("approve", "first version"):
        if decision.verdict == "first version":
            return [Paragraph("First version: main has no model yet to compare with.", tone)]
        return [Paragraph(f"Approve: {_outcomes(properties)}.", tone)]
    if len(decision.reasons) < 2:
        return [Paragraph(recommendation, tone)]
    reasons = f"{decision.verdict.capitalize()}, for {len(decision.reasons)} reasons:"
    clear = decided(properties) if decision.verdict == "cannot tell" else ""
    return [
        Paragraph(reasons, tone),
        Bullets(list(decision.reasons)),
        *([Paragraph(clear)] if clear else []),
    ]


def decided(properties: list[dict[str, Any]]) -> str:
    """What was decided beside what could not be: the properties that a merge would register."""
    clear = [f"{p['label']} {p['outcome']}" for p in properties if p["outcome"] in ("better", "not worse")]
    return f"Decided, and registered after a merge: {', '.join(clear)}." if clear else ""


def _outcomes(properties: list[dict[str, Any]]) -> str:
    if properties and all(p["identical"] for p in properties):
        return "the candidate is identical to main"
    return "; ".join(f"{p['label']} {_outcome(p)}" for p in properties)


def _outcome(figures: Mapping[str, Any]) -> str:
    return "identical to main" if figures["identical"] else str(figures["outcome"])


def _absent(inputs: DecisionInputs, decision: Decision, shown: int = 12) -> list[Block]:
    """Evidence that is missing and what the change removes, beyond the verdict's reasons; never behind a fold."""
    blocks: list[Block] = []
    for title, stated in (("Not seen", inputs.missing), ("Removed or replaced", inputs.removals)):
        sentences = [sentence for sentence in stated if sentence not in decision.reasons]
        if sentences:
            more = [f"and {len(sentences) - shown:,} more"] if len(sentences) > shown else []
            blocks += [Paragraph(Strong(title)), Bullets([*sentences[:shown], *more])]
    return blocks


def _this_change(inputs: DecisionInputs, properties: list[dict[str, Any]], shown: int = 20) -> list[Block]:
    """One line per batch that the change adds or alters, then one line per property."""
    batches = [b for b in inputs.batches if b.part_of_change]
    lines = [_batch_line(b, inputs.links) for b in batches[:shown]]
    if len(batches) > shown:
        lines.append(f"and {len(batches) - shown:,} more batches, below")
    lines += [
        (Strong(p["label"]), f": {_outcome(p)}, RMSE {p['metrics']['rmse']['text'].removesuffix(IDENTICAL)}")
        for p in properties
    ]
    return [Bullets(lines)] if lines else []


def _batch_line(batch: BatchResult, links: Mapping[str, str]) -> Text:
    drift = (batch.drift or "not reached").replace("_", " ")
    page = batch.page or links.get(f"drift_reports of {batch.name} in Dagster")
    name = Link(batch.name, page) if page else Code(batch.name)
    counts = f"{batch.landed:,} landed, {batch.accepted:,} accepted, {batch.quarantined:,} quarantined"
    held = "; held" if batch.held else ""
    badge = Image(f"drift-{slug(batch.name)}.svg", f"drift: {drift}")
    return (name, f": {counts}; drift: {drift}{held} ", badge)


def _other_versions(inputs: DecisionInputs) -> list[str]:
    """Packages whose version is not that of main's environment."""
    return [
        f"environment: {name} {version} (main) -> {inputs.versions[name]}"
        for name, version in inputs.main_versions.items()
        if name in inputs.versions and inputs.versions[name] != version
    ]


def _own_judge(inputs: DecisionInputs, decision: Decision, proposed: Decision | None) -> list[Block]:
    if inputs.proposal is None or proposed is None:
        return []
    differences = policy_differences(inputs.policy, inputs.proposal.policy)
    if not differences and not inputs.proposal.benchmark:
        return []
    loosens = any(d.direction == "looser" for d in differences)
    what = "loosens" if loosens else "changes"
    blocks: list[Block] = [
        Paragraph(
            f"This change {what} its own judge. By main's rules: {decision.verdict}. By its own: "
            f"{proposed.verdict} (rule {proposed.rule.number}). Main's rules count.",
            tone="warning",
        )
    ]
    if differences:
        blocks.append(CodeBlock(as_diff(differences), "diff"))
    if inputs.proposal.benchmark:
        blocks.append(Bullets(list(inputs.proposal.benchmark)))
    return blocks


def _metrics(properties: list[dict[str, Any]], candidate: str, main: str) -> list[Block]:
    if not properties:
        return []
    header = ("Property", "Verdict", "RMSE", "CCC", "Bias", "RPIQ", "90 % interval holds")
    table = []
    for p in properties:
        unit = f" / {p['unit']}" if p["unit"] not in ("", "index") else ""
        name: Text = (Strong(p["label"]), unit + (f", n = {p['n']}" if p["n"] is not None else ""))
        cells: list[Text] = [p["metrics"][key]["text"] for key in ("rmse", "ccc", "me", "rpiq")]
        at90 = [c for c in p["coverage"] if c["level"] is not None and abs(c["level"] - 0.9) < 1e-9]
        held = f"{at90[0]['text']}: {at90[0]['verdict']}" if at90 else "not judged"
        table.append([name, p["outcome"], *cells, held])
    compared: Text = ("main ", Code(main), " -> candidate ", Code(candidate), ", the same samples")
    if not main:
        compared = ("candidate ", Code(candidate), "; there is no model on main to compare with")
    return [
        Heading("On the benchmark", 3),
        Paragraph(compared),
        Table(header, table),
    ]


def _thumbnails(
    inputs: DecisionInputs, properties: list[dict[str, Any]], images: Mapping[str, bytes]
) -> list[Block]:
    """One small picture per property: its errors beside main's."""
    shown = [
        _errors_image(result, p)
        for result, p in zip(inputs.properties, properties, strict=True)
        if f"errors-{slug(p['name'])}.png" in images
    ]
    return [Figures(shown, width=360)] if shown else []


def _errors_image(result: PropertyResult, figures: Mapping[str, Any]) -> Image:
    spread = {"candidate": errors(result.candidate), "main": errors(result.main)}
    chart = error_chart(spread, figures["unit"], figures["label"])
    rmse = figures["metrics"]["rmse"]["text"]
    alt = f"{figures['label']}: distribution of errors; RMSE {rmse}"
    return Image(f"errors-{slug(figures['name'])}.png", alt, chart)


def _plots(
    inputs: DecisionInputs, properties: list[dict[str, Any]], images: Mapping[str, bytes]
) -> list[Block]:
    shown = []
    for result, p in zip(inputs.properties, properties, strict=True):
        name, rmse = slug(p["name"]), p["metrics"]["rmse"]["text"]
        if f"errors-{name}.png" in images:
            # Its form in text stands with the thumbnail already.
            shown.append(replace(_errors_image(result, p), mermaid=""))
        if f"observed-{name}.png" in images:
            alt = f"{p['label']}: predicted against observed; RMSE {rmse}"
            shown.append(Image(f"observed-{name}.png", alt))
    return [Details("Plots: errors, predicted against observed", [Figures(shown)])] if shown else []


def _folded(
    inputs: DecisionInputs, properties: list[dict[str, Any]], images: Mapping[str, bytes]
) -> list[Block]:
    blocks: list[Block] = _plots(inputs, properties, images)
    blocks += [
        Details(
            f"Quarantine of {batch.name}: {count(batch.quarantined, 'scan')}",
            [grouped_quarantine(batch.quarantine), *_omitted(batch)],
        )
        for batch in inputs.batches
        if batch.quarantine
    ]
    if properties:
        blocks.append(
            Details("Coverage, further figures, band importance", _more_figures(properties, images))
        )
    if inputs.training:
        taken = sum(t.scans for t in inputs.training if t.taken)
        left = sum(t.scans for t in inputs.training if not t.taken)
        table = [
            [Code(t.name), f"{t.scans:,}", "taken" if t.taken else "left out", t.why or "-"]
            for t in inputs.training
        ]
        blocks.append(
            Details(
                f"Training set: {count(taken, 'scan')} taken, {left:,} left out",
                [Table(("Source", "Scans", "", "Why"), table, frozenset({1}))],
            )
        )
    checks = [("", c) for c in inputs.checks]
    checks += [(p.name, c) for p in inputs.properties for c in p.checks]
    checks += [(b.name, c) for b in inputs.batches for c in b.checks]
    if checks:
        blocks.append(_checks(checks))
    blocks.append(Details("Versions, data, how to reproduce", _provenance(inputs)))
    return blocks


def _omitted(batch: BatchResult) -> list[Block]:
    if not batch.quarantine_omitted:
        return []
    return [
        Paragraph(f"{batch.quarantine_omitted:,} more rows are not listed; they are on the batch's page.")
    ]


def _more_figures(properties: list[dict[str, Any]], images: Mapping[str, bytes]) -> list[Block]:
    table: list[list[Text]] = []
    for p in properties:
        for c in p["coverage"]:
            expected = (
                "-" if c["low"] is None or c["high"] is None else f"{c['low']}..{c['high']} of {c['n']}"
            )
            table.append([p["label"], percent(c["level"]), c["text"], expected, c["verdict"]])
    header = ("Property", "Interval", "Holds the observed value", "A right interval (99 %)", "Coverage")
    blocks: list[Block] = [Table(header, table)] if table else [Paragraph("Coverage: not judged.")]
    blocks.append(Table(("Property", "R2"), [[p["label"], p["metrics"]["r2"]["text"]] for p in properties]))
    blocks.append(Paragraph("Each figure is rounded on its own; the JSON holds them in full."))
    blocks += _strata(properties)
    notes = [f"{p['label']}: {note}" for p in properties for note in p["notes"]]
    if notes:
        blocks.append(Bullets(notes))
    kinds = (
        ("classes", "observed against predicted class"),
        ("vip", "band importance (VIP)"),
        ("trend", "benchmark RMSE over main's versions"),
    )
    shown = [
        Image(f"{kind}-{slug(p['name'])}.png", f"{p['label']}: {words}")
        for kind, words in kinds
        for p in properties
        if f"{kind}-{slug(p['name'])}.png" in images
    ]
    return [*blocks, Figures(shown)] if shown else blocks


def _strata(properties: list[dict[str, Any]]) -> list[Block]:
    table: list[list[Text]] = [
        [p["label"], s["name"], str(s["n"]), s["text"], s["verdict"]] for p in properties for s in p["strata"]
    ]
    header = ("Property", "Stratum", "n", "RMSE", "")
    return [Table(header, table, frozenset({2}))] if table else []


def _checks(checks: list[tuple[str, Check]]) -> Block:
    failed = sum(c.passed is False for _, c in checks)
    open_ = sum(c.passed is None for _, c in checks)
    table = [
        [Code(subject) if subject else "all", c.name, _CHECK_WORDS[c.passed], _weight(c), c.summary or "-"]
        for subject, c in checks
    ]
    told = f"{count(len(checks), 'check')}: {failed} failed, {open_} not judged"
    return Details(told, [Table(("Of", "Check", "Outcome", "", "In words"), table)])


def _weight(check: Check) -> str:
    return "blocking" if check.blocking else "warning"


def _provenance(inputs: DecisionInputs) -> list[Block]:
    blocks: list[Block] = []
    facts: list[list[Text]] = [[k, Code(v)] for k, v in inputs.versions.items()]
    facts += [[f"data: {k}", Code(v)] for k, v in inputs.data_hashes.items()]
    if facts:
        blocks.append(Table(("What", "Version"), facts))
    if inputs.links:
        blocks.append(Bullets([Link(words, url) for words, url in inputs.links.items()]))
    if inputs.reproduce:
        blocks += [Paragraph("To get this report again:"), CodeBlock("\n".join(inputs.reproduce), "console")]
    return blocks or [Paragraph("Not recorded.")]
