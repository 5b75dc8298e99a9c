"""compose.yaml's own commands as processes of this machine: the platform comes up and its parts find each other."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from soil_assets_tests.delivery.servers import BIN, answers, free_port, postgres, process, s3

DEPLOY = Path(__file__).resolve().parent.parent.parent / "deploy"
pytest.importorskip("dagster_postgres")
pytest.importorskip("uvicorn")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SECRETS = {
    "SOIL_POSTGRES_PASSWORD": "unused-on-loopback", "SOIL_MLFLOW_PASSWORD": "a-long-enough-password",
    "SOIL_MLFLOW_PLATFORM_PASSWORD": "another-long-password", "SOIL_MLFLOW_READER_PASSWORD": "one-more-long-password",
    "SOIL_FLASK_SECRET": "of-this-test", "SOIL_S3_KEY": "GK" + "0" * 24, "SOIL_S3_SECRET": "1" * 64,
    "SOIL_STORE_SECRET": "2" * 64,
}  # fmt: skip


class Composed:
    """compose.yaml with its names and folders turned into this machine's; commands and settings stay as they are."""

    def __init__(self, folder: Path, database_port: int, store: str) -> None:
        self.folder = folder
        self.ports = {
            "mlflow": free_port(),
            "code": free_port(),
            "webserver": free_port(),
            "service": free_port(),
            "metrics": free_port(),
        }
        self._database_port = database_port
        self._store = store
        self._compose = yaml.safe_load(self._here((DEPLOY / "compose.yaml").read_text()))
        for volume in ("users", "data", "models"):
            (folder / volume / "dagster").mkdir(parents=True)

    def _here(self, text: str) -> str:
        text = re.sub(r"\$\{([A-Z0-9_]+)(?::[?-][^}]*)?\}", lambda m: SECRETS.get(m[1], "0.1.0"), text)
        for said, here in (
            ("postgres:5432", f"127.0.0.1:{self._database_port}"),
            ("http://store:3900", self._store),
            ("http://mlflow:5000", f"http://127.0.0.1:{self.ports['mlflow']}"),
        ):
            text = text.replace(said, here)
        return text

    def files(self, service: str, home: Path) -> dict[str, str]:
        """Copy the files that a service mounts; return where each container path is here."""
        places = {"/var/lib/soil": str(home)}
        for volume in self._compose["services"][service]["volumes"]:
            source, target = volume.split(":")[:2]
            if source.startswith("."):
                copy = self.folder / service / Path(target).name
                copy.parent.mkdir(exist_ok=True)
                text = self._here((DEPLOY / source).read_text()).replace("/var/lib/soil", str(home))
                copy.write_text(
                    text.replace("host: code", "host: 127.0.0.1").replace(
                        "port: 4000", f"port: {self.ports['code']}"
                    )
                )
                places[target] = str(copy)
        return places

    def tables(self, database: str) -> set[str]:
        """Return the tables of a database."""
        import psycopg2

        connection = psycopg2.connect(
            host="127.0.0.1", port=self._database_port, user="soil", dbname=database
        )
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
            found = {str(row[0]) for row in cursor.fetchall()}
        connection.close()
        return found

    def command(self, service: str, home: Path) -> tuple[list[str], dict[str, str]]:
        """Return a service's command and environment for this machine."""
        wanted = self._compose["services"][service]
        places = self.files(service, home)

        def here(text: str) -> str:
            for target in sorted(places, key=len, reverse=True):
                text = text.replace(target, places[target])
            return text

        entry, default, image_env = image_of(wanted["build"]["target"])
        arguments = [here(a) for a in (*entry, *(wanted.get("command") or default))]
        for i, argument in enumerate(arguments):
            if argument.startswith(("--port=", "--serve=")):
                arguments[i] = f"{argument.partition('=')[0]}={self.ports[service]}"
            elif argument == "--port":
                arguments[i + 1] = str(self.ports[service])
            elif argument in ("--host=0.0.0.0", "0.0.0.0"):  # noqa: S104  # what the container listens on
                arguments[i] = argument.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
            elif argument.startswith("--allowed-hosts="):
                arguments[i] += ",127.0.0.1:*"
        program = shutil.which(arguments[0], path=str(BIN))
        assert program, arguments[0]
        env = {**image_env, **{k: here(str(v)) for k, v in (wanted.get("environment") or {}).items()}}
        env["PATH"] = f"{BIN}:{os.environ['PATH']}"
        if "SOIL_POSTGRES_HOST" in env:
            env |= {"SOIL_POSTGRES_HOST": "127.0.0.1", "SOIL_POSTGRES_PORT": str(self._database_port)}
        if "DAGSTER_HOME" in env:
            env["DAGSTER_HOME"] = str(self.folder / service)
        env.setdefault("SOIL_HOME", str(home))
        env["SOIL_HOME"] = str(home)
        return [program, *arguments[1:]], env


