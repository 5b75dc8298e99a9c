"""Settings proposed from real batches."""

from __future__ import annotations

import pytest

from soil_assets.errors import BadInput
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.catalogue import built_in_catalogue
from soil_assets.spectra.embedded import limesoda
from soil_assets.spectra.harmonise import harmonise
from soil_assets.spectra.proposal import propose


def test_the_axis_is_covered_by_every_batch_and_tidy() -> None:
    batches = [limesoda("NRW.115"), limesoda("O.32")]
    proposal = propose(batches, built_in_catalogue())
    axis = proposal.axis
    assert (axis["unit"], axis["quantity"], axis["step"]) == ("cm-1", "absorbance", 2.0)
    chosen = Axis.regular(float(axis["start"]), float(axis["stop"]), float(axis["step"]), "cm-1")
    for batch in batches:
        assert len(harmonise(batch, chosen, "absorbance")) == len(batch)
    assert set(proposal.properties) == {"clay", "ph", "soc"}


def test_visible_spectra_stay_reflectance_from_short_to_long() -> None:
    axis = propose([limesoda("SL.125")], built_in_catalogue()).axis
    assert axis == {"start": 420.0, "stop": 2500.0, "step": 1.0, "unit": "nm", "quantity": "reflectance"}


def test_few_values_are_named_and_not_proposed() -> None:
    few = limesoda("NRW.115").take(list(range(10)))
    proposal = propose([few], built_in_catalogue())
    assert proposal.properties == ()
    assert any("too few values" in note and "clay (10)" in note for note in proposal.notes)


def test_no_common_range_is_an_error() -> None:
    whole = limesoda("NRW.115")
    bands = whole.spectra.shape[1]
    left = type(whole)(
        whole.samples, whole.spectra[:, :50], Axis(whole.axis.values[:50], "cm-1"), "reflectance"
    )
    right = type(whole)(
        whole.samples, whole.spectra[:, bands - 50 :], Axis(whole.axis.values[-50:], "cm-1"), "reflectance"
    )
    with pytest.raises(BadInput, match="share no spectral range"):
        propose([left, right], built_in_catalogue())
    with pytest.raises(BadInput, match="no spectra"):
        propose([], built_in_catalogue())
