"""branch.yml as GitHub would run it, by act: who gets an image and a deployment, and what is removed when it closes.

Docker, GitHub's and Dagster+'s programs are recorded, not run; ``soil branch remove`` is real, on an S3 endpoint.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from soil_assets.branch_settings import DEPLOYMENT_CONTEXT, BranchDeployments
from soil_assets.config import branch_from_environment
from soil_assets_tests.delivery.servers import s3
from soil_assets_tests.platform import chart
from soil_assets_tests.workflows.act import ACT, WORKFLOWS, Ran, checkout, run

SHA = "a" * 40
ROOT = chart.ROOT
TEXT = (WORKFLOWS / "branch.yml").read_text(encoding="utf-8")
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def workflow() -> dict[str, Any]:
    found: dict[Any, Any] = yaml.safe_load(TEXT)
    found["on"] = found.pop(True)
    return found


def test_no_job_may_do_more_than_it_does() -> None:
    found = workflow()
    assert found["permissions"] == {"contents": "read"}
    assert found["on"] == {
        "pull_request": {"types": ["opened", "reopened", "synchronize", "labeled", "closed"]}
    }
    rights = {name: job.get("permissions", {"contents": "read"}) for name, job in found["jobs"].items()}
    assert rights == {
        "image": {"contents": "read", "packages": "write"},
        "dagster_plus": {"contents": "read", "statuses": "write"},
        "close": {"contents": "read"},
    }
    assert found["concurrency"]["cancel-in-progress"] is True
    for job in found["jobs"].values():
        assert job["timeout-minutes"] <= 30
        for step in job["steps"]:
            if "uses" in step:
                assert re.search(r"@[0-9a-f]{40}$", step["uses"])
                assert (
                    "persist-credentials" not in step.get("with", {})
                    or not step["with"]["persist-credentials"]
                )
            assert "${{" not in step.get("run", ""), (
                "an expression in a script is a way in for text of the event"
            )


def test_no_code_of_a_change_runs_beside_a_secret() -> None:
    """Where a secret is, either main is checked out, or nothing of the checkout is run."""
    jobs = workflow()["jobs"]
    assert "secrets." not in json.dumps(jobs["image"])
    commands = [s["run"] for s in jobs["dagster_plus"]["steps"] if "run" in s]
    assert all(
        re.match(r"(pip install --require-hashes -r .github/|echo|gh api|dagster-cloud ci )", c)
        for c in commands
    )
    assert jobs["close"]["steps"][0]["with"]["ref"] == "${{ github.event.repository.default_branch }}"
    for name in ("dagster_plus", "close"):
        assert jobs[name]["environment"] == "branches"


def test_the_address_that_it_sets_is_the_one_that_the_comment_takes() -> None:
    assert f"context={DEPLOYMENT_CONTEXT}" in TEXT
    [target] = re.findall(r"target_url=(\S+?)\"", TEXT)
    address = target.replace("$DAGSTER_CLOUD_ORGANIZATION", "lab").replace("$NAME", "4f2c8a")
    told = [{"context": DEPLOYMENT_CONTEXT, "target_url": address}]
    branches = BranchDeployments(url="https://lab.dagster.cloud/{status}", label="")
    assert branches.address({"number": 7}, told) == "https://lab.dagster.cloud/4f2c8a"


def test_the_images_name_is_the_one_that_argo_cd_and_dagster_plus_pull() -> None:
    pulled = yaml.safe_load((ROOT / "deploy" / "argocd" / "branches.yaml").read_text())
    [image, _] = pulled["spec"]["template"]["spec"]["source"]["kustomize"]["images"]
    [location] = yaml.safe_load((ROOT / "dagster_cloud.yaml").read_text())["locations"]
    built = workflow()["env"]["IMAGE"].replace("${{ github.repository }}", "soil/soil-assets")
    assert image == f"soil-assets/platform={built}:{{{{ .head_sha }}}}"
    assert location["build"]["registry"] == built


def test_the_dagster_plus_location_is_what_its_tools_read() -> None:
    """dagster-k8s takes the container context; dagster-cloud's own model takes the file, where it is installed."""
    pytest.importorskip("dagster_k8s")
    from dagster_k8s.container_context import K8sContainerContext

    file = ROOT / "dagster_cloud.yaml"
    [location] = yaml.safe_load(file.read_text())["locations"]
    context = K8sContainerContext.create_from_config(location["container_context"])
    for made in (context.run_k8s_config, context.server_k8s_config):
        assert made.container_config["security_context"]["read_only_root_filesystem"] is True
        assert made.pod_spec_config["security_context"]["run_as_non_root"] is True
    assert context.run_k8s_config.container_config["resources"]["limits"] == {"memory": "3Gi"}
    ours = chart.container_context(chart.values())["k8s"]
    assert location["container_context"]["k8s"]["env_secrets"] == ours["env_secrets"]
    own = {e["name"] for e in ours["env"]} - {"SOIL_DEPLOYMENT"}  # which one it is, Dagster+ says
    assert {e["name"] for e in location["container_context"]["k8s"]["env"]} == own
    try:
        from dagster_cloud_cli.config.models import load_dagster_cloud_yaml  # type: ignore[import-not-found]
    except ImportError:
        return
    assert load_dagster_cloud_yaml(file.read_text()).locations[0].location_name == "soil_assets"


