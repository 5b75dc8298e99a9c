"""A registry of real models and services around it, for tests of answering."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import uvicorn

from soil_assets.adapters.registry_reader import SqliteReader
from soil_assets.config import QualityPolicy
from soil_assets.serving.live import Followed, LiveModels
from soil_assets.serving.logs import EventLog
from soil_assets.serving.model_store import ModelStore
from soil_assets.serving.server import configuration
from soil_assets.serving.service import PredictionService
from soil_assets.serving.settings import Service
from soil_assets_tests.delivery.models import field

PATIENCE = 60.0


@dataclass(frozen=True)
class Home:
    """A SOIL_HOME with its registry, to be changed at will."""

    folder: Path

    @property
    def tracking_uri(self) -> str:
        return f"sqlite:///{self.folder}/mlflow.db"

    @property
    def reader(self) -> SqliteReader:
        return SqliteReader(self.folder / "mlflow.db")

    def point(self, name: str, alias: str, version: int) -> None:
        """Move an alias as MLflow's own client does."""
        from soil_assets.adapters.mlflow import quiet

        with quiet():
            from mlflow import MlflowClient

            MlflowClient(self.tracking_uri).set_registered_model_alias(name, alias, str(version))

    def model_files(self, name: str, version: int) -> Path:
        """Where the registry keeps a version's model."""
        from urllib.parse import urlsplit

        found = self.reader.version(name, version)
        assert found is not None
        return Path(urlsplit(found.location).path) / "artifacts" / "soil_model"


def copied(home: Home, folder: Path) -> Home:
    """A home of one's own: the registry's file and its artifacts, with the artifacts' addresses mended."""
    import sqlite3

    shutil.copytree(home.folder, folder, dirs_exist_ok=True)
    with sqlite3.connect(folder / "mlflow.db") as connection:
        connection.execute(
            "UPDATE model_versions SET storage_location = replace(storage_location, ?, ?)",
            (str(home.folder), str(folder)),
        )
    connection.close()
    return Home(folder)


def live_models(
    home: Home, *names: str, told: list[tuple[str, dict[str, object]]] | None = None
) -> LiveModels:
    """Models that follow ``names``, not started."""
    events = told if told is not None else []
    store = ModelStore(
        home.folder / "models", home.reader, lambda text: events.append(("note", {"text": text}))
    )
    followed = [Followed.parse(n) for n in names or ("soil-clay@staging", "soil-ph@staging")]
    return LiveModels(store, followed, lambda event, facts: events.append((event, facts)))


class Client(requests.Session):
    """A client of a service that runs in this process, behind a real port."""

    def __init__(self, service: PredictionService, port: int) -> None:
        super().__init__()
        self.service = service
        self.port = port

    def request(self, method: str, path: str, *args: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        kwargs.setdefault("timeout", PATIENCE)
        return super().request(method, f"http://127.0.0.1:{self.port}{path}", *args, **kwargs)


@contextmanager
def client_of(home: Home, *names: str, log: EventLog | None = None, **settings: Any) -> Iterator[Client]:
    """A client of a service of its own, which runs in this process."""
    live = live_models(home, *names)
    live.start()
    chosen = Service.model_validate({"predictions": "", "poll_seconds": 3600.0, **settings})
    service = PredictionService(chosen, QualityPolicy(), live, log or EventLog(_Nowhere()), str(home.folder))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(configuration(service))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        with Client(service, listening.getsockname()[1]) as client:
            yield client
        server.should_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive()


class _Nowhere:
    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        return None


def body(rows: Sequence[int] = (0, 1, 2), **changes: Any) -> dict[str, Any]:
    """A request with real spectra on the models' axis."""
    batch = field().take(list(rows))
    return {
        "spectra": [
            {"id": str(i), "intensities": row}
            for i, row in zip(batch.sample_ids, batch.spectra.astype(float).tolist(), strict=True)
        ],
        "axis": {"unit": "cm-1", "values": batch.axis.values.tolist()},
        "quantity": "absorbance",
        **changes,
    }


@dataclass
class Running:
    """``soil serve`` as a process."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def events(self) -> list[dict[str, Any]]:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def ready(self) -> dict[str, Any]:
        return dict(requests.get(f"{self.address}/readyz", timeout=5).json())


@contextmanager
def running(home: Home, *arguments: str, settings: dict[str, Any] | None = None) -> Iterator[Running]:
    """``soil serve`` on a free port, stopped at the end of the block."""
    started = start(home, *arguments, settings=settings)
    try:
        wait_until_ready(started)
        yield started
    finally:
        if started.process.poll() is None:
            started.process.terminate()
        try:
            started.process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            started.process.kill()
            started.process.wait()


def start(home: Home, *arguments: str, settings: dict[str, Any] | None = None) -> Running:
    """Start ``soil serve`` without waiting."""
    import os

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config = home.folder / f"soil-{port}.yaml"
    config.write_text(json.dumps({"properties": ["clay", "ph"], **(settings or {})}), encoding="utf-8")
    log = home.folder / f"serve-{port}.log"
    env = {**os.environ, "SOIL_HOME": str(home.folder), "SOIL_CONFIG": str(config)}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "soil_assets", "serve", "--port", str(port), *arguments],
            stdout=out, stderr=subprocess.STDOUT, env=env, cwd=home.folder,
        )  # fmt: skip
    return Running(port, process, log)


def wait_until_ready(started: Running) -> None:
    """Wait until it answers."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            started.ready()
        except OSError:
            if started.process.poll() is not None or time.monotonic() > end:
                said = started.log.read_text(encoding="utf-8", errors="replace")
                raise AssertionError(f"the service did not start:\n{said[-3000:]}") from None
            time.sleep(0.05)
        else:
            return
