"""Landing zone and storage on S3: the same ticks and the same values as on a disk."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from soil_assets.defs.io import load_value
from soil_assets.storage import Store
from soil_assets_tests.conftest import make_platform
from soil_assets_tests.defs.batches import folds, land_as
from soil_assets_tests.defs.test_sensors import tick

pytest.importorskip("s3fs")
pytestmark = [
    pytest.mark.slow,
    # aiobotocore leaves its sessions to the end of the process.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of an S3 endpoint on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    for key, value in (
        ("AWS_ENDPOINT_URL", address), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):  # fmt: skip
        monkeypatch.setenv(key, value)
    with (tmp_path / "s3.log").open("w") as log:
        command = [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ))
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/moto-api/data.json", timeout=1).close()  # noqa: S310  # loopback
                break
            except OSError:
                time.sleep(0.25)
        import s3fs

        s3fs.S3FileSystem(skip_instance_cache=True).mkdir("soil")
        yield "s3://soil"
    finally:
        server.terminate()
        server.wait(20)


def test_a_batch_on_s3_goes_through_its_gates(tmp_path: Path, bucket: str) -> None:
    platform = make_platform(
        tmp_path,
        storage={"landing": f"{bucket}/landing", "data": f"{bucket}/data", "reports": f"{bucket}/reports"},
    )
    try:
        assert platform.run("reference_spectra,benchmark_spectra").success
        land_as(platform.landing, "b1", folds(6))
        result, _ = tick(platform)
        assert [r.partition_key for r in result.run_requests or []] == ["b1"]
        assert platform.judge("b1").success
        assert len(load_value(Store(f"{bucket}/data"), "validated_batches", "b1").accepted) == 12
        assert not tick(platform, None)[0].run_requests, "what is landed is not asked for again"
        assert b"12 scans landed" in Store(f"{bucket}/reports").read("batches/b1/index.html")
    finally:
        platform.instance.dispose()
