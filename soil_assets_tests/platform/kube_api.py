"""A Kubernetes API on loopback for jobs: it validates strictly what is posted, and runs a pod's arguments as a process.

It stands for the API server and a node, never for dagster-k8s, whose client talks to it as it talks to a cluster. What
a pod is given (arguments, environment, secrets by reference) is what its process gets; images and volumes are not
there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

BIN = Path(sys.executable).parent
VERSION = "1.37.0"
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class KubeApi:
    """Jobs by name, as they were posted."""

    def __init__(
        self, folder: Path, *, runs: bool, secrets: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        self.folder = folder
        self.jobs: dict[str, dict[str, Any]] = {}
        self.refused: list[str] = []
        self._valid: set[str] = set()
        self._runs = runs
        self._secrets = secrets or {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    @property
    def kubeconfig(self) -> str:
        """The file that a client reads to find this API."""
        return str(self.folder / "kubeconfig")

    def post(self, namespace: str, job: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Take a job as a strict API server would: 422 for a field that no schema knows, 409 for a taken name."""
        import kubernetes_validate

        name = job["metadata"]["name"]
        shape = _ID.sub(
            "", json.dumps(job, sort_keys=True)
        )  # a hundred runs of one job differ in their ids only
        try:
            if shape not in self._valid:
                kubernetes_validate.validate(job, VERSION, strict=True)
                self._valid.add(shape)
        except kubernetes_validate.ValidationError as error:
            self.refused.append(f"{name}: {error.message}")
            return 422, _status(422, "Invalid", error.message)
        with self._lock:
            if name in self.jobs:
                return 409, _status(409, "AlreadyExists", name)
            job["metadata"] |= {"namespace": namespace, "uid": f"uid-of-{name}"}
            self.jobs[name] = job
        if self._runs:
            self._start(name, job)
        return 201, self.get(name)[1]

    def get(self, name: str) -> tuple[int, dict[str, Any]]:
        """Return a job with its status."""
        if name not in self.jobs:
            return 404, _status(404, "NotFound", name)
        process = self._processes.get(name)
        code = None if process is None else process.poll()
        state = {"active": 1} if code is None else {"succeeded": 1} if code == 0 else {"failed": 1}
        return 200, {**self.jobs[name], "status": state}

    def log(self, name: str) -> str:
        """Return what a pod's process printed."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def _start(self, name: str, job: dict[str, Any]) -> None:
        [container] = job["spec"]["template"]["spec"]["containers"]
        env = {k: v for k, v in os.environ.items() if not k.startswith(("SOIL_", "DAGSTER_", "PYTEST_"))}
        for source in container.get("envFrom", []):
            env |= self._secrets.get(source.get("secretRef", {}).get("name", ""), {})
        for variable in container.get("env", []):
            wanted = variable.get("valueFrom", {}).get("secretKeyRef")
            env[variable["name"]] = (
                self._secrets[wanted["name"]][wanted["key"]] if wanted else variable.get("value", "")
            )
        program, *arguments = container["args"]
        with (self.folder / f"{name}.log").open("wb") as out:
            self._processes[name] = subprocess.Popen(
                [shutil.which(program, path=str(BIN)) or program, *arguments],
                stdout=out, stderr=subprocess.STDOUT, env=env, cwd=self.folder, start_new_session=True,
            )  # fmt: skip

    def stop(self) -> None:
        """End what still runs."""
        for process in self._processes.values():
            if process.poll() is None:
                process.kill()
            process.wait(20)


def _status(code: int, reason: str, message: str) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


@contextmanager
def kube_api(
    folder: Path, *, runs: bool = False, secrets: Mapping[str, Mapping[str, str]] | None = None
) -> Iterator[KubeApi]:
    """Serve the API until the block ends."""
    made = KubeApi(folder, runs=runs, secrets=secrets)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _say(self, code: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _parts(self) -> list[str]:
            return self.path.partition("?")[0].strip("/").split("/")

        def do_POST(self) -> None:
            job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            match self._parts():
                case ["apis", "batch", "v1", "namespaces", namespace, "jobs"]:
                    self._say(*made.post(namespace, job))
                case _:
                    self._say(404, _status(404, "NotFound", self.path))

        def do_GET(self) -> None:
            match self._parts():
                case ["apis", "batch", "v1", "namespaces", _, "jobs", name, *_]:
                    self._say(*made.get(name))
                case ["version"]:
                    self._say(200, {"major": "1", "minor": "37", "gitVersion": f"v{VERSION}"})
                case ["api", "v1", "namespaces", _, "pods"]:
                    self._say(200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": []})
                case _:
                    self._say(404, _status(404, "NotFound", self.path))

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_address[1]}"
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "loopback",
        "clusters": [{"name": "loopback", "cluster": {"server": address}}],
        "users": [{"name": "nobody", "user": {}}],
        "contexts": [{"name": "loopback", "context": {"cluster": "loopback", "user": "nobody"}}],
    }  # fmt: skip
    Path(made.kubeconfig).write_text(yaml.safe_dump(config))
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        yield made
    finally:
        made.stop()
        server.shutdown()
        server.server_close()
        serving.join(10)
