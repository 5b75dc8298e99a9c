"""The report through CML's own poster, for real, over TLS to a loopback; skips where CML is not installed.

CML is named by SOIL_CML (its ``bin/cml.js`` made executable) or found on the path; it is no part of this repository.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

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


def post(fake: FakeGitHub, folder: Path, text: str) -> str:
    (folder / "report.md").write_text(text, encoding="utf-8")
    return comment(folder, 7, sha="a" * 40, repository_url=f"{fake.url}/{fake.repository}", token=fake.token)


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
    with pytest.raises(BadInput, match="CML could not post") as told:
        post(fake, tmp_path / "report", "text")
    assert fake.token not in str(told.value)


def test_without_cml_the_way_out_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOIL_CML", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match="--backend own"):
        comment(tmp_path, 7, sha="a" * 40, repository_url="https://github.example/lab/soil", token="t")
