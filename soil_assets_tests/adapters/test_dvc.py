"""Batches under DVC, for real: its hash is the version, and a commit brings exactly its data, from S3 too."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from soil_assets.adapters.dvc import add, directory_hash, pointer_hash, pull
from soil_assets.defs.landing_zone import all_files, batch_version, land_copy
from soil_assets.errors import BadInput
from soil_assets.storage import Store

pytest.importorskip("dvc")


def call(where: Path, *command: str) -> str:
    env = {
        **os.environ,
        "DVC_NO_ANALYTICS": "1",
        "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org",
        "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org",
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    done = subprocess.run(command, cwd=where, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def dvc(where: Path, *arguments: str) -> str:
    return call(where, sys.executable, "-m", "dvc", *arguments)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    call(root, "git", "init", "-q", "-b", "main")
    dvc(root, "init", "-q")
    dvc(root, "config", "core.analytics", "false")
    dvc(root, "config", "core.check_update", "false")
    return root


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    """An S3 endpoint on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with (tmp_path / "s3.log").open("w") as log:
        server = subprocess.Popen(
            [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(port)],
            stdout=log,
            stderr=log,
        )
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/moto-api/data.json", timeout=1).close()  # noqa: S310  # loopback
                break
            except OSError:
                time.sleep(0.25)
        bucket = urllib.request.Request(  # noqa: S310  # loopback
            f"{address}/batches", method="PUT", headers={"Authorization": "AWS test:test"}
        )
        urllib.request.urlopen(bucket, timeout=10).close()  # noqa: S310  # loopback
        yield address
    finally:
        server.terminate()
        server.wait(20)


def drop(landing: Store, text: str) -> None:
    landing.write("b1/spectra.csv", text.encode())
    landing.write("b1/plots/note.txt", "ä".encode())
    landing.write("b1/_SUCCESS", b"")


def test_the_hash_is_the_one_that_dvc_gives(repository: Path) -> None:
    landing = Store(str(repository / "landing"))
    drop(landing, "sample_id,1000\na,1\n")
    tracked = add(repository / "landing" / "b1")
    assert tracked.md5 == directory_hash(all_files(landing, "b1"))
    assert batch_version(landing, "b1") == f"dvc:{tracked.md5}"
    assert land_copy(landing, Store(str(repository / "data")), "b1").damaged == []


def test_bytes_that_dvc_did_not_record_are_said_so(repository: Path) -> None:
    landing = Store(str(repository / "landing"))
    drop(landing, "sample_id,1000\na,1\n")
    add(repository / "landing" / "b1")
    path = repository / "landing" / "b1" / "spectra.csv"
    path.unlink()
    path.write_text("sample_id,1000\na,2\n")
    assert not batch_version(landing, "b1").startswith("dvc:")
    [said] = land_copy(landing, Store(str(repository / "data")), "b1").damaged
    assert "not what DVC recorded" in said


@pytest.mark.slow
def test_a_commit_brings_exactly_its_data_from_s3(repository: Path, endpoint: str) -> None:
    dvc(repository, "remote", "add", "-q", "-d", "s3", "s3://batches/store")
    dvc(repository, "remote", "modify", "-q", "s3", "endpointurl", endpoint)
    for key, value in (("access_key_id", "test"), ("secret_access_key", "test"), ("region", "us-east-1")):
        dvc(repository, "remote", "modify", "-q", "--local", "s3", key, value)
    landing = Store(str(repository / "landing"))
    versions = []
    for text in ("sample_id,1000\na,1\n", "sample_id,1000\na,1\nb,2\n"):
        shutil.rmtree(repository / "landing" / "b1", ignore_errors=True)
        drop(landing, text)
        add(repository / "landing" / "b1", push=True)
        call(repository, "git", "add", "-A")
        call(repository, "git", "commit", "-q", "-m", text[-4:])
        versions.append(batch_version(landing, "b1"))
    assert len(set(versions)) == 2

    clone = repository.parent / "clone"
    call(repository.parent, "git", "clone", "-q", str(repository), str(clone))
    for key, value in (("access_key_id", "test"), ("secret_access_key", "test"), ("region", "us-east-1")):
        dvc(clone, "remote", "modify", "-q", "--local", "s3", key, value)
    for commit, version, rows in (("HEAD", versions[1], 2), ("HEAD~1", versions[0], 1)):
        call(clone, "git", "checkout", "-q", "--detach", commit if commit == "HEAD" else "main~1")
        dvc(clone, "pull", "-q")
        there = Store(str(clone / "landing"))
        assert batch_version(there, "b1") == version
        assert len(there.read("b1/spectra.csv").splitlines()) == rows + 1


