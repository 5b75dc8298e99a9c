"""``soil serve`` as a process: starts, moves, refuses, drains; slow and huge clients; what it loads."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests

from soil_assets.serving.server import HEAD_SECONDS
from soil_assets_tests.serving.registered import Home, body, copied, running, start, wait_until_ready

pytestmark = pytest.mark.slow


def stopped(home: Home, *arguments: str) -> tuple[int, str]:
    """Start a service that cannot start; return its exit code and what it said."""
    started = start(home, *arguments)
    code = started.process.wait(timeout=60)
    return code, started.log.read_text(encoding="utf-8")


def test_an_alias_moves_under_load_and_no_request_fails(home: Home) -> None:
    with running(home, settings={"service": {"poll_seconds": 0.2}}) as service:
        failed: list[str] = []
        versions: list[int] = []
        stop = threading.Event()

        def ask() -> None:
            with requests.Session() as session:
                while not stop.is_set():
                    reply = session.post(f"{service.address}/v1/predict", json=body([60]), timeout=20)
                    if reply.status_code != 200:
                        failed.append(reply.text)
                        continue
                    said = reply.json()["samples"][0]["predictions"]["clay"]
                    versions.append(said["version"])

        clients = [threading.Thread(target=ask) for _ in range(4)]
        for c in clients:
            c.start()
        for version in (2, 1, 2):
            home.point("soil-clay", "staging", version)
            end = time.monotonic() + 30
            while service.ready()["models"]["soil-clay"] != version:
                assert time.monotonic() < end
                time.sleep(0.05)
        stop.set()
        for c in clients:
            c.join()
    assert failed == []
    assert set(versions) == {1, 2}


def test_the_registry_dies_while_it_runs_and_at_start(home: Home) -> None:
    with running(home, settings={"service": {"poll_seconds": 0.2}}) as service:
        (home.folder / "mlflow.db").rename(home.folder / "away.db")
        end = time.monotonic() + 30
        while service.ready()["registry"]["reachable"]:
            assert time.monotonic() < end
            time.sleep(0.05)
        assert requests.post(f"{service.address}/v1/predict", json=body([60]), timeout=20).status_code == 200
    code, said = stopped(home)
    assert code == 2
    assert "the model registry cannot be reached" in said
    assert "--kept-models" in said
    assert "Traceback" not in said
    with running(home, "--kept-models") as service:
        assert service.ready()["models"] == {"soil-clay": 1, "soil-ph": 1}
        assert service.ready()["registry"]["reachable"] is False


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--model", "soil-clay=99"), "no such registered version"),
        (("--model", "soil-clay"), "not a model to serve"),
        (("--model", "soil-clay=1", "--model", "soil-clay=2"), "named twice"),
        (("--alias", "nowhere"), "no model to serve"),
    ],
)
def test_a_start_that_cannot_be(home: Home, arguments: tuple[str, ...], word: str) -> None:
    code, said = stopped(home, *arguments)
    assert code == 2, said
    assert word in said
    assert "Traceback" not in said


def test_a_full_disk_stops_the_start_without_a_traceback(home: Home, small_disk: Path) -> None:
    (small_disk / "rest").write_bytes(bytes(shutil.disk_usage(small_disk).free))
    (home.folder / "models").symlink_to(small_disk)
    code, said = stopped(home)
    assert code == 2, said
    assert "local copy of a model cannot be written" in said
    assert "Traceback" not in said


def test_a_port_that_is_taken_stops_the_start(home: Home) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        code, said = stopped(home, "--port", str(other.getsockname()[1]))
    assert code == 2, said
    assert "cannot listen" in said
    assert "Traceback" not in said


def test_an_altered_model_stops_the_start(home: Home) -> None:
    arrays = home.model_files("soil-clay", 1) / "arrays.npz"
    arrays.write_bytes(arrays.read_bytes()[:-1] + b"x")
    code, said = stopped(home, "--model", "soil-clay=1")
    assert code == 2
    assert "altered" in said


def test_requests_under_way_are_finished_when_it_is_told_to_stop(home: Home) -> None:
    with running(home, settings={"service": {"log_seconds": 3600.0}}) as service:
        content = json.dumps(body([60])).encode()
        head = (
            f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", service.port), timeout=30) as client:
            client.sendall(head.encode() + content[:100])
            time.sleep(0.3)
            service.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            client.sendall(content[100:])
            assert client.recv(12) == b"HTTP/1.1 200"
        assert service.process.wait(timeout=40) in (0, -signal.SIGTERM)
    written = list((home.folder / "served").rglob("*.parquet"))
    assert len(written) == 1  # what the log held was written before the end


def test_clients_that_take_their_time(home: Home) -> None:
    with running(home, settings={"service": {"body_seconds": 1.0}}) as service:
        with socket.create_connection(("127.0.0.1", service.port), timeout=60) as slow_body:
            slow_body.sendall(
                b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Content-Length: 1000\r\n\r\n{"
            )
            assert slow_body.recv(12) == b"HTTP/1.1 408"
        silent = socket.create_connection(("127.0.0.1", service.port), timeout=60)
        slow_head = socket.create_connection(("127.0.0.1", service.port), timeout=60)
        slow_head.sendall(b"POST /v1/predict HTTP/1.1\r\n")
        begun = time.monotonic()
        for client in (silent, slow_head):
            assert client.recv(1) == b""  # closed by the service, which waits for nobody for ever
            client.close()
        assert time.monotonic() - begun >= HEAD_SECONDS / 2
        assert service.ready()["status"] == "ready"


def test_a_gigabyte_is_refused_before_it_is_read(home: Home) -> None:
    with running(home) as service:
        for length in (b"Content-Length: 1073741824", b"Transfer-Encoding: chunked"):
            with socket.create_connection(("127.0.0.1", service.port), timeout=60) as client:
                client.sendall(
                    b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                    + length
                    + b"\r\n\r\n"
                )
                if b"chunked" in length:
                    piece = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
                    for _ in range(1024):
                        try:
                            client.sendall(piece)
                        except OSError:
                            break
                    else:
                        pytest.fail("a gigabyte was taken")
                else:
                    assert client.recv(12) == b"HTTP/1.1 413"
        assert service.ready()["status"] == "ready"
        status = Path(f"/proc/{service.process.pid}/status")
        if status.exists():
            peak = next(int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line)
            assert peak < 800_000  # kilobytes: a body of at most 128 MB, and not a gigabyte


def test_a_reader_that_hangs_costs_one_request(home: Home) -> None:
    with running(home, settings={"service": {"file_seconds": 0.01}}) as service:
        reply = requests.post(
            f"{service.address}/v1/predict?filename=a.csv", data=b"a,1000,1002\nx,1,2\n",
            headers={"content-type": "text/csv"}, timeout=30,
        )  # fmt: skip
        assert reply.status_code == 422
        assert "time and memory" in reply.json()["error"]["what"]
        assert requests.post(f"{service.address}/v1/predict", json=body([60]), timeout=20).status_code == 200


def test_it_answers_without_the_heavy_libraries(shared_home: Home, tmp_path: Path) -> None:
    """Neither to start nor to answer JSON; a file is read in another process."""
    home = copied(shared_home, tmp_path / "home")
    code = f"""
