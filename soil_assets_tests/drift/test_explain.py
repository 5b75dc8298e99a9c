from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from soil_assets.benchmarks.drift_changes import Change, noisier, shifted, stray_light, wetter
from soil_assets.config import DriftPolicy
from soil_assets.drift.compare import compare
from soil_assets.drift.explain import Amount, likely_cause
from soil_assets.drift.profile import ReferenceProfile
from soil_assets.drift.signatures import SIGNATURES, directions, water_bands
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch


def stronger(batch: SpectralBatch, _: SpectralBatch | None, rng: np.random.Generator) -> SpectralBatch:
    return replace(batch, spectra=batch.spectra * np.float32(1.15))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (wetter(1.0), "wetter than the reference"),
        (shifted(1), "shifted by"),
        (stray_light(0.02), "stray light"),
        (stronger, "+15 % in strength"),
        (noisier(3.0), "detector noise is"),
    ],
    ids=["water", "shift", "stray light", "gain", "noise"],
)
def test_a_known_change_is_named(
    profile: ReferenceProfile,
    split: tuple[SpectralBatch, SpectralBatch],
    policy: DriftPolicy,
    change: Change,
    words: str,
) -> None:
    report = compare(profile, change(split[1], None, np.random.default_rng(0)), policy=policy)
    assert report.verdict == "fail"
    assert words in str(report.cause)


def test_other_soils_are_not_called_a_fault_of_the_instrument(
    profile: ReferenceProfile, other_field: SpectralBatch, policy: DriftPolicy
) -> None:
    report = compare(profile, other_field, policy=policy)
    assert "other soils" in str(report.cause)


def test_an_implausible_or_uncertain_amount_is_no_cause() -> None:
    shift = SIGNATURES[-1]
    assert likely_cause((Amount(shift, 2.0, 0.1, 0.9),)) is not None
    assert likely_cause((Amount(shift, 200.0, 0.1, 0.9),)) is None
    assert likely_cause((Amount(shift, 2.0, 1.0, 0.9),)) is None
    assert likely_cause((Amount(shift, 2.0, 0.1, 0.6),), noisy=True) is None
    assert likely_cause(()) is None


def test_a_small_share_names_a_shift_only_and_only_when_nothing_else_is_as_certain() -> None:
    water, gain, shift = SIGNATURES[0], SIGNATURES[3], SIGNATURES[-1]
    moved = Amount(shift, 2.0, 0.02, 0.3)
    assert likely_cause((Amount(gain, 0.1, 0.001, 0.3),)) is None
    assert likely_cause((moved, Amount(gain, 0.1, 0.01, 0.2))) == moved
    assert likely_cause((moved, Amount(gain, 0.1, 0.001, 0.2))) is None
    assert likely_cause((Amount(shift, 2.0, 0.02, 0.05),)) is None
    assert likely_cause((Amount(water, 0.1, 0.01, 0.6),)) is None, (
        "a dozen directions explain much of anything"
    )
    assert likely_cause((Amount(water, 0.1, 0.01, 0.7),)) is not None


def test_directions_are_the_changes_of_one_unit() -> None:
    axis = Axis.regular(4000, 600, 4, "cm-1")
    mean = 0.5 + np.exp(-0.5 * ((axis.values - 1000) / 60) ** 2)
    found = dict(zip([s.name for s in SIGNATURES], directions(mean, axis.values, axis), strict=True))
    assert np.allclose(found["gain"], mean)
    assert found["water"].max() == pytest.approx(1.0, abs=0.02)
    moved = np.interp(np.arange(mean.size) - 0.5, np.arange(mean.size), mean)
    assert np.allclose(mean + 0.5 * found["shift"], moved, atol=2e-3)
    reflectance = 10.0**-mean
    lit = -np.log10((reflectance + 0.001) / 1.001)
    assert np.allclose(mean + 0.001 * found["stray light"], lit, atol=1e-3)
    assert water_bands(np.linspace(400, 700, 50), "nm").shape == (1, 50)
