from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soil_assets.errors import BadInput
from soil_assets.modeling import transforms
from soil_assets.modeling.scales import ShiftedLog, thinned


def test_finds_the_scale_on_which_a_lognormal_is_symmetric() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(scale=0.6, size=400)
    log = ShiftedLog.fit(7.0 + 3.0 * np.exp(z))
    assert log is not None
    found = log.forward(7.0 + 3.0 * np.exp(z))
    assert abs(((found - found.mean()) ** 3).mean() / found.std() ** 3) < 0.05
    mirrored = ShiftedLog.fit(-np.exp(z))
    assert mirrored is not None
    assert (log.sign, mirrored.sign) == (1.0, -1.0)


def test_a_symmetric_or_constant_target_has_no_second_scale() -> None:
    assert ShiftedLog.fit(np.random.default_rng(1).normal(size=300)) is None
    assert ShiftedLog.fit(np.ones(50)) is None


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 9999), n=st.integers(8, 200), turned=st.booleans())
def test_there_and_back(seed: int, n: int, turned: bool) -> None:
    y = np.random.default_rng(seed).exponential(size=n) * 10.0 ** (seed % 5)
    y = -y if turned else y
    log = ShiftedLog.fit(y)
    if log is not None:
        assert np.allclose(log.backward(log.forward(y), np.zeros(1)), y, rtol=1e-6, atol=1e-6 * y.std())


def test_smearing_gives_the_mean_not_the_median() -> None:
    rng = np.random.default_rng(2)
    residuals = rng.normal(scale=0.8, size=5000)
    log = ShiftedLog(1.0, 0.0, 1.0, 1e-9, 1e9)
    mean = log.backward(np.zeros(1), thinned(residuals))[0]
    assert mean == pytest.approx(np.exp(0.8**2 / 2), rel=0.05)


def test_logarithms_are_not_extrapolated() -> None:
    y = np.random.default_rng(3).lognormal(size=100)
    log = ShiftedLog.fit(y)
    assert log is not None
    far = log.backward(np.array([-1e6, 1e6]), np.zeros(1))
    assert far[0] == pytest.approx(y.min(), abs=0.1 * y.std())
    assert y.max() < far[1] < 3.0 * y.max()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=20))
def test_logit_there_and_back(values: list[float]) -> None:
    z = transforms.forward(values, "logit")
    assert np.isfinite(z).all()
    assert np.allclose(transforms.backward(z, "logit"), values, atol=1e-9)
    assert "medians" in transforms.STATEMENTS["logit"]


def test_logit_needs_percentages_and_stays_inside() -> None:
    with pytest.raises(BadInput, match="percentages") as error:
        transforms.forward([12.0, 140.0], "logit")
    assert "row 2" in str(error.value)
    assert (np.abs(transforms.backward([-1e9, 1e9], "logit") - [-0.5, 100.5]) < 1e-9).all()
