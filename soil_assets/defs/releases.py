"""Releases and moves of aliases, as Dagster sees them.

Belongs here: the environment's releases from the settings, and the sensor that tells of moved aliases.
"""

import json
import os
from typing import Any

import dagster as dg

from soil_assets.config import Settings
from soil_assets.errors import BadInput

#: A tick tells of at most this many moves; the rest waits for the next one.
MOVES_A_TICK = 100


def releases_of(settings: Settings, registry: Any, environment: str) -> Any:
    """Return the releases of an environment.

    Raises
    ------
    BadInput
        When no manifest repository is set, or the environment is none of its overlays.
    """
    from soil_assets.adapters.gitops import Releases
    from soil_assets.adapters.manifest_repository import ManifestRepository

    overlay = settings.release.overlays.get(environment)
    if overlay is None:
        raise BadInput(
            "no such environment",
            found=environment,
            expected=", ".join(settings.release.overlays),
            mend="add it to release.overlays in soil.yaml",
        )
    token = os.environ.get("SOIL_MANIFESTS_TOKEN", "")
    repository = ManifestRepository(settings.release.manifests(), settings.release.branch, token)
    return Releases(repository, registry, environment, overlay)


def alias_moves_sensor(settings: Settings) -> dg.SensorDefinition:
    """Tell of each move of an alias, whoever made it: by the gates, on the command line, by a workflow.

    The cursor holds the number of the last entry told of each model. A registry that does not answer is asked again at
    the next tick, and nothing is missed meanwhile, since the history keeps every move.
    """

    @dg.sensor(
        # No target: nothing is launched.
        name="alias_moves",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reports every move of staging, production and previous as an event of live_versions.",
    )
    def alias_moves(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        from soil_assets.adapters import journal
        from soil_assets.defs.resources import registry_of

        registry = registry_of(settings)
        if registry.empty:
            return dg.SkipReason("nothing is registered yet")
        told: dict[str, int] = json.loads(context.cursor) if context.cursor else {}
        count = 0
        try:
            for prop in settings.properties:
                name = settings.model_name(prop)
                history = journal.read(registry, name)
                if history.objection:
                    context.log.error(f"the history of {name} is not to be believed: {history.objection}")
                for entry in history.entries:
                    if entry.number <= told.get(name, 0) or count >= MOVES_A_TICK:
                        continue
                    context.instance.report_runless_asset_event(_move(prop, name, entry))
                    told[name] = entry.number
                    count += 1
        except BadInput as away:
            context.update_cursor(json.dumps(told, sort_keys=True))
            return dg.SkipReason(f"the registry is asked again: {away}")
        context.update_cursor(json.dumps(told, sort_keys=True))
        return dg.SkipReason(f"{count} moves told" if count else "no alias moved")

    return alias_moves


def _move(prop: str, name: str, entry: Any) -> dg.AssetMaterialization:
    places = ", ".join(f"{alias} = {version}" for alias, version in sorted(entry.places.items()))
    links = {k: dg.MetadataValue.url(v) if v.startswith("http") else v for k, v in entry.links.items()}
    return dg.AssetMaterialization(
        "live_versions",
        partition=prop,
        description=f"{name} version {entry.version} {entry.action} by {entry.who}: {entry.why}",
        metadata={
            "action": entry.action,
            "version": entry.version,
            "places": places,
            "who": entry.who,
            "why": entry.why,
            "when": entry.when,
            "code": entry.commit,
            "report": entry.report,
            "data": dict(entry.data),
            "entry": entry.number,
            **{f"link/{k}": v for k, v in links.items()},
        },
        tags={"dagster/data_version": places.replace(", ", "_").replace(" = ", "-")} if places else None,
    )
