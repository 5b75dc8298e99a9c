from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from soil_assets.config import DriftPolicy
from soil_assets.drift.compare import compare
from soil_assets.drift.profile import ReferenceProfile, fit_profile
from soil_assets.drift.signatures import water_spectrum
from soil_assets.errors import BadInput
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.embedded import limesoda
from soil_assets.spectra.harmonise import harmonise

Split = tuple[SpectralBatch, SpectralBatch]


def changed(batch: SpectralBatch, spectra: np.ndarray) -> SpectralBatch:
    return replace(batch, spectra=spectra.astype(np.float32))


def test_unseen_soils_of_the_same_field_pass(
    profile: ReferenceProfile, split: Split, policy: DriftPolicy
) -> None:
    report = compare(profile, split[1], policy=policy)
    assert report.verdict == "pass"
    assert not report.blocks
    assert (report.n, report.reference_n) == (20, 56)
    assert not report.tests["significant"].any()


@pytest.mark.parametrize("name", ["NRW.62", "NRW.42"])
def test_another_field_of_the_same_instrument_fails(
    profile: ReferenceProfile, policy: DriftPolicy, name: str
) -> None:
    other = harmonise(limesoda(name), profile.axis, "absorbance")
    report = compare(profile, other.take(np.arange(20)), policy=policy)
    assert report.verdict == "fail"
    assert report.blocks
    assert not report.checks["batch_drift"].passed
    assert "spectra" in set(report.tests.loc[report.tests["significant"], "family"])


def test_moisture_is_found_and_named(profile: ReferenceProfile, split: Split, policy: DriftPolicy) -> None:
    wet = split[1].spectra + 0.1 * water_spectrum(profile.axis.values, "cm-1")
    report = compare(profile, changed(split[1], wet), policy=policy)
    assert report.verdict == "fail"
    assert "wetter" in str(report.cause)
    assert report.signature_amounts["water"] == pytest.approx(0.1, rel=0.3)


def test_a_shifted_axis_is_found_and_named(
    profile: ReferenceProfile, split: Split, policy: DriftPolicy
) -> None:
    shifted = np.roll(split[1].spectra, 2, axis=1)
    shifted[:, :2] = split[1].spectra[:, :1]
    report = compare(profile, changed(split[1], shifted), policy=policy)
    assert report.verdict == "fail"
    assert "shifted by" in str(report.cause)
    assert abs(report.signature_amounts["shift"]) == pytest.approx(2.0, abs=0.6)


def test_noise_is_found_and_named(profile: ReferenceProfile, split: Split, policy: DriftPolicy) -> None:
    noisy = split[1].spectra + np.random.default_rng(0).normal(0, 3e-4, split[1].spectra.shape)
    report = compare(profile, changed(split[1], noisy), policy=policy)
    assert report.verdict == "fail"
    assert any("detector noise" in reason for reason in report.reasons)


def test_a_property_in_the_wrong_unit_is_suspected(
    profile: ReferenceProfile, split: Split, policy: DriftPolicy
) -> None:
    samples = split[1].samples.assign(soc=split[1].samples["soc"] * 10)
    report = compare(profile, split[1].with_samples(samples), policy=policy)
    assert report.verdict == "fail"
    assert report.cause_kind == "unit"
    assert report.cause == "a wrong unit of measured soc"
    assert any("soc" in reason and "factor 10" in reason for reason in report.reasons)


def test_five_foreign_scans_among_twenty_are_found_and_named(
    field: SpectralBatch, other_field: SpectralBatch, policy: DriftPolicy
) -> None:
    order = np.random.default_rng(2).permutation(len(field))
    larger = fit_profile(field.take(order[:95]), properties=())
    batch = field.take(order[95:])
    spectra = batch.spectra.copy()
    # No soil of this field looks like the first five.
    spectra[:5] = other_field.spectra[:5] + 0.3 * np.sin(np.arange(spectra.shape[1]) / 40)
    report = compare(larger, changed(batch, spectra), policy=policy)
    assert report.verdict == "fail"
    assert not report.checks["applicability"].passed
    assert {name for name, _ in report.samples} == set(batch.sample_ids[:5])


def test_a_batch_too_small_is_not_judged_and_never_passed(
    profile: ReferenceProfile, split: Split, policy: DriftPolicy
) -> None:
    for n in (0, 1, 9):
        report = compare(profile, split[1].take(np.arange(n)), policy=policy)
        assert report.verdict == "not_judged"
        assert not any(check.judged for check in report.checks.values())
        assert report.family_p is None
        assert not report.blocks
    held = compare(profile, split[1].take([0]), policy=policy.model_copy(update={"when_not_judged": "hold"}))
    assert held.blocks


def test_the_policy_decides_whether_drift_blocks(
    profile: ReferenceProfile, other_field: SpectralBatch, policy: DriftPolicy
) -> None:
    report = compare(profile, other_field, policy=policy.model_copy(update={"when_drift": "warn"}))
    assert report.verdict == "fail"
    assert not report.blocks


