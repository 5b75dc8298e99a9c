"""Small real batches for the tests of the graph."""

from __future__ import annotations

from collections.abc import Callable

from soil_assets.demo.batches import DEMO_BATCHES, DemoBatch, land
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.embedded import limesoda
from soil_assets.storage import Store

SHORT_RANGE = next(b.make for b in DEMO_BATCHES if b.name == "short-range")


def folds(*wanted: int) -> Callable[[], SpectralBatch]:
    """Samples of the reference's field that are neither reference nor benchmark."""

    def make() -> SpectralBatch:
        field = limesoda("NRW.115")
        return field.take(field.samples["fold"].isin(wanted).to_numpy())

    return make


def land_as(landing: Store, name: str, make: Callable[[], SpectralBatch]) -> None:
    """Drop a batch under a name of the test's own."""
    land(DemoBatch(name, "", make), landing)


def land_garbage(landing: Store, name: str) -> None:
    """Drop a batch that no reader can read."""
    landing.write(f"{name}/spectra.csv", b"\x00\x01 this is not a table \xff" * 50)
    landing.write(f"{name}/_SUCCESS", b"")
