"""The demo, step by step: version 1 from the reference alone, four batches, the retrained model against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from soil_assets.config import Settings
from soil_assets.demo.batches import DEMO_BATCHES, land_missing
from soil_assets.storage import Store

#: Says what is going on: (what, detail).
Tell = Callable[[str, str], None]


@dataclass(frozen=True)
class BatchFate:
    """One row of the demo's table."""

    batch: str
    what: str
    landed: int
    accepted: int
    quarantined: int
    drift: str
    next: str


@dataclass(frozen=True)
class ModelFate:
    """What became of one property's model."""

    property: str
    version: int | None
    verdict: str
    n: int
    rmse_main: float | None
    rmse: float | None
    words: str


@dataclass(frozen=True)
class DemoResult:
    """What the demo shows."""

    batches: tuple[BatchFate, ...]
    quarantine: tuple[dict[str, Any], ...]
    models: tuple[ModelFate, ...]
    decision: str
    report: str
    materialized: int
    runs: int
    unexpected: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


def play(settings: Settings, tell: Tell) -> DemoResult:
    """Run the demo on the instance of ``DAGSTER_HOME``; what is up to date is left alone."""
    from soil_assets.defs.build import build_definitions
    from soil_assets.defs.by_hand import Step, bring_up_to_date, tick
    from soil_assets.defs.run import open_instance

    tell("loading", "Dagster and the asset graph")
    definitions = build_definitions(settings)
    landing = Store(settings.url("landing"))
    steps: list[Step] = []

    def follow(made: Iterator[Step]) -> None:
        for step in made:
            steps.append(step)
            what = step.what.split(",")[0] + (f"[{step.partition}]" if step.partition else "")
            tell(what, _outcome_in_words(step))

    with open_instance() as instance:
        if not landing.exists(DEMO_BATCHES[0].name):
            tell("first version", "from the golden reference alone, before any batch")
            follow(bring_up_to_date(definitions, instance, settings))
        for name in land_missing(landing):
            tell("landed", name)
        follow(tick(definitions, instance, "new_batches"))
        follow(tick(definitions, instance, "merged_changes"))
        follow(bring_up_to_date(definitions, instance, settings))
        return _result(definitions, instance, settings, steps)


def _outcome_in_words(step: Any) -> str:
    failed = [c for c in step.outcome.checks if c.blocking and not c.passed]
    if step.outcome.errors:
        return f"FAILED: {step.outcome.errors[0][:300]}"
    if failed:
        return f"held by {failed[0].asset}.{failed[0].check}: {failed[0].summary[:200]}"
    return f"done ({step.why})"


def _result(definitions: Any, instance: Any, settings: Settings, steps: list[Any]) -> DemoResult:
    from soil_assets.defs.build import assets_of, blocking_of
    from soil_assets.defs.evidence import decision_inputs
    from soil_assets.defs.io import load_value
    from soil_assets.defs.resources import Soil

    soil = Soil.of(settings)
    facts = decision_inputs(instance, soil, blocking_of(assets_of(settings)))
    report = load_value(soil.data, "decision_report")
    stories = {b.name: b.story for b in DEMO_BATCHES}
    batches, quarantine = [], []
    for b in sorted(facts.batches, key=lambda b: list(stories).index(b.name) if b.name in stories else 99):
        drift = (b.drift or "not reached").replace("_", " ")
        batches.append(
            BatchFate(
                b.name, stories.get(b.name, ""), b.landed, b.accepted, b.quarantined, drift, b.next_step
            )
        )
        if b.name == "damaged":
            quarantine += [dict(row) for row in b.quarantine]
    models = []
    for p in facts.properties:
        comparison = p.comparison or {}
        rmse = comparison.get("rmse") or {}
        found = soil.registry.version_at(settings.model_name(p.name), "staging")
        models.append(
            ModelFate(
                p.name,
                None if found is None else found.version,
                str(comparison.get("verdict", "not judged")),
                int(comparison.get("n") or 0),
                rmse.get("main"),
                rmse.get("candidate"),
                str(comparison.get("reason", "")),
            )
        )
    return DemoResult(
        tuple(batches),
        tuple(quarantine),
        tuple(models),
        str(report["data"]["recommendation"]),
        soil.reports.where("report.html"),
        sum(len(s.outcome.materialized) for s in steps),
        len(steps),
        tuple(_unexpected(batches, models, steps)),
    )


def _unexpected(batches: list[BatchFate], models: list[ModelFate], steps: list[Any]) -> Iterator[str]:
    """Compare the story with what is told of it: a demo that went otherwise must not look like a success."""
    for step in steps:
        for error in step.outcome.errors:
            yield f"{step.what}[{step.partition}]: {error}"
    fates = {b.batch: b for b in batches}
    held = {"other-field": True, "short-range": True, "same-field": False, "damaged": False}
    for name, expected in held.items():
        if name in fates and fates[name].next.startswith("held") is not expected:
            yield f"batch {name} was {'not ' if expected else ''}held: {fates[name].next}"
    for b in batches:
        if b.landed != b.accepted + b.quarantined:
            yield f"batch {b.batch}: {b.landed} landed, {b.accepted} accepted, {b.quarantined} quarantined"
    for m in models:
        if m.version is None:
            yield f"no version of {m.property} is registered"