def test_the_same_inputs_give_the_same_report(
    profile: ReferenceProfile, split: Split, policy: DriftPolicy
) -> None:
    first = json.dumps(compare(profile, split[1], policy=policy).to_dict())
    assert first == json.dumps(compare(profile, split[1], policy=policy).to_dict())
    assert first != json.dumps(
        compare(profile, split[1], policy=policy.model_copy(update={"seed": 5})).to_dict()
    )


def test_another_axis_or_quantity_is_refused(
    profile: ReferenceProfile, split: Split, policy: DriftPolicy
) -> None:
    other_axis = harmonise(limesoda("NRW.62"), Axis.regular(3700, 700, 4, "cm-1"), "absorbance")
    with pytest.raises(BadInput, match="3796 to 552 cm-1"):
        compare(profile, other_axis, policy=policy)
    reflectance = replace(split[1], quantity="reflectance")
    with pytest.raises(BadInput, match="reflectance"):
        compare(profile, reflectance, policy=policy)


def test_scans_with_gaps_are_left_out_and_counted(
    profile: ReferenceProfile, split: Split, policy: DriftPolicy
) -> None:
    spectra = split[1].spectra.copy()
    spectra[3, 100] = np.nan
    report = compare(profile, changed(split[1], spectra), policy=policy)
    assert (report.n, report.n_scans, report.n_left_out) == (19, 20, 1)
    assert any("1 of 20 scans" in note for note in report.notes)


def test_replicates_are_soils_not_scans(profile: ReferenceProfile, split: Split, policy: DriftPolicy) -> None:
    doubled = split[1].take(np.repeat(np.arange(20), 3))
    report = compare(profile, doubled, policy=policy)
    assert (report.n, report.n_scans) == (20, 60)
    assert report.family_p == pytest.approx(compare(profile, split[1], policy=policy).family_p, abs=1e-3)


def test_predictions_are_judged_in_their_own_check(
    profile: ReferenceProfile, split: Split, policy: DriftPolicy
) -> None:
    generator = np.random.default_rng(3)
    known, new = generator.normal(20, 3, 56), generator.normal(28, 3, 20)
    report = compare(
        profile, split[1], policy=policy, predictions={"clay": new}, reference_predictions={"clay": known}
    )
    assert report.checks["batch_drift"].passed
    assert not report.checks["prediction_shift"].passed
    assert any("predicted clay up" in reason for reason in report.reasons)
    without = compare(profile, split[1], policy=policy)
    assert not without.checks["prediction_shift"].judged
    other_length = compare(
        profile,
        split[1],
        policy=policy,
        predictions={"clay": new},
        reference_predictions={"clay": known[:40]},
    )
    assert not other_length.checks["prediction_shift"].passed
    with pytest.raises(BadInput, match="one value per scan"):
        compare(
            profile,
            split[1],
            policy=policy,
            predictions={"clay": new[:3]},
            reference_predictions={"clay": known},
        )


def test_exceedances_count_against_the_uncertainty_of_the_limit(
    profile: ReferenceProfile, split: Split, policy: DriftPolicy
) -> None:
    few = compare(profile, split[1], policy=policy, exceedances={"t2": (1, 20)})
    assert few.checks["applicability"].passed
    many = compare(profile, split[1], policy=policy, exceedances={"t2": (9, 20)})
    assert not many.checks["applicability"].passed
    assert any("9 samples lie beyond the model's t2 limit" in reason for reason in many.reasons)


def test_a_batch_of_few_sites_is_not_judged_against_few_sites(split: Split, policy: DriftPolicy) -> None:
    reference, batch = split
    sited = reference.with_samples(reference.samples.assign(site=np.arange(56) // 7))
    grouped = fit_profile(sited, properties=())
    assert grouped.group_column == "site"
    one_site = batch.with_samples(batch.samples.assign(site="new"))
    report = compare(grouped, one_site, policy=policy)
    assert report.verdict == "not_judged"
    assert "1 site" in report.reasons[0]
    many_sites = batch.with_samples(batch.samples.assign(site=np.arange(20) // 4))
    assert compare(grouped, many_sites, policy=policy).verdict == "pass"


def test_a_new_category_value_is_named(split: Split, policy: DriftPolicy) -> None:
    reference, batch = split
    known = reference.with_samples(reference.samples.assign(lab="north"))
    with_lab = fit_profile(known, properties=(), categories=("lab",))
    report = compare(with_lab, batch.with_samples(batch.samples.assign(lab="south")), policy=policy)
    assert report.verdict == "fail"
    assert any("south does not occur in the reference" in reason for reason in report.reasons)
    with pytest.raises(BadInput, match="instrument"):
        fit_profile(reference, properties=(), categories=("instrument",))


def test_missing_lab_values_are_not_judged_and_said(
    profile: ReferenceProfile, split: Split, policy: DriftPolicy
) -> None:
    bare = split[1].with_samples(split[1].samples[["sample_id"]])
    report = compare(profile, bare, policy=policy)
    assert "properties" not in set(report.tests["family"])
    assert sum("carries no lab values" in note for note in report.notes) == 3
    some = split[1].samples.copy()
    some.loc[:7, "clay"] = np.nan
    some["clay"] += 40
    report = compare(profile, split[1].with_samples(some), policy=policy)
    assert any("measured clay up" in reason for reason in report.reasons)
