"""API keys: made once, stored as hashes, taken until they expire or are withdrawn; never in a log."""

from __future__ import annotations

import datetime as dt
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from soil_assets.errors import BadInput
from soil_assets.serving import keys as keys_module
from soil_assets.serving.keys import Keys, add_key, read_keys
from soil_assets.serving.logs import EventLog
from soil_assets.serving.refusals import Refused
from soil_assets_tests.serving.registered import Home, body, client_of

TODAY = dt.datetime.now(dt.UTC).date()


def test_a_key_is_stored_as_its_hash_alone(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    key = add_key(file, "lab-a", TODAY + dt.timedelta(days=1))
    assert key not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    assert Keys(file).name_of(key) == "lab-a"
    with pytest.raises(BadInput, match="already"):
        add_key(file, "lab-a", None)
    other = add_key(file, "lab-b", None)
    assert [k.name for k in read_keys(file)] == ["lab-a", "lab-b"]
    assert Keys(file).name_of(other) == "lab-b"


@pytest.mark.parametrize("offered", [None, "", "soil_", "x" * 10_000, "ä\udc80"])
def test_what_is_no_key(tmp_path: Path, offered: str | None) -> None:
    file = tmp_path / "keys.yaml"
    add_key(file, "lab-a", None)
    with pytest.raises(Refused) as caught:
        Keys(file).name_of(offered)
    assert caught.value.status == 401
    assert caught.value.headers["WWW-Authenticate"] == "Bearer"


def test_a_key_expires_with_its_day(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    key = add_key(file, "lab-a", TODAY)
    keys = Keys(file)
    assert keys.name_of(key, today=TODAY - dt.timedelta(days=1)) == "lab-a"
    with pytest.raises(Refused, match="expired"):
        keys.name_of(key, today=TODAY)


def test_a_withdrawn_key_stops_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "_LOOK_AGAIN", 0.0)
    file = tmp_path / "keys.yaml"
    key = add_key(file, "lab-a", None)
    keys = Keys(file)
    assert keys.name_of(key) == "lab-a"
    file.write_text("[]")
    with pytest.raises(Refused, match="not known"):
        keys.name_of(key)


def _delete(file: Path) -> None:
    file.unlink()


def _break(file: Path) -> None:
    file.write_text("- name: [")


def _be_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _break_an_entry(file: Path) -> None:
    file.write_text(file.read_text() + "- name: lab-b\n")


@pytest.mark.parametrize("harm", [_delete, _break, _be_a_folder, _break_an_entry])
def test_no_key_is_taken_while_its_file_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(keys_module, "_LOOK_AGAIN", 0.0)
    file, events = tmp_path / "keys.yaml", []
    key = add_key(file, "lab-a", None)
    whole = file.read_text()
    keys = Keys(file, lambda event, facts: events.append((event, facts["usable"])))
    harm(file)
    for _ in range(2):
        with pytest.raises(Refused, match="cannot be checked") as caught:
            keys.name_of(key)
        assert caught.value.status == 503
        assert caught.value.headers["Retry-After"]
    assert events == [("keys", False)]  # said once
    if file.is_dir():
        file.rmdir()
    file.write_text(whole)
    assert keys.name_of(key) == "lab-a"
    assert events == [("keys", False), ("keys", True)]


def test_keys_made_at_once_are_all_there(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    code = (
        "import sys; from pathlib import Path; from soil_assets.serving.keys import add_key; "
        "add_key(Path(sys.argv[1]), sys.argv[2], None)"
    )
    names = [f"lab-{i}" for i in range(6)]
    makers = [subprocess.Popen([sys.executable, "-c", code, file, name]) for name in names]
    assert [m.wait(60) for m in makers] == [0] * 6
    assert sorted(k.name for k in read_keys(file)) == names


@pytest.mark.parametrize(
    "entry",
    [
        "just a key",
        {"name": "a", "sha256": "soil_secret"},
        {"name": "a"},
        {"name": "a", "sha256": "0" * 64, "expires": "soon"},
        {"name": "a", "sha256": "0" * 64, "key": "soil_secret"},
    ],
)
def test_a_wrong_entry_is_said_without_showing_it(tmp_path: Path, entry: object) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(yaml.safe_dump([entry]))
    with pytest.raises(BadInput, match="not an entry") as caught:
        Keys(file)
    assert "secret" not in str(caught.value)


def test_a_missing_file_is_said_at_start(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        Keys(tmp_path / "none.yaml")


def test_requests_with_and_without(home: Home) -> None:
    file = home.folder / "keys.yaml"
    key, old = add_key(file, "lab-a", None), add_key(file, "lab-old", TODAY)
    log = io.StringIO()
    with client_of(home, keys=str(file), log=EventLog(log)) as client:
        for headers, status in (
            ({}, 401),
            ({"authorization": f"Bearer {key}"}, 200),
            ({"authorization": f"bearer  {key}"}, 200),
            ({"x-api-key": key}, 200),
            ({"authorization": f"Basic {key}"}, 401),
            ({"authorization": f"Bearer {old}"}, 401),
            ({"authorization": "Bearer wrong"}, 401),
        ):
            assert client.post("/v1/predict", json=body([60]), headers=headers).status_code == status, headers
            assert client.get("/v1/models", headers=headers).status_code == status
        assert (
            client.post("/v1/predict", json=body([60]), headers={"authorization": f"Bearer {old}"}).json()[
                "error"
            ]["found"]
            == f"expired on {TODAY}"
        )
        for path in ("/healthz", "/readyz", "/metrics", "/", "/openapi.json"):
            assert client.get(path).status_code == 200
    said = log.getvalue()
    assert key not in said
    assert old not in said
    assert "wrong" not in said
    events = [json.loads(line) for line in said.splitlines()]
    assert {e.get("key") for e in events if e["status"] == 200} == {"lab-a"}
