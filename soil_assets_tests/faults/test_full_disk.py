"""A disk that is full: an error, no file cut short, the value from before; and it goes on once there is room."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from soil_assets.defs.io import load_value, save_value
from soil_assets.storage import Store

WANTED = 400_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs rights that are not given here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)


def test_no_space_left_keeps_what_was_there(small_disk: Path) -> None:
    store = Store(str(small_disk))
    rng = np.random.default_rng(0)
    store.write("kept", b"whole")
    first = save_value(store, "benchmark_evaluations", "clay", {"n": 1})

    def fill() -> None:
        for turn in range(8):
            noise = rng.random(20_000).tolist()
            save_value(store, "benchmark_evaluations", "clay", {"n": turn, "noise": noise})

    with pytest.raises(OSError, match="No space left"):
        fill()
    kept = load_value(store, "benchmark_evaluations", "clay")
    assert kept == {"n": 1} or len(kept["noise"]) == 20_000, "the value before, whole"
    assert store.read("kept") == b"whole"
    for file in small_disk.rglob("*"):
        assert not (file.is_file() and file.parent.name == ".writing"), (
            "what could not be written was removed"
        )
    for folder in Path(small_disk, "assets/benchmark_evaluations/clay").iterdir():
        if folder.is_dir() and folder.name != first[:20]:
            for file in folder.rglob("*.json"):
                assert file.read_bytes().rstrip().endswith(b"}"), "no file is cut short"
    for folder in sorted(Path(small_disk, "assets/benchmark_evaluations/clay").glob("*/")):
        for file in folder.iterdir():
            file.unlink()
    save_value(store, "benchmark_evaluations", "clay", {"n": 2})
    assert load_value(store, "benchmark_evaluations", "clay") == {"n": 2}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_a_write_that_is_cut_by_the_system_shows_nothing(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write("value", b"before")
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (WANTED // 2, WANTED // 2))
        try:
            store.write("value", b"x" * WANTED)
        except OSError:
            os._exit(7)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WEXITSTATUS(status) == 7
    assert store.read("value") == b"before"
    assert [f for f in (tmp_path / ".writing").iterdir() if f.is_file()] == []
