"""deploy/: manifests that a strict API server would take, pods that may do nothing, images that are what they say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from soil_assets_tests.delivery.servers import BIN

DEPLOY = Path(__file__).resolve().parent.parent.parent / "deploy"
ENVIRONMENTS = ("staging", "production")
KUBERNETES = ("1.31.0", "1.34.0", "1.37.0")


def kubectl() -> str:
    found = shutil.which("kubectl", path=str(BIN)) or shutil.which("kubectl")
    if found is None:
        pytest.skip("kubectl is not here")
    return found


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def built(request: pytest.FixtureRequest) -> str:
    """What an overlay amounts to."""
    done = subprocess.run(
        [kubectl(), "kustomize", str(DEPLOY / "kubernetes" / "overlays" / request.param)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(text: str) -> dict[tuple[str, str], Any]:
    return {(o["kind"], o["metadata"]["name"]): o for o in yaml.safe_load_all(text)}


@pytest.mark.parametrize("version", KUBERNETES)
def test_manifests_are_valid_strictly(built: str, version: str, tmp_path: Path) -> None:
    validator = pytest.importorskip("kubernetes_validate")
    for document in yaml.safe_load_all(built):
        validator.validate(document, version, strict=True)


def test_a_mistyped_field_would_be_found(built: str) -> None:
    validator = pytest.importorskip("kubernetes_validate")
    pods = objects(built)["Deployment", "soil-serve-blue"]
    pods["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(validator.ValidationError):
        validator.validate(pods, KUBERNETES[-1], strict=True)


def test_services_select_one_colour_each_and_nothing_of_the_other(built: str) -> None:
    found = objects(built)
    for service in ("soil-live", "soil-preview"):
        selector = found["Service", service]["spec"]["selector"]
        chosen = [
            name for (kind, name), o in found.items()
            if kind == "Deployment" and selector.items() <= o["spec"]["template"]["metadata"]["labels"].items()
        ]  # fmt: skip
        assert chosen == [f"soil-serve-{selector['soil-assets/colour']}"]
    colours = {
        found["Service", s]["spec"]["selector"]["soil-assets/colour"] for s in ("soil-live", "soil-preview")
    }
    assert colours == {"blue", "green"}


def test_both_colours_are_alike_but_for_their_colour(built: str) -> None:
    found = objects(built)
    blue, green = (yaml.safe_dump(found["Deployment", f"soil-serve-{c}"]) for c in ("blue", "green"))
    assert blue.replace("blue", "green") == green


def test_pods_meet_the_restricted_standard(built: str) -> None:
    """Pod Security 'restricted', point by point; the namespace enforces it in the cluster."""
    found = objects(built)
    [namespace] = [o for (kind, _), o in found.items() if kind == "Namespace"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for colour in ("blue", "green"):
        pod = found["Deployment", f"soil-serve-{colour}"]["spec"]["template"]["spec"]
        [container] = pod["containers"]
        assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & pod.keys()
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert all({"configMap", "secret", "emptyDir"} & v.keys() for v in pod["volumes"])
        assert pod["automountServiceAccountToken"] is False
        assert pod["serviceAccountName"] == "soil-serve"
        assert {"requests", "limits"} <= container["resources"].keys()
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
    assert found["ServiceAccount", "soil-serve"]["automountServiceAccountToken"] is False


def test_secrets_are_named_and_never_held(built: str) -> None:
    found = objects(built)
    assert not [k for k in found if k[0] == "Secret"]
    pod = found["Deployment", "soil-serve-blue"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "soil-registry"}}]
    assert [v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v] == ["soil-api-keys"]
    mounts = [m["mountPath"] for m in container["volumeMounts"]]
    assert not [a for a in mounts for b in mounts if a != b and a.startswith(b + "/")], (
        "a mount inside a read-only mount"
    )


def test_each_colour_has_a_budget_and_traffic_is_limited(built: str) -> None:
    found = objects(built)
    for colour in ("blue", "green"):
        budget = found["PodDisruptionBudget", f"soil-serve-{colour}"]["spec"]
        labels = found["Deployment", f"soil-serve-{colour}"]["spec"]["template"]["metadata"]["labels"]
        assert budget["selector"]["matchLabels"].items() <= labels.items()
    policy = found["NetworkPolicy", "soil-serve"]["spec"]
    assert sorted(policy["policyTypes"]) == ["Egress", "Ingress"]
    assert all(rule.get("to") for rule in policy["egress"]), "no way out to anywhere"
    assert all(rule.get("from") for rule in policy["ingress"])


def test_the_pods_start_with_options_that_the_command_has(built: str) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "soil_assets", "serve", "--help"],
        capture_output=True, text=True, check=True, env={"COLUMNS": "200", "PATH": "/usr/bin:/bin", "SOIL_HOME": "."},
        cwd=DEPLOY.parent,
    ).stdout  # fmt: skip
    [container] = objects(built)["Deployment", "soil-serve-blue"]["spec"]["template"]["spec"]["containers"]
    verb, *options = container["args"]
    assert verb == "serve"
    assert all(o.split("=")[0] in said for o in [*options, "--model="])
    port = container["ports"][0]["containerPort"]
    assert f"--port={port}" in options
    assert all(
        container[p]["httpGet"]["port"] == "http" for p in ("startupProbe", "readinessProbe", "livenessProbe")
    )


def test_the_pods_settings_are_settings() -> None:
    from soil_assets.config import load_settings

    settings = load_settings(DEPLOY / "kubernetes" / "base" / "soil.yaml", {})
    assert settings.url("mlflow_tracking").startswith("http://mlflow.")
    assert settings.service.keys
    composed = load_settings(DEPLOY / "compose" / "soil.yaml", {"SOIL_HOME": "/var/lib/soil"})
    assert composed.url("data") == "s3://soil/data"


def test_argo_cd_syncs_the_overlays_and_may_sync_nothing_else() -> None:
    project = yaml.safe_load((DEPLOY / "argocd" / "project.yaml").read_text())
    kinds = {(k["group"], k["kind"]) for k in project["spec"]["namespaceResourceWhitelist"]}
    kinds |= {(k["group"], k["kind"]) for k in project["spec"]["clusterResourceWhitelist"]}
    for environment in ENVIRONMENTS:
        application = yaml.safe_load((DEPLOY / "argocd" / f"{environment}.yaml").read_text())
        spec = application["spec"]
        assert spec["project"] == project["metadata"]["name"]
        assert spec["source"]["repoURL"] in project["spec"]["sourceRepos"]
        assert spec["destination"] in project["spec"]["destinations"]
        overlay = DEPLOY / "kubernetes" / spec["source"]["path"]
        made = subprocess.run(
            [kubectl(), "kustomize", str(overlay)], capture_output=True, text=True, check=True
        )
        for (kind, name), found in objects(made.stdout).items():
            group = found["apiVersion"].rpartition("/")[0]
            assert (group, kind) in kinds, f"{kind} {name} would not be synced"
            assert (
                found["metadata"].get("namespace", spec["destination"]["namespace"])
                == spec["destination"]["namespace"]
            )


def test_images_are_pinned_by_digest_and_the_dockerfile_is_clean() -> None:
    docker = (DEPLOY / "docker" / "Dockerfile").read_text()
    for line in re.findall(r"^(?:FROM|ARG PYTHON=) ?(\S+)", docker, re.MULTILINE):
        assert line in ("${PYTHON}", "base") or re.search(r"@sha256:[0-9a-f]{64}$", line), line
    assert docker.rstrip().count("\nUSER 10001:10001") == 2
    assert docker.count("\nHEALTHCHECK") == 2
    linter = BIN / "hadolint"
    if not linter.exists():
        pytest.skip("hadolint is not installed")
    done = subprocess.run(
        [str(linter), str(DEPLOY / "docker" / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_image_holds_what_the_lock_says() -> None:
    docker = (DEPLOY / "docker" / "Dockerfile").read_text()
    copied = {
        w for line in re.findall(r"^COPY (?!--from)(.*)$", docker, re.MULTILINE) for w in line.split()[:-1]
    }
    for path in (p for p in copied if not p.startswith("--")):
        assert (DEPLOY.parent / path).exists(), path
    ignored = (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    allowed = [line[1:] for line in ignored if line.startswith("!")]
    assert all(
        any(p == a or p.startswith(a + "/") for a in allowed) for p in copied if not p.startswith("--")
    )
    uv = re.search(r"uv==([0-9.]+)", docker)
    assert uv is not None
    assert f"uv=={uv[1]}" in (DEPLOY.parent / "Makefile").read_text()


def test_the_two_instances_share_everything_but_their_storage_and_logs() -> None:
    local = yaml.safe_load((DEPLOY.parent / "dagster.yaml").read_text())
    postgres = yaml.safe_load((DEPLOY / "docker" / "dagster.yaml").read_text())
    assert local.keys() == postgres.keys()
    different = {k for k in local if local[k] != postgres[k]}
    assert different == {"storage", "compute_logs"}
    assert "sqlite" in local["storage"]
    assert "postgres" in postgres["storage"]


def test_dagster_s_home_lies_in_a_volume() -> None:
    """Dagster writes logs beside dagster.yaml: in an image mounted read-only it would not start."""
    docker = (DEPLOY / "docker" / "Dockerfile").read_text()
    [home] = re.findall(r"^ENV DAGSTER_HOME=(\S+)$", docker, re.MULTILINE)
    assert f"workspace.yaml {home}/" in docker
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    for name in ("code", "webserver", "daemon"):
        volumes = dict(v.split(":")[:2] for v in services[name]["volumes"])
        assert any(
            home.startswith(target + "/") for source, target in volumes.items() if not source.startswith(".")
        )
        assert volumes["./docker/dagster.yaml"] == f"{home}/dagster.yaml"


def test_compose_pins_what_it_pulls_and_asks_for_every_secret() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    compose = yaml.safe_load(text)
    built = {s["image"] for s in compose["services"].values() if "build" in s}
    for name, service in compose["services"].items():
        if service["image"] not in built:
            assert re.search(r"@sha256:[0-9a-f]{64}$", service["image"]), name
        else:
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]
        assert service.get("healthcheck") or name == "code", name
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), "open to this machine only"
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).exists(), source
            else:
                assert source in compose["volumes"]
    wanted = set(re.findall(r"\$\{([A-Z0-9_]+)", text))
    given = set(re.findall(r"^([A-Z0-9_]+)=", (DEPLOY / "compose" / "example.env").read_text(), re.MULTILINE))
    assert wanted == given
    assert not re.search(r"(?i)(password|secret)\w*: [A-Za-z0-9]{6,}$", text, re.MULTILINE)
