"""Onto the model's axis and quantity: exact where it can be, never beyond what was measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soil_assets.errors import BadInput
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.embedded import limesoda
from soil_assets.spectra.harmonise import harmonise, resample, to_fraction, to_quantity

MODEL = Axis.regular(3796.0, 552.0, 4.0, "cm-1")
FIELD = limesoda("NRW.62").take(range(6))


def test_absorbance_and_back() -> None:
    absorbance = to_quantity(FIELD, "absorbance")
    np.testing.assert_allclose(absorbance.spectra, -np.log10(FIELD.spectra), rtol=1e-5)
    np.testing.assert_allclose(to_quantity(absorbance, "reflectance").spectra, FIELD.spectra, rtol=1e-5)
    assert to_quantity(absorbance, "absorbance") is absorbance


def test_percent_and_fraction_give_the_same_absorbance() -> None:
    percent = replace(FIELD, spectra=FIELD.spectra * 100, scale="percent")
    np.testing.assert_allclose(to_fraction(percent).spectra, FIELD.spectra, rtol=1e-6)
    np.testing.assert_allclose(
        to_quantity(percent, "absorbance").spectra, to_quantity(FIELD, "absorbance").spectra, atol=1e-5
    )


def test_reflectance_without_logarithm_stays_finite() -> None:
    dark = replace(FIELD, spectra=np.zeros_like(FIELD.spectra))
    assert np.isfinite(to_quantity(dark, "absorbance").spectra).all()


def test_real_spectra_on_the_model_axis() -> None:
    onto = harmonise(FIELD, MODEL, "absorbance")
    assert onto.axis == MODEL
    assert onto.spectra.shape == (6, 812)
    absorbance = to_quantity(FIELD, "absorbance")
    order = np.argsort(FIELD.axis.values)
    linear = np.stack(
        [np.interp(MODEL.values, FIELD.axis.values[order], row[order]) for row in absorbance.spectra]
    )
    # The measured step is half the model's: spline and straight line hardly differ.
    assert np.abs(onto.spectra - linear).max() < 0.01


@pytest.mark.parametrize("bands", [2, 3, 4])
def test_a_cubic_needs_four_bands(bands: int) -> None:
    measured = replace(
        FIELD, spectra=FIELD.spectra[:, :bands], axis=Axis(np.linspace(500.0, 4000.0, bands), "cm-1")
    )
    if bands == 4:
        assert np.isfinite(resample(measured, MODEL).spectra).all()
        return
    with pytest.raises(BadInput, match="too few bands") as caught:
        resample(measured, MODEL)
    assert caught.value.found == f"{bands} bands"


@settings(max_examples=40, deadline=None)
@given(coefficients=st.lists(st.floats(-1, 1), min_size=4, max_size=4), turned=st.booleans())
def test_a_cubic_is_resampled_exactly(coefficients: list[float], turned: bool) -> None:
    measured = np.linspace(500.0, 4000.0, 400)
    measured = measured[::-1] if turned else measured
    cubic = np.polynomial.Polynomial(coefficients)
    batch = replace(
        FIELD.take([0]), spectra=cubic((measured - 2000) / 2000)[None, :].astype(np.float32),
        axis=Axis(measured, "cm-1"), quantity="absorbance",
    )  # fmt: skip
    np.testing.assert_allclose(
        resample(batch, MODEL).spectra[0], cubic((MODEL.values - 2000) / 2000), atol=2e-6
    )


def test_resampling_across_units() -> None:
    nm = Axis(1e7 / FIELD.axis.values, "nm")
    np.testing.assert_allclose(
        resample(replace(FIELD, axis=nm), MODEL).spectra, resample(FIELD, MODEL).spectra, atol=1e-6
    )


@pytest.mark.parametrize(("cut", "found"), [(slice(None, -20), "589"), (slice(20, None), "3761")])
def test_either_end_short_is_refused_with_both_ranges(cut: slice, found: str) -> None:
    short = replace(FIELD, spectra=FIELD.spectra[:, cut], axis=Axis(FIELD.axis.values[cut], "cm-1"))
    with pytest.raises(BadInput, match="never extrapolated") as error:
        harmonise(short, MODEL, "absorbance")
    assert found[:2] in str(error.value.found)
    assert error.value.expected == "552 to 3796 cm-1"


def test_the_short_set_of_the_demo_is_refused() -> None:
    with pytest.raises(BadInput, match="do not cover"):
        harmonise(limesoda("O.32"), MODEL, "absorbance")


def test_a_missing_band_stays_missing_in_its_scan_alone() -> None:
    spectra = FIELD.spectra.copy()
    spectra[2, 700] = np.nan
    spectra[4] = np.inf
    onto = resample(replace(FIELD, spectra=spectra), MODEL)
    assert np.isnan(onto.spectra[[2, 4]]).all()
    assert np.isfinite(np.delete(onto.spectra, [2, 4], axis=0)).all()


def test_no_scan_is_no_problem() -> None:
    assert resample(FIELD.take([]), MODEL).spectra.shape == (0, 812)
