"""New batches of an inbox, and the batches of a checkout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from soil_assets.adapters.dvc import directory_hash
from soil_assets.cli.pipeline import fetch
from soil_assets.demo.batches import REPOSITORY_BATCHES
from soil_assets.errors import BadInput
from soil_assets.pull_request import proposal
from soil_assets.storage import Store

#: The hash that DVC gives the embedded batch of main; dvc.lock records the same.
SAME_FIELD = "a8632fb00c2f07d54f67e4123875c65f.dir"


def inbox(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "inbox"))
    for name in ("july", "known"):
        store.write(f"{name}/spectra.csv", name.encode())
        store.write(f"{name}/_SUCCESS", b"")
    store.write("growing/spectra.csv", b"half of it")
    return store


def test_only_whole_batches_of_new_content_are_proposed(tmp_path: Path) -> None:
    known = {"known": directory_hash({"spectra.csv": b"known", "_SUCCESS": b""}), "july": "older"}
    [found] = proposal.new_batches(inbox(tmp_path), known, quiet_seconds=3600)
    assert found.name == "july"
    assert found.branch == f"data/july-{found.content[:8]}"


def test_a_batch_too_large_for_git_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposal, "MAX_BYTES", 3)
    with pytest.raises(BadInput, match="soil batch add"):
        list(proposal.new_batches(inbox(tmp_path), {}, quiet_seconds=3600))


def test_embedded_data_are_the_same_bytes_every_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hashes = []
    for folder in ("one", "two"):
        fetch(names=None, out=tmp_path / folder, as_json=True)
        hashes.append(json.loads(capsys.readouterr().out)["batches"])
    assert hashes[0] == hashes[1] == dict.fromkeys(REPOSITORY_BATCHES, SAME_FIELD)
    with pytest.raises(BadInput, match="no such embedded batch"):
        fetch(names=["nothing"], out=tmp_path, as_json=True)