def image_of(target: str) -> tuple[list[str], list[str], dict[str, str]]:
    """Return entry point, command and environment of a stage of the Dockerfile."""
    stages = re.split(r"^FROM ", (DEPLOY / "docker" / "Dockerfile").read_text(), flags=re.MULTILINE)
    [stage] = [s for s in stages if s.split("\n")[0].endswith(f"AS {target}")]
    entry = re.search(r"^ENTRYPOINT (\[.*\])$", stage, re.MULTILINE)
    command = re.search(r"^CMD (\[.*\])$", stage, re.MULTILINE)
    assert command is not None
    env = dict(re.findall(r"^ENV (\w+)=(\S+)$", stage, re.MULTILINE))
    return json.loads(entry[1]) if entry else [], json.loads(command[1]), env


def ask(url: str, body: Any = None) -> Any:
    request = urllib.request.Request(  # noqa: S310  # loopback
        url, None if body is None else json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as said:  # noqa: S310  # loopback
        return json.load(said)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    """The composed platform, up, with the databases of compose/databases.sql."""
    import psycopg2

    folder = Path(tmp_path_factory.mktemp("compose"))
    with ExitStack() as stack:
        address = stack.enter_context(postgres("soil"))
        port = int(address.rsplit(":", 1)[1].split("/")[0])
        connection = psycopg2.connect(host="127.0.0.1", port=port, user="soil", dbname="soil")
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in (DEPLOY / "compose" / "databases.sql").read_text().split(";"):
                if statement.strip():
                    cursor.execute(statement)
        connection.close()
        store = stack.enter_context(s3(folder, "soil"))["AWS_ENDPOINT_URL"]
        made = Composed(folder, port, store)
        ready = {
            "mlflow": lambda: answers(f"http://127.0.0.1:{made.ports['mlflow']}/health"),
            "code": lambda: grpc_answers(made.ports["code"]),
            "webserver": lambda: answers(f"http://127.0.0.1:{made.ports['webserver']}/server_info"),
            "daemon": lambda: True,
        }
        for name, volume in (
            ("mlflow", "users"), ("code", "data"), ("webserver", "data"), ("daemon", "data"),
        ):  # fmt: skip
            command, env = made.command(name, folder / volume)
            stack.enter_context(process(command, ready[name], env=env, folder=folder))
        yield made


def grpc_answers(port: int) -> bool:
    """The image's own health check of the code location."""
    done = subprocess.run(
        [str(BIN / "dagster"), "api", "grpc-health-check", "--port", str(port)],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def test_dagster_loads_the_code_location_from_postgresql(platform: Composed) -> None:
    url = f"http://127.0.0.1:{platform.ports['webserver']}/graphql"
    entry = "locationEntries { name locationOrLoadError { __typename ... on PythonError { message } } }"
    query = "{ workspaceOrError { ... on Workspace { " + entry + " } } assetNodes { assetKey { path } } }"
    data = ask(url, {"query": query})["data"]
    [location] = data["workspaceOrError"]["locationEntries"]
    assert location["name"] == "soil_assets"
    assert location["locationOrLoadError"] == {"__typename": "RepositoryLocation"}
    names = {n["assetKey"]["path"][-1] for n in data["assetNodes"]}
    assert {"raw_spectra", "training_set", "registered_versions"} <= names
    assert {"event_logs", "runs", "instigators"} <= platform.tables("dagster")


def test_the_daemon_beats(platform: Composed) -> None:
    url = f"http://127.0.0.1:{platform.ports['webserver']}/graphql"
    query = "{ instance { daemonHealth { allDaemonStatuses { daemonType healthy } } } }"
    end = time.monotonic() + 120
    while True:
        beats = ask(url, {"query": query})["data"]["instance"]["daemonHealth"]["allDaemonStatuses"]
        healthy = {b["daemonType"] for b in beats if b["healthy"]}
        if {"SENSOR", "QUEUED_RUN_COORDINATOR", "ASSET"} <= healthy:
            return
        assert time.monotonic() < end, beats
        time.sleep(1)


def test_the_exporter_reads_the_instance_and_the_registry(platform: Composed, tmp_path: Path) -> None:
    command, env = platform.command("metrics", platform.folder / "data")
    url = f"http://127.0.0.1:{platform.ports['metrics']}/metrics"
    with (
        process(command, lambda: answers(url), env=env, folder=tmp_path),
        urllib.request.urlopen(url, timeout=60) as said,
    ):
        told = said.read().decode()
    failed = re.findall(r"^soil_export_failed\{.*\} (\S+)$", told, re.MULTILINE)
    assert failed, told
    assert {float(f) for f in failed} == {0.0}, told


def test_mlflow_wants_a_user_and_keeps_models_in_the_store(platform: Composed, tmp_path: Path) -> None:
    """Registered through the server by a process like a step's, and served by the composed service."""
    code = (
        "from soil_assets_tests.delivery.models import model, registered, Registry; import sys; "
        "print(registered(Registry(sys.argv[1], 'soil-production', 'unused'), 'soil-clay'))"
    )
    address = f"http://127.0.0.1:{platform.ports['mlflow']}"
    _, env = platform.command("code", platform.folder / "data")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, address], capture_output=True, text=True, check=False,
        env={**os.environ, **env}, cwd=DEPLOY.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().endswith("1")
    command, env = platform.command("service", platform.folder / "models")
    ready = f"http://127.0.0.1:{platform.ports['service']}/readyz"
    with process(command, lambda: answers(ready), env=env, folder=tmp_path):
        assert ask(ready)["models"] == {"soil-clay": 1}
    assert not answers_without_a_user(address)


def test_only_the_registry_knows_its_administrator(platform: Composed) -> None:
    for name in ("code", "webserver", "daemon", "metrics", "service"):
        command, env = platform.command(name, platform.folder / "data")
        assert SECRETS["SOIL_MLFLOW_PASSWORD"] not in "\n".join([*command, *env.values()])
    address = f"http://127.0.0.1:{platform.ports['mlflow']}"
    make_a_user = f"{address}/api/2.0/mlflow/users/create"
    create = f"{address}/api/2.0/mlflow/registered-models/create"
    for user, secret, status in (
        ("platform", "SOIL_MLFLOW_PLATFORM_PASSWORD", 200),
        ("reader", "SOIL_MLFLOW_READER_PASSWORD", None),
    ):
        who = (user, SECRETS[secret])
        new = {"username": f"friend-of-{user}", "password": "a-long-enough-password"}
        assert requests.post(make_a_user, json=new, auth=who, timeout=60).status_code == 403
        reply = requests.post(create, json={"name": f"soil-of-{user}"}, auth=who, timeout=60)
        assert status is None or reply.status_code == status, reply.text


def test_who_reads_changes_nothing_of_the_platforms(platform: Composed) -> None:
    address = f"http://127.0.0.1:{platform.ports['mlflow']}/api/2.0/mlflow/registered-models"
    reader = ("reader", SECRETS["SOIL_MLFLOW_READER_PASSWORD"])
    owner = ("platform", SECRETS["SOIL_MLFLOW_PLATFORM_PASSWORD"])
    requests.post(f"{address}/create", json={"name": "soil-owned"}, auth=owner, timeout=60).raise_for_status()
    assert requests.get(f"{address}/get?name=soil-owned", auth=reader, timeout=60).status_code == 200
    changes = {"name": "soil-owned", "description": "changed"}
    for who, status in ((reader, 403), (owner, 200)):
        assert requests.patch(f"{address}/update", json=changes, auth=who, timeout=60).status_code == status


def answers_without_a_user(address: str) -> bool:
    try:
        ask(f"{address}/api/2.0/mlflow/registered-models/search?max_results=1")
    except urllib.error.HTTPError as error:
        return error.code != 401
    return True
