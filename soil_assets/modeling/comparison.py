"""Is the candidate better or worse than the model on main, by how much, and how sure is that?

Belongs here: two models on identical samples, from checked predictions to a complete comparison.
Does not belong here: resampling (``paired``), the rule (``verdict``), what a verdict leads to (the gate).

The interval of the difference in log RMSE comes from a paired bootstrap of whole groups, widened from its
centre where groups are few (``paired``). The same draws give the differences in CCC, bias and coverage.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.errors import BadInput
from soil_assets.modeling.metrics import group_codes, regression_metrics
from soil_assets.modeling.paired import Interval, paired_draws
from soil_assets.modeling.plain import json_ready
from soil_assets.modeling.verdict import ACCEPTABLE, Verdict, more_samples, reason_of, verdict_of

if TYPE_CHECKING:
    from soil_assets.modeling.evaluate import Evaluation

FloatArray = npt.NDArray[np.float64]
_MIN_GROUPS = 3


@dataclass(frozen=True)
class Comparison:
    """Candidate against main on the same samples.

    Parameters
    ----------
    verdict : str
        As :func:`~soil_assets.modeling.verdict.verdict_of` rules; ``first version``: there is nothing to compare
        with.
    reason : str
        The verdict in one sentence.
    n, n_groups : int
    margin, alpha : float
        Relative margin of non-inferiority; the interval has confidence 1 - alpha.
    main, candidate : dict
        Measures of both (main is None for a first version).
    rmse_difference : (estimate, low, high) or None
        candidate - main, in the property's unit.
    rmse_ratio : (estimate, low, high) or None
    ccc_difference, bias_difference : (estimate, low, high) or None
        Bias is compared as |ME|.
    coverage_differences : dict of str to (estimate, low, high)
        By level (``90``): share of observations that the candidate's intervals hold, minus main's; empty when one
        of them came without intervals.
    p_better, p_not_worse, p_worse : float or None
        One-sided: against 'not better', against 'worse by the margin or more', against 'not worse at all'.
    more_samples : int or None
        For ``cannot tell``: how many more samples would tell, if the estimates stay as they are.
    """

    verdict: Verdict
    reason: str
    n: int
    n_groups: int
    margin: float
    alpha: float
    main: dict[str, float] | None
    candidate: dict[str, float]
    rmse_difference: Interval | None = None
    rmse_ratio: Interval | None = None
    ccc_difference: Interval | None = None
    bias_difference: Interval | None = None
    coverage_differences: dict[str, Interval] = field(default_factory=dict)
    p_better: float | None = None
    p_not_worse: float | None = None
    p_worse: float | None = None
    more_samples: int | None = None

    @property
    def acceptable(self) -> bool:
        """Whether the candidate may take main's place on this evidence."""
        return self.verdict in ACCEPTABLE

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        names = (f for f in self.__dataclass_fields__)
        pairs = {
            "rmse": self._pair("rmse", self.rmse_difference),
            "ccc": self._pair("ccc", self.ccc_difference),
            "bias": self._pair("me", self.bias_difference),
        }
        facts = {name: getattr(self, name) for name in names} | pairs | {"acceptable": self.acceptable}
        return {name: json_ready(value) for name, value in facts.items()}

    def _pair(self, metric: str, change: Interval | None) -> dict[str, float | None]:
        difference, low, high = change or (None, None, None)
        main = None if self.main is None else self.main[metric]
        return {
            "main": main,
            "candidate": self.candidate[metric],
            "difference": difference,
            "low": low,
            "high": high,
        }


def compare(
    observed: npt.ArrayLike,
    main: pd.DataFrame | npt.ArrayLike,
    candidate: pd.DataFrame | npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    margin: float = 0.10,
    alpha: float = 0.05,
    n_boot: int = 2000,
    seed: int = 20260101,
) -> Comparison:
    """Compare two models' predictions of the same samples.

    Parameters
    ----------
    observed : array_like, shape (n,)
        Reference values; samples without one are left out.
    main, candidate : DataFrame or array_like, shape (n,)
        Predictions; of a DataFrame the column ``value`` is taken, and ``sample_id`` must agree.
    groups : array_like, shape (n,), optional
        Resampled together.
    margin : float
        Relative increase in RMSE that is still 'not worse'.
    alpha : float
        The interval has confidence 1 - alpha.
    n_boot, seed : int
        Of the bootstrap.

    Returns
    -------
    Comparison

    Raises
    ------
    BadInput
        When the samples are not identical, a prediction is not finite, or nothing can be compared.
    """
    o = np.asarray(observed, dtype=np.float64)
    m, c = _values(main, "main"), _values(candidate, "candidate")
    _check_identical(o, m, c, main, candidate)
    known = np.isfinite(o)
    codes = group_codes(group_codes(groups, o.size)[known], int(known.sum()))
    hits = _covered(o, main, candidate, known)
    o, m, c = o[known], m[known], c[known]
    measured_main, measured = regression_metrics(o, m), regression_metrics(o, c)
    n_groups = int(codes.max()) + 1
    common: dict[str, Any] = {
        "n": int(o.size),
        "n_groups": n_groups,
        "margin": margin,
        "alpha": alpha,
        "main": measured_main,
        "candidate": measured,
    }
    if n_groups < _MIN_GROUPS:
        return Comparison(
            "cannot tell", f"only {n_groups} group(s) of samples: nothing can be resampled", **common
        )
    draws = paired_draws(o, m, c, codes, covered=hits, alpha=alpha, n_boot=n_boot, seed=seed)
    coverage = {
        level: draws.interval(
            float(theirs.mean() - ours.mean()),
            draws.candidate[f"coverage@{level}"] - draws.main[f"coverage@{level}"],
        )
        for level, (ours, theirs) in hits.items()
    }
    if np.array_equal(m, c):
        same = (0.0, 0.0, 0.0)
        return Comparison(
            "not worse", "both predict exactly the same", **common, rmse_difference=same,
            rmse_ratio=(1.0, 1.0, 1.0), ccc_difference=same, bias_difference=same,
            coverage_differences=coverage, p_better=1.0, p_not_worse=0.0, p_worse=1.0,
        )  # fmt: skip
    floor = _rmse_floor(o)
    rmse = max(measured_main["rmse"], floor)
    log_ratio = math.log(max(measured["rmse"], floor)) - math.log(rmse)
    log_draws = draws.log_rmse_ratio(floor)
    _, low, high = draws.interval(log_ratio, log_draws)
    widened = draws.widened(log_ratio, log_draws)
    ratio = (math.exp(log_ratio), math.exp(low), math.exp(high))
    verdict = verdict_of(ratio, margin)
    more = more_samples(log_ratio, low, high, margin, o.size) if verdict == "cannot tell" else None
    return Comparison(
        verdict,
        reason_of(verdict, ratio, margin, alpha, more),
        **common,
        rmse_difference=(
            measured["rmse"] - measured_main["rmse"],
            rmse * (ratio[1] - 1.0),
            rmse * (ratio[2] - 1.0),
        ),
        rmse_ratio=ratio,
        ccc_difference=draws.interval(
            measured["ccc"] - measured_main["ccc"], draws.candidate["ccc"] - draws.main["ccc"]
        ),
        bias_difference=draws.interval(
            abs(measured["me"]) - abs(measured_main["me"]),
            np.abs(draws.candidate["me"]) - np.abs(draws.main["me"]),
        ),
        coverage_differences=coverage,
        p_better=_tail(widened >= 0.0),
        p_not_worse=_tail(widened >= math.log1p(margin)),
        p_worse=_tail(widened <= 0.0),
        more_samples=more,
    )


