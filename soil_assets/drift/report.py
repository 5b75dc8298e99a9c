"""What a comparison returns: a verdict, the tests behind it and the reasons in words.

Belongs here: the frozen results and their JSON form. Does not belong here: computing or drawing them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

Verdict = Literal["pass", "warn", "fail", "not_judged"]
CheckName = Literal["batch_drift", "prediction_shift", "applicability"]

#: Columns of :attr:`DriftReport.tests`.
TEST_COLUMNS = (
    "family",
    "name",
    "statistic",
    "p_value",
    "p_adjusted",
    "effect",
    "threshold",
    "significant",
)
#: Which check answers for which family of tests.
CHECK_OF_FAMILY: Mapping[str, CheckName] = {
    "spectra": "batch_drift",
    "combined": "batch_drift",
    "components": "batch_drift",
    "signatures": "batch_drift",
    "summaries": "batch_drift",
    "properties": "batch_drift",
    "categories": "batch_drift",
    "predictions": "prediction_shift",
    "outliers": "applicability",
    "neighbours": "batch_drift",
    "exceedances": "applicability",
}


@dataclass(frozen=True)
class DriftCheck:
    """The answer of one asset check.

    Parameters
    ----------
    passed : bool
        Nothing significant was found; True also where nothing could be judged (see ``judged``).
    judged : bool
        Whether there was anything to judge. 'Not judged' is not 'passed'.
    summary : str
        One sentence.
    """

    passed: bool
    judged: bool
    summary: str


@dataclass(frozen=True)
class Band:
    """A stretch of the axis where the batch differs most.

    Parameters
    ----------
    low, high : float
        Ends, in the axis's unit.
    peak : float
        Where the difference is largest.
    difference : float
        Mean difference there (batch less reference, after SNV) in standard deviations of the reference.
    """

    low: float
    high: float
    peak: float
    difference: float


@dataclass(frozen=True, eq=False)
class DriftReport:
    """A batch against a reference.

    Parameters
    ----------
    verdict : {"pass", "warn", "fail", "not_judged"}
        ``warn``: significant, yet too small a difference to matter.
    blocks : bool
        Whether the policy holds the batch back.
    n, reference_n : int
        Soils judged and soils in the reference.
    n_scans, n_left_out : int
        Scans in the batch, and those left out for missing values.
    n_groups : int
        Independent groups in the batch (soils, or sites where named).
    family_p : float or None
        The chance of a result at least this extreme in any test when nothing changed.
    false_alarm_rate : float
        The family-wise rate that the policy sets.
    reasons : tuple of str
        In plain words, most telling first.
    cause : str or None
        The likely cause, where the pattern tells.
    cause_kind : str or None
        Its name: one of ``signatures.SIGNATURES``, ``noise``, or ``other`` for other soils or an unknown pattern.
    bands : tuple of Band
        Where the spectra differ most.
    samples : tuple of (str, float)
        The soils furthest out, with the log of their distance over the pool's upper quartile, in units of
        what is usual beyond it.
    tests : DataFrame
        Columns :data:`TEST_COLUMNS`, one row a test.
    checks : mapping of str to DriftCheck
        ``batch_drift``, ``prediction_shift``, ``applicability``.
    notes : tuple of str
        What a reader must know to weigh the result (left-out scans, missing sites, sub-sampling).
    profile : str
        Fingerprint of the reference profile.
    permutations, seed : int
        As used.
    """

    verdict: Verdict
    blocks: bool
    n: int
    reference_n: int
    n_scans: int
    n_left_out: int
    n_groups: int
    family_p: float | None
    false_alarm_rate: float
    reasons: tuple[str, ...]
    cause: str | None
    bands: tuple[Band, ...]
    samples: tuple[tuple[str, float], ...]
    tests: pd.DataFrame
    checks: Mapping[str, DriftCheck]
    notes: tuple[str, ...]
    profile: str
    permutations: int
    seed: int
    signature_amounts: Mapping[str, float] = field(default_factory=dict)
    cause_kind: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return everything JSON-ready, in a fixed order and rounding: equal inputs, equal bytes."""
        return {
            "verdict": self.verdict,
            "blocks": self.blocks,
            "n": self.n,
            "reference_n": self.reference_n,
            "n_scans": self.n_scans,
            "n_left_out": self.n_left_out,
            "n_groups": self.n_groups,
            "family_p": _number(self.family_p),
            "false_alarm_rate": self.false_alarm_rate,
            "reasons": list(self.reasons),
            "cause": self.cause,
            "cause_kind": self.cause_kind,
            "bands": [
                {
                    "low": _number(b.low),
                    "high": _number(b.high),
                    "peak": _number(b.peak),
                    "difference": _number(b.difference),
                }
                for b in self.bands
            ],
            "samples": [{"sample_id": s, "distance": _number(d)} for s, d in self.samples],
            "signature_amounts": {k: _number(v) for k, v in self.signature_amounts.items()},
            "checks": {
                name: {"passed": c.passed, "judged": c.judged, "summary": c.summary}
                for name, c in self.checks.items()
            },
            "tests": [
                {c: _number(v) for c, v in zip(TEST_COLUMNS, row, strict=True)}
                for row in self.tests[list(TEST_COLUMNS)].itertuples(index=False, name=None)
            ],
            "notes": list(self.notes),
            "profile": self.profile,
            "permutations": self.permutations,
            "seed": self.seed,
        }


def _number(value: Any) -> Any:
    """Round floats to six significant digits; the last bits depend on the machine's linear algebra."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, float | np.floating):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value
