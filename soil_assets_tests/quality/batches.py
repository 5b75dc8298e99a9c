"""Batches that the tests of this room share: real spectra, whole and damaged."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from soil_assets.quality.expectations import Evaluate, evaluate
from soil_assets.quality.gate import LandedBatch, QualityResult, assess
from soil_assets.quality_policy import QualityPolicy
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import built_in_catalogue
from soil_assets.spectra.embedded import limesoda

AXIS = Axis.regular(3796, 552, 4, "cm-1")


@cache
def real(name: str) -> SpectralBatch:
    return limesoda(name)


def damaged() -> SpectralBatch:
    """NRW.115's last 15 soils with five planted faults, in rows 2, 4, 6, 8 and 10."""
    batch = real("NRW.115").take(np.arange(100, 115))
    spectra, samples = batch.spectra.copy(), batch.samples.copy()
    spectra[1] *= 100
    spectra[3] = spectra[2]
    spectra[5] = np.nan
    samples.loc[7, "clay"] = 140.0
    samples["sample_id"] = samples["sample_id"].astype(object)
    samples.loc[9, "sample_id"] = None
    return replace(batch, samples=samples, spectra=spectra)


def judge(batch: LandedBatch | SpectralBatch, *, by: Evaluate = evaluate, **options: object) -> QualityResult:
    settings = {
        "axis": AXIS,
        "quantity": "absorbance",
        "catalogue": built_in_catalogue(),
        "policy": QualityPolicy(),
    }
    return assess(batch, evaluate=by, **{**settings, **options})  # type: ignore[arg-type]