@pytest.mark.slow
def test_a_private_remote_without_credentials_is_told_in_dvcs_words(
    repository: Path, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dvc(repository, "remote", "add", "-q", "-d", "s3", "s3://batches/store")
    dvc(repository, "remote", "modify", "-q", "s3", "endpointurl", endpoint)
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "DEFAULT_REGION"):
        monkeypatch.setenv(f"AWS_{name}", "test")
    drop(Store(str(repository / "landing")), "sample_id,1000\na,1\n")
    add(repository / "landing" / "b1", push=True)
    shutil.rmtree(repository / ".dvc" / "cache")
    shutil.rmtree(repository / "landing" / "b1")
    with allowing(endpoint, 0), pytest.raises(BadInput, match="not readable here") as refused:
        pull(repository, "landing")
    assert "403" in str(refused.value.found)
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.delenv(f"AWS_{name}")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(BadInput, match="not readable here") as nameless:
        pull(repository, "landing")
    assert "Unable to locate credentials" in str(nameless.value.found)
    assert not (repository / "landing" / "b1").exists()
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "test")
    assert pull(repository, "landing").source == "remote"


@contextmanager
def allowing(endpoint: str, requests: int) -> Iterator[None]:
    """Let the S3 endpoint answer so many requests more, and then refuse those whose key it does not know."""
    _allow(endpoint, requests)
    try:
        yield
    finally:
        _allow(endpoint, 1_000_000)


def _allow(endpoint: str, requests: int) -> None:
    request = urllib.request.Request(  # noqa: S310  # loopback
        f"{endpoint}/moto-api/reset-auth", data=str(requests).encode(), headers={"content-type": "text/plain"}
    )
    urllib.request.urlopen(request, timeout=10).close()  # noqa: S310  # loopback


def test_outside_a_repository_it_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "b1").mkdir()
    (tmp_path / "b1" / "x").write_text("1")
    with pytest.raises(BadInput, match="dvc init"):
        add(tmp_path / "b1")
    with pytest.raises(BadInput, match="no such batch folder"):
        add(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "outs: []", "outs: [{path: x}]", "- 1", "outs: [1"])
def test_what_is_no_pointer_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="not a DVC pointer"):
        pointer_hash(text.encode(), "b1.dvc")


@pytest.mark.parametrize(
    "pointer",
    [
        "outs: [{md5: a1.dir, path: ../soil_assets/defs/landing_zone}]",
        "outs: [{md5: a1.dir, path: june, remote: elsewhere}]",
        "outs: [{md5: a1.dir, path: july}]",
        "outs: [{md5: a1.dir, path: june}, {md5: a1.dir, path: ../soil_assets}]",
        "outs: [{md5: a1.dir, path: june}]\nwdir: ../soil_assets",
        "outs: [{md5: a1.dir, path: june}]\ncmd: touch here",
        "outs: [{md5: a1.dir, path: june}]\ndeps: [{path: /etc, repo: {url: https://evil.example}}]",
        "outs: [{md5: not a hash, path: june}]",
        "outs: june",
        "[" * 5000,
        "",
    ],
)
def test_a_pointer_that_leads_elsewhere_is_refused(repository: Path, pointer: str) -> None:
    """Before DVC writes a file: it would follow the path wherever it leads."""
    (repository / "batches").mkdir()
    (repository / "batches" / "june.dvc").write_text(pointer + "\n", encoding="utf-8")
    with pytest.raises(BadInput, match="not a DVC pointer to one batch"):
        pull(repository, "batches")
    assert not (repository / "soil_assets").exists()
