"""Secrets, known weaknesses, bill of materials: the real tools, on what they must find and must let pass."""

from __future__ import annotations

import datetime
import json
import os
import re
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
AUDIT, SECRETS = ROOT / ".ci" / "audit.py", ROOT / ".ci" / "find_secrets.py"


def script(
    file: Path, *arguments: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    plain = {k: v for k, v in os.environ.items() if k not in ("GITHUB_ACTIONS", "CI")}
    return subprocess.run(
        [sys.executable, str(file), *arguments],
        capture_output=True, text=True, check=False, cwd=ROOT, env=plain | dict(env or {}),
    )  # fmt: skip


def test_a_planted_secret_is_found(tmp_path: Path) -> None:
    planted = tmp_path / "settings.py"
    key = "AKIA" + "".join(secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(16))
    planted.write_text(f'bucket = "soil"\naws_access_key_id = "{key}"\n', encoding="utf-8")
    found = script(SECRETS, str(planted))
    assert found.returncode == 1, found.stderr
    assert f"{planted}:2: looks like a secret" in found.stdout
    assert key not in found.stdout


def test_ordinary_text_is_no_secret(tmp_path: Path) -> None:
    plain = tmp_path / "settings.py"
    plain.write_text('bucket = "soil"\nregion = "eu-central-1"\n', encoding="utf-8")
    found = script(SECRETS, str(plain))
    assert (found.returncode, found.stdout) == (0, ""), found.stderr


def test_what_is_known_to_be_no_secret_has_a_reason_and_a_file() -> None:
    for known in json.loads((ROOT / ".ci" / "secrets.json").read_text(encoding="utf-8")):
        assert (ROOT / known["file"]).is_file(), known["file"]
        assert len(known["reason"]) > 10
        assert "TODO" not in known["reason"]


class _Advisories(BaseHTTPRequestHandler):
    """An advisory service of the OSV kind on loopback: one package has a weakness."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        name = (json.loads(body or b"{}").get("package") or {}).get("name", "")
        found = []
        if name == "idna":
            affected = {
                "package": {"name": "idna", "ecosystem": "PyPI"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}],
            }
            found = [
                {"id": "TEST-2020-1", "summary": "made up", "details": "made up", "affected": [affected],
                 "published": "2020-01-01T00:00:00Z", "modified": "2020-01-01T00:00:00Z", "aliases": []}
            ]  # fmt: skip
        answer = json.dumps({"vulns": found} if found else {}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def advisories() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Advisories)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    server.server_close()


def lock(folder: Path, *pins: str) -> str:
    file = folder / "lock.txt"
    file.write_text("".join(f"{p} --hash=sha256:{'0' * 64}\n" for p in pins), encoding="utf-8")
    return str(file)


def test_a_known_weakness_fails_the_audit(advisories: str, tmp_path: Path) -> None:
    done = script(AUDIT, lock(tmp_path, "idna==3.1", "six==1.17.0"), env={"SOIL_ADVISORIES": advisories})
    assert done.returncode == 1, done.stdout + done.stderr
    assert "TEST-2020-1" in done.stdout
    assert "six" not in done.stdout


def test_without_a_weakness_it_passes(advisories: str, tmp_path: Path) -> None:
    done = script(AUDIT, lock(tmp_path, "six==1.17.0"), env={"SOIL_ADVISORIES": advisories})
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("days", "code"), [(1, 0), (-1, 1)])
def test_a_weakness_is_accepted_until_its_day(advisories: str, tmp_path: Path, days: int, code: int) -> None:
    until = datetime.date.today() + datetime.timedelta(days)
    accepted = tmp_path / "accepted.txt"
    accepted.write_text(
        f"# ours\nTEST-2020-1 until {until} names are never read from a stranger\n", encoding="utf-8"
    )
    env = {"SOIL_ADVISORIES": advisories, "SOIL_AUDIT_ACCEPTED": str(accepted)}
    done = script(AUDIT, lock(tmp_path, "idna==3.1"), env=env)
    assert done.returncode == code, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("where", "code", "word"), [({}, 0, "SKIPPED"), ({"GITHUB_ACTIONS": "true"}, 1, "FAILED")]
)
def test_a_service_that_is_away_is_said_and_fails_on_github(
    where: dict[str, str], code: int, word: str
) -> None:
    done = script(AUDIT, env={"SOIL_ADVISORIES": "http://127.0.0.1:9/v1/query", **where})
    assert done.returncode == code
    assert f"audit {word}: the advisory service cannot be reached" in done.stdout


def test_every_lock_is_audited() -> None:
    text = AUDIT.read_text(encoding="utf-8")
    locks = {
        f.relative_to(ROOT).as_posix()
        for pattern in ("requirements*.txt", "deploy/**/requirements.txt", ".ci/requirements*.txt")
        for f in ROOT.glob(pattern)
    }
    # The development lock holds every pin of the run-time one (test_repository.py).
    assert {name for name in locks if f'"{name}"' in text} == locks - {"requirements.txt"}


_VALID = """
import pathlib, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
sys.exit(JsonStrictValidator(SchemaVersion.V1_6).validate_str(pathlib.Path(sys.argv[1]).read_text()))
"""


def test_the_bill_of_materials_is_valid_and_holds_the_whole_lock(tmp_path: Path) -> None:
    python = Path(sys.prefix) / "sbom" / "bin" / "python"
    if not python.exists():
        pytest.skip("no environment of the bill of materials (make setup)")
    out = tmp_path / "sbom.json"
    command = [
        str(python),
        "-W",
        "ignore",
        "-m",
        "cyclonedx_py",
        "requirements",
        "--pyproject",
        "pyproject.toml",
    ]
    command += ["--output-reproducible", "-o", str(out), "requirements.txt"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert " ".join(command[3:8]) in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert subprocess.run([str(python), "-c", _VALID, str(out)], check=False).returncode == 0
    made = json.loads(out.read_text(encoding="utf-8"))
    pins = re.findall(
        r"^([A-Za-z0-9._-]+)==(\S+)", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {(c["name"], c["version"]) for c in made["components"]} == set(pins)
    assert made["metadata"]["component"]["name"] == "soil_assets"
