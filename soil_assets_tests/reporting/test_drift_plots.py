from __future__ import annotations

import io

import numpy as np
from PIL import Image

from soil_assets.config import DriftPolicy
from soil_assets.drift.compare import compare
from soil_assets.drift.profile import fit_profile
from soil_assets.reporting.drift_plots import envelope, scores
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.embedded import limesoda
from soil_assets.spectra.harmonise import harmonise


def test_pictures_are_small_png_and_depend_on_the_batch() -> None:
    axis = Axis.regular(3796, 552, 4, "cm-1")
    field, other = (harmonise(limesoda(name), axis, "absorbance") for name in ("NRW.115", "NRW.62"))
    profile = fit_profile(field.take(np.arange(60)), properties=())
    report = compare(profile, other, policy=DriftPolicy(permutations=199))
    drawn = set()
    for batch in (other, field.take(np.arange(60, 115)), other.take(np.arange(0))):
        for picture in (
            envelope(profile, batch),
            scores(profile, batch),
            envelope(profile, batch, report.bands),
        ):
            assert len(picture) < 60_000
            with Image.open(io.BytesIO(picture)) as image:
                assert image.format == "PNG"
                assert image.width >= 600
            drawn.add(picture)
    assert len(drawn) == 9
    assert envelope(profile, other) == envelope(profile, other)
