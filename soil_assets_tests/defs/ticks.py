"""What the daemons do, in the test's own process: judge ages, and record a tick."""

from __future__ import annotations

import asyncio
import time

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.events.log import EventLogEntry
from dagster._core.loader import LoadingContextForTest
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.freshness import FreshnessDaemon
from dagster._utils.error import SerializableErrorInfo

from soil_assets_tests.conftest import Platform

DAY = 24 * 3600.0


def made_long_ago(platform: Platform, asset: str, days: float, partition: str | None = None) -> None:
    """Record a materialization as it stands in the event log after that time."""
    event = dg.AssetMaterialization(asset, partition=partition)
    from dagster._core.events import DagsterEvent, StepMaterializationData

    at = time.time() - days * DAY
    platform.instance.store_event(
        EventLogEntry(
            error_info=None,
            level="debug",
            user_message="",
            run_id="",
            timestamp=at,
            step_key=None,
            job_name=None,
            dagster_event=DagsterEvent(
                dg.DagsterEventType.ASSET_MATERIALIZATION.value,
                job_name="",
                event_specific_data=StepMaterializationData(event),
            ),
        )
    )


def judge_ages(platform: Platform) -> None:
    """Judge every asset's age with Dagster's own daemon code: it records what became too old."""

    async def judge() -> None:
        graph = platform.definitions.resolve_asset_graph()
        for node in graph.asset_nodes:
            # A context keeps what it read: each judgement looks afresh, as each iteration of the daemon does.
            await FreshnessDaemon()._evaluate_asset(LoadingContextForTest(platform.instance), node)

    asyncio.run(judge())


def record_tick(platform: Platform, sensor: str, error: str | None) -> None:
    """Record a tick of a sensor as the sensor daemon does: failed with ``error``, or skipped."""
    origin = RemoteInstigatorOrigin(
        repository_origin=RemoteRepositoryOrigin(
            InProcessCodeLocationOrigin(
                loadable_target_origin=LoadableTargetOrigin(module_name="soil_assets.definitions"),
                location_name="soil_assets",
            ),
            "__repository__",
        ),
        instigator_name=sensor,
    )
    instance = platform.instance
    if instance.get_instigator_state(origin.get_id(), origin.get_selector().get_id()) is None:
        instance.add_instigator_state(
            InstigatorState(
                origin,
                InstigatorType.SENSOR,
                InstigatorStatus.DECLARED_IN_CODE,
                SensorInstigatorData(min_interval=30),
            )
        )
    instance.create_tick(
        TickData(
            instigator_origin_id=origin.get_id(),
            instigator_name=sensor,
            instigator_type=InstigatorType.SENSOR,
            status=TickStatus.FAILURE if error else TickStatus.SKIPPED,
            timestamp=time.time(),
            selector_id=origin.get_selector().get_id(),
            error=SerializableErrorInfo(
                "Error in sensor", [], "SensorExecutionError", SerializableErrorInfo(error, [], "OSError")
            )
            if error
            else None,
        )
    )