def payload(
    action: str, *labels: str, repository: str = "lab/soil", ref: str = "feature/new-lab"
) -> dict[str, Any]:
    head = {"sha": SHA, "ref": ref, "repo": {"full_name": repository}}
    pull = {"number": 7, "head": head, "base": {"ref": "main"}, "labels": [{"name": n} for n in labels]}
    return {
        "action": action,
        "number": 7,
        "pull_request": pull,
        "repository": {"full_name": "lab/soil", "default_branch": "main"},
    }


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if ACT is None:
        pytest.skip("act is not here")
    made = checkout(Path(tmp_path_factory.mktemp("branch-workflow")))
    return made


def acted(
    repo: Path, event: dict[str, Any], *, plus: bool, secrets: dict[str, str] | None = None, **variables: str
) -> tuple[Ran, list[str]]:
    """Run the workflow; return what was called of the recorded programs, in order."""
    tools, log = repo.parent / "tools", repo.parent / "called.txt"
    tools.mkdir(exist_ok=True)
    log.write_text("")
    for name in ("docker", "gh", "pip", "dagster-cloud"):
        program = tools / name
        says = 'case "$*" in "ci branch-deployment .") echo 4f2c8a;; esac' if name == "dagster-cloud" else ":"
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> "{log}"\n{says}\n')
        program.chmod(0o755)
    ran = run(
        repo, "branch.yml", "pull_request", event, artifacts=repo.parent / "artifacts",
        env={"PATH": f"{tools}:{os.environ['PATH']}"},
        variables={**({"DAGSTER_CLOUD_ORGANIZATION": "lab"} if plus else {}), **variables},
        secrets={"DAGSTER_CLOUD_API_TOKEN": "of-dagster-plus", **(secrets or {})},
    )  # fmt: skip
    return ran, log.read_text().splitlines()


@pytest.mark.slow
@pytest.mark.parametrize(
    "event",
    [
        payload("synchronize"),
        payload("synchronize", "preview", repository="stranger/soil"),
        payload("closed", "preview"),
    ],
    ids=["no label", "a fork's", "closed, without Dagster+"],
)
def test_without_the_label_or_from_a_fork_nothing_runs(repo: Path, event: dict[str, Any]) -> None:
    _, called = acted(repo, event, plus=False)
    assert called == []


@pytest.mark.slow
def test_a_labelled_pull_request_gets_an_image_of_its_head(repo: Path) -> None:
    ran, called = acted(repo, payload("labeled", "preview"), plus=False)
    assert ran.jobs["image"] == "success", ran.output[-2000:]
    image = f"ghcr.io/lab/soil/platform:{SHA}"
    assert [c for c in called if c.startswith(("docker build", "docker push"))] == [
        f"docker build --target platform --file deploy/docker/Dockerfile --tag {image} .",
        f"docker push {image}",
    ]
    assert not [c for c in called if c.startswith("dagster-cloud")]


@pytest.mark.slow
def test_with_dagster_plus_it_is_deployed_and_its_address_told(repo: Path) -> None:
    ran, called = acted(repo, payload("synchronize", "preview"), plus=True)
    assert ran.ok, ran.output[-2000:]
    [told] = [c for c in called if c.startswith("gh api")]
    assert f"repos/lab/soil/statuses/{SHA}" in told
    assert "target_url=https://lab.dagster.cloud/4f2c8a" in told
    assert [c for c in called if c.startswith("dagster-cloud")] == [
        "dagster-cloud ci branch-deployment .",
        "dagster-cloud ci init --project-dir . --require-branch-deployment",
        f"dagster-cloud ci set-build-output --image-tag {SHA}",
        "dagster-cloud ci deploy",
    ]


@pytest.mark.slow
def test_closing_removes_the_branchs_storage_and_nothing_else(repo: Path, tmp_path: Path) -> None:
    pytest.importorskip("s3fs")
    name = branch_from_environment({"DAGSTER_CLOUD_GIT_BRANCH": "feature/new-lab"})
    with s3(tmp_path, "soil") as store:
        import boto3

        bucket = boto3.resource(
            "s3", endpoint_url=store["AWS_ENDPOINT_URL"], aws_access_key_id="soil",
            aws_secret_access_key="soil-secret", region_name="us-east-1",
        ).Bucket("soil")  # fmt: skip
        kept = ["data/assets/a/current.json", "data/branches/pr-8/b"]
        for key in (f"data/branches/{name}/a", *kept):
            bucket.put_object(Key=key, Body=b"x")
        ran, called = acted(
            repo, payload("closed", "preview"), plus=True, SOIL_STORE=store["AWS_ENDPOINT_URL"],
            secrets={"SOIL_BRANCHES_KEY": "soil", "SOIL_BRANCHES_SECRET": "soil-secret"},
        )  # fmt: skip
        assert ran.jobs["close"] == "success", ran.output[-3000:]
        assert "dagster-cloud ci branch-deployment . --mark-closed" in called
        assert not [c for c in called if c.startswith("docker")]
        assert sorted(o.key for o in bucket.objects.all()) == sorted(kept)
