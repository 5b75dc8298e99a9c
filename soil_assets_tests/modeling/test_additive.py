from __future__ import annotations

import warnings

import numpy as np
import pytest

from soil_assets.errors import BadInput
from soil_assets.modeling.additive import CrossProducts, pls_path, ridge, ridge_path, total
from soil_assets.spectra.batch import SpectralBatch


def pieces(n_parts: int = 5, n: int = 200, p: int = 30) -> tuple[np.ndarray, np.ndarray, list[CrossProducts]]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, p)) @ rng.normal(size=(p, p)) + 5.0
    y = x @ rng.normal(size=p) + rng.normal(size=n)
    parts = np.array_split(np.arange(n), n_parts)
    return x, y, [CrossProducts.of(x[i], y[i], x[0]) for i in parts]


def test_ridge_from_sums_is_the_full_refit() -> None:
    from sklearn.linear_model import Ridge

    x, y, parts = pieces()
    centred = x - x.mean(axis=0)
    alpha = 1e-3 * (centred**2).sum() / x.shape[1]
    peer = Ridge(alpha=alpha).fit(x, y)
    coefficients, intercept = ridge(total(parts), 1e-3)
    assert np.allclose(x @ coefficients + intercept, peer.predict(x), rtol=1e-8)
    path, intercepts = ridge_path(total(parts), np.array([1e-1, 1e-3]))
    assert np.allclose(path[1], coefficients, rtol=1e-7)
    assert intercepts[1] == pytest.approx(intercept, rel=1e-7)


def test_taking_a_batch_away_is_a_fit_without_it() -> None:
    x, y, parts = pieces()
    without = total(parts) - parts[3]
    rows = np.setdiff1d(np.arange(len(y)), np.array_split(np.arange(len(y)), 5)[3])
    again = CrossProducts.of(x[rows], y[rows], x[0])
    assert without.n == again.n
    a, b = ridge(without, 1e-4), ridge(again, 1e-4)
    assert np.allclose(x @ a[0] + a[1], x @ b[0] + b[1], rtol=1e-8)


def test_pls_from_sums_equals_ikpls(field: SpectralBatch) -> None:
    from ikpls.numpy import PLS

    x, y = field.spectra[:, ::4].astype(float), field.property_values("clay")
    model = PLS(algorithm=2, scale_X=False, scale_Y=False)
    model.fit(x, y[:, None], 12)
    coefficients, intercepts = pls_path(CrossProducts.of(x, y, x.mean(axis=0)), 12)
    ours = x @ coefficients.T + intercepts
    assert np.allclose(ours, model.predict(x)[:, :, 0].T, rtol=1e-6)


def test_past_the_rank_the_last_coefficients_are_kept() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, 3)) @ rng.normal(size=(3, 10))
    y = x[:, 0] + 0.1 * rng.normal(size=50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        coefficients, _ = pls_path(CrossProducts.of(x, y, np.zeros(10)), 8)
    assert np.allclose(coefficients[3:], coefficients[2], rtol=1e-6, atol=1e-9)
    assert np.isfinite(coefficients).all()


def test_refusals() -> None:
    x, y, parts = pieces()
    other = CrossProducts.of(x[:5], y[:5], x[1])
    with pytest.raises(BadInput, match="different origins"):
        _ = parts[0] + other
    with pytest.raises(BadInput, match="more samples"):
        _ = parts[0] - total(parts)
    with pytest.raises(BadInput, match="no batch"):
        total([])
    with pytest.raises(BadInput, match="too few samples"):
        ridge(parts[0] - parts[0], 1.0)
