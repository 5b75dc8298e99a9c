"""What lies in the landing zone: read in one piece, nothing followed or waited for, every refusal with its reason."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from soil_assets.defs.landing_zone import batch_version, land_copy, list_batch, read_batch, untaken
from soil_assets.errors import BadInput
from soil_assets.spectra.catalogue import built_in_catalogue
from soil_assets.spectra.landed import read_landed, with_refused
from soil_assets.storage import Store, hash_of_files

FILES = {"a.csv": b"sample_id,1000,1002\na,0.1,0.2\n", "b.csv": b"sample_id,1000,1002\nb,0.3,0.2\n"}


@pytest.fixture
def landing(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "landing"))
    for name, content in FILES.items():
        store.write(f"b1/{name}", content)
    store.write("b1/_SUCCESS", b"")
    return store


@pytest.fixture
def data(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "data"))


def odd(landing: Store) -> Path:
    """A batch with a link out of it, one inside, one to nowhere, a pipe, and a linked folder; return its folder."""
    folder = Path(landing.where("b1"))
    outside = folder.parent.parent / "outside"
    outside.mkdir()
    (outside / "secret.csv").write_bytes(FILES["a.csv"])
    (folder / "out.csv").symlink_to(outside / "secret.csv")
    (folder / "inside.csv").symlink_to(folder / "a.csv")
    (folder / "nowhere.csv").symlink_to(folder / "gone.csv")
    (folder / "linked").symlink_to(outside)
    os.mkfifo(folder / "pipe.csv")
    return folder


def test_what_is_not_opened_is_counted_alike_by_the_platform_and_by_soil_validate(
    landing: Store, data: Store
) -> None:
    folder = odd(landing)
    copy = land_copy(landing, data, "b1")
    assert copy.files == sorted(FILES)
    platform = with_refused(read_landed(copy.folder, built_in_catalogue()), copy.refused)
    validated = read_landed(folder, built_in_catalogue())
    assert platform.landed == validated.landed
    told = [(u.file, u.reason, u.mend) for u in platform.unreadable]
    assert sorted(told) == sorted((u.file, u.reason, u.mend) for u in validated.unreadable)
    assert {u.file for u in platform.unreadable} >= {
        "out.csv", "inside.csv", "nowhere.csv", "linked", "pipe.csv",
    }  # fmt: skip


def test_what_is_not_opened_is_part_of_the_version(landing: Store) -> None:
    before = batch_version(landing, "b1")
    assert before == hash_of_files(dict(FILES))
    folder = odd(landing)
    after = batch_version(landing, "b1")
    assert after != before
    (folder / "pipe.csv").unlink()
    assert batch_version(landing, "b1") not in (before, after)


def test_a_pipe_or_a_link_alone_is_no_batch_and_is_listed(landing: Store) -> None:
    folder = Path(landing.url) / "pipes"
    folder.mkdir()
    os.mkfifo(folder / "pipe.csv")
    (folder / "_SUCCESS").touch()
    (Path(landing.url) / "link").symlink_to(folder)
    reasons = untaken(landing, 0.0)
    assert sorted(reasons) == ["link", "pipes"]
    assert "neither a file nor a folder" in reasons["pipes"]
    assert "a link" in reasons["link"]


@pytest.mark.parametrize("name", ["-rf", "a b!", "x" * 201])
def test_a_refused_name_is_listed_with_its_reason(landing: Store, name: str) -> None:
    (Path(landing.url) / name).mkdir()
    assert "cannot be used as a key" in untaken(landing, 0.0)[name]


def test_a_time_in_the_future_is_listed_and_a_marker_ends_the_waiting(landing: Store) -> None:
    marker = Path(landing.where("b1/_SUCCESS"))
    ahead = time.time() + 3 * 3600
    os.utime(landing.where("b1/a.csv"), (ahead, ahead))
    assert untaken(landing, 5.0) == {}, "it says itself that it is whole"
    marker.unlink()
    assert "a.csv has a time in the future" in untaken(landing, 5.0)["b1"]
    assert list_batch(landing, "b1", 5.0, now=ahead + 10).whole
    os.utime(landing.where("b1/a.csv"))
    assert untaken(landing, 3600.0) == {"b1": "still being written"}


class Replacing(Store):
    """A landing zone in which somebody replaces files while they are read."""

    def __init__(self, url: str, times: int) -> None:
        super().__init__(url)
        self.times = times

    def read(self, key: str) -> bytes:
        content = super().read(key)
        if self.times and key.endswith("a.csv"):
            self.times -= 1
            for name in FILES:
                self.write(
                    f"b1/{name}", f"sample_id,1000,1002\nc{self.times},0.5,0.{self.times + 1}\n".encode()
                )
        return content


def test_the_version_is_that_of_the_bytes_that_were_stored(landing: Store, data: Store) -> None:
    """Replaced while it is copied, after its first file was read: no mixture, and no version's name on other bytes."""
    copy = land_copy(Replacing(landing.url, 1), data, "b1")
    stored = {name: data.read(f"raw/b1/{copy.sha256}/{name}") for name in copy.files}
    assert copy.version == copy.sha256 == hash_of_files(stored)
    assert stored == read_batch(landing, "b1").data
    assert copy.version == batch_version(landing, "b1")


def test_a_batch_that_is_replaced_for_ever_is_not_taken(landing: Store, data: Store) -> None:
    with pytest.raises(BadInput, match="replaced while it is read"):
        land_copy(Replacing(landing.url, 9), data, "b1")
    assert not data.files("raw")


def test_a_damaged_copy_is_written_again(landing: Store, data: Store) -> None:
    copy = land_copy(landing, data, "b1")
    data.write(f"raw/b1/{copy.sha256}/a.csv", b"half of")
    again = land_copy(landing, data, "b1")
    assert again.damaged == []
    assert data.read(f"raw/b1/{copy.sha256}/a.csv") == FILES["a.csv"]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_what_may_not_be_read_is_counted(landing: Store, data: Store) -> None:
    Path(landing.where("b1/a.csv")).chmod(0)
    assert list(land_copy(landing, data, "b1").refused) == ["a.csv"]
    Path(landing.where("b1")).chmod(0)
    try:
        assert "no permission" in untaken(landing, 0.0)["b1"]
    finally:
        Path(landing.where("b1")).chmod(0o755)
