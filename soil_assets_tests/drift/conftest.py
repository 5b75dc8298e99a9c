from __future__ import annotations

import numpy as np
import pytest

from soil_assets.config import DriftPolicy
from soil_assets.drift.profile import ReferenceProfile, fit_profile
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.embedded import limesoda
from soil_assets.spectra.harmonise import harmonise

AXIS = Axis.regular(3796, 552, 4, "cm-1")
PROPERTIES = ("clay", "ph", "soc")


@pytest.fixture(scope="session")
def field() -> SpectralBatch:
    """One field, one instrument: 115 soils."""
    return harmonise(limesoda("NRW.115"), AXIS, "absorbance")


@pytest.fixture(scope="session")
def other_field() -> SpectralBatch:
    """Another field on the same instrument."""
    return harmonise(limesoda("NRW.62"), AXIS, "absorbance")


@pytest.fixture(scope="session")
def split(field: SpectralBatch) -> tuple[SpectralBatch, SpectralBatch]:
    """56 soils as reference and 20 others of the same field."""
    order = np.random.default_rng(1).permutation(len(field))
    return field.take(np.sort(order[:56])), field.take(np.sort(order[56:76]))


@pytest.fixture(scope="session")
def profile(split: tuple[SpectralBatch, SpectralBatch]) -> ReferenceProfile:
    return fit_profile(split[0], properties=PROPERTIES)


@pytest.fixture(scope="session")
def policy() -> DriftPolicy:
    return DriftPolicy(permutations=999)
