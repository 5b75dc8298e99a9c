"""Our values through Dagster's own chart: its schema takes them, Kubernetes takes what comes out, Dagster loads it.

Skipped where the chart or helm is not there (``DAGSTER_CHART``, ``HELM``); what needs neither is tested always.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from soil_assets.config import load_settings
from soil_assets_tests.delivery.servers import postgres, s3
from soil_assets_tests.platform import chart
from soil_assets_tests.platform.kube_api import VERSION, kube_api

ROOT = chart.ROOT
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def kubernetes_definitions() -> Any:
    """Resolve what the chart's schema refers to on the network with the schemas that are installed.

    Not the strict ones: the chart adds keys of its own to Kubernetes's (``startupProbe.enabled``).
    """
    import kubernetes_validate
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT7

    folder = Path(str(kubernetes_validate.__file__)).parent / "kubernetes-json-schema"
    text = (folder / f"v{VERSION}-local" / "_definitions.json").read_text(encoding="utf-8")
    found = json.loads(text.replace("#/$defs/", "#/definitions/"))
    known = Resource(contents={"definitions": found["$defs"]}, specification=DRAFT7)
    return Registry(retrieve=lambda uri: known)  # type: ignore[call-arg]


def problems(given: dict[str, Any]) -> list[str]:
    """What the chart's schema says of values, merged over the chart's own."""
    from jsonschema import Draft7Validator

    schema = json.loads((chart.chart() / "values.schema.json").read_text(encoding="utf-8"))
    defaults = yaml.safe_load((chart.chart() / "values.yaml").read_text(encoding="utf-8"))
    validator = Draft7Validator(schema, registry=kubernetes_definitions())
    return [
        f"{'.'.join(map(str, e.absolute_path))}: {e.message[:300]}"
        for e in validator.iter_errors(chart.merged(defaults, given))
    ]


def test_the_charts_schema_takes_our_values() -> None:
    pytest.importorskip("kubernetes_validate")
    assert problems(chart.values()) == []


def test_the_charts_schema_would_refuse_a_mistyped_key() -> None:
    pytest.importorskip("kubernetes_validate")
    wrong = chart.values()
    wrong["dagsterDaemon"]["runMonitorng"] = wrong["dagsterDaemon"].pop("runMonitoring")
    wrong["concurrency"]["pools"]["default_limit"] = 4
    wrong["dagsterWebserver"]["replicaCount"] = "two"
    said = "\n".join(problems(wrong))
    assert "runMonitorng" in said
    assert "default_limit" in said
    assert "replicaCount" in said


def test_our_values_name_only_keys_that_the_chart_has() -> None:
    """The schema lets unknown keys pass at the top and in places: a setting there would be lost in silence."""
    defaults = yaml.safe_load((chart.chart() / "values.yaml").read_text(encoding="utf-8"))
    assert chart.values().keys() <= defaults.keys()
    for section in ("dagsterDaemon", "dagsterWebserver", "postgresql", "global", "retention", "concurrency"):
        assert chart.values()[section].keys() <= defaults[section].keys(), section


@pytest.fixture(scope="module")
def objects() -> dict[tuple[str, str], Any]:
    return chart.rendered()


def test_kubernetes_takes_everything_strictly(objects: dict[tuple[str, str], Any]) -> None:
    validator = pytest.importorskip("kubernetes_validate")
    kinds = {kind for kind, _ in objects}
    assert {"Deployment", "Service", "ServiceAccount", "Role", "RoleBinding", "ConfigMap"} <= kinds
    assert "Secret" not in kinds, "secrets are named, and held nowhere"
    for found in objects.values():
        validator.validate(found, VERSION, strict=True)


def test_every_pod_meets_the_restricted_standard(objects: dict[tuple[str, str], Any]) -> None:
    deployments = {name: o for (kind, name), o in objects.items() if kind == "Deployment"}
    assert len(deployments) == 4, "web server, daemon, code server; the exporter, which our values add"
    assert "soil-metrics" in deployments
    for deployment in deployments.values():
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            }, container["name"]  # fmt: skip
        [main] = pod["containers"]
        assert {"requests", "limits"} <= main["resources"].keys()
        writable = {v["name"] for v in pod["volumes"] if "emptyDir" in v}
        mounted = {m["mountPath"] for m in main["volumeMounts"] if m["name"] in writable}
        assert "/opt/dagster/home" in mounted, "Dagster writes beside its dagster.yaml"


def test_the_python_side_says_what_the_chart_says(objects: dict[tuple[str, str], Any]) -> None:
    instance = yaml.safe_load(objects["ConfigMap", "dagster-instance"]["data"]["dagster.yaml"])
    assert instance["run_launcher"]["config"] == chart.launcher(chart.values())
    [code] = [
        c
        for (kind, _), o in objects.items() if kind == "Deployment"
        for c in o["spec"]["template"]["spec"]["containers"]
        if "grpc" in c.get("args", [])
    ]  # fmt: skip
    env = {e["name"]: e.get("value") for e in code["env"]}
    assert json.loads(env["DAGSTER_CLI_API_GRPC_CONTAINER_CONTEXT"]) == chart.container_context(
        chart.values()
    )
    assert env["DAGSTER_CURRENT_IMAGE"] == chart.image(chart.values())


@pytest.fixture
def instance(
    objects: dict[tuple[str, str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """The instance of the chart's ConfigMap on a real PostgreSQL, an S3 endpoint, and a Kubernetes API on loopback."""
    pytest.importorskip("dagster_postgres")
    pytest.importorskip("dagster_aws")
    text = objects["ConfigMap", "dagster-instance"]["data"]["dagster.yaml"]
    with postgres("dagster") as address, s3(tmp_path, "soil") as store, kube_api(tmp_path) as api:
        for name, value in {**store, "DAGSTER_PG_PASSWORD": "unused-on-loopback"}.items():
            monkeypatch.setenv(name, value)
        said = yaml.safe_load(text)
        for kind in ("schedule_storage", "run_storage", "event_log_storage"):
            said[kind]["config"]["postgres_db"] |= {
                "hostname": "127.0.0.1", "port": int(address.rsplit(":", 1)[1].split("/")[0]), "username": "soil",
            }  # fmt: skip
        said["run_launcher"]["config"] |= {"load_incluster_config": False, "kubeconfig_file": api.kubeconfig}
        said["compute_logs"]["config"]["local_dir"] = str(tmp_path / "logs")
        (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(said))
        with dg.DagsterInstance.from_config(str(tmp_path)) as opened:
            yield opened


