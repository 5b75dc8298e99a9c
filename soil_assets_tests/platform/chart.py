"""What Dagster's Helm chart makes of our values: by the chart itself where it is there, and in Python where it is not.

``DAGSTER_CHART`` names the folder of the chart (``helm pull dagster/dagster --untar``), ``HELM`` the program (else the
one on PATH). The Python side repeats the few templates that dagster-k8s reads; a test compares it with the chart's.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
VALUES = ROOT / "deploy" / "dagster" / "values.yaml"
RELEASE = "dagster"
NAMESPACE = "soil-dagster"


def values() -> dict[str, Any]:
    """Return our values, every use of an anchor a value of its own."""
    found: dict[str, Any] = json.loads(json.dumps(yaml.safe_load(VALUES.read_text(encoding="utf-8"))))
    return found


def added(kind: str) -> dict[str, Any]:
    """Return the one object of that kind that our values add to the chart's."""
    [found] = [m for m in values()["extraManifests"] if m["kind"] == kind]
    return dict(found)


def chart() -> Path:
    """Return the chart's folder, or skip."""
    where = os.environ.get("DAGSTER_CHART")
    if not where:
        pytest.skip("DAGSTER_CHART names no chart (helm pull dagster/dagster --untar)")
    return Path(where)


def helm() -> str:
    """Return the program, or skip."""
    found = os.environ.get("HELM") or shutil.which("helm")
    if not found:
        pytest.skip("helm is not here (HELM)")
    return found


def rendered(*settings: str) -> dict[tuple[str, str], Any]:
    """Return what the chart makes of our values, by kind and name.

    Subcharts that our values switch off need not be there: they are taken out of a copy's dependencies.
    """
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "dagster"
        shutil.copytree(chart(), copied)
        description = yaml.safe_load((copied / "Chart.yaml").read_text(encoding="utf-8"))
        there = {f.name for f in (copied / "charts").iterdir() if f.is_dir()}
        description["dependencies"] = [d for d in description.get("dependencies", []) if d["name"] in there]
        (copied / "Chart.yaml").write_text(yaml.safe_dump(description), encoding="utf-8")
        (copied / "Chart.lock").unlink(missing_ok=True)
        # The schema refers to an address on the network; the tests apply it themselves.
        command = [helm(), "template", RELEASE, str(copied), "--namespace", NAMESPACE, "--values", str(VALUES),
                   "--skip-schema-validation", *settings]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {(o["kind"], o["metadata"]["name"]): o for o in yaml.safe_load_all(done.stdout) if o}


def merged(base: Any, over: Any) -> Any:
    """Merge values as Helm does: mappings key by key, everything else replaced."""
    if isinstance(base, dict) and isinstance(over, dict):
        return {k: merged(base.get(k), over[k]) if k in over else base[k] for k in {**base, **over}}
    return copy.deepcopy(over)


def launcher(given: dict[str, Any]) -> dict[str, Any]:
    """Return the run launcher's config, as ``dagsterYaml.runLauncher.k8s`` writes it."""
    own = given["runLauncher"]["config"]["k8sRunLauncher"]
    raw = own.get("runK8sConfig", {})
    return {
        "load_incluster_config": True,
        "job_namespace": NAMESPACE,
        "image_pull_policy": own["imagePullPolicy"],
        "service_account_name": RELEASE,
        "dagster_home": given["global"]["dagsterHome"],
        "instance_config_map": f"{RELEASE}-instance",
        "postgres_password_secret": given["global"]["postgresqlSecretName"],
        "labels": own["labels"],
        "fail_pod_on_run_failure": own["failPodOnRunFailure"],
        "security_context": own["securityContext"],
        "run_k8s_config": {
            "pod_spec_config": raw["podSpecConfig"],
            "pod_template_spec_metadata": raw["podTemplateSpecMetadata"],
            "job_spec_config": raw["jobSpecConfig"],
        },
    }


def container_context(given: dict[str, Any]) -> dict[str, Any]:
    """Return what runs take over from the code location: ``dagsterUserDeployments.k8sContainerContext``."""
    [code] = given["dagster-user-deployments"]["deployments"]
    subchart = f"{RELEASE}-dagster-user-deployments"
    return {
        "k8s": {
            "image_pull_policy": code["image"]["pullPolicy"],
            "env_config_maps": [f"{subchart}-{code['name']}-user-env"],
            "env_secrets": [s["name"] for s in code["envSecrets"]],
            "volume_mounts": code["volumeMounts"],
            "volumes": code["volumes"],
            "resources": code["resources"],
            "namespace": NAMESPACE,
            "service_account_name": f"{subchart}-user-deployments",
            "env": code["env"],
        }
    }


def image(given: dict[str, Any]) -> str:
    """Return the code location's image."""
    [code] = given["dagster-user-deployments"]["deployments"]
    return f"{code['image']['repository']}:{code['image']['tag']}"
