"""Production's traffic: a day of the log becomes a batch, is compared, and alerts when it is of another kind."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
import pytest

from soil_assets.defs.jobs import TRAFFIC_JOB
from soil_assets.serving.incoming import Asked, Wanted
from soil_assets.serving.model_store import LoadedModel
from soil_assets.serving.prediction_log import PredictionLog
from soil_assets.spectra.embedded import limesoda
from soil_assets.spectra.harmonise import harmonise
from soil_assets_tests.conftest import Platform

if TYPE_CHECKING:
    from soil_assets.spectra.batch import SpectralBatch

YESTERDAY = (dt.datetime.now(dt.UTC) - dt.timedelta(days=1)).strftime("%Y-%m-%d")
TODAY = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d")


@pytest.fixture
def trained(platform: Platform) -> Platform:
    """Reference there and its clay model registered as version 1."""
    from soil_assets.adapters.registry import register
    from soil_assets.modeling.recipe import Recipe
    from soil_assets.modeling.train import train
    from soil_assets_tests.delivery.models import CLEAN, RELEASED, log

    assert platform.run("reference_spectra").success
    reference = load(platform, "reference_spectra", None)
    model = train(reference, platform.soil.catalogue["clay"], Recipe(), groups=reference.groups())
    run_id, uri = log(platform.soil.registry, model)
    register(platform.soil.registry, "soil-clay", uri, run_id, evidence=CLEAN, because=RELEASED, tags={})
    return platform


def load(platform: Platform, asset: str, day: str | None) -> SpectralBatch:
    from soil_assets.defs.io import load_value

    value: SpectralBatch = load_value(platform.soil.data, asset, day)
    return value


def traffic(platform: Platform, batch: SpectralBatch, day: str) -> None:
    """Let a service's log write what was asked, then give it its day."""
    model, version = platform.soil.registry.load("models:/soil-clay@staging")
    loaded = LoadedModel(model, version.name, version.version, "")
    place = Path(platform.settings.service.predictions.format(home=platform.settings.home))
    log = PredictionLog(str(place), seconds=3600.0)
    on_axis = harmonise(batch, model.axis, model.quantity)
    table = model.predict(on_axis)
    columns = {"clay": {c: table[c].to_numpy() for c in table.columns}}
    asked = Asked(
        batch.sample_ids.astype(str).tolist(),
        batch.spectra,
        batch.axis,
        batch.quantity,
        batch.scale,
        Wanted(),
    )
    log.put("request", asked, columns, {"clay": loaded})
    log.close()
    if day != TODAY:
        (place / TODAY).rename(place / day)


def judge(platform: Platform, day: str) -> dict[str, bool]:
    from soil_assets.defs.run import run_job

    if day not in platform.instance.get_dynamic_partitions("served_day"):
        platform.instance.add_dynamic_partitions("served_day", [day])
    outcome = run_job(platform.definitions, platform.instance, TRAFFIC_JOB.name, day)
    assert outcome.success, outcome.errors
    return {c.check: c.passed for c in outcome.checks}


def test_traffic_of_the_same_field_is_quiet(trained: Platform) -> None:
    field = limesoda("NRW.115")
    same = field.take(np.flatnonzero(field.samples["fold"].isin([6, 7]).to_numpy()))
    traffic(trained, same, YESTERDAY)
    checks = judge(trained, YESTERDAY)
    assert checks["traffic_drift"]
    assert checks["traffic_judged"]
    assert checks["traffic_applicability"]
    assert checks["log_readable"]
    day = load(trained, "served_predictions", YESTERDAY)
    assert len(day) == len(same)
    assert "predicted_clay" in day.samples
    assert "clay" not in day.samples  # a prediction is never taken for a lab's value


def test_traffic_of_another_field_alerts(trained: Platform) -> None:
    traffic(trained, limesoda("NRW.62"), YESTERDAY)
    checks = judge(trained, YESTERDAY)
    assert not checks["traffic_drift"]
    assert not checks["traffic_applicability"]
    key = dg.AssetCheckKey(dg.AssetKey("traffic_drift_reports"), "traffic_drift")
    [record] = trained.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    assert record.status.value == "FAILED"  # what the alerts sensor tells people of


def test_a_day_of_few_is_not_judged(trained: Platform) -> None:
    traffic(trained, limesoda("NRW.115").take([0, 1]), YESTERDAY)
    checks = judge(trained, YESTERDAY)
    assert not checks["traffic_judged"]
    assert checks["traffic_drift"]


def test_days_are_picked_up_when_they_are_over(trained: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    from soil_assets_tests.defs.test_sensors import later, made, tick

    traffic(trained, limesoda("NRW.115").take([0, 1]), YESTERDAY)
    traffic(trained, limesoda("NRW.115").take([2]), TODAY)
    result, cursor = tick(trained, sensor="served_days")
    assert [r.partition_key for r in result.run_requests or []] == [YESTERDAY]
    assert trained.instance.get_dynamic_partitions("served_day") == [YESTERDAY]
    [request] = result.run_requests or []
    made(trained, request, dg.DagsterRunStatus.CANCELED)
    later(monkeypatch, 60)
    [request] = tick(trained, cursor, sensor="served_days")[0].run_requests or []
    made(trained, request, dg.DagsterRunStatus.SUCCESS)
    again, cursor = tick(trained, cursor, sensor="served_days")
    assert not again.run_requests, "a run came to its end"
    log = Path(trained.settings.service.predictions.format(home=trained.settings.home))
    [file] = (log / TODAY).iterdir()
    file.rename(log / YESTERDAY / file.name)  # a service that wrote late
    late, _ = tick(trained, cursor, sensor="served_days")
    [request] = late.run_requests or []
    assert request.partition_key == YESTERDAY
    assert request.run_key != (result.run_requests or [])[0].run_key
