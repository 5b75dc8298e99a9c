"""What a preview must show before traffic goes to it: the registry's own predictions, in time, without errors.

Belongs here: judging what was measured. Does not belong here: measuring it (``adapters.preview``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Limits:
    """What is still good enough.

    Parameters
    ----------
    error_rate : float
        Share of requests that may fail.
    p95_ms : float
        95 of 100 answers must be faster.
    difference : float
        Largest difference between served and expected figures, as a share of the figure (or of the figures' typical
        size, where one is near zero).
    """

    error_rate: float = 0.0
    p95_ms: float = 500.0
    difference: float = 1e-6


@dataclass(frozen=True)
class Observed:
    """What the preview answered.

    Parameters
    ----------
    predictions : mapping
        By model, one mapping of figures (value, lower and upper bound by level) and ``inside`` a spectrum; None where
        the request failed.
    latencies_ms : sequence of float
        Of the requests with one spectrum that were answered.
    errors : sequence of str
        One line for each request that failed.
    refuses_nonsense : bool
        Whether a request that means nothing was refused as the client's fault.
    together : int
        Requests with all spectra that were answered; their time is not that of one spectrum.
    """

    predictions: Mapping[str, Sequence[Mapping[str, Any] | None]]
    latencies_ms: Sequence[float]
    errors: Sequence[str] = ()
    refuses_nonsense: bool = True
    together: int = 0


@dataclass(frozen=True)
class Smoke:
    """The verdict, its reasons and its figures."""

    passed: bool
    reasons: tuple[str, ...]
    figures: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)

    def in_words(self) -> str:
        """Return one line for people and for the manifest."""
        f = self.figures
        measured = (
            f"{f['spectra']} spectra, {f['requests']} requests, {f['failed']} failed, p95 {f['p95_ms']:.0f} ms, "
            f"largest difference {f['largest_difference']:.1e}"
            if f
            else ""
        )
        return "; ".join([*self.reasons, measured] if measured else self.reasons)


def judge(expected: Mapping[str, Sequence[Mapping[str, Any]]], observed: Observed, limits: Limits) -> Smoke:
    """Compare what was served with what the registry's models say of the same spectra.

    Parameters
    ----------
    expected : mapping
        By model, the same figures as in :class:`Observed`; never None.
    """
    reasons: list[str] = []
    requests = len(observed.latencies_ms) + observed.together + len(observed.errors)
    spectra = max((len(rows) for rows in expected.values()), default=0)
    share = len(observed.errors) / requests if requests else 1.0
    if not spectra or not requests:
        reasons.append("nothing was asked, so nothing is known")
    if share > limits.error_rate:
        reasons.append(
            f"{len(observed.errors)} of {requests} requests failed: {observed.errors[0]}" if requests else ""
        )
    p95 = float(np.percentile(observed.latencies_ms, 95)) if len(observed.latencies_ms) else math.inf
    if p95 > limits.p95_ms:
        reasons.append(f"p95 latency {p95:.0f} ms is over {limits.p95_ms:g} ms")
    if not observed.refuses_nonsense:
        reasons.append("a request that means nothing was not refused as such")
    largest = 0.0
    for model, rows in expected.items():
        worst, words = _difference(model, rows, observed.predictions.get(model, ()))
        largest = max(largest, worst)
        if words or worst > limits.difference:
            reasons.append(words or f"{model} is served {worst:.2g} apart from the registry's model")
    return Smoke(
        not reasons,
        tuple(r for r in reasons if r),
        {
            "spectra": spectra,
            "requests": requests,
            "failed": len(observed.errors),
            "p50_ms": float(np.percentile(observed.latencies_ms, 50))
            if len(observed.latencies_ms)
            else math.inf,
            "p95_ms": p95,
            "largest_difference": largest,
            "models": len(expected),
        },
    )


def _difference(
    model: str, expected: Sequence[Mapping[str, Any]], served: Sequence[Mapping[str, Any] | None]
) -> tuple[float, str]:
    """Return the largest relative difference over all figures, and in words what cannot be compared."""
    if len(served) != len(expected):
        return math.inf, f"{model}: {len(served)} of {len(expected)} spectra were answered"
    worst = 0.0
    keys = sorted({k for row in expected for k in row if k != "inside"})
    for key in keys:
        pairs = [(e.get(key), s.get(key)) for e, s in zip(expected, served, strict=True) if s is not None]
        if any((a is None) != (b is None) for a, b in pairs):
            return math.inf, f"{model}: {key} is there on one side only"
        whole = np.array([(a, b) for a, b in pairs if a is not None], dtype=np.float64).reshape(-1, 2)
        worst = max(worst, _relative(whole))
    for row, got in zip(expected, served, strict=True):
        if got is not None and bool(row.get("inside")) != bool(got.get("inside")):
            return worst, f"{model}: inside the domain or not is served otherwise"
    return worst, ""


def _relative(pairs: npt.NDArray[np.float64]) -> float:
    if not len(pairs):
        return 0.0
    if not np.isfinite(pairs).all():
        same = (pairs[:, 0] == pairs[:, 1]) | (np.isnan(pairs).all(axis=1))
        if not same[~np.isfinite(pairs).all(axis=1)].all():
            return math.inf
        pairs = pairs[np.isfinite(pairs).all(axis=1)]
        if not len(pairs):
            return 0.0
    typical = float(np.median(np.abs(pairs[:, 0]))) or 1.0
    return float((np.abs(pairs[:, 0] - pairs[:, 1]) / np.maximum(np.abs(pairs[:, 0]), 0.1 * typical)).max())
