"""Pictures are small, the same every time, and survive what real data brings."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from soil_assets.reporting import plots
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.embedded import limesoda

RNG = np.random.default_rng(7)
ERRORS = RNG.normal(0.3, 1.5, 26)
TABLE = pd.DataFrame({"observed": np.linspace(5, 40, 26), "value": np.linspace(5, 40, 26) + ERRORS})
TABLE = TABLE.assign(lower_90=TABLE["value"] - 2.5, upper_90=TABLE["value"] + 2.5)
BATCH = limesoda("NRW.115")

DRAWINGS: dict[str, Callable[[], bytes]] = {
    "spectra": lambda: plots.spectra(BATCH.take(range(20)), "in control", BATCH.take(range(20, 76))),
    "errors": lambda: plots.error_distribution({"main": ERRORS, "candidate": ERRORS * 0.7}, "%"),
    "errors of many": lambda: plots.error_distribution({"candidate": RNG.normal(size=50_000)}, "%"),
    "observed": lambda: plots.predicted_against_observed(TABLE, "%"),
    "trend": lambda: plots.metric_trend(
        ["v1", "v2", "v3"],
        [1.5, None, 1.3],
        name="RMSE",
        unit="%",
        low=[1.2, None, 1.1],
        high=[1.8, None, 1.6],
    ),
    "vip": lambda: plots.vip(BATCH.axis, np.abs(np.sin(np.arange(len(BATCH.axis)) / 40)) * 1.5),
}


def _size(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png)) as image:
        image.load()
        assert image.format == "PNG"
        assert len(image.getcolors() or []) > 3, "an empty picture"
        return image.size


@pytest.mark.parametrize("name", [n for n in DRAWINGS if n != "errors of many"])
def test_small_and_deterministic(name: str) -> None:
    first, second = DRAWINGS[name](), DRAWINGS[name]()
    assert first == second
    assert len(first) < 60_000
    width, height = _size(first)
    assert width == 780
    assert 400 <= height <= 700


def test_many_errors_stay_small() -> None:
    assert len(DRAWINGS["errors of many"]()) < 60_000


def test_other_data_give_another_picture() -> None:
    assert DRAWINGS["errors"]() != plots.error_distribution({"main": ERRORS, "candidate": ERRORS * 0.8}, "%")


@pytest.mark.parametrize(
    "values",
    [[], [np.nan, np.inf], [0.5], [1.0, 1.0, 1.0, 1.0, 1.0], [1e-300, -1e-300, 0, 0], [1e12, -1e12, 3, 4, 5]],
)
def test_errors_of_every_kind_are_drawn(values: list[float]) -> None:
    assert plots.error_distribution({"candidate": values}, "index").startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"observed": [], "value": []}),
        pd.DataFrame({"observed": [1.0], "value": [1.0]}),
        pd.DataFrame({"observed": [1.0, np.nan, 3.0], "value": [np.inf, 2.0, 3.0]}),
        TABLE.assign(lower_90=-np.inf, upper_90=np.inf),
        TABLE.assign(lower_90=np.nan, upper_90=np.nan),
    ],
)
def test_predictions_of_every_kind_are_drawn(table: pd.DataFrame) -> None:
    assert plots.predicted_against_observed(table, "%").startswith(b"\x89PNG")


def _batch(spectra: np.ndarray, unit: str = "nm") -> SpectralBatch:
    axis = Axis(np.linspace(400, 2400, spectra.shape[1]), unit)  # type: ignore[arg-type]
    ids = pd.DataFrame({"sample_id": [f"s{i}" for i in range(len(spectra))]})
    return SpectralBatch(ids, spectra.astype(np.float32), axis, "reflectance")


def test_spectra_with_gaps_or_without_scans_are_drawn() -> None:
    spectra = RNG.uniform(0.1, 0.6, (5, 50))
    spectra[1] = np.nan
    spectra[2, 10:20] = np.inf
    spectra[:, 3] = np.nan
    assert plots.spectra(_batch(spectra), "gaps").startswith(b"\x89PNG")
    assert plots.spectra(_batch(np.full((3, 50), np.nan)), "nothing finite").startswith(b"\x89PNG")
    assert plots.spectra(_batch(np.empty((0, 50))), "empty").startswith(b"\x89PNG")


def test_a_reference_in_another_unit_is_not_drawn_over_the_batch() -> None:
    nm, wavenumbers = _batch(RNG.uniform(0.1, 0.6, (5, 50))), _batch(RNG.uniform(0.1, 0.6, (5, 50)), "cm-1")
    assert plots.spectra(nm, "t", wavenumbers) == plots.spectra(nm, "t")


@pytest.mark.parametrize("title", ["$\\frac{$ no mathematics", "<b>\x00\n日本", "x" * 500, ""])
def test_any_title_is_text(title: str) -> None:
    assert _size(plots.error_distribution({"candidate": ERRORS}, "%", title))[0] == 780
