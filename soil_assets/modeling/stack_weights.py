"""Weights of a stack's members from their left-out predictions.

Belongs here: the one rule for weights. Does not belong here: what the members are (``stack_basis``).

The weights are the mean of two answers to the same question:

* prior x (left-out mean square)^(-n/20), a tempered Bayesian average: best where samples are few;
* the minimum of n/2 log(left-out mean square of the combination) + 10 KL(weights || prior), which rewards members
  that err differently: best where samples are many.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_TEMPER = 0.05
_KL = 10.0


def stack_weights(left_out: FloatArray, target: FloatArray, prior: FloatArray) -> FloatArray:
    """Return the members' weights, shape (n_members,), not negative, summing to 1.

    Parameters
    ----------
    left_out : ndarray, shape (n_members, n)
        Predictions of samples by members that did not see them.
    target : ndarray, shape (n,)
    prior : ndarray, shape (n_members,)
    """
    n = target.size
    errors = left_out - target
    products = errors @ errors.T
    squares = np.maximum(np.diag(products), 1e-300)
    log_prior = np.log(prior)
    tempered = _normalised(log_prior - _TEMPER * n * np.log(squares))
    weights = prior.copy()
    # Damped fixed point of the stationarity condition log w = log prior - gradient / KL + constant.
    for step in range(200):
        images = products @ weights
        aim = _normalised(log_prior - n * images / max(float(weights @ images), 1e-300) / _KL)
        damping = 0.3 if step < 20 else 2.0 / (step + 3.0)
        weights = _normalised((1.0 - damping) * _log(weights) + damping * _log(aim))
    return (tempered + weights) / 2.0


def _normalised(logs: FloatArray) -> FloatArray:
    values = np.exp(logs - logs.max())
    return np.asarray(values / values.sum())


def _log(values: FloatArray) -> FloatArray:
    return np.asarray(np.log(values + 1e-300))
