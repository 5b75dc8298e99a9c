"""A cluster of one machine: what the manifest repository says runs as processes, as Argo CD and Kubernetes would do it.

Real ``soil serve`` processes with exactly the arguments and settings of the Deployments; a Service is whichever process
its selector names.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from soil_assets_tests.delivery.git_server import GitHost
from soil_assets_tests.delivery.servers import answers, free_port, process


class Cluster:
    """Runs one overlay of a manifest repository."""

    def __init__(self, host: GitHost, environment: str, folder: Path, env: dict[str, str]) -> None:
        self.host = host
        self.environment = environment
        self.folder = folder
        self.env = env
        self._ports = {"blue": free_port(), "green": free_port()}
        self._running: dict[str, tuple[list[str], ExitStack]] = {}

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        for _, stack in self._running.values():
            stack.close()

    def sync(self) -> None:
        """Start what is wanted and not running, end what runs and is not wanted."""
        for colour in ("blue", "green"):
            deployment = self._document(f"{colour}.yaml")
            [container] = deployment["spec"]["template"]["spec"]["containers"]
            wanted = [str(a) for a in container["args"]] if deployment["spec"]["replicas"] else []
            running = self._running.get(colour)
            if running and running[0] == wanted:
                continue
            if running:
                running[1].close()
                del self._running[colour]
            if wanted:
                self._running[colour] = self._start(wanted, self._ports[colour])

    def url(self, service: str) -> str:
        """Return the address of the process that a Service selects."""
        colour = self._document(f"{service}.yaml")["spec"]["selector"]["soil-assets/colour"]
        return self.address(colour)

    def address(self, colour: str) -> str:
        """Return where a colour answers, or will."""
        return f"http://127.0.0.1:{self._ports[colour]}"

    def versions(self, service: str) -> dict[str, int]:
        """Return which versions answer behind a Service."""
        with urllib.request.urlopen(f"{self.url(service)}/readyz", timeout=10) as said:  # noqa: S310  # loopback
            found: dict[str, int] = json.load(said)["models"]
            return found

    def _start(self, arguments: list[str], port: int) -> tuple[list[str], ExitStack]:
        moved = [a for a in arguments if not a.startswith(("--host=", "--port="))]
        command = [sys.executable, "-m", "soil_assets", *moved, "--host=127.0.0.1", f"--port={port}"]
        stack = ExitStack()
        stack.enter_context(
            process(
                command,
                lambda: answers(f"http://127.0.0.1:{port}/readyz"),
                env={**os.environ, **self.env},
                folder=self.folder,
            )
        )
        return arguments, stack

    def _document(self, name: str) -> Any:
        return yaml.safe_load(self.host.file(f"overlays/{self.environment}/{name}"))
