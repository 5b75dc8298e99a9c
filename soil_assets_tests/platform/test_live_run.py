"""A run in a real cluster, whichever KUBECONFIG names: K8sRunLauncher starts its pod, and PostgreSQL hears of its end.

``SOIL_TEST_PLATFORM_IMAGE`` names the platform's image, which the cluster has. The pod is the one of our Helm values;
its secrets, settings and database are made here, in a namespace that goes with the test.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from soil_assets_tests.delivery.servers import free_port
from soil_assets_tests.delivery.test_deploy import kubectl as program
from soil_assets_tests.delivery.test_kubernetes import kubectl
from soil_assets_tests.platform import chart
from soil_assets_tests.platform.test_pods import launch

NAMESPACE = "soil-test-runs"
PASSWORD = "of-a-database-that-goes-with-the-test"
IMAGE = os.environ.get("SOIL_TEST_PLATFORM_IMAGE", "")
pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not os.environ.get("KUBECONFIG"), reason="KUBECONFIG names no cluster"),
    pytest.mark.skipif(not IMAGE, reason="SOIL_TEST_PLATFORM_IMAGE names no image"),
]


def surroundings() -> list[dict[str, Any]]:
    """What the chart, its user and PostgreSQL's operator would have made."""
    context = chart.container_context(chart.values())["k8s"]
    database = yaml.safe_load((chart.ROOT / "deploy" / "compose.yaml").read_text())["services"]["postgres"][
        "image"
    ]
    labels = {"app": "postgres"}
    env = [{"name": n, "value": v} for n, v in
           (("POSTGRES_USER", "dagster"), ("POSTGRES_PASSWORD", PASSWORD), ("POSTGRES_DB", "dagster"))]  # fmt: skip
    ready = {"exec": {"command": ["pg_isready", "--username=dagster"]}, "periodSeconds": 2}
    made: list[dict[str, Any]] = [
        {"kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"kind": "ServiceAccount", "metadata": {"name": context["service_account_name"]}},
        {"kind": "Secret", "metadata": {"name": "dagster-postgresql"}, "stringData": {"postgresql-password": PASSWORD}},
        *(
            {"kind": "Secret", "metadata": {"name": name}, "stringData": {f"SECRET_{i}": "x"}}
            for i, name in enumerate(context["env_secrets"])
        ),
        *({"kind": "ConfigMap", "metadata": {"name": name}, "data": {}} for name in context["env_config_maps"]),
        # Its values lie in the pod and go with it: that they were made is what the event log keeps.
        {"kind": "ConfigMap", "metadata": {"name": "soil-settings"}, "data": {"soil.yaml": "properties: [clay]\n"}},
        {
            "kind": "Service", "metadata": {"name": "postgres"},
            "spec": {"selector": labels, "ports": [{"port": 5432}]},
        },
        {
            "kind": "Pod", "metadata": {"name": "postgres", "labels": labels},
            "spec": {"containers": [{"name": "postgres", "image": database, "env": env, "readinessProbe": ready}]},
        },
    ]  # fmt: skip
    own = [
        o if o["kind"] == "Namespace" else o | {"metadata": o["metadata"] | {"namespace": NAMESPACE}}
        for o in made
    ]
    return [{"apiVersion": "v1", **o} for o in own]


@pytest.fixture
def database() -> Iterator[int]:
    """The namespace with PostgreSQL in it; gives the port of this machine that leads there."""
    if kubectl("get", "namespace", NAMESPACE, "--ignore-not-found"):
        pytest.skip(f"namespace {NAMESPACE} is there already: tests do not touch what runs")
    listed = {"apiVersion": "v1", "kind": "List", "items": surroundings()}
    port = free_port()
    try:
        kubectl("apply", "--validate=strict", "-f", "-", given=json.dumps(listed))
        kubectl("-n", NAMESPACE, "wait", "--for=condition=Ready", "pod/postgres", "--timeout=300s")
        forward = subprocess.Popen(
            [program(), "-n", NAMESPACE, "port-forward", "service/postgres", f"{port}:5432"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield port
        finally:
            forward.terminate()
            forward.wait(20)
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--wait=true", "--timeout=180s", check=False)


def instance_file(home: Path) -> None:
    """Write an instance whose database has one name here and another in the pod."""
    launcher = chart.launcher(chart.values()) | {
        "load_incluster_config": False, "kubeconfig_file": os.environ["KUBECONFIG"], "job_namespace": NAMESPACE,
    }  # fmt: skip
    config = {
        "storage": {"postgres": {"postgres_db": {
            "hostname": {"env": "SOIL_POSTGRES_HOST"}, "port": {"env": "SOIL_POSTGRES_PORT"},
            "username": "dagster", "password": {"env": "DAGSTER_PG_PASSWORD"}, "db_name": "dagster",
            "scheme": "postgresql+psycopg2",
        }}},
        "run_launcher": {"module": "dagster_k8s", "class": "K8sRunLauncher", "config": launcher},
        "run_coordinator": {"module": "dagster.core.run_coordinator", "class": "DefaultRunCoordinator"},
        "compute_logs": {
            "module": "dagster.core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager",
        },
        "telemetry": {"enabled": False},
    }  # fmt: skip
    (home / "dagster.yaml").write_text(yaml.safe_dump(config))


def test_a_run_is_launched_in_the_cluster_and_its_end_is_known(
    database: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {
        "SOIL_POSTGRES_HOST": "127.0.0.1",
        "SOIL_POSTGRES_PORT": str(database),
        "DAGSTER_PG_PASSWORD": PASSWORD,
    }
    for name, value in here.items():
        monkeypatch.setenv(name, value)
    context = chart.container_context(chart.values())
    context["k8s"] |= {"namespace": NAMESPACE}
    context["k8s"]["env"] = [
        *(e for e in context["k8s"]["env"] if e["name"] != "SOIL_EXECUTOR"),
        {"name": "SOIL_POSTGRES_HOST", "value": "postgres"},
        {"name": "SOIL_POSTGRES_PORT", "value": "5432"},
    ]
    instance_file(tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        run = launch(instance, "freeze", context=context, image=IMAGE)
        end = time.monotonic() + 420
        while (found := instance.get_run_by_id(run.run_id)) is None or not found.is_finished:
            if time.monotonic() > end:
                break
            time.sleep(2)
        told = kubectl("-n", NAMESPACE, "logs", f"job/dagster-run-{run.run_id}", "--tail=60", check=False)
        described = kubectl("-n", NAMESPACE, "describe", "pods", check=False)[-3000:]
        assert found is not None
        assert found.status is dg.DagsterRunStatus.SUCCESS, told + described
        for asset in ("reference_spectra", "benchmark_spectra"):
            event = instance.get_latest_materialization_event(dg.AssetKey(asset))
            assert event is not None
            assert event.run_id == run.run_id
    [pod] = json.loads(
        kubectl("-n", NAMESPACE, "get", "pods", "-l", f"dagster/run-id={run.run_id}", "-o", "json")
    )["items"]
    assert pod["status"]["phase"] == "Succeeded"
    assert pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
