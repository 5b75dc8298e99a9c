from __future__ import annotations

import numpy as np
import pytest

from soil_assets.errors import BadInput
from soil_assets.modeling.one_unit import second_unit
from soil_assets.modeling.recipe import Recipe
from soil_assets.modeling.train import train
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import BUILT_IN
from soil_assets.spectra.embedded import limesoda, spectral_sets

SETS = spectral_sets()


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("prop", ["clay", "soc", "som"])
def test_real_sets_are_in_one_unit(name: str, prop: str) -> None:
    batch = limesoda(name)
    if prop in batch.samples.columns:
        assert second_unit(batch.spectra.astype(float), batch.property_values(prop), 1) is None


@pytest.mark.parametrize("name", [n for n in SETS if n not in ("SSP.460",)])
@pytest.mark.parametrize("share", [0.15, 0.4])
def test_a_slip_of_the_unit_is_found_where_soils_do_not_differ_tenfold(name: str, share: float) -> None:
    """Organic carbon or matter of each field, some values ten times too high."""
    batch = limesoda(name)
    values = batch.property_values("soc" if "soc" in batch.samples.columns else "som").copy()
    slipped = np.random.default_rng(0).random(values.size) < share
    values[slipped] *= 10.0
    found = second_unit(batch.spectra.astype(float), values, 1)
    assert found is not None
    assert found.factor == 10.0
    if share < 0.3:  # with nearly half of them slipped, neighbours cannot say which half it was
        assert slipped[found.rows].mean() > 0.6


def test_few_or_single_values_say_nothing(field: SpectralBatch) -> None:
    values = field.property_values("clay").copy()
    values[7] *= 10.0  # one outlier is the quality gate's business
    assert second_unit(field.spectra.astype(float), values, 1) is None
    assert second_unit(field.spectra[:10].astype(float), values[:10], 1) is None
    assert second_unit(np.ones((60, 50)), np.ones(60), 1) is None


def test_training_on_mixed_units_is_refused(field: SpectralBatch) -> None:
    soc = field.property_values("soc").copy()
    slipped = np.random.default_rng(3).choice(len(field), 25, replace=False)
    soc[slipped] *= 10.0
    mixed = field.with_samples(field.samples.assign(soc=soc))
    with pytest.raises(BadInput, match="two units") as error:
        train(mixed, BUILT_IN["soc"], Recipe(folds=5))
    assert "about 10 times" in str(error.value)
