"""Storage by URL: whole files or none, and never outside the folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from soil_assets import storage
from soil_assets.errors import BadInput
from soil_assets.storage import Store, hash_of_files, safe_key


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(str(tmp_path) if request.param == "local" else f"memory://{tmp_path.name}-{os.getpid()}")


def test_what_is_written_is_read(store: Store) -> None:
    store.write("a/b.bin", b"\x00\x01")
    store.write_json("a/c.json", {"ä": [1.5, None]})
    assert store.read("a/b.bin") == b"\x00\x01"
    assert store.read_json("a/c.json") == {"ä": [1.5, None]}
    assert store.files("a") == ["a/b.bin", "a/c.json"]
    assert store.folders() == ["a"]
    assert store.exists("a/b.bin")
    assert not store.exists("a/none")


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/passwd", "a//b", "a\\..\\b", "", "a/\0"])
def test_a_key_never_leaves_the_folder(store: Store, key: str) -> None:
    with pytest.raises(BadInput, match="leaves its folder"):
        store.write(key, b"x")


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path))
    store.write("a/x", b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.write("a/x", b"new")
    assert store.read("a/x") == b"old"
    assert os.listdir(tmp_path / "a") == ["x"]


def test_links_are_not_listed(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write("a/x", b"1")
    (tmp_path / "a" / "link").symlink_to("/etc/hosts")
    assert store.files("a") == ["a/x"]


def test_json_refuses_what_is_not_a_number(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        Store(str(tmp_path)).write_json("x.json", {"rmse": float("nan")})


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "é", "-x", "x" * 201, "a\n"])
def test_names_that_are_no_keys(name: str) -> None:
    with pytest.raises(BadInput, match="cannot be used as a key"):
        safe_key(name, "batch name")


def test_names_that_are_keys() -> None:
    assert safe_key("2026-03 field_a.v2@lab=1+") == "2026-03 field_a.v2@lab=1+"


def test_the_hash_is_of_names_and_contents() -> None:
    assert hash_of_files({"a": b"1", "b": b"2"}) == hash_of_files({"b": b"2", "a": b"1"})
    assert hash_of_files({"a": b"1"}) != hash_of_files({"b": b"1"})


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    waiting = tmp_path / ".writing"
    waiting.mkdir()
    left, held, fresh = waiting / "left", waiting / "held", waiting / "fresh"
    for path in (left, held, fresh):
        path.write_bytes(b"half")
    for path in (left, held):
        os.utime(path, (1.0, 1.0))
    lock = (
        "import fcntl, sys; held = open(sys.argv[1], 'rb'); fcntl.flock(held, fcntl.LOCK_EX); "
        "print(1, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", lock, str(held)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.read(1)
        Store(str(tmp_path)).write("a/x", b"1")
        assert sorted(os.listdir(waiting)) == ["fresh", "held"]
        writer.kill()
    storage._swept.clear()
    Store(str(tmp_path)).write("a/y", b"2")
    assert sorted(os.listdir(waiting)) == ["fresh"]


@pytest.mark.parametrize(
    ("protocol", "package", "extra"),
    [("s3", "s3fs", "s3"), ("gs", "gcsfs", "gcs"), ("abfs", "adlfs", "azure")],
)
def test_a_url_whose_package_is_missing_names_the_extra(protocol: str, package: str, extra: str) -> None:
    # A fresh process in which the package cannot be found, as on a machine without the extra.
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from soil_assets.errors import BadInput\n"
        "from soil_assets.spectra import read\n"
        "from soil_assets.storage import Store\n"
        f"for call in (lambda: Store('{protocol}://bucket/x').exists('a'), lambda: read('{protocol}://bucket/x.csv')):\n"
        "    try: call()\n"
        "    except BadInput as error: print(error.mend)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"pip install 'soil_assets[{extra}]'"] * 2


def test_an_unknown_protocol_is_bad_input() -> None:
    with pytest.raises(BadInput, match="cannot be read") as error:
        Store("nosuch://bucket/x").exists("a")
    assert "nosuch" in str(error.value.found)