def test_dagster_loads_the_charts_instance(instance: dg.DagsterInstance) -> None:
    assert type(instance.run_launcher).__name__ == "K8sRunLauncher"
    assert type(instance.event_log_storage).__name__ == "PostgresEventLogStorage"
    queue = instance.get_concurrency_config().run_queue_config
    assert queue is not None
    assert queue.max_concurrent_runs == 25
    assert queue.tag_concurrency_limits == [{"key": "dagster/backfill", "limit": 20}]
    assert instance.get_concurrency_config().pool_config.default_pool_limit == 4


def test_its_shared_blocks_are_those_of_the_local_instance(objects: dict[tuple[str, str], Any]) -> None:
    cluster = yaml.safe_load(objects["ConfigMap", "dagster-instance"]["data"]["dagster.yaml"])
    assert shared(cluster) == shared(yaml.safe_load((ROOT / "dagster.yaml").read_text(encoding="utf-8")))


def test_the_values_say_what_the_local_instance_says() -> None:
    """The same, without the chart: by the names that the chart gives these settings."""
    given = chart.values()
    daemon = given["dagsterDaemon"]
    cluster = {
        "run_coordinator": {"class": daemon["runCoordinator"]["type"]},
        "run_monitoring": {
            "enabled": daemon["runMonitoring"]["enabled"],
            "max_runtime_seconds": daemon["runMonitoring"]["maxRuntimeSeconds"],
            "free_slots_after_run_end_seconds": daemon["runMonitoring"]["freeSlotsAfterRunEndSeconds"],
        },
        "run_retries": {
            "enabled": daemon["runRetries"]["enabled"],
            "max_retries": daemon["runRetries"]["maxRetries"],
            "retry_on_asset_or_op_failure": daemon["runRetries"]["retryOnAssetOrOpFailure"],
        },
        "retention": {
            kind: {"purge_after_days": given["retention"][kind]["purgeAfterDays"]}
            for kind in ("schedule", "sensor")
        },
        "telemetry": given["telemetry"],
    }
    assert shared(cluster) == shared(yaml.safe_load((ROOT / "dagster.yaml").read_text(encoding="utf-8")))


