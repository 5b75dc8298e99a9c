"""The whole path on one machine: registered, staged, tested, switched, a worse model, and back; as typed."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from soil_assets.adapters.mlflow import Registry
from soil_assets_tests.delivery.cluster import Cluster
from soil_assets_tests.delivery.git_server import TOKEN, GitHost, git_host
from soil_assets_tests.delivery.models import model, registered
from soil_assets_tests.warm import soil_of_this_checkout

pytest.importorskip("uvicorn")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ADA = ("--by", "Ada Lovelace <ada@example.org>", "--why", "as good on staging as on the benchmark")
SETTINGS = """
properties: [clay]
axis: {start: 3796, stop: 552, step: 16, unit: cm-1, quantity: absorbance}
release: {probes: 10, wait_seconds: 20, max_p95_ms: 20000}  # a busy machine's time says nothing here
"""


class Desk:
    """A person's shell: ``soil`` with the environment of this machine."""

    def __init__(self, folder: Path, host: GitHost) -> None:
        self.host = host
        self.registry = Registry(
            f"sqlite:///{folder}/mlflow.db", "soil-local", str(folder / "mlflow-artifacts")
        )
        (folder / "soil.yaml").write_text(SETTINGS)
        self.env = {
            "SOIL_HOME": str(folder), "DAGSTER_HOME": str(folder), "SOIL_CONFIG": str(folder / "soil.yaml"),
            "SOIL_MANIFESTS": host.url, "SOIL_MANIFESTS_TOKEN": TOKEN,
        }  # fmt: skip

    def soil(self, *arguments: str) -> tuple[int, Any]:
        done = subprocess.run(
            [soil_of_this_checkout(), *arguments, "--json"],
            capture_output=True, text=True, check=False, env={**os.environ, **self.env},
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        assert TOKEN not in done.stdout + done.stderr
        return done.returncode, json.loads(done.stdout) if done.stdout.strip() else done.stderr


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "home").mkdir()
    (tmp_path / "git").mkdir()
    with git_host(tmp_path / "git") as host:
        yield Desk(tmp_path / "home", host)


def test_register_stage_test_switch_worse_rollback(desk: Desk, tmp_path: Path) -> None:
    with Cluster(desk.host, "production", tmp_path, desk.env) as cluster:
        assert registered(desk.registry, fitted=model()) == 1

        # The first version goes live.
        code, said = desk.soil("release", "stage", "production", "--model", "soil-clay=1", *ADA)
        assert (code, said["what"]) == (0, "staged"), said
        cluster.sync()
        code, said = desk.soil("release", "test", "production", "--preview", cluster.url("preview"))
        assert (code, said["passed"]) == (0, True), said
        assert said["figures"]["requests"] == 11
        code, said = desk.soil("release", "switch", "production", *ADA)
        assert (code, said["aliases"]) == (0, {"soil-clay": 1}), said
        assert cluster.versions("live") == {"soil-clay": 1}

        # A worse model got through, and a person lets it in.
        assert registered(desk.registry, fitted=model(worse=True)) == 2
        assert desk.soil("release", "stage", "production", "--model", "soil-clay=2", *ADA)[0] == 0
        code, said = desk.soil(
            "release", "test", "production", "--preview", cluster.url("live"), "--wait", "1"
        )
        assert code == 1, "the address serves version 1, so version 2 was not tested"
        assert "does not report soil-clay 2" in said["reasons"][0]
        code, said = desk.soil("release", "switch", "production", *ADA)
        assert code == 1
        assert "failed its test" in said["error"]["what"]
        assert cluster.versions("live") == {"soil-clay": 1}, "never switched"
        cluster.sync()
        assert desk.soil("release", "test", "production", "--preview", cluster.url("preview"))[0] == 0
        assert desk.soil("release", "switch", "production", *ADA)[0] == 0
        assert cluster.versions("live") == {"soil-clay": 2}
        assert desk.registry.aliases("soil-clay") == {"staging": 2, "production": 2, "previous": 1}

        # It is taken back: one commit, nothing is started, version 1 answers.
        code, said = desk.soil("release", "rollback", "production", *ADA)
        assert (code, said["aliases"]) == (0, {"soil-clay": 1}), said
        assert cluster.versions("live") == {"soil-clay": 1}
        code, said = desk.soil("release", "status", "production")
        assert (code, said["astray"]) == (0, {})
        assert said["live"]["models"] == {"soil-clay": 1}
        assert said["idle"]["withdrawn"]
    assert desk.registry.aliases("soil-clay") == {"staging": 2, "production": 1, "previous": 2}
    assert desk.host.log()[::-1] == [
        "Manifests of the prediction service",
        "production: stage soil-clay 1 on green",
        "production: test of soil-clay 1 on green passed",
        "production: switch to soil-clay 1 on green",
        "production: stage soil-clay 2 on blue",
        "production: test of soil-clay 2 on blue failed",
        "production: test of soil-clay 2 on blue passed",
        "production: switch to soil-clay 2 on blue",
        "production: roll back from soil-clay 2 to soil-clay 1 on green",
    ]
    assert "Signed-off-by: Ada Lovelace <ada@example.org>" in desk.host.message()


