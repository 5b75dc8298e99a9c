"""deploy_staging, promote and rollback, run by act against a manifest repository over authenticated HTTP.

The cluster of the tests syncs in a thread, as Argo CD does: the jobs see real services answer at the preview's address.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from soil_assets.adapters.mlflow import Registry
from soil_assets_tests.delivery.cluster import Cluster
from soil_assets_tests.delivery.git_server import TOKEN, GitHost, git_host
from soil_assets_tests.delivery.models import model, registered
from soil_assets_tests.delivery.test_whole_path import SETTINGS
from soil_assets_tests.workflows.act import ACT, ROOT, Ran, checkout, commit, git, run

pytest.importorskip("uvicorn")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
OURS = ("deploy_staging.yaml", "promote.yml", "rollback.yml")
FOLDER = ROOT / ".github" / "workflows"


def load(name: str) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    found["on"] = found.pop(True, None)
    return found


def test_production_is_behind_a_protected_environment_and_one_at_a_time() -> None:
    promote, rollback = load("promote.yml"), load("rollback.yml")
    assert list(promote["on"]) == list(rollback["on"]) == ["workflow_dispatch"]
    assert promote["concurrency"] == {"group": "promote", "cancel-in-progress": False}
    # One that waits for its approval neither delays a rollback nor cancels it.
    assert rollback["concurrency"] == {"group": "rollback", "cancel-in-progress": False}
    for workflow in (promote, rollback):
        assert not [job for job in workflow["jobs"].values() if "concurrency" in job]
    switching = [
        j
        for j, job in promote["jobs"].items()
        if any("release switch" in s.get("run", "") for s in job["steps"])
    ]
    assert switching == ["switch"]
    assert promote["jobs"]["switch"]["environment"] == "production"
    assert promote["jobs"]["switch"]["needs"] == "stage"
    assert "SOIL_RELEASE" in promote["jobs"]["switch"]["env"], "the approval is for one release"


def test_nothing_of_ours_can_reach_a_cluster() -> None:
    for name in OURS:
        text = (FOLDER / name).read_text(encoding="utf-8")
        assert not re.search(r"kubectl|kubeconfig|helm|argocd", text, re.IGNORECASE), name


class Place:
    """A checkout, a registry, a manifest repository and a cluster."""

    def __init__(self, folder: Path, host: GitHost) -> None:
        self.folder = folder
        self.host = host
        self.home = folder / "home"
        self.home.mkdir()
        self.registry = Registry(
            f"sqlite:///{self.home}/mlflow.db", "soil-staging", str(self.home / "mlflow-artifacts")
        )
        (folder / "work").mkdir()
        self.repo = checkout(folder / "work")
        (self.repo / "soil.yaml").write_text(
            SETTINGS.replace("wait_seconds: 20", "wait_seconds: 120"), encoding="utf-8"
        )
        commit(self.repo, "settings of a test")

    def run(self, workflow: str, event: str, payload: dict[str, Any], preview: str = "") -> Ran:
        env = {
            "SOIL_HOME": str(self.home), "DAGSTER_HOME": str(self.home), "GITHUB_ACTOR": "ada-lovelace",
            "SOIL_MANIFESTS_TOKEN": TOKEN,
        }  # fmt: skip
        variables = {
            "SOIL_MANIFESTS": self.host.url, "SOIL_STAGING_PREVIEW": preview, "SOIL_PRODUCTION_PREVIEW": preview,
        }  # fmt: skip
        (self.folder / "artifacts").mkdir(exist_ok=True)
        secrets = {"SOIL_MANIFESTS_TOKEN": TOKEN}
        ran = run(
            self.repo, workflow, event, payload, artifacts=self.folder / "artifacts", env=env, variables=variables,
            secrets=secrets, actor="ada-lovelace",
        )  # fmt: skip
        assert TOKEN not in ran.output
        return ran


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "git").mkdir()
    with git_host(tmp_path / "git") as host:
        yield Place(tmp_path, host)


@contextmanager
def syncing(cluster: Cluster) -> Iterator[None]:
    """Sync every half second, as long as the block runs."""
    over = threading.Event()

    def loop() -> None:
        while not over.wait(0.5):
            cluster.sync()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


REGISTERED = {
    "action": "completed", "repository": {"default_branch": "main", "full_name": "lab/soil"},
    "workflow_run": {"conclusion": "success", "head_branch": "main", "event": "push", "name": "register"},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(ACT is None, reason="act is not installed")
@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_from_main_to_production_and_back(place: Place) -> None:
    """Staging by itself; production by a person; back by a person. And a failed register deploys nothing."""
    env = {"SOIL_HOME": str(place.home), "SOIL_CONFIG": str(place.repo / "soil.yaml")}
    registered(place.registry, fitted=model())

    failed = {**REGISTERED, "workflow_run": {**REGISTERED["workflow_run"], "conclusion": "failure"}}  # type: ignore[dict-item]
    assert place.run("deploy_staging.yaml", "workflow_run", failed).jobs in ({}, {"staging": "skipped"})
    assert len(place.host.log()) == 1

    with Cluster(place.host, "staging", place.folder, env) as staging:
        with syncing(staging):
            ran = place.run("deploy_staging.yaml", "workflow_run", REGISTERED, staging.address("green"))
        assert ran.jobs == {"staging": "success"}, ran.output
        assert staging.versions("live") == {"soil-clay": 1}

        registered(place.registry, fitted=model(worse=True))
        with Cluster(place.host, "production", place.folder, env) as production, syncing(production):
            why = {"inputs": {"why": "as good as on the benchmark"}}
            ran = place.run("promote.yml", "workflow_dispatch", why, production.address("green"))
            assert ran.jobs == {"stage": "success", "switch": "success"}, ran.output
            assert production.versions("live") == {"soil-clay": 1}, (
                "what ran on staging, not what came after it"
            )
            assert place.registry.aliases("soil-clay")["production"] == 1

            with syncing(staging):
                ran = place.run("deploy_staging.yaml", "workflow_run", REGISTERED, staging.address("blue"))
            assert ran.ok, ran.output
            ran = place.run("promote.yml", "workflow_dispatch", why, production.address("blue"))
            assert ran.ok, ran.output
            assert production.versions("live") == {"soil-clay": 2}
            ran = place.run("rollback.yml", "workflow_dispatch", {"inputs": {"why": "clay maps look wrong"}})
            assert ran.jobs == {"rollback": "success"}, ran.output
            assert production.versions("live") == {"soil-clay": 1}
    assert place.registry.aliases("soil-clay") == {"staging": 2, "production": 1, "previous": 2}
    message = place.host.message()
    assert "Why: clay maps look wrong" in message
    assert "Run: https://" in message
    assert "Signed-off-by: ada-lovelace <ada-lovelace@users.noreply.github.com>" in message


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(ACT is None, reason="act is not installed")
@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_a_release_that_fails_its_test_stops_the_job_before_the_switch(place: Place, tmp_path: Path) -> None:
    registered(place.registry, fitted=model())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = Registry(f"sqlite:///{elsewhere}/mlflow.db", "soil-staging", str(elsewhere / "mlflow-artifacts"))
    registered(other, fitted=model(worse=True))
    env = {"SOIL_HOME": str(elsewhere), "SOIL_CONFIG": str(place.repo / "soil.yaml")}
    with Cluster(place.host, "staging", place.folder, env) as cluster, syncing(cluster):
        ran = place.run("deploy_staging.yaml", "workflow_run", REGISTERED, cluster.address("green"))
    assert ran.jobs == {"staging": "failure"}
    assert place.host.log()[0] == "staging: test of soil-clay 1 on green failed"
    assert git(place.host.bare, "show", "main:overlays/staging/live.yaml").count("colour: blue") == 1
