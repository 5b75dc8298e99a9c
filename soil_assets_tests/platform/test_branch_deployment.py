"""Branch deployments in open source: the ApplicationSet's template filled in for a pull request, built, and judged."""

from __future__ import annotations

import fnmatch
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from soil_assets.config import load_settings
from soil_assets_tests.delivery.servers import s3
from soil_assets_tests.delivery.test_deploy import KUBERNETES, kubectl, objects
from soil_assets_tests.platform import chart

DEPLOY = Path(__file__).resolve().parent.parent.parent / "deploy"
BRANCH = DEPLOY / "branch"
PULL = {"number": 12, "head_sha": "0123456789abcdef0123456789abcdef01234567"}
NAMESPACE = "soil-pr-12"


def filled(template: Any, fields: dict[str, Any]) -> Any:
    """Fill in Go's ``{{ .field }}`` everywhere; a field that is not given is an error, as with ``missingkey=error``."""
    if isinstance(template, dict):
        return {k: filled(v, fields) for k, v in template.items()}
    if isinstance(template, list):
        return [filled(v, fields) for v in template]
    if not isinstance(template, str):
        return template
    return re.sub(r"\{\{\s*\.(\w+)\s*\}\}", lambda m: str(fields[m[1]]), template)


def application_set() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "argocd" / "branches.yaml").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def application() -> dict[str, Any]:
    made: dict[str, Any] = filled(application_set()["spec"]["template"], PULL)
    return made


