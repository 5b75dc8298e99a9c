from __future__ import annotations

import numpy as np
import pytest

from soil_assets.errors import BadInput
from soil_assets.modeling.applicability import (
    ApplicabilityDomain,
    attainable_rate,
    exceedance_interval,
    fit_domain,
    limit_rank,
    order_statistic,
    single_limit,
)
from soil_assets.modeling.pretreatment import chain
from soil_assets.spectra.batch import SpectralBatch


def test_order_statistic_is_finite_sample_corrected() -> None:
    assert order_statistic(99, 0.01) == 99
    assert order_statistic(98, 0.01) == 99  # more than there are: no finite limit
    assert attainable_rate(56, 0.01) == pytest.approx(1 / 57)
    assert attainable_rate(999, 0.01) == pytest.approx(0.01)


def test_exceedance_interval_knows_the_reference() -> None:
    """Limits from small references, then batches: the beta-binomial holds, the binomial does not."""
    from scipy.stats import binom

    rng = np.random.default_rng(0)
    reference_n, n, repeats = 60, 100, 4000
    reference = np.sort(rng.random((repeats, reference_n)), axis=1)
    limit = reference[:, order_statistic(reference_n, 0.05) - 1]
    counts = (rng.random((repeats, n)) > limit[:, None]).sum(axis=1)
    low, high = exceedance_interval(n, 0.05, reference_n, 0.99)
    assert ((counts < low) | (counts > high)).mean() <= 0.0145
    assert (counts > binom.ppf(0.995, n, 0.05)).mean() > 0.03


def test_exceedance_interval_needs_samples() -> None:
    with pytest.raises(BadInput, match="needs samples"):
        exceedance_interval(0, 0.01, 50)


def test_limits_hold_their_rate_on_unseen_spectra(field: SpectralBatch) -> None:
    """Averaged over splits, unseen spectra of the same field leave the domain at about the stated rate."""
    outside = n = 0
    expected = []
    for seed in range(12):
        order = np.random.default_rng(seed).permutation(len(field))
        domain = fit_domain(field.spectra[order[:80]], np.arange(80), rate=0.05, seed=seed)
        outside += int((~domain.inside(domain.measures(field.spectra[order[80:]]))).sum())
        n += len(order) - 80
        expected.append(domain.rate)
    assert 0.015 <= outside / n <= 0.10
    assert np.mean(expected) == pytest.approx(4 / 81)


def test_foreign_spectra_are_outside(field: SpectralBatch) -> None:
    domain = fit_domain(field.spectra, np.arange(len(field)))
    shifted = np.roll(field.spectra, 15, axis=1)
    measures = domain.measures(shifted)
    assert (~domain.inside(measures)).mean() > 0.95
    assert all(domain.reasons(measures)[i] for i in np.flatnonzero(~domain.inside(measures)))


def test_missing_and_flat_spectra_are_never_inside(field: SpectralBatch) -> None:
    domain = fit_domain(field.spectra, np.arange(len(field)))
    broken = field.spectra[:3].copy()
    broken[0, 5] = np.nan
    broken[1] = 0.5
    measures = domain.measures(broken)
    assert domain.inside(measures).tolist() == [False, False, True]
    assert "flat or has missing" in domain.reasons(measures)[0]


def test_q_is_the_squared_residual(field: SpectralBatch) -> None:
    domain = fit_domain(field.spectra, np.arange(len(field)))
    centred = domain.pretreatment.apply(field.spectra) - domain.mean
    residual = centred - centred @ domain.loadings @ domain.loadings.T
    assert np.allclose(domain.measures(field.spectra)["q"], (residual**2).sum(axis=1), rtol=1e-6)


def test_exceedances_count_against_single_limits(field: SpectralBatch) -> None:
    domain = fit_domain(field.spectra[:90], np.arange(90))
    for rate in (0.01, 0.05):
        counts = domain.exceedances(field.spectra[90:], rate)
        measures = domain.measures(field.spectra[90:])
        for name, (count, n) in counts.items():
            assert n == len(field) - 90
            assert count == (measures[name] > domain.single_limits[f"{name}@{rate:g}"]).sum()


def test_round_trip(field: SpectralBatch) -> None:
    domain = fit_domain(field.spectra, np.arange(len(field)))
    again = ApplicabilityDomain.from_parts(domain.facts(), domain.arrays())
    for name, values in domain.measures(field.spectra).items():
        assert np.array_equal(values, again.measures(field.spectra)[name])


def test_identical_spectra_have_no_domain() -> None:
    with pytest.raises(BadInput, match="all alike"):
        fit_domain(np.ones((20, 30)) * np.arange(30), np.arange(20), pretreatment=chain())


def test_a_single_limit_is_exceeded_at_its_nominal_rate_whatever_the_number_of_values() -> None:
    """Rounding the rank up would give 4.87 % for 307 values where 5 % is meant; interpolated it is 5 %."""
    rng = np.random.default_rng(11)
    for n, rate in ((307, 0.05), (205, 0.01), (333, 0.01)):
        shares = [np.exp(-single_limit(rng.exponential(size=n), rate)) for _ in range(4000)]
        error = np.std(shares) / np.sqrt(len(shares))
        # A straight line between two order statistics lies above the convex tail by less than this.
        assert np.mean(shares) == pytest.approx(rate, abs=4 * error + 0.05 * rate)
    assert limit_rank(50, 0.01) == 50.0, "fifty values know no 1 %: their largest is the limit"
    assert single_limit(np.arange(50.0), 0.01) == 49.0
    assert single_limit(np.arange(99.0), 0.05) == 94.0


def test_held_out_measures_stay_with_the_fitted_domain(field: SpectralBatch) -> None:
    domain = fit_domain(field.spectra, np.arange(len(field)))
    assert all(len(domain.held[m]) == domain.calibration_n for m in ("t2", "q", "distance"))
    limit = domain.single_limits["q@0.05"]
    assert (domain.held["q"] > limit).mean() == pytest.approx(0.05, abs=0.02)
