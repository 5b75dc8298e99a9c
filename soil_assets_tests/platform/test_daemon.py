"""The platform as it runs: web server, daemon and sensors on an empty instance, and a batch that is dropped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from soil_assets.demo.batches import DEMO_BATCHES, land
from soil_assets.storage import Store

CHECKOUT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 240
_FATE = """{ assetNodes { assetKey { path } kinds owners { ... on TeamAssetOwner { team } } description
  assetMaterializations(limit: 1) { partition }
  assetChecksOrError { ... on AssetChecks { checks { name blocking
    executionForLatestMaterialization { status evaluation { success partition } } } } } } }"""


class Server:
    """``soil ui`` on a free port."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.home = home
        env = {
            k: v for k, v in os.environ.items() if k not in ("SOIL_DAGSTER_STORAGE", "PYTEST_CURRENT_TEST")
        }
        env |= {"SOIL_HOME": str(home), "DAGSTER_HOME": str(CHECKOUT)}
        self.log = (home / "ui.log").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "soil_assets", "ui", "--port", str(self.port)],
            cwd=CHECKOUT, env=env, stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def ask(self, query: str) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql",
            data=json.dumps({"query": query}).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  # loopback
            return json.load(answer)["data"]

    def until(self, what: str, holds: Any) -> Any:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            assert self.process.poll() is None, (self.home / "ui.log").read_text()[-3000:]
            try:
                found = holds({n["assetKey"]["path"][-1]: n for n in self.ask(_FATE)["assetNodes"]})
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                found = None
            if found:
                return found
            time.sleep(1.0)
        raise AssertionError(
            f"{what} did not happen in {PATIENCE} s:\n{(self.home / 'ui.log').read_text()[-3000:]}"
        )

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(30)
        self.log.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    try:
        yield made
    finally:
        made.stop()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_dropped_batch_reaches_the_registry_by_itself(server: Server) -> None:
    """Nobody starts anything: the frozen sets, the batch's verdict, version 1 and the report come of themselves."""
    landing = Store(str(server.home / "landing"))
    land(DEMO_BATCHES[0], landing)

    def judged(nodes: dict[str, Any]) -> bool:
        seen = nodes["drift_reports"]["assetMaterializations"]
        return bool(seen) and seen[0]["partition"] == "same-field"

    server.until("the batch's drift verdict", judged)
    nodes = server.until(
        "a registered version", lambda n: n["registered_versions"]["assetMaterializations"] and n
    )
    checks = {c["name"]: c for c in nodes["drift_reports"]["assetChecksOrError"]["checks"]}
    assert checks["batch_drift"]["blocking"]
    assert checks["batch_drift"]["executionForLatestMaterialization"]["status"] == "SUCCEEDED"
    assert (
        checks["batch_drift"]["executionForLatestMaterialization"]["evaluation"]["partition"] == "same-field"
    )
    for name, node in nodes.items():
        assert node["kinds"], name
        assert node["owners"] == [{"team": "soil-spectroscopy"}], name
        assert node["description"], name
    assert (server.home / "reports" / "report.html").is_file()