def shared(instance: dict[str, Any]) -> dict[str, Any]:
    """Return what is one decision for a laptop and a cluster; how many runs go at a time is not."""
    sensor = {k: v for k, v in instance["retention"]["sensor"]["purge_after_days"].items() if k != "started"}
    return {
        "coordinator": instance["run_coordinator"]["class"],
        "run_monitoring": [
            instance["run_monitoring"][k]
            for k in ("enabled", "max_runtime_seconds", "free_slots_after_run_end_seconds")
        ],
        "run_retries": instance["run_retries"],
        "schedules": instance["retention"]["schedule"],
        "sensors": sensor,
        "telemetry": instance["telemetry"],
    }


def test_the_platforms_settings_are_settings() -> None:
    manifest = chart.added("ConfigMap")
    [(name, text)] = manifest["data"].items()
    folder = next(
        m["mountPath"]
        for m in chart.container_context(chart.values())["k8s"]["volume_mounts"]
        if m["name"] == "settings"
    )
    env = {e["name"]: e["value"] for e in chart.container_context(chart.values())["k8s"]["env"]}
    assert env["SOIL_CONFIG"] == f"{folder}/{name}"
    said = yaml.safe_load(text)
    assert all(url.startswith(("s3://", "http")) for url in said["storage"].values()), "pods share no disk"


def test_the_settings_load(tmp_path: Path) -> None:
    manifest = chart.added("ConfigMap")
    (tmp_path / "soil.yaml").write_text(manifest["data"]["soil.yaml"])
    env = {e["name"]: e["value"] for e in chart.container_context(chart.values())["k8s"]["env"]}
    settings = load_settings(tmp_path / "soil.yaml", env)
    assert settings.deployment == "production"
    assert settings.url("data") == "s3://soil/data"


def test_the_exporters_pod_is_valid_and_reads_production() -> None:
    """Its image's instance gets every variable that it names, and those say the database that the chart is told."""
    validator = pytest.importorskip("kubernetes_validate")
    for kind in ("ConfigMap", "Service", "Deployment"):
        validator.validate(chart.added(kind), VERSION, strict=True)
    pod = chart.added("Deployment")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    env = {e["name"]: e.get("value", "a secret") for e in container["env"]}
    storage = (ROOT / "deploy" / "docker" / "dagster.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"env: (\w+)", storage)) <= set(env)
    told = chart.values()["postgresql"]
    assert env["SOIL_POSTGRES_HOST"] == told["postgresqlHost"]
    assert env["SOIL_POSTGRES_PORT"] == str(told["service"]["port"])
    assert env["SOIL_POSTGRES_USER"] == told["postgresqlUsername"]
    assert (
        yaml.safe_load(storage)["storage"]["postgres"]["postgres_db"]["db_name"] == told["postgresqlDatabase"]
    )
    settings, instance = (chart.values()[k] for k in ("computeLogManager", "global"))
    assert env["SOIL_BUCKET"] == settings["config"]["s3ComputeLogManager"]["bucket"]
    secrets = {e["valueFrom"]["secretKeyRef"]["name"] for e in container["env"] if "valueFrom" in e}
    assert secrets == {instance["postgresqlSecretName"]}


def test_the_exporter_is_what_compose_runs_with_the_other_pods_image_and_rights() -> None:
    spec = chart.added("Deployment")["spec"]
    pod, service = spec["template"]["spec"], chart.added("Service")["spec"]
    [container] = pod["containers"]
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
    assert container["command"] == compose["services"]["metrics"]["command"]
    image = chart.values()["dagsterDaemon"]["image"]
    for each in (container, *pod["initContainers"]):
        assert each["image"] == f"{image['repository']}:{image['tag']}"
        assert each["securityContext"] == chart.values()["dagsterDaemon"]["securityContext"]
    assert pod["securityContext"] == chart.values()["dagsterDaemon"]["podSecurityContext"]
    assert pod["automountServiceAccountToken"] is False
    assert service["selector"] == spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    [port] = container["ports"]
    assert container["command"][2] == f"--serve={port['containerPort']}"
    assert service["ports"][0]["targetPort"] == port["name"]
