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
    average,
    chain,
    continuum,
    detrend,
    mask,
    msc,
    reflectance,
    savgol,
    snv,
)
from soil_assets.modeling.pretreatment_names import parse, parse_all
from soil_assets.modeling.pretreatment_steps import upper_hull
from soil_assets.modeling.recipe import Recipe
from soil_assets.modeling.train import train
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import BUILT_IN

EVERY = [
    *DEFAULT_PRETREATMENTS,
    chain(detrend(2)),
    chain(snv(), detrend(1)),
    chain(savgol(5, 3, 0)),
    chain(reflectance(), continuum()),
    chain(snv(), savgol(11, 2, 1), mask(100, 130)),
]


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
    with pytest.raises(BadInput, match="empty mask"):
        mask(5, 5)


def test_too_few_bands() -> None:
    with pytest.raises(BadInput, match="fewer bands"):
        chain(savgol(11, 2, 1)).apply(np.ones((2, 7)))


def test_scatter_correction_learns_its_reference_from_training_spectra_only(field: SpectralBatch) -> None:
    spectra = field.spectra.astype(float)
    chained = chain(savgol(11, 2, 1), msc())
    with pytest.raises(BadInput, match="needs a reference"):
        chained.apply(spectra)
    fitted = chained.fitted(spectra[:60])
    expected = chained.transformer().fit(spectra[:60]).transform(spectra[60:])
    assert np.allclose(fitted.apply(spectra[60:]), expected, atol=1e-9)
    assert Pretreatment.from_dict(fitted.to_dict()) == fitted
    assert fitted.fitted(spectra[60:]) == fitted
    with pytest.raises(BadInput, match="bands"):
        fitted.apply(spectra[:, :500])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 9999), n=st.integers(3, 80))
def test_upper_hull_is_the_smallest_concave_cover(seed: int, n: int) -> None:
    """Against the definition: nothing stands out, slopes fall, and every corner is on the spectrum."""
    values = np.random.default_rng(seed).uniform(0.1, 1.0, n)
    hull = upper_hull(values)
    assert (hull >= values).all()
    assert np.diff(hull, 2).max(initial=-1.0) < 1e-9
    corners = np.flatnonzero(np.abs(np.diff(hull, 2)) > 1e-9) + 1
    assert np.allclose(hull[[0, *corners, n - 1]], values[[0, *corners, n - 1]])


def test_continuum_removal_is_one_at_the_shoulders_and_lower_in_a_band() -> None:
    wavelength = np.linspace(0, 1, 101)
    reflectance_ = 0.3 + 0.2 * wavelength - 0.1 * np.exp(-(((wavelength - 0.5) / 0.05) ** 2))
    removed = chain(continuum()).apply(reflectance_)[0]
    assert np.allclose(removed[[0, 100]], 1.0)
    assert removed.argmin() == 50
    assert removed[50] == pytest.approx(0.3 / 0.4)
    assert np.isnan(chain(continuum()).apply([0.1, -0.1, 0.2])).all()


AXIS = Axis.regular(3796.0, 552.0, 4.0, "cm-1")


@pytest.mark.parametrize(
    ("written", "steps"),
    [
        ("none", chain()),
        ("snv+savgol1( 11 )", chain(snv(), savgol(11, 2, 1))),
        ("snv + savgol2(15)", chain(snv(), savgol(15, 3, 2))),
        ("savgol1(21, 4)", chain(savgol(21, 4, 1))),
        ("average(300) + msc", chain(average(300), msc())),
        ("detrend(2)", chain(detrend(2))),
        ("continuum", chain(reflectance(), continuum())),
        ("snv + no_co2", chain(snv(), mask(349, 375))),
        ("mask(3796, 3784)", chain(mask(0, 4))),
    ],
)
def test_names_are_read(written: str, steps: Pretreatment) -> None:
    assert parse(written, AXIS, "absorbance").steps == steps.steps


def test_masks_leave_out_what_they_say() -> None:
    """Bands that survive carry their own position, also after averaging."""
    positions = AXIS.values[None]
    kept = parse("no_water", AXIS, "absorbance").apply(positions)[0]
    assert not ((kept >= 1450) & (kept <= 1900)).any()
    assert not ((kept >= 3550) & (kept <= 3950)).any()
    assert kept.size < len(AXIS) - 150
    averaged = parse("average(200) + mask(2400, 2300)", AXIS, "absorbance").apply(positions)[0]
    assert averaged.size < 203
    assert not ((averaged >= 2300) & (averaged <= 2400)).any()


@pytest.mark.parametrize(
    "written",
    ["", "snv +", "snv(3)", "savgol(11)", "savgol1", "savgol1(10)", "savgol1(a)", "mask(1, 2)", "mask(100, 9000)",
     "average(nan)", "snv + continuum", "__import__", "detrend(1.5)", "msc2"],
)  # fmt: skip
def test_misspelt_names_are_refused(written: str) -> None:
    with pytest.raises(BadInput):
        parse(written, AXIS, "absorbance")


def test_the_same_twice_is_refused() -> None:
    with pytest.raises(BadInput, match="listed twice"):
        parse_all(["snv", "snv"], AXIS, "absorbance")


def test_pls_uses_the_new_steps(parts: tuple[SpectralBatch, SpectralBatch]) -> None:
    """Scatter correction, continuum removal and masks inside the folds of a real training."""
    names = ["msc + savgol1(11)", "continuum", "snv + no_co2 + no_water"]
    pretreatments = parse_all(names, AXIS, "absorbance")
    for pretreatment in pretreatments:
        model = train(parts[0], BUILT_IN["clay"], Recipe(pretreatments=(pretreatment,), folds=5))
        predicted = model.predict(parts[1])["value"].to_numpy()
        observed = parts[1].property_values("clay")
        assert 1.0 - ((predicted - observed) ** 2).sum() / ((observed - observed.mean()) ** 2).sum() > 0.9
