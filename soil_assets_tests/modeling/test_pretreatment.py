from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soil_assets.errors import BadInput
from soil_assets.modeling.pretreatment import (
    DEFAULT_PRETREATMENTS,
    Pretreatment,
    Step,
    by_name,
    chain,
    detrend,
    savgol,
    snv,
)
from soil_assets.spectra.batch import SpectralBatch

EVERY = [*DEFAULT_PRETREATMENTS, chain(detrend(2)), chain(snv(), detrend(1)), chain(savgol(5, 3, 0))]


@pytest.mark.parametrize("pretreatment", EVERY, ids=lambda p: p.name)
def test_numpy_form_equals_chemotools(pretreatment: Pretreatment, field: SpectralBatch) -> None:
    spectra = field.spectra.astype(float)
    ours = pretreatment.apply(spectra)
    theirs = pretreatment.transformer().fit_transform(spectra)
    assert np.abs(ours - theirs).max() < 1e-9


@settings(max_examples=40, deadline=None)
@given(
    half=st.integers(1, 12), polyorder=st.integers(0, 4), deriv=st.integers(0, 3), seed=st.integers(0, 999)
)
def test_savgol_equals_scipy(half: int, polyorder: int, deriv: int, seed: int) -> None:
    from scipy.signal import savgol_filter

    window = 2 * half + 1
    if not deriv <= polyorder < window:
        with pytest.raises(BadInput, match="Savitzky"):
            savgol(window, polyorder, deriv)
        return
    spectra = np.random.default_rng(seed).normal(size=(3, 40))
    expected = savgol_filter(spectra, window, polyorder, deriv=deriv, mode="interp")
    assert np.allclose(chain(savgol(window, polyorder, deriv)).apply(spectra), expected, atol=1e-9)


@pytest.mark.parametrize("pretreatment", EVERY, ids=lambda p: p.name)
def test_written_and_read_back(pretreatment: Pretreatment) -> None:
    assert Pretreatment.from_dict(pretreatment.to_dict()) == pretreatment


def test_one_spectrum_at_a_time(field: SpectralBatch) -> None:
    """No step looks at a second spectrum, so that none can leak through a validation fold."""
    for pretreatment in EVERY:
        whole = pretreatment.apply(field.spectra[:5])
        alone = np.vstack([pretreatment.apply(field.spectra[i : i + 1]) for i in range(5)])
        assert np.allclose(whole, alone, atol=1e-12)


def test_flat_spectrum_has_no_snv() -> None:
    treated = chain(snv()).apply([[1.0, 1.0, 1.0], [1.0, 2.0, 3.0]])
    assert np.isnan(treated[0]).all()
    assert np.isfinite(treated[1]).all()


def test_unknown_steps_are_refused() -> None:
    with pytest.raises(BadInput, match="unknown pre-treatment step"):
        Step("magic")
    with pytest.raises(BadInput, match="wrong parameters"):
        Step("savgol", {"window": 5})
    with pytest.raises(BadInput, match="unknown pre-treatment"):
        by_name(["snv", "nope"])
    assert by_name(["snv"])[0].name == "snv"


def test_too_few_bands() -> None:
    with pytest.raises(BadInput, match="fewer bands"):
        chain(savgol(11, 2, 1)).apply(np.ones((2, 7)))
