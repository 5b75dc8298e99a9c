"""Runs and steps as pods: dagster-k8s builds the jobs from our values and tags, and an API on loopback judges them."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from soil_assets.defs.build import build_definitions
from soil_assets.defs.pods import NEEDS, executor_of, pods, run_tags
from soil_assets.errors import BadInput
from soil_assets.storage import Store
from soil_assets_tests.conftest import make_platform
from soil_assets_tests.defs.batches import folds, land_as
from soil_assets_tests.platform import chart
from soil_assets_tests.platform.kube_api import KubeApi, kube_api

pytest.importorskip("dagster_k8s")
pytest.importorskip("kubernetes_validate")
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def instance_file(home: Path, api: KubeApi) -> Path:
    """Write a dagster.yaml with the run launcher of our values, its client pointed at the API on loopback."""
    launcher = chart.launcher(chart.values()) | {
        "load_incluster_config": False, "kubeconfig_file": api.kubeconfig,
    }  # fmt: skip
    config = {
        "storage": {"sqlite": {"base_dir": str(home / "dagster")}},
        "run_launcher": {"module": "dagster_k8s", "class": "K8sRunLauncher", "config": launcher},
        "run_coordinator": {
            "module": "dagster.core.run_coordinator", "class": "DefaultRunCoordinator",
        },
        "telemetry": {"enabled": False},
    }  # fmt: skip
    (home / "dagster.yaml").write_text(yaml.safe_dump(config))
    return home


@pytest.fixture
def api(tmp_path: Path) -> Iterator[KubeApi]:
    with kube_api(tmp_path) as served:
        yield served


@pytest.fixture
def instance(tmp_path: Path, api: KubeApi) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(instance_file(tmp_path, api))) as opened:
        yield opened


def launch(
    instance: dg.DagsterInstance,
    job: str,
    *,
    tags: dict[str, Any] | None = None,
    context: dict[str, Any] | None = None,
    assets: list[str] | None = None,
    image: str = "",
) -> dg.DagsterRun:
    """Create a run of one of our jobs as the daemon would, and hand it to the run launcher."""
    from dagster._core.code_pointer import ModuleCodePointer
    from dagster._core.launcher import LaunchRunContext
    from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin

    defined = build_definitions().resolve_job_def(job)
    origin = JobPythonOrigin(
        job,
        RepositoryPythonOrigin(
            executable_path="python",
            code_pointer=ModuleCodePointer("soil_assets.definitions", "defs"),
            container_image=image or chart.image(chart.values()),
            entry_point=["dagster"],
            container_context=chart.container_context(chart.values()) if context is None else context,
        ),
    )
    run = instance.create_run_for_job(
        job_def=defined,
        tags={**defined.run_tags, **(tags or {})},
        job_code_origin=origin,
        asset_selection=None if assets is None else frozenset(dg.AssetKey(a) for a in assets),
        status=dg.DagsterRunStatus.STARTING,
    )
    instance.run_launcher.launch_run(LaunchRunContext(run, workspace=None))
    return run


def pod_of(job: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    spec = job["spec"]["template"]["spec"]
    [container] = spec["containers"]
    return spec, container


def test_a_batchs_run_is_one_pod_as_the_values_and_the_jobs_tags_say(
    instance: dg.DagsterInstance, api: KubeApi
) -> None:
    run = launch(instance, "judge_batch", tags={"dagster/partition": "same-field"})
    assert api.refused == []
    [job] = api.jobs.values()
    pod, container = pod_of(job)
    assert job["metadata"]["name"] == f"dagster-run-{run.run_id}"
    assert job["metadata"]["namespace"] == chart.NAMESPACE
    assert container["image"] == "soil-assets/platform:0.1.0"
    assert container["args"][:3] == ["dagster", "api", "execute_run"]
    largest = run_tags("raw_spectra", "validated_batches", "drift_reports")["dagster-k8s/config"]
    assert container["resources"] == largest["container_config"]["resources"]
    assert job["spec"]["ttlSecondsAfterFinished"] == 3600
    assert job["spec"]["backoffLimit"] == 0, "the daemon repeats a run, Kubernetes does not"
    assert pod["serviceAccountName"] == "dagster-dagster-user-deployments-user-deployments"
    [spread] = pod["topologySpreadConstraints"]
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert spread["labelSelector"]["matchLabels"].items() <= labels.items()


def test_its_pod_meets_the_restricted_standard_and_can_write_where_it_must(
    instance: dg.DagsterInstance, api: KubeApi
) -> None:
    launch(instance, "judge_batch")
    [job] = api.jobs.values()
    pod, container = pod_of(job)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    volumes = {v["name"]: v for v in pod["volumes"]}
    assert len(volumes) == len(pod["volumes"]), "a volume that two sources define would stop the pod"
    writable = {
        m["mountPath"] for m in container["volumeMounts"] if "emptyDir" in volumes[m["name"]] and not m.get("readOnly")
    }  # fmt: skip
    env = {e["name"]: e.get("value") for e in container["env"]}
    assert env["DAGSTER_HOME"] in writable
    assert env["SOIL_HOME"] in writable
    assert "/tmp" in writable
    assert env["SOIL_CONFIG"].startswith(
        next(m["mountPath"] for m in container["volumeMounts"] if m["name"] == "settings")
    )


def test_secrets_reach_it_by_reference_only(instance: dg.DagsterInstance, api: KubeApi) -> None:
    launch(instance, "judge_batch")
    [job] = api.jobs.values()
    _, container = pod_of(job)
    assert [s["secretRef"]["name"] for s in container["envFrom"] if "secretRef" in s] == [
        "soil-storage", "soil-registry", "soil-platform",
    ]  # fmt: skip
    [password] = [e for e in container["env"] if e["name"] == "DAGSTER_PG_PASSWORD"]
    assert password["valueFrom"]["secretKeyRef"] == {
        "name": "dagster-postgresql",
        "key": "postgresql-password",
    }
    text = chart.VALUES.read_text(encoding="utf-8")
    assert 'postgresqlPassword: ""' in text
    assert "kind: Secret" not in text


def test_a_field_that_kubernetes_does_not_know_would_be_found(
    instance: dg.DagsterInstance, api: KubeApi
) -> None:
    wrong = chart.container_context(chart.values())
    wrong["k8s"]["run_k8s_config"] = {"pod_spec_config": {"tolerations": [{"operatr": "Exists"}]}}
    with pytest.raises(Exception, match="operatr"):  # by dagster-k8s, before anything is posted
        launch(instance, "judge_batch", context=wrong)
    assert api.jobs == {}
    launch(instance, "judge_batch")
    [job] = api.jobs.values()
    other = copy.deepcopy(job)
    other["metadata"]["name"] = "mistyped"
    pod_of(other)[1]["readynessProbe"] = {}
    code, said = api.post(chart.NAMESPACE, other)  # by the API's strict schema
    assert code == 422
    assert "readynessProbe" in said["message"]


def test_training_gets_more_than_judging(instance: dg.DagsterInstance, api: KubeApi) -> None:
    launch(instance, "train_and_compare")
    launch(instance, "judge_batch")
    training, judging = (pod_of(job)[1]["resources"] for job in api.jobs.values())
    assert training["requests"] == {"cpu": "2000m", "memory": "4096Mi"}
    assert training["limits"] == {"memory": "16384Mi"}
    assert judging["limits"] == {"memory": "3072Mi"}


def test_a_job_that_says_nothing_gets_what_the_code_location_has(
    instance: dg.DagsterInstance, api: KubeApi
) -> None:
    launch(instance, "report")
    [job] = api.jobs.values()
    assert pod_of(job)[1]["resources"] == {
        "requests": {"cpu": "500m", "memory": "1Gi"},
        "limits": {"memory": "3Gi"},
    }


def test_every_asset_with_needs_carries_them_to_its_step(tmp_path: Path) -> None:
    platform = make_platform(tmp_path)
    try:
        assets = platform.definitions.get_repository_def().assets_defs_by_key
        for asset in NEEDS:
            tags = assets[dg.AssetKey(asset)].op.tags
            assert tags["dagster-k8s/config"], asset
        # What is asked for sure is never more than what is allowed at most.
        assert all(n.memory <= n.most_memory for n in NEEDS.values())
    finally:
        platform.instance.dispose()


def test_the_executor_is_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert executor_of({}) is dg.in_process_executor
    assert executor_of({"SOIL_EXECUTOR": "pods"}) is pods
    with pytest.raises(BadInput, match="in_process or pods"):
        executor_of({"SOIL_EXECUTOR": "celery"})
    monkeypatch.setenv("SOIL_EXECUTOR", "pods")
    platform = make_platform(tmp_path)
    try:
        definitions = platform.definitions
        assert definitions.resolve_implicit_global_asset_job_def().executor_def is pods
        # A batch that arrives is one pod all the same: three would import everything three times.
        assert definitions.resolve_job_def("judge_batch").executor_def is dg.in_process_executor
    finally:
        platform.instance.dispose()


SETTINGS = """
properties: [clay]
storage: {data: "{home}/data", landing: "{home}/landing", reports: "{home}/reports"}
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_step_runs_in_a_pod_of_its_own_with_its_assets_resources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run is really executed: the process of its pod starts a pod for the step, which lands the batch."""
    home = tmp_path / "soil"
    home.mkdir()
    (home / "soil.yaml").write_text(SETTINGS)
    surroundings = {
        "SOIL_HOME": str(home), "SOIL_CONFIG": str(home / "soil.yaml"), "SOIL_EXECUTOR": "pods",
        "SOIL_DEPLOYMENT": "production", "PYTHONPATH": str(chart.ROOT), "DAGSTER_HOME": str(tmp_path),
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    for name, value in surroundings.items():
        monkeypatch.setenv(name, value)
    context = chart.container_context(chart.values())
    context["k8s"]["env"] = [{"name": n, "value": v} for n, v in surroundings.items()]
    secrets = {
        "dagster-postgresql": {"postgresql-password": "unused"},
        "soil-storage": {"AWS_ACCESS_KEY_ID": "by-reference"},
    }
    land_as(Store(str(home / "landing")), "arrived", folds(6))
    with (
        kube_api(tmp_path, runs=True, secrets=secrets) as api,
        dg.DagsterInstance.from_config(str(instance_file(tmp_path, api))) as instance,
    ):
        instance.add_dynamic_partitions("batch", ["arrived"])
        run = launch(
            instance,
            "__ASSET_JOB",
            context=context,
            assets=["raw_spectra"],
            tags={"dagster/partition": "arrived"},
        )
        end = time.monotonic() + 400
        while not (ended := _finished(instance, run.run_id)):
            assert time.monotonic() < end, "\n".join(api.log(n)[-2000:] for n in api.jobs)
            time.sleep(1)
        assert ended is dg.DagsterRunStatus.SUCCESS, "\n".join(api.log(n)[-3000:] for n in api.jobs)
        assert api.refused == []
        whole, step = api.jobs.values()
        assert whole["metadata"]["name"] == f"dagster-run-{run.run_id}"
        assert pod_of(whole)[1]["args"][:3] == ["dagster", "api", "execute_run"]
        pod, container = pod_of(step)
        assert container["args"][:3] == ["dagster", "api", "execute_step"]
        assert step["metadata"]["labels"]["dagster/op"] == "raw_spectra"
        assert container["resources"] == NEEDS["raw_spectra"].resources()
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert pod["securityContext"]["runAsNonRoot"] is True
        event = instance.get_latest_materialization_event(dg.AssetKey("raw_spectra"))
        assert event is not None
        assert event.run_id == run.run_id
        assert (home / "data" / "assets" / "raw_spectra" / "arrived" / "current.json").is_file()


def _finished(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus | None:
    run = instance.get_run_by_id(run_id)
    return run.status if run is not None and run.is_finished else None
