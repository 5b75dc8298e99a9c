"""The instances that production runs on: they load for real, and share with the one of a laptop what they should."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from soil_assets_tests.delivery.servers import postgres, s3

ROOT = Path(__file__).resolve().parent.parent.parent
COMPOSE = ROOT / "deploy" / "docker" / "dagster.yaml"
#: What depends on where an instance runs; every other block is one decision, written down once for each file.
OWN = {"storage", "compute_logs"}
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def blocks(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return found


def test_the_shared_blocks_of_both_files_are_equal() -> None:
    local, production = blocks(ROOT / "dagster.yaml"), blocks(COMPOSE)
    assert local.keys() == production.keys()
    assert {k: v for k, v in local.items() if k not in OWN} == {
        k: v for k, v in production.items() if k not in OWN
    }
    assert {
        "run_coordinator",
        "concurrency",
        "run_monitoring",
        "run_retries",
        "retention",
    } <= local.keys() - OWN


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """The instance of deploy/docker/dagster.yaml on a real PostgreSQL and an S3 endpoint."""
    pytest.importorskip("dagster_postgres")
    pytest.importorskip("dagster_aws")
    home = Path(tmp_path_factory.mktemp("production"))
    shutil.copy(COMPOSE, home / "dagster.yaml")
    with (
        postgres("dagster") as address,
        s3(home, "soil-bucket") as store,
        pytest.MonkeyPatch.context() as environment,
    ):
        for name, value in {
            **store,
            "SOIL_POSTGRES_HOST": "127.0.0.1",
            "SOIL_POSTGRES_PORT": address.rsplit(":", 1)[1].split("/")[0],
            "SOIL_POSTGRES_USER": "soil",
            "SOIL_POSTGRES_PASSWORD": "unused-on-loopback",
            "SOIL_DAGSTER_STORAGE": str(home / "local"),
            "SOIL_BUCKET": "soil-bucket",
        }.items():
            environment.setenv(name, value)
        with dg.DagsterInstance.from_config(str(home)) as instance:
            yield instance


def test_the_production_instance_loads_with_what_the_file_says(production: dg.DagsterInstance) -> None:
    assert type(production.run_storage).__name__ == "PostgresRunStorage"
    assert type(production.event_log_storage).__name__ == "PostgresEventLogStorage"
    assert production.run_retries_enabled
    assert production.run_retries_max_retries == 5
    assert production.run_retries_retry_on_asset_or_op_failure is False
    assert production.run_monitoring_enabled
    assert production.run_launcher.supports_check_run_worker_health
    assert production.run_monitoring_start_timeout_seconds > 0
    assert production.run_monitoring_max_runtime_seconds > 0
    concurrency = production.get_concurrency_config()
    assert concurrency.pool_config.default_pool_limit == 1
    assert concurrency.run_queue_config is not None
    assert concurrency.run_queue_config.max_concurrent_runs == 2


def test_a_run_is_recorded_in_postgresql_and_what_it_prints_in_the_object_store(
    production: dg.DagsterInstance,
) -> None:
    import boto3

    @dg.asset
    def speaks() -> None:
        print("heard in the object store")

    done = dg.materialize([speaks], instance=production)
    assert done.success
    record = production.get_latest_materialization_event(dg.AssetKey("speaks"))
    assert record is not None
    assert record.run_id == done.run_id
    bucket = boto3.client("s3")
    keys = [o["Key"] for o in bucket.list_objects_v2(Bucket="soil-bucket").get("Contents", [])]
    printed = [k for k in keys if k.endswith(".out")]
    assert printed
    assert all(k.startswith("dagster/logs/") for k in keys)
    body = bucket.get_object(Bucket="soil-bucket", Key=printed[0])["Body"].read().decode()
    assert "heard in the object store" in body


def test_the_local_instance_loads_and_retries_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, production: dg.DagsterInstance
) -> None:
    shutil.copy(ROOT / "dagster.yaml", tmp_path / "dagster.yaml")
    monkeypatch.setenv("SOIL_DAGSTER_STORAGE", str(tmp_path / "dagster"))
    with dg.DagsterInstance.from_config(str(tmp_path)) as local:
        for name in ("run_retries", "run_monitoring", "concurrency", "retention"):
            assert local.get_settings(name) == production.get_settings(name), name
        assert type(local.run_coordinator) is type(production.run_coordinator)
