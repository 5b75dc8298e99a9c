"""Real servers on loopback for tests: PostgreSQL, an S3 endpoint, MLflow with users. Each ends with its block."""

from __future__ import annotations

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
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
PATIENCE = 120.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(address: str) -> bool:
    """Whether something speaks HTTP there, whatever it says."""
    try:
        urllib.request.urlopen(address, timeout=2).close()  # noqa: S310  # loopback
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


@contextmanager
def process(
    command: list[str], ready: Callable[[], bool], *, env: Mapping[str, str] | None = None, folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command until the block ends; its whole process group ends with it."""
    log = folder / f"{Path(command[0]).name}-{time.monotonic_ns()}.log"
    with log.open("wb") as out:
        started = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}, cwd=folder,
            start_new_session=True,
        )  # fmt: skip
    try:
        end = time.monotonic() + PATIENCE
        while not ready():
            if started.poll() is not None or time.monotonic() > end:
                raise AssertionError(
                    f"{command[0]} did not start:\n{log.read_text(errors='replace')[-3000:]}"
                )
            time.sleep(0.2)
        yield started
    finally:
        for sign, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            try:
                os.killpg(started.pid, sign)
                started.wait(patience)
                break
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def postgres_tools() -> Path:
    """Return the folder of PostgreSQL's server programs, or skip."""
    for found in (
        shutil.which("initdb"),
        *sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True),
    ):
        if found:
            return Path(found).resolve().parent
    pytest.skip("no PostgreSQL server programs here (Debian: postgresql)")


@contextmanager
def postgres(database: str = "soil") -> Iterator[str]:
    """Run PostgreSQL in a temporary folder; give the address of an empty database."""
    pytest.importorskip("psycopg2")
    tools = postgres_tools()
    # PostgreSQL refuses to run as root, and a test's own folder is closed to others.
    user = "nobody" if os.geteuid() == 0 else None
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="soil-pg-") as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, user)
        data = folder / "data"
        subprocess.run(
            [str(tools / "initdb"), "-D", str(data), "-U", "soil", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True, capture_output=True, user=user, cwd=folder,
        )  # fmt: skip
        command = [str(tools / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder), "-F"]
        server = subprocess.Popen(
            [*command, "-c", "listen_addresses=127.0.0.1"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=user, cwd=folder, start_new_session=True,
        )  # fmt: skip
        try:
            _create_database(port, database)
            yield f"postgresql+psycopg2://soil@127.0.0.1:{port}/{database}"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(20)


def _create_database(port: int, database: str) -> None:
    import psycopg2

    end = time.monotonic() + PATIENCE
    while True:
        try:
            connection = psycopg2.connect(host="127.0.0.1", port=port, user="soil", dbname="postgres")
            break
        except psycopg2.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{database}"')
    connection.close()


S3_KEYS = {
    "AWS_ACCESS_KEY_ID": "soil",
    "AWS_SECRET_ACCESS_KEY": "soil-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextmanager
def s3(folder: Path, *buckets: str) -> Iterator[dict[str, str]]:
    """Run an S3 endpoint with ``buckets``; give the environment that clients need."""
    program = BIN / "moto_server"
    if not program.exists():
        pytest.skip("moto is not installed")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with process(
        [str(program), "-H", "127.0.0.1", "-p", str(port)],
        lambda: answers(f"{address}/moto-api/data.json"),
        folder=folder,
    ):
        import boto3

        client = boto3.client(
            "s3", endpoint_url=address, aws_access_key_id="soil", aws_secret_access_key="soil-secret",
            region_name="us-east-1",
        )  # fmt: skip
        for bucket in buckets:
            client.create_bucket(Bucket=bucket)
        _forget_clients()
        try:
            yield {**S3_KEYS, "MLFLOW_S3_ENDPOINT_URL": address, "AWS_ENDPOINT_URL": address}
        finally:
            _forget_clients()


def _forget_clients() -> None:
    """fsspec keeps a client a process, with the address that the environment held when it was made."""
    if "s3fs" in sys.modules:
        sys.modules["s3fs"].S3FileSystem.clear_instance_cache()


@contextmanager
def mlflow_server(folder: Path, password: str) -> Iterator[str]:
    """Run MLflow's server on PostgreSQL and S3, with users; give its address."""
    pytest.importorskip("flask_wtf")
    with ExitStack() as stack:
        database = stack.enter_context(postgres("mlflow"))
        storage = stack.enter_context(s3(folder, "mlflow"))
        port = free_port()
        ini = folder / "auth.ini"
        ini.write_text(
            f"[mlflow]\ndefault_permission = READ\nauth_cache_ttl_seconds = 5\ndatabase_uri = sqlite:///{folder}/users.db\n"
            "admin_username = admin\nauthorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        )
        env = {
            **storage,
            "MLFLOW_AUTH_CONFIG_PATH": str(ini),
            "MLFLOW_AUTH_ADMIN_PASSWORD": password,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "of-this-test",
        }
        command = [
            str(BIN / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
            "--backend-store-uri", database, "--artifacts-destination", "s3://mlflow", "--app-name", "basic-auth",
        ]  # fmt: skip
        address = f"http://127.0.0.1:{port}"
        stack.enter_context(process(command, lambda: answers(f"{address}/health"), env=env, folder=folder))
        yield address
