"""The manifests in a real cluster, whichever KUBECONFIG names: taken by its API server, switched and rolled back.

``SOIL_TEST_IMAGE`` names an image with Python; in it a small program answers with the versions of the arguments, so
that no registry is needed and everything around it (probes, Services, Pod Security, budgets) is real.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from soil_assets.adapters.manifests import LIVE, PREVIEW, Overlay
from soil_assets.delivery.slots import other, put, select
from soil_assets_tests.delivery.servers import BIN

DEPLOY = Path(__file__).resolve().parent.parent.parent / "deploy"
pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not os.environ.get("KUBECONFIG"), reason="KUBECONFIG names no cluster"),
]
#: Answers as the service does, from its arguments alone.
ANSWERS = """
import http.server, json, sys
models = dict(a.split("=")[1:] for a in sys.argv if a.startswith("--model="))
said = json.dumps({"models": {n: int(v) for n, v in models.items()}}).encode()
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Answer).serve_forever()
"""


def kubectl(*arguments: str, given: str | None = None, check: bool = True) -> str:
    program = shutil.which("kubectl", path=str(BIN)) or shutil.which("kubectl")
    assert program is not None, "kubectl is needed beside KUBECONFIG"
    done = subprocess.run([program, *arguments], input=given, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=["staging", "production"])
def namespace(request: pytest.FixtureRequest) -> Iterator[str]:
    """The overlay's namespace with its secrets, taken away afterwards; one that is in use is not touched."""
    environment = str(request.param)
    name = f"soil-{environment}"
    if kubectl("get", "namespace", name, "--ignore-not-found"):
        pytest.skip(f"namespace {name} is there already: tests do not touch what runs")
    kubectl("apply", "-f", str(DEPLOY / "kubernetes" / "overlays" / environment / "namespace.yaml"))
    try:
        kubectl(
            "-n",
            name,
            "create",
            "secret",
            "generic",
            "soil-registry",
            "--from-literal=MLFLOW_TRACKING_USERNAME=x",
        )
        kubectl("-n", name, "create", "secret", "generic", "soil-api-keys", "--from-literal=keys.json=[]")
        yield environment
    finally:
        kubectl("delete", "namespace", name, "--wait=true", "--timeout=180s")


def test_the_api_server_takes_every_manifest(namespace: str) -> None:
    made = kubectl("kustomize", str(DEPLOY / "kubernetes" / "overlays" / namespace))
    said = kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", given=made)
    assert said.count("(server dry run)") == len(list(yaml.safe_load_all(made)))


@pytest.mark.skipif(not os.environ.get("SOIL_TEST_IMAGE"), reason="SOIL_TEST_IMAGE names no image")
def test_traffic_switches_and_goes_back(namespace: str, tmp_path: Path) -> None:
    tree = tmp_path / "manifests"
    shutil.copytree(DEPLOY / "kubernetes", tree)
    answer_in_place_of_the_service(tree / "overlays" / namespace)

    def release(version: int) -> None:
        overlay = Overlay(tree, f"overlays/{namespace}")
        idle = overlay.state.idle.colour
        put(
            overlay.deployment(idle), idle, {"soil-clay": version}, os.environ["SOIL_TEST_IMAGE"], "by a test"
        )
        overlay.write()
        apply(tree, namespace, idle)

    def flip() -> None:
        overlay = Overlay(tree, f"overlays/{namespace}")
        idle = overlay.state.idle.colour
        select(overlay.documents[LIVE], idle)
        select(overlay.documents[PREVIEW], other(idle))
        overlay.write()
        apply(tree, namespace)

    release(1)
    until(namespace, "preview", {"soil-clay": 1})
    flip()
    until(namespace, "live", {"soil-clay": 1})
    release(2)
    until(namespace, "preview", {"soil-clay": 2})
    assert answered(namespace, "live") == {"soil-clay": 1}, "staging touches no traffic"
    flip()
    until(namespace, "live", {"soil-clay": 2})
    flip()
    until(namespace, "live", {"soil-clay": 1})
    warnings = kubectl(
        "-n", f"soil-{namespace}", "get", "events", "--field-selector=reason=FailedCreate", "-o", "name"
    )
    assert warnings == "", "Pod Security let every pod in"


def answer_in_place_of_the_service(overlay: Path) -> None:
    """Add a patch that runs the small program with the same arguments."""
    command = [
        {"op": "add", "path": "/spec/template/spec/containers/0/command", "value": ["python", "-c", ANSWERS]}
    ]
    file = overlay / "kustomization.yaml"
    text = yaml.safe_load(file.read_text())
    text["patches"].append({"target": {"kind": "Deployment"}, "patch": json.dumps(command)})
    file.write_text(yaml.safe_dump(text))


def apply(tree: Path, environment: str, colour: str = "") -> None:
    made = kubectl("kustomize", str(tree / "overlays" / environment))
    kubectl("apply", "--server-side", "--force-conflicts", "--validate=strict", "-f", "-", given=made)
    if colour:
        kubectl(
            "-n",
            f"soil-{environment}",
            "rollout",
            "status",
            f"deployment/soil-serve-{colour}",
            "--timeout=180s",
        )


def answered(environment: str, service: str) -> Any:
    """Ask through the API server, which needs no way into the cluster's network."""
    path = f"/api/v1/namespaces/soil-{environment}/services/soil-{service}:8080/proxy/readyz"
    said = kubectl("get", "--raw", path, check=False)
    return json.loads(said)["models"] if said else None


def until(environment: str, service: str, models: dict[str, int]) -> None:
    end = time.monotonic() + 60
    while (found := answered(environment, service)) != models:
        assert time.monotonic() < end, found
        time.sleep(1)
