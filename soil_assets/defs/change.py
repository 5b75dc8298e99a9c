"""What a change touches, told beside the figures: assets, data, batches it adds, its own judge, where to look.

Belongs here: comparing this checkout and instance with the baseline that ``soil baseline`` laid beside it.
Does not belong here: the figures (``evidence``), any judging.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from soil_assets.config import Settings, load_settings
from soil_assets.defs.resources import Soil
from soil_assets.defs.snapshot import snapshot
from soil_assets.errors import BadInput

if TYPE_CHECKING:
    from soil_assets.pull_request.baseline import Baseline
    from soil_assets.reporting.decision_inputs import DecisionInputs, Proposal, TrendPoint


def baseline_of(settings: Settings) -> Baseline | None:
    """Return what main is, or None where no baseline was laid beside this checkout."""
    from soil_assets.pull_request.baseline import Baseline

    return Baseline.read(Path(settings.baseline)) if settings.baseline else None


def changes(settings: Settings, soil: Soil) -> tuple[str, ...]:
    """Say in words what differs from main: assets and their code, batches."""
    from soil_assets.defs.build import assets_of
    from soil_assets.pull_request.batches import batches_here
    from soil_assets.reporting.changes import data_changes, graph_changes, read_graph

    main = baseline_of(settings)
    if main is None or not main.commit:
        return ()
    told: list[str] = []
    graph = Path(settings.baseline) / "graph.json"
    if graph.is_file():
        before = read_graph(json.loads(graph.read_text(encoding="utf-8")))
        told += graph_changes(before, read_graph(snapshot(assets_of(settings))))
    else:
        told.append("assets: not compared, main's graph could not be read")
    told += data_changes(main.batches, batches_here(soil.landing))
    return tuple(told)


def added_batches(settings: Settings, soil: Soil) -> frozenset[str]:
    """Return the batches that the change adds or alters."""
    from soil_assets.pull_request.batches import batches_here, touched

    main = baseline_of(settings)
    return frozenset() if main is None else touched(main.batches, batches_here(soil.landing))


def proposal(settings: Settings, facts: DecisionInputs, soil: Soil) -> Proposal | None:
    """Return the change's own judge with the comparisons it would make, or None where it is main's.

    ``settings`` hold main's policy and frozen sets; what the change proposes is read from its own ``soil.yaml``.
    """
    from soil_assets.defs.rejudge import benchmark_of
    from soil_assets.reporting.decision_inputs import Proposal
    from soil_assets.reporting.rejudge import judged_again

    if not settings.baseline:
        return None
    own = load_settings(env={k: v for k, v in os.environ.items() if k != "SOIL_BASELINE"})
    differs = tuple(_frozen_differences(settings, own))
    if own.policy == settings.policy and not differs:
        return None
    again = judged_again(facts, own.policy, benchmark_of(soil) or None)
    before = {p.name: p for p in facts.properties}
    properties: Any = {
        p.name: {"comparison": p.comparison}
        for p in again.properties
        if p.comparison is not None and p.comparison != before[p.name].comparison
    }
    return Proposal(policy=own.policy, benchmark=differs, properties=properties)


def _frozen_differences(main: Settings, own: Settings) -> list[str]:
    from soil_assets.benchmarks.frozen_sets import definition

    told = []
    for kind in ("benchmark", "reference"):
        before, name = definition(getattr(main, kind)), getattr(own, kind)
        try:
            after = definition(name)
        except BadInput as error:
            told.append(f"{kind}: the change's own definition {name} cannot be read: {error.what}")
            continue
        if before != after:
            what = [
                f"{key} {_short(getattr(before, key))} -> {_short(getattr(after, key))}"
                for key in type(before).model_fields
                if getattr(before, key) != getattr(after, key)
            ]
            told.append(f"{kind} {before.name}: {'; '.join(what)}. Main's is used.")
    return told


def trend(settings: Settings, soil: Soil, prop: str) -> tuple[TrendPoint, ...]:
    """Return main's past benchmark RMSE, oldest first: of the baseline, else of the registry's versions."""
    from soil_assets.reporting.decision_inputs import TrendPoint

    main = baseline_of(settings)
    if main is not None:
        return tuple(TrendPoint(**point) for point in main.trend.get(prop, ())[-12:])
    points = []
    for version in reversed(soil.registry.versions(settings.model_name(prop))):
        said = str(version.tags.get("soil.benchmark_rmse", "")).split(" ", 1)[0]
        try:
            points.append(TrendPoint(version=str(version.version), rmse=float(said)))
        except ValueError:
            continue
    return tuple(points[-12:])


def links(settings: Settings, batches: Mapping[str, bool], env: Mapping[str, str]) -> dict[str, str]:
    """Return where to look: the run in CI and its artifacts, each batch of the change and each model in the UI.

    Parameters
    ----------
    batches : mapping of str to bool
        Batches, and whether each is part of the change.
    """
    found = {}
    server, repository, run = (env.get(f"GITHUB_{k}", "") for k in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
    if server and repository and run:
        found["run in CI"] = f"{server}/{repository}/actions/runs/{quote(run)}"
        found["artifacts: this report as HTML and JSON, with its plots"] = f"{found['run in CI']}#artifacts"
    ui = settings.alerts.ui_url.rstrip("/")
    if ui:
        for name in (n for n, part in batches.items() if part):
            found[f"drift_reports of {name} in Dagster"] = (
                f"{ui}/assets/drift_reports?partition={quote(name)}"
            )
        for prop in settings.properties:
            found[f"model_comparisons of {prop} in Dagster"] = (
                f"{ui}/assets/model_comparisons?partition={quote(prop)}"
            )
    return found


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}…"
