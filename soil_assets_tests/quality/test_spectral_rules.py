"""Faults of spectra, planted in real scans: each is told by its own rule, and clean scans by none."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from soil_assets.errors import BadInput
from soil_assets.quality.features import band_shifts, detector_noise, shift_template
from soil_assets.quality.figures import join_steps
from soil_assets.quality.reference_figures import ReferenceFigures
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.harmonise import harmonise, to_quantity
from soil_assets_tests.quality.batches import AXIS, judge, real

REFERENCE = ReferenceFigures.of(harmonise(real("NRW.115").take(np.arange(56)), AXIS, "absorbance"))
INNER = Axis.regular(3760, 588, 4, "cm-1")


def batch():
    # Three of NRW.115's scans reflect slightly more than the reference panel, which is told (rightly) in
    # absorbance.
    rows = np.flatnonzero(real("NRW.115").spectra.max(axis=1) < 1)
    return real("NRW.115").take(rows[rows >= 56][:40])


def planted(change, rows=(4,), quantity="reflectance"):
    whole = to_quantity(batch(), quantity)
    spectra = whole.spectra.copy()
    for row in rows:
        spectra[row] = change(spectra[row].astype(np.float64), whole.axis.values)
    return replace(whole, spectra=spectra)


def clipped(x, _):
    return np.minimum(x, np.sort(x)[int(0.8 * x.size)])


def noisy(x, _):
    return x + np.random.default_rng(0).normal(scale=0.05, size=x.size)


def a_bit_noisy(x, _):
    return x + np.random.default_rng(0).normal(scale=0.008, size=x.size)


def wet(x, nu):
    # Liquid water: OH stretching near 3400 and bending near 1640 cm-1, in absorbance.
    return x + 1.5 * np.exp(-0.5 * ((nu - 3400) / 170) ** 2) + 0.5 * np.exp(-0.5 * ((nu - 1640) / 40) ** 2)


def spike(size):
    return lambda x, _: x + size * (np.arange(x.size) == 800)


def gas(x, nu):
    return x + 0.3 * np.exp(-0.5 * ((nu - 2350) / 18) ** 2)


def shifted(by):
    return lambda x, nu: np.interp(-(nu - by), -nu, x)


@pytest.mark.parametrize(
    ("change", "quantity", "rule", "severity"),
    [
        (clipped, "reflectance", "clipped", "critical"),
        (lambda x, _: np.full_like(x, 0.31), "reflectance", "flat", "critical"),
        (noisy, "absorbance", "noisy", "critical"),
        (a_bit_noisy, "absorbance", "noise_raised", "warning"),
        (spike(0.3), "reflectance", "spike_seen", "warning"),
        (spike(0.9), "reflectance", "spike", "critical"),
        (wet, "absorbance", "wet", "warning"),
        (gas, "absorbance", "carbon_dioxide", "warning"),
        (shifted(6), "absorbance", "shift_seen", "warning"),
        (shifted(-6), "absorbance", "shift_seen", "warning"),
        (shifted(16), "absorbance", "shifted", "critical"),
        (lambda x, _: x / 100, "reflectance", "scale_too_small", "critical"),
        (lambda x, _: x * 100, "reflectance", "scale", "critical"),
        (lambda x, _: x - 2, "absorbance", "scale", "critical"),
        (lambda x, _: 10**-x, "absorbance", "quantity", "critical"),
        (lambda x, _: -np.log10(x), "reflectance", "quantity", "critical"),
        (lambda x, _: x + 6, "absorbance", "intensity_impossible", "critical"),
        (lambda x, _: x * 1.4 / x.max(), "reflectance", "intensity_unusual", "warning"),
        (lambda x, _: x - x.min(), "reflectance", "no_logarithm", "warning"),
        (lambda x, _: x - x.min() - 0.05, "absorbance", "negative_absorbance", "warning"),
        (
            lambda x, _: x * np.where(np.arange(x.size) == 9, np.nan, 1),
            "reflectance",
            "missing_bands",
            "critical",
        ),
        (lambda x, nu: np.where(nu < 700, np.nan, x), "reflectance", "covers_model_range", "critical"),
    ],
)
def test_each_fault_is_told_by_its_own_rule(change, quantity, rule, severity):
    axis = INNER if "shift" in rule else AXIS
    reference = ReferenceFigures.of(harmonise(real("NRW.115").take(np.arange(56)), axis, "absorbance"))
    result = judge(planted(change, quantity=quantity), reference_figures=reference, axis=axis)
    about = result.findings[result.findings["row"] == 5]
    assert rule in list(about["rule"])
    assert set(about.loc[about["rule"] == rule, "severity"]) == {severity}
    assert (result.counts["quarantined"] == 1) == (severity == "critical")
    assert set(result.findings["row"]) == {5}


@pytest.mark.parametrize("quantity", ["reflectance", "absorbance"])
def test_clean_scans_are_told_by_none(quantity):
    result = judge(to_quantity(batch(), quantity), reference_figures=REFERENCE)
    assert len(result.findings) == 0


@pytest.mark.parametrize(
    ("declared", "actual"), [("reflectance", "absorbance"), ("absorbance", "reflectance")]
)
@pytest.mark.parametrize("name", ["NRW.115", "H.138", "CV.98", "SSP.460", "SL.125", "RP.62"])
def test_a_whole_batch_under_the_wrong_quantity_is_refused(name, declared, actual):
    whole = real(name)
    low, high = np.ceil(whole.axis.low) + 1, np.floor(whole.axis.high) - 1
    axis = Axis.regular(low, high, 2 if whole.axis.unit == "nm" else 4, whole.axis.unit)
    wrong = replace(to_quantity(whole, actual), quantity=declared)
    result = judge(wrong, axis=axis)
    assert result.checks["units"].severity == "critical"
    assert result.counts["accepted"] == 0
    assert "quantity" in set("; ".join(result.quarantine["rules"]).split("; "))


def test_a_whole_batch_in_percent_called_fraction_is_refused_with_the_mend():
    whole = real("NRW.62")
    result = judge(replace(whole, spectra=whole.spectra * 100))
    assert result.refused
    assert result.checks["units"].severity == "critical"
    assert result.quarantine["mend"].str.contains("scale: percent").all()
    declared = judge(replace(whole, spectra=whole.spectra * 100, scale="percent"))
    assert declared.counts["quarantined"] == 0


def test_an_axis_in_the_other_unit_is_suspected_aloud():
    whole = real("NRW.62")
    result = judge(replace(whole, axis=Axis(whole.axis.values, "nm")))
    assert result.counts["accepted"] == 0
    finding = result.findings[result.findings["rule"] == "axis_unit"].iloc[0]
    assert "axis_unit: cm-1" in finding["mend"]
    assert not result.checks["units"].passed


def test_bands_far_coarser_than_the_models_are_refused():
    whole = real("NRW.62")
    result = judge(replace(whole, spectra=whole.spectra[:, ::15], axis=Axis(whole.axis.values[::15], "cm-1")),
                   axis=Axis.regular(3760, 600, 4, "cm-1"))  # fmt: skip
    assert result.counts["accepted"] == 62
    result = judge(replace(whole, spectra=whole.spectra[:, ::20], axis=Axis(whole.axis.values[::20], "cm-1")),
                   axis=Axis.regular(3760, 600, 4, "cm-1"))  # fmt: skip
    assert result.counts["accepted"] == 0
    assert set(result.quarantine["rules"]) == {"too_coarse"}
    assert result.quarantine["found"].iloc[0] == "a band every 38.6 cm-1"
    two = replace(whole, spectra=whole.spectra[:, [0, -1]], axis=Axis(whole.axis.values[[0, -1]], "cm-1"))
    assert judge(two).counts["accepted"] == 0


def test_a_gap_in_the_axis_is_told_once():
    whole = real("NRW.62")
    keep = (whole.axis.values < 2300) | (whole.axis.values > 2400)
    result = judge(replace(whole, spectra=whole.spectra[:, keep], axis=Axis(whole.axis.values[keep], "cm-1")))
    gaps = result.findings[result.findings["rule"] == "axis_gap"]
    assert len(gaps) == 1
    assert gaps["found"].iloc[0] == "no band between 2298.7 and 2400.9 cm-1"
    assert result.counts["quarantined"] == 0


@pytest.mark.parametrize("by", [-8.0, -4.0, -2.0, 2.0, 4.0, 8.0])
def test_shifts_are_measured_with_their_sign(by):
    whole = real("NRW.115")
    template = shift_template(harmonise(whole, INNER, "absorbance").spectra)
    moved = replace(whole, axis=Axis(whole.axis.values + by, "cm-1"))
    bands = band_shifts(harmonise(moved, INNER, "absorbance").spectra, template)
    np.testing.assert_allclose(np.median(bands) * (INNER.values[1] - INNER.values[0]), by, atol=0.2)


def test_white_noise_is_measured_as_it_was_made():
    axis = Axis.regular(4000, 600, 2, "cm-1")
    made = np.random.default_rng(2).normal(scale=0.01, size=(50, len(axis))).astype(np.float32)
    np.testing.assert_allclose(detector_noise(made, axis)["noise_ir"], 0.01, rtol=0.12)
    assert detector_noise(made, axis)["noise_ir"].mean() == pytest.approx(0.01, rel=0.01)


def test_the_broken_scans_of_sp231_are_quarantined_and_no_others():
    result = judge(real("SP.231"), axis=Axis.regular(352, 1698, 5, "nm"))
    assert set(result.quarantine["rules"]) == {"spike"}
    broken = result.figures["spike"] > 1
    assert list(result.quarantine["row"]) == list(np.flatnonzero(broken) + 1)
    assert broken.sum() == 3


def test_each_detector_has_its_own_noise():
    axis = Axis.regular(350, 2500, 1, "nm")
    made = np.random.default_rng(2).normal(scale=0.01, size=(20, len(axis)))
    made[:, axis.values > 1830] *= 3
    noise = {name: v.mean() for name, v in detector_noise(made.astype(np.float32), axis).items()}
    assert noise == pytest.approx({"noise_vnir": 0.01, "noise_swir1": 0.01, "noise_swir2": 0.03}, rel=0.05)


@pytest.mark.parametrize("quantity", ["reflectance", "absorbance"])
@pytest.mark.parametrize("join", [1000, 1800, 1830])
def test_a_step_between_detectors_is_measured(quantity, join):
    whole = real("CV.98").take(np.arange(20))
    spectra = whole.spectra.copy()
    spectra[3, whole.axis.values > join] *= 0.9
    stepped = to_quantity(replace(whole, spectra=spectra), quantity)
    steps = join_steps(stepped.spectra, whole.axis, quantity)
    assert steps[3] == pytest.approx(0.1, abs=0.01)
    assert np.delete(steps, 3).max() < 0.005
    result = judge(stepped, axis=Axis.regular(352, 2498, 2, "nm"))
    told = result.findings[result.findings["rule"] == "join_step_seen"]
    assert list(told["row"]) == [4]
    assert np.isnan(join_steps(spectra[:, ::4], Axis(whole.axis.values[::4], "nm"), "reflectance")).all()


def test_steps_are_looked_for_where_the_file_says_that_detectors_meet():
    whole = real("CV.98").take(np.arange(20))
    spectra = whole.spectra.copy()
    spectra[3, whole.axis.values > 1800] *= 0.9
    told = replace(whole, spectra=spectra, origin={**whole.origin, "joins": "1000, 1830 nm"})
    for origin, rows in ((told.origin, []), ({**told.origin, "joins": "1000, 1800 nm"}, [4]),
                         ({**told.origin, "joins": "2 different"}, [4])):  # fmt: skip
        result = judge(replace(told, origin=origin), axis=Axis.regular(352, 2498, 2, "nm"))
        assert list(result.findings.loc[result.findings["rule"] == "join_step_seen", "row"]) == rows


def test_what_is_stated_and_does_not_look_like_it_is_a_warning():
    doubts = "stated as fraction, but a typical scan reaches 42: percent?; stated in nm, but: cm-1?"
    scans = batch()
    result = judge(replace(scans, origin={**scans.origin, "suspected": doubts}))
    told = result.findings[result.findings["rule"] == "stated_suspected"]
    assert list(told["found"]) == doubts.split("; ")
    assert set(told["severity"]) == {"warning"}
    assert "batch.yaml" in told["mend"].iloc[0]
    assert not result.checks["units"].passed
    assert "stated_suspected" not in set(judge(scans).findings["rule"])


def test_reference_figures_survive_storage():
    import json

    back = ReferenceFigures.from_dict(json.loads(json.dumps(REFERENCE.to_dict())))
    pd.testing.assert_frame_equal(
        judge(batch(), reference_figures=back).figures, judge(batch(), reference_figures=REFERENCE).figures
    )
    with pytest.raises(BadInput, match="version"):
        ReferenceFigures.from_dict({"version": 2})


def test_too_few_scans_and_no_reference_is_not_judged_and_said():
    result = judge(batch().take(np.arange(5)))
    assert result.figures["noise_ratio"].isna().all()
    assert any("not judged" in note for note in result.notes)
    with pytest.raises(BadInput, match="at least 10"):
        ReferenceFigures.of(harmonise(batch().take(np.arange(5)), AXIS, "absorbance"))


def test_reference_figures_on_another_axis_are_refused():
    with pytest.raises(BadInput, match="another axis"):
        judge(batch(), axis=INNER, reference_figures=REFERENCE)