@pytest.fixture(scope="module")
def built(application: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> str:
    """What Argo CD would sync: it adds the application's images and patches to the folder's own kustomization."""
    source = application["spec"]["source"]
    folder = Path(tmp_path_factory.mktemp("branch")) / "source"
    shutil.copytree(DEPLOY.parent / source["path"], folder)
    file = folder / "kustomization.yaml"
    own = yaml.safe_load(file.read_text())
    images = [i.partition("=") for i in source["kustomize"]["images"]]
    own["images"] = [
        {"name": name, "newName": new.rpartition(":")[0], "newTag": new.rpartition(":")[2]}
        for name, _, new in images
    ]
    own["patches"] = source["kustomize"]["patches"]
    file.write_text(yaml.safe_dump(own))
    done = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("version", KUBERNETES)
def test_manifests_are_valid_strictly(built: str, version: str) -> None:
    validator = pytest.importorskip("kubernetes_validate")
    for document in yaml.safe_load_all(built):
        validator.validate(document, version, strict=True)


def test_everything_of_a_pull_request_is_its_own(built: str, application: dict[str, Any]) -> None:
    assert "{{" not in built + json.dumps(application)
    assert not re.search(r"pr-0\b|:unset", built), "what the ApplicationSet fills in is filled in"
    found = objects(built)
    assert application["metadata"]["name"] == NAMESPACE
    assert application["spec"]["destination"]["namespace"] == NAMESPACE
    assert found["Namespace", NAMESPACE]
    assert found["ConfigMap", "soil-branch-settings"]["data"] == {
        "SOIL_DEPLOYMENT": "branch",
        "SOIL_BRANCH": "pr-12",
    }
    pod = found["Deployment", "soil-branch"]["spec"]["template"]["spec"]
    assert {c["image"].rpartition(":")[2] for c in pod["containers"]} == {PULL["head_sha"]}
    [rule] = found["Ingress", "soil-branch"]["spec"]["rules"]
    assert rule["host"] == "pr-12.soil.example.org"
    elsewhere = {k: o["metadata"]["namespace"] for k, o in found.items() if "namespace" in o["metadata"]}
    assert elsewhere == {("Job", "soil-branch-remove-pr-12"): "soil-branches"}


def test_nothing_that_a_stranger_writes_gets_into_a_manifest() -> None:
    """Title, author, branch name and labels of a pull request are free text; its number and commit are not."""
    text = json.dumps(application_set()["spec"]["template"])
    assert set(re.findall(r"\{\{\s*\.(\w+)", text)) == {"number", "head_sha"}
    assert text.count("{{") == len(re.findall(r"\{\{\s*\.\w+\s*\}\}", text)), "plain fields only"
    with pytest.raises(KeyError):
        filled("{{ .title }}", PULL)


def test_only_labelled_pull_requests_have_one_and_it_goes_with_them(application: dict[str, Any]) -> None:
    spec = application_set()["spec"]
    [generator] = spec["generators"]
    assert generator["pullRequest"]["github"]["labels"] == ["preview"]
    assert generator["pullRequest"]["requeueAfterSeconds"] <= 600
    assert spec["goTemplate"] is True
    assert spec["goTemplateOptions"] == ["missingkey=error"]
    assert spec["syncPolicy"]["preserveResourcesOnDeletion"] is False
    assert application["metadata"]["finalizers"] == ["resources-finalizer.argocd.argoproj.io"]
    assert application["spec"]["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True}
    assert application["spec"]["source"]["targetRevision"] == "main", "a change does not choose its manifests"


def test_the_project_allows_this_and_little_else(built: str, application: dict[str, Any]) -> None:
    project = yaml.safe_load((DEPLOY / "argocd" / "branches-project.yaml").read_text())
    spec = project["spec"]
    assert application["spec"]["project"] == project["metadata"]["name"]
    assert application["spec"]["source"]["repoURL"] in spec["sourceRepos"]
    kinds = {
        (k["group"], k["kind"])
        for k in (*spec["namespaceResourceWhitelist"], *spec["clusterResourceWhitelist"])
    }
    allowed = [d["namespace"] for d in spec["destinations"]]
    for (kind, name), found in objects(built).items():
        assert (found["apiVersion"].rpartition("/")[0], kind) in kinds, f"{kind} {name} would not be synced"
        namespace = found["metadata"].get("namespace", NAMESPACE)
        assert any(fnmatch.fnmatch(namespace, pattern) for pattern in allowed)
    assert not any(
        fnmatch.fnmatch(n, p) for n in ("soil-production", "soil-dagster", "argocd") for p in allowed
    )
    assert ("", "Secret") not in kinds
    assert not any(kind in ("Role", "RoleBinding", "ClusterRole") for _, kind in kinds)


def test_its_pods_meet_the_restricted_standard_and_hold_no_token(built: str) -> None:
    found = objects(built)
    enforced = found["Namespace", NAMESPACE]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
    assert enforced == "restricted"
    for key in (("Deployment", "soil-branch"), ("Job", "soil-branch-remove-pr-12")):
        pod = found[key]["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            }  # fmt: skip
            assert {"requests", "limits"} <= container["resources"].keys()
            assert [s["secretRef"]["name"] for s in container["envFrom"] if "secretRef" in s]
    assert not [k for k in found if k[0] == "Secret"]


def test_dagster_can_write_where_it_must(built: str) -> None:
    pod = objects(built)["Deployment", "soil-branch"]["spec"]["template"]["spec"]
    volumes = {v["name"]: v for v in pod["volumes"]}
    for container in pod["containers"]:
        env = {e["name"]: e["value"] for e in container["env"]}
        mounts = {m["mountPath"]: volumes[m["name"]] for m in container["volumeMounts"]}
        assert "emptyDir" in mounts[env["DAGSTER_HOME"]]
        assert "persistentVolumeClaim" in mounts[env["SOIL_HOME"]]
        assert env["SOIL_DAGSTER_STORAGE"].startswith(env["SOIL_HOME"] + "/"), (
            "the event log outlives the pod"
        )
        assert "configMap" in mounts[env["DAGSTER_HOME"] + "/dagster.yaml"]
        assert "configMap" in mounts[env["SOIL_CONFIG"]]
    assert (
        pod["containers"][0]["envFrom"] == pod["containers"][1]["envFrom"] == pod["containers"][2]["envFrom"]
    )
    assert objects(built)["Deployment", "soil-branch"]["spec"]["strategy"] == {"type": "Recreate"}


def test_it_runs_the_commands_that_the_composed_platform_runs(built: str) -> None:
    pod = objects(built)["Deployment", "soil-branch"]["spec"]["template"]["spec"]
    args = {c["name"]: c["args"] for c in pod["containers"]}
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    assert args["webserver"] == services["webserver"]["command"]
    assert args["daemon"] == services["daemon"]["command"]
    docker = (DEPLOY / "docker" / "Dockerfile").read_text()
    assert json.dumps(args["code"]) == re.findall(r"^CMD (\[\"dagster\".*\])$", docker, re.MULTILINE)[0]


def test_its_instance_is_the_one_of_the_repository() -> None:
    own, top = (
        yaml.safe_load(f.read_text()) for f in (BRANCH / "dagster.yaml", DEPLOY.parent / "dagster.yaml")
    )
    assert own == top


def test_its_settings_make_it_a_branch_of_production(built: str) -> None:
    env = objects(built)["ConfigMap", "soil-branch-settings"]["data"]
    settings = load_settings(BRANCH / "soil.yaml", {**env, "SOIL_HOME": "/var/lib/soil"})
    assert settings.deployment == "branch"
    assert settings.url("data") == "s3://soil/data/branches/pr-12"
    assert settings.main_url("data") == "s3://soil/data"
    assert settings.experiment == "soil-branch-pr-12"
    production = chart.added("ConfigMap")
    theirs = yaml.safe_load(production["data"]["soil.yaml"])["storage"]
    assert yaml.safe_load((BRANCH / "soil.yaml").read_text())["storage"] == theirs


def test_its_network_reaches_no_service_of_the_cluster_but_the_registry(built: str) -> None:
    policy = objects(built)["NetworkPolicy", "soil-branch"]["spec"]
    assert sorted(policy["policyTypes"]) == ["Egress", "Ingress"]
    inside = [
        to["namespaceSelector"] for rule in policy["egress"] for to in rule["to"] if "ipBlock" not in to
    ]
    names = {s["matchLabels"]["kubernetes.io/metadata.name"] for s in inside}
    assert names == {"kube-system", "mlflow"}
    [outside] = [to["ipBlock"] for rule in policy["egress"] for to in rule["to"] if "ipBlock" in to]
    assert {"10.0.0.0/8", "169.254.0.0/16"} <= set(outside["except"]), "no cluster network, no cloud metadata"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_closing_it_removes_what_it_wrote_and_nothing_of_production(built: str, tmp_path: Path) -> None:
    """The hook's own command, on an S3 endpoint, with the settings that its ConfigMap holds."""
    pytest.importorskip("s3fs")
    job = objects(built)["Job", "soil-branch-remove-pr-12"]
    assert job["metadata"]["annotations"]["argocd.argoproj.io/hook"] == "PostDelete"
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "ghcr.io/soil/soil-assets/platform:main", "not the change's own image"
    assert container["command"] == ["soil"]
    with s3(tmp_path, "soil") as store:
        import boto3

        bucket = boto3.resource(
            "s3", endpoint_url=store["AWS_ENDPOINT_URL"], aws_access_key_id="soil",
            aws_secret_access_key="soil-secret", region_name="us-east-1",
        ).Bucket("soil")  # fmt: skip
        mine = ["data/branches/pr-12/assets/a/current.json", "reports/branches/pr-12/report.html"]
        others = [
            "data/assets/a/current.json",
            "data/branches/pr-120/b",
            "data/branches/pr-1/b",
            "reports/r.html",
        ]
        for key in (*mine, *others):
            bucket.put_object(Key=key, Body=b"x")
        env = {
            **store,
            "SOIL_CONFIG": str(BRANCH / "soil.yaml"),
            "SOIL_HOME": str(tmp_path),
            "PATH": "/usr/bin:/bin",
        }
        for _ in range(2):  # a hook that is repeated does no harm
            done = subprocess.run(
                [sys.executable, "-m", "soil_assets", *container["args"]],
                capture_output=True, text=True, check=False, env=env, cwd=DEPLOY.parent,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
        assert sorted(o.key for o in bucket.objects.all()) == sorted(others)
