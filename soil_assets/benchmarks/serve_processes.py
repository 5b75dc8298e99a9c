"""What the service bench needs running: a registry with models, the service, its peer, load.

Belongs here: starting, stopping, memory. Does not belong here: figures (``bench_serve``).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from soil_assets.benchmarks.library import PROPERTIES, Library

BANDS, TRAINING = 1701, 1000
_PATIENCE = 180.0
_BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Home:
    """A SOIL_HOME with registered models of four properties, two versions of the first."""

    folder: Path

    @property
    def env(self) -> dict[str, str]:
        """Environment of every process of the bench; one thread of linear algebra on both sides."""
        return {
            **os.environ,
            "SOIL_HOME": str(self.folder),
            "SOIL_CONFIG": str(self.folder / "soil.yaml"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.folder}/mlflow.db",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PATH": f"{_BIN}{os.pathsep}{os.environ.get('PATH', '')}",
        }

    @property
    def names(self) -> list[str]:
        """Names of the registered models."""
        return [f"soil-{p.replace('_', '-')}" for p in PROPERTIES]


@contextlib.contextmanager
def registry_of(learner: str) -> Iterator[Home]:
    """Train four models of 1,701 bands by ``learner`` and register them.

    Parameters
    ----------
    learner : {"pls", "stack"}
        ``pls`` is the recipe that the platform registers.
    """
    from soil_assets.adapters.mlflow import Registry, quiet
    from soil_assets.adapters.mlflow_runs import log_model
    from soil_assets.modeling.recipe import Recipe
    from soil_assets.modeling.train import train
    from soil_assets.spectra.catalogue import built_in_catalogue
    from soil_assets.spectra.properties import Property

    ratio = Property("clay_to_soc", "Clay to organic carbon", "-")
    catalogue = built_in_catalogue({ratio.name: ratio})
    recipe = Recipe() if learner == "pls" else Recipe.stack(nested=False, repeats=1)
    library = Library(BANDS)
    with tempfile.TemporaryDirectory(prefix="soil-serve-") as name:
        folder = Path(name)
        (folder / "soil.yaml").write_text(
            json.dumps(
                {
                    "properties": list(PROPERTIES),
                    "catalogue": {ratio.name: {"label": ratio.label, "unit": ratio.unit}},
                }
            ),
            encoding="utf-8",
        )
        home = Home(folder)
        registry = Registry(f"sqlite:///{folder}/mlflow.db", "soil-bench", str(folder / "artifacts"))
        with quiet():
            import mlflow

            client = registry.client()
            mlflow.set_experiment(registry.experiment)
            for number, (prop, model_name) in enumerate(zip(PROPERTIES, home.names, strict=True)):
                client.create_registered_model(model_name)
                for version in range(2 if number == 0 else 1):
                    batch = library.batch(1 + version, TRAINING)
                    model = train(batch, catalogue[prop], recipe, groups=batch.groups())
                    with mlflow.start_run() as run:
                        uri = log_model(mlflow, model)
                    client.create_model_version(
                        model_name, uri, run.info.run_id, model_id=uri.removeprefix("models:/")
                    )
                client.set_registered_model_alias(model_name, "staging", "1")
        yield home


def point(home: Home, name: str, version: int) -> None:
    """Move the alias ``staging`` as a release does."""
    from mlflow import MlflowClient

    MlflowClient(f"sqlite:///{home.folder}/mlflow.db").set_registered_model_alias(
        name, "staging", str(version)
    )


@contextlib.contextmanager
def service(home: Home, *arguments: str) -> Iterator[tuple[str, int, float]]:
    """Run ``soil serve``; give its address, its process and the seconds from start to ready."""
    port = _free_port()
    command = [sys.executable, "-m", "soil_assets", "serve", "--port", str(port), *arguments]
    address = f"http://127.0.0.1:{port}"
    with _process(command, home, f"{address}/readyz") as (pid, seconds):
        yield address, pid, seconds


@contextlib.contextmanager
def peer(home: Home, name: str) -> Iterator[str]:
    """Run ``mlflow models serve`` on version 1; give its address."""
    port = _free_port()
    command = [
        str(_BIN / "mlflow"), "models", "serve", "-m", f"models:/{name}/1", "--env-manager", "local",
        "-h", "127.0.0.1", "-p", str(port),
    ]  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    with _process(command, home, f"{address}/ping"):
        yield address


def request_body(n: int, properties: Sequence[str] | None = None) -> bytes:
    """Return a JSON request of ``n`` spectra, rounded as instruments' exports are."""
    library = Library(BANDS)
    batch = library.batch(99, n)
    asked: dict[str, Any] = {
        "spectra": [
            {"id": str(i), "intensities": row}
            for i, row in zip(
                batch.sample_ids, np.round(batch.spectra.astype(float), 6).tolist(), strict=True
            )
        ],
        "axis": {
            "unit": library.axis.unit,
            "first": float(library.axis.values[0]),
            "last": float(library.axis.values[-1]),
        },
        "quantity": "absorbance",
    }
    return json.dumps(asked | ({"properties": list(properties)} if properties else {})).encode()


