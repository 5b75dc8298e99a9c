"""Real spectra for the modeling tests: one LimeSoDa field, read once."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from soil_assets.modeling.model import SoilModel
from soil_assets.modeling.recipe import Recipe
from soil_assets.modeling.train import train
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import BUILT_IN
from soil_assets.spectra.embedded import limesoda
from soil_assets.spectra.harmonise import harmonise

AXIS = Axis.regular(3796.0, 552.0, 4.0, "cm-1")


# chemotools 0.5 has unescaped backslashes in docstrings: compiling them warns until bytecode is cached.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import chemotools.baseline
    import chemotools.derivative
    import chemotools.scatter  # noqa: F401


@pytest.fixture(scope="session")
def field() -> SpectralBatch:
    return harmonise(limesoda("NRW.115"), AXIS, "absorbance")


@pytest.fixture(scope="session")
def other_field() -> SpectralBatch:
    return harmonise(limesoda("NRW.62"), AXIS, "absorbance")


@pytest.fixture(scope="session")
def parts(field: SpectralBatch) -> tuple[SpectralBatch, SpectralBatch]:
    order = np.random.default_rng(1).permutation(len(field))
    return field.take(order[:75]), field.take(order[75:])


@pytest.fixture(scope="session")
def clay_model(parts: tuple[SpectralBatch, SpectralBatch]) -> SoilModel:
    return train(parts[0], BUILT_IN["clay"], Recipe())
