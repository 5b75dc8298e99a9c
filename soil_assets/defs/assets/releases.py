"""Where the lineage ends: the release that was staged by a commit, and the versions that are live."""

from typing import Any

import dagster as dg

from soil_assets.config import Settings
from soil_assets.defs.assets.common import OWNERS
from soil_assets.defs.code_versions import code_version
from soil_assets.defs.conditions import after_any_registration
from soil_assets.defs.partitions import property_partitions
from soil_assets.defs.resources import MAIN_ALIAS, Soil


def build(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return ``staging_releases``; it asks to be made only where a manifest repository is set."""

    @dg.asset(
        group_name="delivery",
        kinds={"git", "kubernetes"},
        owners=OWNERS,
        dagster_type=dg.Any,
        deps=["registered_versions"],
        code_version=code_version("adapters/gitops.py", "delivery/slots.py"),
        automation_condition=after_any_registration() if settings.release.manifests() else None,
        description="The staged versions on the idle colour of staging: one signed-off commit in the manifest "
        "repository. Traffic moves by `soil release test` and `switch`, which the workflow deploy_staging runs.",
    )
    def staging_releases(context: dg.AssetExecutionContext, soil: Soil) -> dg.MaterializeResult:
        from soil_assets.defs.registration import because_of
        from soil_assets.defs.releases import releases_of

        if settings.deployment == "branch":
            raise dg.Failure("a branch deployment never commits a release", allow_retries=False)
        releases = releases_of(settings, soil.registry, "staging")
        named = [settings.model_name(p) for p in settings.properties]
        at = {name: soil.registry.version_at(name, MAIN_ALIAS) for name in named}
        models = {name: version.version for name, version in at.items() if version is not None}
        step = releases.stage(models, "", because_of(context.run_id))
        slot = step.state.live if step.what == "live already" else step.state.idle
        facts: dict[str, Any] = {
            "release": slot.release,
            "colour": slot.colour,
            "versions": slot.in_words(),
            "commit": step.commit,
            "what": step.what,
        }
        return dg.MaterializeResult(
            value=facts,
            data_version=dg.DataVersion(slot.release),
            metadata={**facts, "manifests": releases.repository.url},
        )

    return [staging_releases]


def live_versions(settings: Settings) -> dg.AssetSpec:
    """Return what is live, as the registry's history tells it: the sensor ``alias_moves`` reports each move."""
    return dg.AssetSpec(
        "live_versions",
        group_name="delivery",
        kinds={"mlflow"},
        owners=OWNERS,
        deps=["registered_versions", "staging_releases"],
        partitions_def=property_partitions(settings),
        description="Which version stands at staging, production and previous; who moved it there, when and why.",
    )
