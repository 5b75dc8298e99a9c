"""The same registered model answers under ``mlflow models serve``, with the same figures."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import requests

from soil_assets_tests.delivery.models import field, model
from soil_assets_tests.delivery.servers import free_port
from soil_assets_tests.serving.registered import Home, body, client_of


@pytest.mark.slow
def test_the_peer_says_the_same(home: Home, tmp_path: Path) -> None:
    port = free_port()
    log = tmp_path / "mlflow.log"
    command = [
        str(Path(sys.executable).parent / "mlflow"), "models", "serve", "-m", "models:/soil-clay/1",
        "--env-manager", "local", "-h", "127.0.0.1", "-p", str(port),
    ]  # fmt: skip
    env = {
        **os.environ,
        "MLFLOW_TRACKING_URI": home.tracking_uri,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        # What travels with the model must be enough: this checkout is not on the path.
        "PYTHONPATH": "",
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=env, cwd=tmp_path, start_new_session=True
        )
    try:
        end = time.monotonic() + 120
        while True:
            try:
                if requests.get(f"http://127.0.0.1:{port}/ping", timeout=2).status_code == 200:
                    break
            except requests.RequestException:
                pass
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(0.3)
        rows = [60, 61, 62]
        sent = {"inputs": field().take(rows).spectra.astype(float).tolist()}
        reply = requests.post(f"http://127.0.0.1:{port}/invocations", json=sent, timeout=60)
        assert reply.status_code == 200, reply.text
        theirs = reply.json()["predictions"]
    finally:
        os.killpg(process.pid, 15)
        process.wait(timeout=30)
    np.testing.assert_allclose(
        [p["value"] for p in theirs], model().predict(field().take(rows))["value"], rtol=1e-6
    )
    with client_of(home, "soil-clay=1") as client:
        ours = client.post("/v1/predict", json=body(rows)).json()["samples"]
    for a, b in zip(ours, theirs, strict=True):
        found = a["predictions"]["clay"]
        assert found["value"] == pytest.approx(b["value"], rel=1e-6)
        assert found["intervals"][1]["lower"] == pytest.approx(b["lower_90"], rel=1e-6)
        assert found["inside"] is b["inside"]
