"""LimeSoDa as batches: real values, right units, and no code from a data file."""

from __future__ import annotations

import io
import os
import pickle

import numpy as np
import pytest

from soil_assets.errors import BadInput
from soil_assets.spectra.embedded import _ArraysOnly, limesoda, spectral_sets


def test_the_fifteen_spectral_sets() -> None:
    sets = spectral_sets()
    assert len(sets) == 15
    assert sum(len(limesoda(name)) for name in sets) == 1792


@pytest.mark.parametrize("name", spectral_sets())
def test_units_are_plausible_in_every_set(name: str) -> None:
    batch = limesoda(name)
    assert batch.sample_ids.is_unique
    assert set(batch.samples["fold"]) == set(range(1, 11))
    assert 0 < np.median(batch.spectra) < 1
    for prop, most in (("clay", 95.0), ("soc", 12.0), ("ph", 10.0)):
        values = batch.property_values(prop)
        if np.isfinite(values).any():
            # Percent: a set left in g/kg would have its median ten times too high.
            assert np.nanmedian(values) < most, prop
            assert np.nanmin(values) > 0, prop


def test_organic_carbon_that_the_package_gives_in_grams_is_percent() -> None:
    for name in ("NRW.42", "NRW.62", "NRW.115"):
        assert 1.0 < np.nanmean(limesoda(name).property_values("soc")) < 2.5


@pytest.mark.parametrize("name", ["NRW.1", "../NRW.115", "Overview_Datasets/..", ""])
def test_a_set_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="no such LimeSoDa set"):
        limesoda(name)


def test_a_pickle_that_asks_for_code_gets_none() -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.system, ("true",))

    with pytest.raises(BadInput, match="asks for code"):
        _ArraysOnly(io.BytesIO(pickle.dumps(Evil()))).load()