def peer_body(n: int) -> bytes:
    """Return the same spectra as the peer takes them: a bare matrix."""
    batch = Library(BANDS).batch(99, n)
    return json.dumps({"inputs": np.round(batch.spectra.astype(float), 6).tolist()}).encode()


def table_body() -> bytes:
    """Return ten spectra as a CSV table."""
    batch = Library(BANDS).batch(99, 10)
    head = ",".join(["sample_id", *map(repr, batch.axis.values.tolist())])
    rows = [
        ",".join([i, *map(repr, row)])
        for i, row in zip(batch.sample_ids, batch.spectra.astype(float).tolist(), strict=True)
    ]
    return "\n".join([head, *rows]).encode()


def post(url: str, content: bytes, kind: str = "application/json") -> float:
    """Post a body; return the seconds to the last byte of the answer.

    Raises
    ------
    RuntimeError
        When the answer is not 200.
    """
    request = urllib.request.Request(  # noqa: S310  # loopback
        url, data=content, headers={"Content-Type": kind}
    )
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"status {answer.status}")
    return time.perf_counter() - began


def load(
    url: str, body: Path, rate: float, seconds: float, *marks: str, connections: int = 16
) -> subprocess.Popen[str]:
    """Start the load generator in a process of its own."""
    command = [
        sys.executable, "-m", "soil_assets.benchmarks.serve_load", url, "--body", str(body),
        "--rate", str(rate), "--seconds", str(seconds), "--connections", str(connections),
    ]  # fmt: skip
    command += [part for m in marks for part in ("--mark", m)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def result_of(generator: subprocess.Popen[str]) -> dict[str, Any]:
    """Return what the load generator measured.

    Raises
    ------
    RuntimeError
        When it failed.
    """
    out, _ = generator.communicate()
    if generator.returncode:
        raise RuntimeError("the load generator failed")
    return dict(json.loads(out))


def throughput(url: str, body: Path, seconds: int) -> tuple[float, str]:
    """Return requests per second over 8 connections, and what generated them: wrk, or our own where it is missing.

    Raises
    ------
    RuntimeError
        When a request failed.
    """
    program = shutil.which("wrk")
    if program is None:
        said = result_of(load(url, body, 0.0, seconds, connections=8))
        if said["failures"]:
            raise RuntimeError(f"{len(said['failures'])} requests failed: {said['failures'][:3]}")
        return len(said["latencies"]) / seconds, "own generator (wrk is not installed)"
    script = body.with_suffix(".lua")
    script.write_text(
        f'wrk.method = "POST"\nlocal f = io.open("{body}", "rb")\nwrk.body = f:read("*a")\n'
        'wrk.headers["Content-Type"] = "application/json"\n',
        encoding="utf-8",
    )
    done = subprocess.run(
        [program, "-t1", "-c8", f"-d{seconds}s", "--timeout", "30s", "-s", str(script), url],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    if "Non-2xx" in done or "Socket errors" in done:
        raise RuntimeError(f"wrk saw failed requests:\n{done}")
    line = next(text for text in done.splitlines() if text.startswith("Requests/sec:"))
    return float(line.split(":")[1]), "wrk"


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process and all its children."""
    fields = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    own = next(int(line.split()[1]) << 10 for line in fields if line.startswith("VmRSS"))
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    return own + sum(resident_bytes(int(child)) for child in children)


def wait_for_rest(pid: int) -> None:
    """Wait until a process has no children left: the service ends its reader of files when none come.

    Raises
    ------
    RuntimeError
        When it keeps them.
    """
    until = time.monotonic() + _PATIENCE / 4
    while Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split():
        if time.monotonic() > until:
            raise RuntimeError("the process that reads files does not end")
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _process(command: list[str], home: Home, ready: str) -> Iterator[tuple[int, float]]:
    log = home.folder / f"{Path(command[0]).name}-{time.monotonic_ns()}.log"
    began = time.perf_counter()
    with log.open("wb") as out:
        started = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=home.env,
            cwd=home.folder,
            start_new_session=True,
        )
    try:
        while True:
            try:
                urllib.request.urlopen(ready, timeout=5).close()  # noqa: S310  # loopback
                break
            except (urllib.error.URLError, OSError):
                if started.poll() is not None or time.perf_counter() - began > _PATIENCE:
                    said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
                    raise RuntimeError(f"{command[0]} did not start:\n{said}") from None
                time.sleep(0.02)
        yield started.pid, time.perf_counter() - began
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGTERM)
        try:
            started.wait(60)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
            started.wait()
