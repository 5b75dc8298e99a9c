"""A platform in a temporary home for benches: frozen sets, a model on main, and its server.

Belongs here: setting it up, starting ``soil ui`` and asking it by GraphQL. Does not belong here: what is timed.
"""

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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from soil_assets.errors import BadInput

ROOT = Path(__file__).resolve().parents[2]


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a process on ``home``: its own instance, nobody's settings."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("SOIL_", "DAGSTER_", "MLFLOW_"))}
    return ours | {
        "SOIL_HOME": str(home),
        "SOIL_CONFIG": str(ROOT / "soil.yaml"),
        "SOIL_DAGSTER_STORAGE": str(home / "dagster"),
        "DAGSTER_HOME": str(ROOT),
    }


def python(code: str, home: Path, *arguments: str) -> Any:
    """Run a function of this package in a process on ``home``; return the JSON on its last line."""
    (home / "dagster").mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *arguments],
        cwd=ROOT,
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout.strip().splitlines()[-1])


class Server:
    """``soil ui`` (web server, daemon, code server) on a free port of this machine."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = home / "ui.log"
        with self.log.open("w") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "soil_assets", "ui", "--port", str(self.port)],
                cwd=ROOT,
                env=environment(home),
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ask(self, query: str) -> Any:
        """Return what a GraphQL query gives."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql",
            data=json.dumps({"query": query}).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  # loopback
            return json.load(answer)["data"]

    def until(
        self, query: str, holds: Callable[[Any], bool], what: str, patience: float, every: float = 0.2
    ) -> Any:
        """Ask again and again until the answer holds; return it.

        Raises
        ------
        RuntimeError
            When the server ends, or it does not hold in ``patience`` seconds.
        """
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if self._process.poll() is not None:
                break
            try:
                found = self.ask(query)
                if holds(found):
                    return found
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                pass
            time.sleep(every)
        raise RuntimeError(f"{what} did not happen: {self.log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        """End it and all its processes."""
        for sign in (signal.SIGINT, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, sign)
                self._process.wait(30)
                return
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue


@contextmanager
def serving(home: Path) -> Iterator[Server]:
    """Run the server for the length of the block."""
    if not (ROOT / "dagster.yaml").exists():
        raise BadInput("this bench needs a checkout", expected="dagster.yaml beside the package")
    server = Server(home)
    try:
        server.until("{ version }", lambda d: bool(d and d["version"]), "the server's start", 180)
        yield server
    finally:
        server.stop()


def set_up(properties: Sequence[str] = ()) -> dict[str, float]:
    """Materialize the frozen sets and bring models onto main, on the home of this process."""
    from soil_assets.config import load_settings
    from soil_assets.defs.build import build_definitions
    from soil_assets.defs.by_hand import bring_up_to_date
    from soil_assets.defs.run import open_instance

    settings = load_settings()
    start = time.perf_counter()
    with open_instance() as instance:
        for step in bring_up_to_date(build_definitions(settings), instance, settings):
            if step.outcome.errors:
                raise RuntimeError(f"{step.what}: {step.outcome.errors}")
    return {"seconds": time.perf_counter() - start}


def drop(prefix: str, first: int, count: int, scans: int) -> list[str]:
    """Drop batches into the landing zone of this process's home; return their names."""
    from soil_assets.benchmarks.field_batches import FieldBatches
    from soil_assets.config import load_settings
    from soil_assets.storage import Store

    made, landing = FieldBatches(), Store(load_settings().url("landing"))
    names = [f"{prefix}{number:05d}" for number in range(first, first + count)]
    for number, name in enumerate(names, start=first):
        made.drop(landing, name, number, scans)
    return names
