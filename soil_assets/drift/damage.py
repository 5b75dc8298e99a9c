"""Drift is not damage: what a difference does to a model's errors, measured or expected.

Belongs here: the error on a batch against the error that the reference leads one to expect.
Does not belong here: whether the batch differs (``compare``) and how good the model is (``modeling.evaluate``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput

FloatArray = npt.NDArray[np.float64]
Harm = Literal["harmful", "harmless", "cannot tell"]

#: Lab values needed on a batch before its error is measured and not guessed.
MIN_MEASURED = 8
#: An error up to this much larger than expected is no harm.
TOLERANCE = 1.25
#: Reference errors averaged for the expected error at one distance.
_NEIGHBOURS = 20
#: Held-out reference errors needed before an error is expected from a distance.
MIN_REFERENCE_ERRORS = 2 * _NEIGHBOURS
_BOOTSTRAP = 2000


@dataclass(frozen=True)
class Damage:
    """What happens to one property's predictions on a batch.

    Parameters
    ----------
    name : str
        The property.
    basis : {"lab values", "applicability"}
        Measured on the batch, or expected from how far out its samples lie.
    n : int
        Samples behind the estimate.
    rmse, expected_rmse : float
        On the batch (measured or expected) and on held-out reference samples, in the property's unit.
    ratio, ratio_low, ratio_high : float
        ``rmse / expected_rmse`` with its 95 % bootstrap interval.
    bias, bias_low, bias_high : float or None
        Mean of predicted less observed with its interval; None without lab values.
    unknown_share : float
        Share of the batch further out than any reference sample, where nothing is known about errors.
    verdict : {"harmful", "harmless", "cannot tell"}
        By the interval of the ratio against :data:`TOLERANCE`.
    words : str
        One sentence.
    """

    name: str
    basis: Literal["lab values", "applicability"]
    n: int
    rmse: float
    expected_rmse: float
    ratio: float
    ratio_low: float
    ratio_high: float
    bias: float | None
    bias_low: float | None
    bias_high: float | None
    unknown_share: float
    verdict: Harm
    words: str

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        rounded = {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in vars(self).items()}
        return {k: v if not isinstance(v, float) or np.isfinite(v) else None for k, v in rounded.items()}


def measured_damage(
    name: str,
    observed: npt.ArrayLike,
    predicted: npt.ArrayLike,
    reference_errors: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    seed: int = 20260101,
) -> Damage:
    """Compare the errors on a batch with the model's held-out errors on the reference.

    Parameters
    ----------
    name : str
        The property.
    observed, predicted : array_like, shape (n,)
        Lab values (NaN where missing) and predictions of the batch.
    reference_errors : array_like, shape (m,)
        *Out-of-fold* predicted less observed of reference samples.
    groups : array_like, shape (n,), optional
        Batch samples that stay together in the bootstrap.
    seed : int
        Of the bootstrap.

    Raises
    ------
    BadInput
        When fewer than :data:`MIN_MEASURED` pairs or reference errors are finite.
    """
    y, p = np.asarray(observed, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if y.shape != p.shape:
        raise BadInput("observed and predicted differ in length", column=name, found=f"{y.shape}, {p.shape}")
    known = np.isfinite(y) & np.isfinite(p)
    errors, reference = (p - y)[known], _finite(reference_errors)
    if min(errors.size, reference.size) < MIN_MEASURED:
        raise BadInput(
            "too few lab values to measure the error on the batch",
            column=name,
            found=f"{errors.size} on the batch, {reference.size} reference errors",
            expected=f"at least {MIN_MEASURED} each",
        )
    codes = (
        np.arange(errors.size)
        if groups is None
        else np.unique(np.asarray(groups)[known], return_inverse=True)[1]
    )
    rng = np.random.default_rng([seed, errors.size, reference.size])
    weights = _group_weights(codes, rng)
    batch_ms = weights @ errors**2 / weights.sum(axis=1)
    draws = rng.integers(0, reference.size, (_BOOTSTRAP, reference.size))
    ratios = np.sqrt(batch_ms / np.maximum((reference[draws] ** 2).mean(axis=1), 1e-300))
    low, high = (float(q) for q in np.quantile(ratios, (0.025, 0.975)))
    biases = weights @ errors / weights.sum(axis=1)
    bias_low, bias_high = (float(q) for q in np.quantile(biases, (0.025, 0.975)))
    rmse, expected = _rms(errors), _rms(reference)
    ratio, bias = rmse / max(expected, 1e-300), float(errors.mean())
    verdict = _verdict(low, high)
    words = (
        f"{name}: the error on {errors.size} lab values of the batch is {ratio:.2f} times the expected one "
        f"(RMSE {rmse:.3g} against {expected:.3g}; 95 % interval of the ratio {low:.2f} to {high:.2f}); "
        f"bias {bias:+.3g} ({bias_low:+.3g} to {bias_high:+.3g}): {_SAID[verdict]}"
    )
    return Damage(
        name,
        "lab values",
        errors.size,
        rmse,
        expected,
        ratio,
        low,
        high,
        bias,
        bias_low,
        bias_high,
        0.0,
        verdict,
        words,
    )


def expected_damage(
    name: str,
    distances: npt.ArrayLike,
    reference_distances: npt.ArrayLike,
    reference_errors: npt.ArrayLike,
    *,
    seed: int = 20260101,
) -> Damage:
    """Guess the error on a batch without lab values, from how far out its samples lie.

    The expected squared error of a sample is the mean over the reference samples nearest to it in *distance from
    the model's domain* (any measure of ``modeling.applicability``, held out on the reference). Beyond the furthest
    reference sample nothing is known; that share is said, and from 20 % on nothing is claimed.

    Parameters
    ----------
    distances : array_like, shape (n,)
        Of the batch.
    reference_distances, reference_errors : array_like, shape (m,)
        Held-out distances and out-of-fold errors of the same reference samples.
    """
    d = _finite(distances)
    known, errors = (
        np.asarray(reference_distances, dtype=np.float64),
        np.asarray(reference_errors, dtype=np.float64),
    )
    if known.shape != errors.shape:
        raise BadInput("distances and errors of the reference differ in length", column=name)
    usable = np.isfinite(known) & np.isfinite(errors)
    known, errors = known[usable], errors[usable]
    if known.size < MIN_REFERENCE_ERRORS or not d.size:
        raise BadInput(
            "too few held-out reference errors to expect anything from",
            column=name,
            found=f"{known.size} reference errors, {d.size} batch samples",
            expected=f"at least {MIN_REFERENCE_ERRORS} and 1",
        )
    order = np.argsort(known, kind="stable")
    known, squares = known[order], (errors**2)[order]
    unknown = float((d > known[-1]).mean())
    # Running means over neighbours in rank: the expected square at every reference distance.
    window = np.minimum(np.maximum(np.searchsorted(known, d) - _NEIGHBOURS // 2, 0), known.size - _NEIGHBOURS)
    near = window[:, None] + np.arange(_NEIGHBOURS)
    expected_square = float(squares[near].mean())
    rng = np.random.default_rng([seed, d.size, known.size])
    counts = rng.multinomial(known.size, np.full(known.size, 1 / known.size), size=_BOOTSTRAP).astype(
        np.float64
    )
    use = np.bincount(near.ravel(), minlength=known.size) / near.size
    weighted = counts * use
    ratios = np.sqrt(
        (weighted @ squares / np.maximum(weighted.sum(axis=1), 1e-300))
        / np.maximum(counts @ squares / counts.sum(axis=1), 1e-300)
    )
    low, high = (float(q) for q in np.quantile(ratios, (0.025, 0.975)))
    rmse, expected = float(np.sqrt(expected_square)), float(np.sqrt(squares.mean()))
    ratio = rmse / max(expected, 1e-300)
    verdict: Harm = "cannot tell" if unknown >= 0.2 else _verdict(low, high)
    sure = (
        f"{unknown:.0%} of its samples lie further out than any reference sample, where nothing is known"
        if unknown
        else "all of its samples lie where the reference has some"
    )
    words = (
        f"{name}: without lab values the error is expected to be {ratio:.2f} times the usual one "
        f"({low:.2f} to {high:.2f}); {sure}: {_SAID[verdict]}"
    )
    return Damage(
        name,
        "applicability",
        d.size,
        rmse,
        expected,
        ratio,
        low,
        high,
        None,
        None,
        None,
        unknown,
        verdict,
        words,
    )


_SAID: dict[Harm, str] = {
    "harmful": "the difference harms",
    "harmless": "different or not, it does no harm",
    "cannot tell": "whether it harms cannot be told",
}


def _verdict(low: float, high: float) -> Harm:
    if low > TOLERANCE:
        return "harmful"
    return "harmless" if high <= TOLERANCE else "cannot tell"


def _group_weights(codes: npt.NDArray[np.intp], rng: np.random.Generator) -> FloatArray:
    """How often each row is drawn when whole groups are, shape (n_bootstrap, n_rows)."""
    count = int(codes.max()) + 1
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=_BOOTSTRAP)
    return np.asarray(drawn[:, codes], dtype=np.float64)


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _finite(values: npt.ArrayLike) -> FloatArray:
    array = np.ravel(np.asarray(values, dtype=np.float64))
    return array[np.isfinite(array)]
