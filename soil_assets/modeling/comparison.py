"""Is the candidate better or worse than the model on main, by how much, and how sure is that?

Belongs here: paired statistics of two models on identical samples, and the verdict.
Does not belong here: what a verdict leads to (the policy and the gate).

The interval of the difference in log RMSE comes from a paired bootstrap of whole groups, widened from its
centre by t(G - 1)/z x sqrt(G/(G - 1)) for G groups, since plain percentile intervals are too narrow in small
samples (Hesterberg 2015, Am. Stat. 69, 371). The same draws give the differences in CCC, bias and coverage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.errors import BadInput
from soil_assets.modeling.evaluate import Evaluation, json_ready
from soil_assets.modeling.metrics import cluster_draws, group_codes, regression_metrics

FloatArray = npt.NDArray[np.float64]
Verdict = Literal["better", "not worse", "worse", "cannot tell", "first version"]
_MIN_GROUPS = 3


@dataclass(frozen=True)
class Comparison:
    """Candidate against main on the same samples.

    Parameters
    ----------
    verdict : str
        ``better``: the whole interval of the difference in RMSE is below zero. ``not worse``: it ends within
        the margin. ``worse``: it lies above zero and reaches over the margin. ``cannot tell``: anything else.
        ``first version``: there is nothing to compare with.
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
    rmse_difference: tuple[float, float, float] | None = None
    rmse_ratio: tuple[float, float, float] | None = None
    ccc_difference: tuple[float, float, float] | None = None
    bias_difference: tuple[float, float, float] | None = None
    p_better: float | None = None
    p_not_worse: float | None = None
    p_worse: float | None = None
    more_samples: int | None = None

    @property
    def acceptable(self) -> bool:
        """Whether the candidate may take main's place on this evidence."""
        return self.verdict in ("better", "not worse", "first version")

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

    def _pair(self, metric: str, change: tuple[float, float, float] | None) -> dict[str, float | None]:
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
    if np.array_equal(m, c):
        same = (0.0, 0.0, 0.0)
        return Comparison(
            "not worse", "both predict exactly the same", **common, rmse_difference=same,
            rmse_ratio=(1.0, 1.0, 1.0), ccc_difference=same, bias_difference=same,
            p_better=1.0, p_not_worse=0.0, p_worse=1.0,
        )  # fmt: skip
    draws = cluster_draws(n_groups, n_boot, seed)
    drawn_main, drawn = _drawn(o, m, codes, draws), _drawn(o, c, codes, draws)
    factor = _small_sample_factor(n_groups, alpha)

    def interval(estimate: float, values: FloatArray) -> tuple[float, float, float]:
        widened = estimate + factor * (values[np.isfinite(values)] - estimate)
        low, high = np.quantile(widened, [alpha / 2.0, 1.0 - alpha / 2.0])
        return estimate, float(low), float(high)

    log_ratio = _log_ratio(measured["rmse"], measured_main["rmse"])
    with np.errstate(divide="ignore"):
        log_draws = np.log(drawn["rmse"]) - np.log(drawn_main["rmse"])
    _, low, high = interval(log_ratio, log_draws)
    widened = log_ratio + factor * (log_draws[np.isfinite(log_draws)] - log_ratio)
    ratio = (math.exp(log_ratio), math.exp(low), math.exp(high))
    rmse = measured_main["rmse"]
    verdict = _verdict(ratio, margin)
    more = _more_samples(log_ratio, low, high, margin, o.size) if verdict == "cannot tell" else None
    return Comparison(
        verdict,
        _reason(verdict, ratio, margin, alpha, more),
        **common,
        rmse_difference=(measured["rmse"] - rmse, rmse * (ratio[1] - 1.0), rmse * (ratio[2] - 1.0)),
        rmse_ratio=ratio,
        ccc_difference=interval(measured["ccc"] - measured_main["ccc"], drawn["ccc"] - drawn_main["ccc"]),
        bias_difference=interval(
            abs(measured["me"]) - abs(measured_main["me"]), np.abs(drawn["me"]) - np.abs(drawn_main["me"])
        ),
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


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values (Holm 1979, Scand. J. Stat. 6, 65), in the given order.

    Raises
    ------
    BadInput
        When a p-value is not between 0 and 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.size and not ((p >= 0.0) & (p <= 1.0)).all():
        raise BadInput("not a p-value", found=str(p.tolist()), expected="0 <= p <= 1")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(v) for v in adjusted]


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


def _drawn(
    o: FloatArray, p: FloatArray, codes: npt.NDArray[np.int64], draws: FloatArray
) -> dict[str, FloatArray]:
    """RMSE, ME and CCC of every resample, from sums per group alone."""
    centre = o.mean()
    x, y = o - centre, p - centre
    e = y - x
    columns = np.column_stack([np.ones_like(x), e, e * e, x, x * x, y, y * y, x * y])
    sums = np.zeros((draws.shape[1], columns.shape[1]))
    np.add.at(sums, codes, columns)
    n, s_e, s_ee, s_x, s_xx, s_y, s_yy, s_xy = (draws @ sums).T
    covariance = s_xy / n - s_x * s_y / n**2
    spread = s_xx / n - (s_x / n) ** 2 + s_yy / n - (s_y / n) ** 2 + (s_x / n - s_y / n) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        ccc = 2.0 * covariance / spread
    return {"rmse": np.sqrt(np.maximum(s_ee, 0.0) / n), "me": s_e / n, "ccc": ccc}


def _small_sample_factor(n_groups: int, alpha: float) -> float:
    from scipy.stats import norm, t

    widened = t.ppf(1.0 - alpha / 2.0, n_groups - 1) / norm.ppf(1.0 - alpha / 2.0)
    return float(widened * math.sqrt(n_groups / (n_groups - 1.0)))


def _log_ratio(candidate: float, main: float) -> float:
    tiny = np.finfo(float).tiny
    return math.log(max(candidate, tiny)) - math.log(max(main, tiny))


def _verdict(ratio: tuple[float, float, float], margin: float) -> Verdict:
    _, low, high = ratio
    if high < 1.0:
        return "better"
    if high <= 1.0 + margin:
        return "not worse"
    return "worse" if low > 1.0 else "cannot tell"


def _reason(
    verdict: Verdict, ratio: tuple[float, float, float], margin: float, alpha: float, more: int | None
) -> str:
    change = f"RMSE {100 * (ratio[0] - 1):+.1f} %"
    interval = (
        f"{100 * (1 - alpha):g} % interval {100 * (ratio[1] - 1):+.1f} to {100 * (ratio[2] - 1):+.1f} %"
    )
    ends = {
        "better": "the whole interval is an improvement",
        "not worse": f"within the margin of {100 * margin:g} %",
        "worse": f"an increase that may exceed the margin of {100 * margin:g} %",
        "cannot tell": "both an improvement and an increase over the margin are possible",
    }
    needed = f"; about {more} more samples would tell" if more else ""
    return f"{change} ({interval}): {ends[verdict]}{needed}"


def _more_samples(estimate: float, low: float, high: float, margin: float, n: int) -> int | None:
    """How many more samples would shrink the interval (with 1/sqrt n) until one verdict holds."""
    bound = math.log1p(margin)
    needed = []
    if estimate < bound:
        needed.append(((high - estimate) / (bound - estimate)) ** 2)
    if estimate > 0.0:
        needed.append(((estimate - low) / estimate) ** 2)
    return math.ceil(n * min(needed)) - n if needed else None


def _tail(beyond: npt.NDArray[np.bool_]) -> float:
    return float((1 + int(beyond.sum())) / (1 + beyond.size))