import sys
from pathlib import Path
from soil_assets.adapters.registry_reader import reader_of
from soil_assets.config import QualityPolicy
from soil_assets.serving.live import Followed, LiveModels
from soil_assets.serving.model_store import ModelStore
from soil_assets.serving.incoming import from_json
from soil_assets.serving.server import configuration
from soil_assets.serving import service as service_module
from soil_assets.serving.service import PredictionService
from soil_assets.serving.settings import Service
store = ModelStore(Path({str(home.folder)!r}) / "models", reader_of({home.tracking_uri!r}), print)
live = LiveModels(store, [Followed.parse("soil-clay=1")], lambda *_: None)
live.start()
service = PredictionService(Service(predictions=""), QualityPolicy(), live, lambda *_: None, "")
configuration(service)
asked = from_json(Path({str(tmp_path / "body.json")!r}).read_bytes(), 10)
service_module._Work(service, service.bodies.account(), "", "id", {{}}).of(asked)
heavy = ("dagster", "mlflow", "great_expectations", "pandas", "pyarrow", "sklearn", "chemotools", "matplotlib", "yaml")
print("loaded:", sorted(m for m in heavy if m in sys.modules))
"""
    (tmp_path / "body.json").write_text(json.dumps(body([60])))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("loaded: []"), done.stdout


def test_keys_are_made_on_the_command_line(home: Home) -> None:
    file = home.folder / "keys.yaml"
    command = [
        sys.executable,
        "-m",
        "soil_assets",
        "api-key",
        "lab-a",
        "--days",
        "1",
        "--file",
        str(file),
        "--json",
    ]
    made = json.loads(
        subprocess.run(command, capture_output=True, text=True, check=True, cwd=home.folder).stdout
    )
    with running(home, settings={"service": {"keys": str(file)}}) as service:
        assert requests.get(f"{service.address}/v1/models", timeout=10).status_code == 401
        headers = {"authorization": f"Bearer {made['key']}"}
        assert requests.get(f"{service.address}/v1/models", timeout=10, headers=headers).status_code == 200
        assert made["key"] not in service.log.read_text()
    again = subprocess.run(command, capture_output=True, text=True, check=False, cwd=home.folder)
    assert again.returncode == 2


def test_two_services_share_their_local_copies(home: Home) -> None:
    """Two replicas on one volume start at the same moment."""
    both = [start(home), start(home)]
    try:
        for one in both:
            wait_until_ready(one)
    finally:
        for one in both:
            one.process.terminate()
            one.process.wait(timeout=40)


def test_the_process_that_reads_files_has_no_secrets(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a-secret")
    with running(home) as service:
        requests.post(
            f"{service.address}/v1/predict?filename=a.csv", data=b"sample_id,clay\na,1\n",
            headers={"content-type": "text/csv"}, timeout=30,
        )  # fmt: skip
        children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children")
        if not children.exists():
            pytest.skip("no /proc here")
        [reader] = children.read_text().split()
        assert b"a-secret" not in Path(f"/proc/{reader}/environ").read_bytes()
        assert b"a-secret" in Path(f"/proc/{service.process.pid}/environ").read_bytes()
