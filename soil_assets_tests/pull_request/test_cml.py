"""The report through CML's own poster, for real, over TLS to a loopback; skips where CML is not installed.

CML is named by SOIL_CML (its ``bin/cml.js`` made executable) or found on the path; it is no part of this repository.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from soil_assets.adapters import cml
from soil_assets.adapters.cml import comment
from soil_assets.errors import BadInput
from soil_assets_tests.github_fake import FakeGitHub, serving

CML = os.environ.get("SOIL_CML") or shutil.which("cml")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGitHub]:
    if CML is None or shutil.which("openssl") is None:
        pytest.skip("CML (or openssl) is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate),
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    both = tmp_path / "both.pem"
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(certificate))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HOME", str(tmp_path))  # CML writes into git's global configuration
    subprocess.run(["git", "init", "-q", str(tmp_path / "report")], check=True)
    with serving(FakeGitHub(token="t0ken-of-the-test"), both) as state:
        state.pull(7, "a" * 40)
        yield state


def post(fake: FakeGitHub, folder: Path, text: str, publish_url: str | None = None) -> str:
    (folder / "report.md").write_text(text, encoding="utf-8")
    url = f"{fake.url}/{fake.repository}"
    return comment(folder, 7, sha="a" * 40, repository_url=url, token=fake.token, publish_url=publish_url)


@pytest.mark.slow
def test_cml_creates_and_renews_one_comment(fake: FakeGitHub, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    post(fake, folder, "## Soil models: approve\n\n| a | b |\n|---|--:|\n| `x` | 1.50 -> 1.30 |\n")
    post(fake, folder, "## Soil models: reject\n")
    [ours] = fake.ours(7)
    assert ours["body"].startswith("## Soil models: reject")
    assert fake.asked("POST") == ["issues/7/comments"]
    assert len(fake.asked("PATCH")) == 1


@pytest.mark.slow
def test_a_failure_of_cml_is_told_without_the_token(fake: FakeGitHub, tmp_path: Path) -> None:
    fake.may_write = False
    with pytest.raises(BadInput, match="CML could not post") as error:
        post(fake, tmp_path / "report", "text")
    assert (
        error.value.found == "Resource not accessible by integration"
    )  # GitHub's words, and not CML's request
    assert fake.token not in str(error.value)


@pytest.mark.slow
def test_pictures_are_uploaded_to_a_server_of_ones_own(fake: FakeGitHub, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    (folder / "errors-clay.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 100)
    with image_server() as (url, uploads):
        post(fake, folder, "![errors](errors-clay.png)\n", publish_url=url)
    [ours] = fake.ours(7)
    assert "![errors](https://images.example/1?cml=" in ours["body"]
    assert uploads == [(folder / "errors-clay.png").read_bytes()]
    with pytest.raises(BadInput, match="CML could not post") as error:
        post(fake, folder, "![errors](errors-clay.png)\n", publish_url=url)
    assert "ECONNREFUSED" in str(error.value.found)


@contextmanager
def image_server() -> Iterator[tuple[str, list[bytes]]]:
    """An image server of CML's kind: it answers an upload with the picture's address."""
    uploads: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            uploads.append(self.rfile.read(int(self.headers["content-length"])))
            answer = f"https://images.example/{len(uploads)}".encode()
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", uploads
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


#: What CML 0.20.6 writes on Node 20 where its upload crashes: its log, then Node's own report of the same.
_PARSE = r"Failed to parse URL from /x/magic.wasm\nTypeError: it\n at y"
CRASH = f"""{{"level":"error","message":"unhandledRejection: {_PARSE}","stack":"s"}}
{{"level":"error","message":"uncaughtException: {_PARSE}","process":{{"argv":["t0ken"]}}}}
/x/magic.js:9
var Module=typeof Module!=="undefined"?Module:{{}};

RuntimeError: abort(TypeError: Failed to parse URL from /x/magic.wasm)
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)

Node.js v20.20.2
"""


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (CRASH, "Failed to parse URL from /x/magic.wasm"),
        (CRASH.split("\n", 2)[2], "RuntimeError: abort(TypeError: Failed to parse URL from /x/magic.wasm)"),
        ('{"level":"info","message":"start"}\n{"level":"error","message":"not with t0ken"}', "not with ***"),
        ("Usage: cml comment\n\nUnknown argument: x\n", "Unknown argument: x"),
        ("", "exit code 3, and no message"),
        ("\nNode.js v20.20.2\n", "exit code 3, and no message"),
    ],
)
@pytest.mark.parametrize("stream", [1, 2])
def test_the_message_is_cmls_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, words: str, stream: int
) -> None:
    with pytest.raises(BadInput, match="CML could not post") as error:
        post_by(program(tmp_path, f"cat {tmp_path}/output >&{stream}; exit 3", output), tmp_path, monkeypatch)
    assert error.value.found == words


def test_a_cml_that_does_not_end_or_run_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cml, "_PATIENCE", 0.5)
    with pytest.raises(BadInput, match="did not end"):
        post_by(program(tmp_path, "exec sleep 30"), tmp_path, monkeypatch)
    (tmp_path / "no-program").write_text("x")
    with pytest.raises(BadInput, match="cannot be run"):
        post_by(tmp_path / "no-program", tmp_path, monkeypatch)


def test_only_an_upload_changes_nodes_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = program(tmp_path, 'echo "$NODE_OPTIONS"')
    monkeypatch.setenv("NODE_OPTIONS", "--max-old-space-size=500")
    assert post_by(shown, tmp_path, monkeypatch) == "--max-old-space-size=500"
    published = post_by(shown, tmp_path, monkeypatch, publish_url="https://images.example")
    assert published.startswith("--max-old-space-size=500 --import=data:")


def program(folder: Path, command: str, output: str = "") -> Path:
    (folder / "output").write_text(output, encoding="utf-8")
    file = folder / "cml"
    file.write_text(f"#!/bin/sh\n{command}\n", encoding="utf-8")
    file.chmod(0o755)
    return file


def post_by(file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, publish_url: str | None = None) -> str:
    monkeypatch.setenv("SOIL_CML", str(file))
    url = "https://github.example/lab/soil"
    return comment(folder, 7, sha="a" * 40, repository_url=url, token="t0ken", publish_url=publish_url)


def test_without_cml_the_way_out_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOIL_CML", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match="--backend own"):
        comment(tmp_path, 7, sha="a" * 40, repository_url="https://github.example/lab/soil", token="t")
