"""Many batches through their gates in one run, a verdict for each: what a backfill on one machine is.

Belongs here: the job, and how the outcome of each batch becomes events of its own. Does not belong here: judging; it
calls the very assets that a run for one batch calls.

In a backfill that Dagster makes of one run, one check result stands for all of its partitions: one batch that fails
would hold all others, or be let through with them. Here every batch has its own materializations and its own verdicts.
They belong to the run, so the same batches can be judged again by another. Sensors and automation do not use this job:
a batch that lands has a run of its own.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
from pydantic import Field

from soil_assets.defs.event_writing import written_together
from soil_assets.defs.gates import BATCH_CHAIN, blocking_checks, judged_at
from soil_assets.defs.io import load_value, save_value
from soil_assets.defs.kept import reading_once
from soil_assets.defs.landing_zone import batch_version
from soil_assets.defs.partitions import BATCH
from soil_assets.defs.resources import Soil
from soil_assets.defs.staleness import stored_code_version, stored_data_version, version_of_partitions
from soil_assets.defs.verdict_events import target_of
from soil_assets.defs.verdicts import materialization
from soil_assets.errors import BadInput

JOB, OP = "judge_many_batches", "judge_batches"
_TELL_SECONDS = 15.0


@dataclass(frozen=True)
class Judged:
    """What became of one batch: the asset it came to, and the gates that said no."""

    batch: str
    reached: str
    failed: tuple[str, ...]


@dataclass(frozen=True)
class _Asked:
    """What the assets of a batch use of their context."""

    partition_key: str
    instance: dg.DagsterInstance
    run: dg.DagsterRun
    log: Any


class BatchesToJudge(dg.Config):
    """Which batches to judge: these, in this order; with none named, those without a verdict of the present code."""

    batches: list[str] = Field(default_factory=list)


def backfill_job(assets: Sequence[dg.AssetsDefinition]) -> dg.JobDefinition:
    """Return the job that judges many batches in one run."""
    by_name = {a.key.path[-1]: a for a in assets if a.key.path[-1] in BATCH_CHAIN}

    @dg.op(
        name=OP,
        description="Each batch through its gates, in order; a batch that a gate holds does not stop the others.",
    )
    def judge_batches(context: dg.OpExecutionContext, config: BatchesToJudge, soil: Soil) -> None:
        names = config.batches or unjudged(context.instance, soil, by_name)
        bulk = Soil(settings_json=soil.settings_json, in_bulk=True)
        held, told = 0, time.monotonic()
        for number, judged in enumerate(judge_each(context, by_name, bulk, names), start=1):
            held += bool(judged.failed)
            if judged.failed:
                context.log.info(f"{judged.batch} is held: {'; '.join(judged.failed)}")
            if time.monotonic() - told > _TELL_SECONDS or number == len(names):
                told = time.monotonic()
                context.log.info(f"{number} of {len(names)} batches judged, {held} held")

    @dg.job(
        name=JOB,
        executor_def=dg.in_process_executor,
        description="Many batches through their gates in one run, a verdict for each: for an archive of old batches, "
        "or after the policy changed. Only batches that a gate holds get pictures and a page.",
    )
    def judge_many_batches() -> None:
        judge_batches()

    return judge_many_batches


def unjudged(
    instance: dg.DagsterInstance, soil: Soil, assets: Mapping[str, dg.AssetsDefinition]
) -> list[str]:
    """Return the batches whose landed content has no verdict yet, or one of older code only."""
    return [
        name
        for name in sorted(instance.get_dynamic_partitions(BATCH))
        if soil.landing.exists(name) and not _has_verdict(instance, soil, assets, name)
    ]


def judge_each(
    context: dg.OpExecutionContext,
    assets: Mapping[str, dg.AssetsDefinition],
    soil: Soil,
    names: Sequence[str],
) -> Iterator[Judged]:
    """Judge batches one after the other, each against all that came before it.

    Raises
    ------
    BadInput
        When a name is no batch, or the golden reference was never materialized.
    """
    instance = context.instance
    known = set(instance.get_dynamic_partitions(BATCH))
    strangers = [n for n in names if n not in known]
    if strangers:
        raise BadInput(
            "no such batch", found=", ".join(strangers[:10]), expected="names of batches that landed"
        )
    if materialization(instance, "reference_spectra") is None:
        raise BadInput("the golden reference was never materialized", mend="run the job freeze first")
    reference = load_value(soil.data, "reference_spectra")
    versions = {"reference_spectra": stored_data_version(instance, "reference_spectra") or ""}
    with reading_once():
        for name in names:
            yield _judge(context, assets, soil, name, reference, versions)


def _judge(
    context: dg.OpExecutionContext,
    assets: Mapping[str, dg.AssetsDefinition],
    soil: Soil,
    name: str,
    reference: Any,
    frozen: Mapping[str, str],
) -> Judged:
    values: dict[str, Any] = {"reference_spectra": reference}
    results: dict[str, dg.MaterializeResult] = {}
    failed: list[str] = []
    for asset in BATCH_CHAIN:
        definition = assets[asset]
        inputs = {k: values[k] for k in (i.path[-1] for i in definition.dependency_keys)}
        asked = _Asked(name, context.instance, context.run, context.log)
        result = definition.op.compute_fn.decorated_fn(asked, soil=soil, **inputs)  # type: ignore[union-attr]
        if not isinstance(result, dg.MaterializeResult):
            raise TypeError(f"{asset} returned {type(result).__name__}")
        values[asset], results[asset] = result.value, result
        blocking = {s.name for s in definition.check_specs if s.blocking}
        failed += [
            f"{asset}.{r.check_name}: {r.description}"
            for r in result.check_results or ()
            if not r.passed and r.check_name in blocking
        ]
        if failed:
            break
    kept = {asset: save_value(soil.data, asset, name, result.value) for asset, result in results.items()}
    versions = dict(frozen)
    with written_together(context.instance):
        for asset, result in results.items():
            version = kept[asset] if result.data_version is None else result.data_version.value
            _record(context, assets[asset], name, result, kept[asset], version, versions)
            versions[asset] = version_of_partitions([version])
    return Judged(name, asset, tuple(failed))


def _record(
    context: dg.OpExecutionContext,
    definition: dg.AssetsDefinition,
    name: str,
    result: dg.MaterializeResult,
    digest: str,
    version: str,
    versions: Mapping[str, str],
) -> None:
    """Tell of a value that was kept, and of its verdicts.

    Parameters
    ----------
    digest, version : str
        Of the value as stored, and of the data.
    versions : mapping
        What it may have been made from, by asset, as dagster stores the version of an input.
    """
    from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation
    from dagster._core.events import DagsterEvent

    asset = definition.key.path[-1]
    inputs = [k.path[-1] for k in definition.dependency_keys]
    step = context.get_step_execution_context()
    DagsterEvent.asset_materialization(
        step,
        dg.AssetMaterialization(
            definition.key,
            partition=name,
            metadata={**(result.metadata or {}), "content_sha256": digest},
            tags={
                **(result.tags or {}),
                "dagster/code_version": definition.code_versions_by_key[definition.key] or context.run_id,
                "dagster/data_version": version,
                **{f"dagster/input_data_version/{k}": versions[k] for k in inputs},
            },
        ),
    )
    target = target_of(context.instance, asset, name)
    blocking = {s.name: s.blocking for s in definition.check_specs}
    for verdict in result.check_results or ():
        check = str(verdict.check_name)
        DagsterEvent.asset_check_evaluation(
            step,
            AssetCheckEvaluation(
                asset_key=definition.key,
                check_name=check,
                passed=verdict.passed,
                metadata=verdict.metadata,
                target_materialization_data=target,
                severity=verdict.severity,
                description=verdict.description,
                blocking=blocking[check],
                partition=name,
            ),
        )


def _has_verdict(
    instance: dg.DagsterInstance, soil: Soil, assets: Mapping[str, dg.AssetsDefinition], name: str
) -> bool:
    """Whether every gate that the batch came to has judged its landed content by the present code."""
    if stored_data_version(instance, "raw_spectra", name) != batch_version(soil.landing, name):
        return False
    checks = blocking_checks(spec for definition in assets.values() for spec in definition.check_specs)
    end = judged_at(instance, checks, name)
    if end is None:
        return False
    return all(
        stored_code_version(instance, asset, name) == assets[asset].code_versions_by_key[assets[asset].key]
        for asset in BATCH_CHAIN[: BATCH_CHAIN.index(end) + 1]
    )