def test_a_preview_that_serves_another_model_under_the_same_version_fails(desk: Desk, tmp_path: Path) -> None:
    """Parity is against the registry's own model: a service that reads another registry is found out."""
    registered(desk.registry, fitted=model())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = Registry(f"sqlite:///{elsewhere}/mlflow.db", "soil-local", str(elsewhere / "mlflow-artifacts"))
    registered(other, fitted=model(worse=True))
    assert desk.soil("release", "stage", "staging")[0] == 0
    with Cluster(desk.host, "staging", tmp_path, {**desk.env, "SOIL_HOME": str(elsewhere)}) as cluster:
        cluster.sync()
        code, said = desk.soil("release", "test", "staging", "--preview", cluster.url("preview"))
    assert code == 1
    assert (
        "apart from the registry's model" in " ".join(said["reasons"])
        or "inside the domain" in said["reasons"][0]
    )
    code, said = desk.soil("release", "switch", "staging")
    assert code == 1
    assert desk.host.log()[0] == "staging: test of soil-clay 1 on green failed"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("stage", "moon"), "staging, production"),
        (("stage", "staging"), "no version is at alias staging"),
        (("stage", "production"), "nothing to release"),
        (("stage", "staging", "--model", "soil-clay"), "soil-clay=3"),
        (("test", "staging"), "nothing is staged"),
        (("switch", "production"), "name of the person"),
        (("rollback", "staging"), "does not hold what was live before"),
    ],
)
def test_bad_input_exits_2_and_says_why(desk: Desk, arguments: tuple[str, ...], says: str) -> None:
    code, said = desk.soil("release", *arguments)
    assert code == 2
    assert says in json.dumps(said)


def test_traffic_moved_by_hand_to_an_empty_colour_is_an_error(desk: Desk, tmp_path: Path) -> None:
    assert registered(desk.registry, fitted=model()) == 1
    assert desk.soil("release", "stage", "production", "--model", "soil-clay=1", *ADA)[0] == 0
    assert desk.soil("release", "status", "production")[0] == 0, "a first version that waits for its test"
    with Cluster(desk.host, "production", tmp_path, desk.env) as cluster:
        cluster.sync()
        assert desk.soil("release", "test", "production", "--preview", cluster.url("preview"))[0] == 0
    assert desk.soil("release", "switch", "production", *ADA)[0] == 0
    live = desk.soil("release", "status", "production")[1]["live"]["colour"]
    empty = "green" if live == "blue" else "blue"
    tree = tmp_path / "by-hand"
    git = [
        "git",
        "-c",
        f"http.extraHeader=Authorization: Basic {_basic()}",
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b",
    ]
    subprocess.run([*git, "clone", "-q", desk.host.url, str(tree)], check=True)
    for name, before, after in (("live", live, empty), ("preview", empty, live)):
        service = tree / "overlays" / "production" / f"{name}.yaml"
        service.write_text(service.read_text().replace(before, after))
    subprocess.run([*git, "commit", "-qam", "by hand"], cwd=tree, check=True)
    subprocess.run([*git, "push", "-q"], cwd=tree, check=True)
    code, _ = desk.soil("release", "status", "production")
    assert code == 1


def _basic() -> str:
    import base64

    return base64.b64encode(f"soil:{TOKEN}".encode()).decode()
