"""Landing zone and storage on S3: the same ticks and the same values as on a disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from soil_assets.defs.io import load_value
from soil_assets.storage import Store
from soil_assets_tests.conftest import make_platform
from soil_assets_tests.defs.batches import folds, land_as
from soil_assets_tests.defs.test_sensors import tick
from soil_assets_tests.delivery.servers import s3

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
    with s3(tmp_path, "soil") as environment:
        for key, value in environment.items():
            monkeypatch.setenv(key, value)
        yield "s3://soil"


def test_a_batch_on_s3_goes_through_its_gates(tmp_path: Path, bucket: str) -> None:
    platform = make_platform(
        tmp_path,
        storage={"landing": f"{bucket}/landing", "data": f"{bucket}/data", "reports": f"{bucket}/reports"},
    )
    try:
        made = platform.run("reference_spectra,benchmark_spectra")
        assert made.success, made.errors
        land_as(platform.landing, "b1", folds(6))
        result, _ = tick(platform)
        assert [r.partition_key for r in result.run_requests or []] == ["b1"]
        assert platform.judge("b1").success
        assert len(load_value(Store(f"{bucket}/data"), "validated_batches", "b1").accepted) == 12
        assert not tick(platform, None)[0].run_requests, "what is landed is not asked for again"
        assert b"12 scans landed" in Store(f"{bucket}/reports").read("batches/b1/index.html")
    finally:
        platform.instance.dispose()