def first_version(evaluation: Evaluation, *, margin: float = 0.10, alpha: float = 0.05) -> Comparison:
    """Say that there is no model to compare with yet."""
    return Comparison(
        "first version",
        "there is no model on main yet to compare with",
        evaluation.n,
        evaluation.n,
        margin,
        alpha,
        None,
        evaluation.metrics,
    )


def _values(predictions: pd.DataFrame | npt.ArrayLike, who: str) -> FloatArray:
    if isinstance(predictions, pd.DataFrame):
        if "value" not in predictions.columns:
            raise BadInput(f"the predictions of {who} have no column 'value'", column="value")
        return predictions["value"].to_numpy(dtype=np.float64)
    return np.asarray(predictions, dtype=np.float64)


def _check_identical(
    o: FloatArray,
    m: FloatArray,
    c: FloatArray,
    main: pd.DataFrame | npt.ArrayLike,
    candidate: pd.DataFrame | npt.ArrayLike,
) -> None:
    if o.ndim != 1 or not o.shape == m.shape == c.shape:
        raise BadInput(
            "candidate and main were not measured on the same samples",
            found=f"{o.shape} observed, {m.shape} main, {c.shape} candidate",
        )
    if isinstance(main, pd.DataFrame) and isinstance(candidate, pd.DataFrame):
        ids = [f["sample_id"].astype(str).to_numpy() for f in (main, candidate) if "sample_id" in f.columns]
        if len(ids) == 2 and not np.array_equal(ids[0], ids[1]):
            row = int(np.flatnonzero(ids[0] != ids[1])[0])
            raise BadInput(
                "candidate and main were not measured on the same samples",
                row=row + 1,
                column="sample_id",
                found=str(ids[1][row]),
                expected=str(ids[0][row]),
            )
    known = np.isfinite(o)
    if not known.any():
        raise BadInput("no sample has a reference value: nothing can be compared")
    for who, values in (("main", m), ("candidate", c)):
        bad = known & ~np.isfinite(values)
        if bad.any():
            raise BadInput(
                f"a prediction of {who} is not finite",
                row=int(np.flatnonzero(bad)[0]) + 1,
                found=f"{int(bad.sum())} of {int(known.sum())}",
            )


def _covered(
    observed: FloatArray,
    main: pd.DataFrame | npt.ArrayLike,
    candidate: pd.DataFrame | npt.ArrayLike,
    known: npt.NDArray[np.bool_],
) -> dict[str, tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]:
    """Tell by level which observations the intervals of (main, candidate) hold; levels that both have."""
    if not (isinstance(main, pd.DataFrame) and isinstance(candidate, pd.DataFrame)):
        return {}
    levels = [
        str(c).removeprefix("lower_")
        for c in candidate.columns
        if str(c).startswith("lower_") and c in main.columns
    ]

    def holds(predictions: pd.DataFrame, level: str) -> npt.NDArray[np.bool_]:
        low, high = (predictions[f"{s}_{level}"].to_numpy(dtype=np.float64) for s in ("lower", "upper"))
        return np.asarray((low <= observed) & (observed <= high))[known]

    return {level: (holds(main, level), holds(candidate, level)) for level in levels}


def _rmse_floor(observed: FloatArray) -> float:
    """RMSE below which predictions count as exact: ratios to zero have no logarithm."""
    return 1e-9 * (float(observed.std()) or abs(float(observed.mean())) or 1.0)


def _tail(beyond: npt.NDArray[np.bool_]) -> float:
    return float((1 + int(beyond.sum())) / (1 + beyond.size))
