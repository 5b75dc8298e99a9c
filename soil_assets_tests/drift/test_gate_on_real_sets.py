"""The promises of the gate on real soils: alarms at the stated rate, groups respected, real moves found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from soil_assets.benchmarks.drift_changes import CHANGES, noisier, shifted, wetter
from soil_assets.benchmarks.drift_power import pair as real_pair
from soil_assets.benchmarks.drift_runs import in_control
from soil_assets.benchmarks.drift_sets import FOREIGN, IN_CONTROL, available, on_common_axis, read
from soil_assets.config import DriftPolicy
from soil_assets.drift.compare import compare
from soil_assets.drift.features import noise
from soil_assets.drift.pool import soils_of
from soil_assets.drift.profile import fit_profile
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch
from soil_assets_tests.shared import DATA

pytestmark = pytest.mark.shared

POLICY = DriftPolicy(permutations=199)


@pytest.mark.slow
def test_unchanged_batches_alarm_at_the_stated_rate() -> None:
    p_values = in_control("H.138", 20, range(250))
    for rate in (0.01, 0.05):
        assert (p_values <= rate).sum() <= binom.ppf(0.999, p_values.size, rate)
    assert np.quantile(p_values, 0.5) == pytest.approx(0.5, abs=0.12)  # and no needless caution


@pytest.mark.parametrize("pair", [("NRW.115", "NRW.42"), ("SL.125", "UL.120"), ("yamsys BF", "yamsys CI")])
def test_real_moves_are_found_with_ten_soils(pair: tuple[str, str]) -> None:
    if not available(pair[0].split()[0]):
        pytest.skip("the set is not here")
    judged = real_pair(*pair, sizes=(10,), count=3, seed=0)
    assert len(judged) == 3
    assert all(j.failed for j in judged)


def sites(rng: np.random.Generator, count: int, each: int, start: int) -> SpectralBatch:
    """Soils that resemble the others of their site much more than those of another."""
    axis = Axis.regular(1100, 2500, 20, "nm")
    bands = np.array([np.exp(-0.5 * ((axis.values - c) / 150) ** 2) for c in (1200, 1450, 1930, 2200, 2400)])
    heights = np.repeat(rng.normal(1, 0.2, (count, 5)), each, axis=0) + rng.normal(0, 0.03, (count * each, 5))
    spectra = heights @ bands + rng.normal(0, 1e-3, (count * each, len(axis)))
    names = np.repeat(np.arange(start, start + count), each)
    samples = pd.DataFrame({"sample_id": [f"{start}-{i}" for i in range(count * each)], "site": names})
    return SpectralBatch(samples, spectra.astype(np.float32), axis, "absorbance")


def test_a_few_sites_are_compared_with_the_spread_between_sites() -> None:
    grouped, independent = 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        reference, batch = sites(rng, 20, 5, 0), sites(rng, 4, 5, 100)
        grouped += compare(fit_profile(reference, properties=()), batch, policy=POLICY).verdict == "fail"
        bare = [b.with_samples(b.samples[["sample_id"]]) for b in (reference, batch)]
        independent += compare(fit_profile(bare[0], properties=()), bare[1], policy=POLICY).verdict == "fail"
    assert grouped <= binom.ppf(0.999, 60, 0.01)
    assert independent > 20  # what ignoring the sites would do


def test_a_huge_batch_is_judged_on_a_sample_and_says_so() -> None:
    rng = np.random.default_rng(0)
    reference, batch = sites(rng, 3000, 1, 0), sites(rng, 40_000, 1, 10_000)
    bare = [b.with_samples(b.samples[["sample_id"]]) for b in (reference, batch)]
    report = compare(fit_profile(bare[0], properties=()), bare[1], policy=POLICY)
    assert report.verdict == "pass"
    assert report.n == 40_000
    assert any("1000 soils drawn from the batch's 40000" in note for note in report.notes)
    assert any("3000 soils are represented by 1000" in note for note in report.notes)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=25))
def test_every_scan_is_in_a_soil_or_left_out(rows: list[tuple[int, bool]]) -> None:
    spectra = np.arange(len(rows) * 4, dtype=np.float32).reshape(-1, 4)
    spectra[[bad for _, bad in rows], 2] = np.nan
    samples = pd.DataFrame(
        {"sample_id": [str(s) for s, _ in rows], "clay": np.arange(len(rows), dtype=float)}
    )
    soils = soils_of(
        SpectralBatch(samples, spectra, Axis.regular(400, 460, 20, "nm"), "absorbance"), ("clay",), ()
    )
    assert soils.n_left_out + (soils.soil_of_scan >= 0).sum() == len(rows)
    assert len(soils) == len({s for s, bad in rows if not bad})
    for soil in range(len(soils)):
        mine = soils.soil_of_scan == soil
        assert np.allclose(soils.batch.spectra[soil], spectra[mine].mean(axis=0))
        assert soils.properties["clay"][soil] == pytest.approx(np.flatnonzero(mine).mean())


def test_the_changes_of_the_bench_do_what_their_names_say() -> None:
    batch, _ = read("H.138")
    rng = np.random.default_rng(0)
    before, after = (
        noise(batch.spectra.astype(float)),
        noise(noisier(3)(batch, None, rng).spectra.astype(float)),
    )
    assert np.median(after / before) == pytest.approx(3, rel=0.15)
    assert np.array_equal(shifted(2)(batch, None, rng).spectra[:, 2:], batch.spectra[:, :-2])
    added = wetter(1.0)(batch, None, rng).spectra - batch.spectra
    at = int(np.argmin(np.abs(batch.axis.values - 3400)))
    assert added[:, at].mean() == pytest.approx(0.10, rel=0.1)
    for name, planned in CHANGES.items():
        other = on_common_axis(batch, read("NRW.115")[0]) if planned.needs_foreign else (batch, None)
        cut = other[0].take(np.arange(20))
        changed = planned.change(cut, other[1], rng)
        assert len(changed) == 20
        assert changed.content_hash() != cut.content_hash(), name


def test_foreign_sets_follow_their_rule() -> None:
    here = [name for name in IN_CONTROL if available(name) and available(FOREIGN[name])]
    for name in here:
        mine, other = read(name)[0], read(FOREIGN[name])[0]
        cut, _ = on_common_axis(mine, other)
        assert (cut.axis.high - cut.axis.low) / (mine.axis.high - mine.axis.low) >= 0.5


def test_the_sets_beside_the_repository_are_found() -> None:
    if not DATA.is_dir():
        pytest.skip("no sets beside the repository")
    assert all(available(name) for name in IN_CONTROL)
