"""One registry of real models for all tests of the service."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from soil_assets.adapters.mlflow import Registry
from soil_assets_tests.delivery.models import model, registered
from soil_assets_tests.serving.registered import Client, Home, client_of, copied


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Two versions of clay (the second has learnt permuted values) and one of pH; staging points to the first."""
    folder = Path(tmp_path_factory.mktemp("registry"))
    registry = Registry(f"sqlite:///{folder}/mlflow.db", "soil-local", str(folder / "mlflow-artifacts"))
    assert registered(registry, "soil-clay") == 1
    assert registered(registry, "soil-clay", fitted=model(worse=True)) == 2
    assert registered(registry, "soil-ph", fitted=model("ph")) == 1
    home = Home(folder)
    home.point("soil-clay", "staging", 1)
    return home


@pytest.fixture
def home(shared_home: Home, tmp_path: Path) -> Home:
    """A copy that a test may change."""
    return copied(shared_home, tmp_path / "home")


@pytest.fixture(scope="module")
def client(shared_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a service that no test changes."""
    own = copied(shared_home, Path(tmp_path_factory.mktemp("served")) / "home")
    with client_of(own) as made:
        yield made


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    done = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True, check=False
    )
    if not done or done.returncode:
        pytest.skip("file systems cannot be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)
