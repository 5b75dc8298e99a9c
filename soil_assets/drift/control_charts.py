"""Control charts: slow changes over successive batches or check scans, with a stated run length.

Belongs here: EWMA and CUSUM charts, their average run lengths, Shewhart limits from a small baseline.
Does not belong here: verdicts on a batch (``compare``); a chart warns and never holds anything back.

The average run length (ARL) of a chart in control is the mean number of points until a false alarm. It is computed
with the Markov chain of Brook & Evans (1972, Biometrika 59, 539), not looked up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput

FloatArray = npt.NDArray[np.float64]

#: Weight of the newest point in the EWMA: changes of about one standard deviation are found soonest.
EWMA_WEIGHT = 0.2
#: Half of the shift that the CUSUM is tuned to, in standard deviations.
CUSUM_ALLOWANCE = 0.5
_STATES = 201


@dataclass(frozen=True, eq=False)
class Chart:
    """A chart over successive standardised points.

    Parameters
    ----------
    points : ndarray, shape (n,)
        Standardised: mean 0 and standard deviation 1 in control.
    ewma : ndarray, shape (n,)
        Exponentially weighted mean, in its own (time-dependent) standard deviations.
    cusum_up, cusum_down : ndarray, shape (n,)
        One-sided cumulative sums.
    ewma_limit, cusum_limit : float
        Alarm limits.
    alarms : ndarray of bool, shape (n,)
        Points at which either chart is over its limit.
    run_length : float
        Average number of points between false alarms of the two charts together, at least (each has twice that).
    """

    points: FloatArray
    ewma: FloatArray
    cusum_up: FloatArray
    cusum_down: FloatArray
    ewma_limit: float
    cusum_limit: float
    alarms: npt.NDArray[np.bool_]
    run_length: float

    def words(self) -> str:
        """Say what the chart shows, and its false-alarm rate."""
        stated = f"a false alarm comes about every {self.run_length:.0f} points"
        if not self.alarms.any():
            return f"no trend over {self.points.size} points ({stated})"
        first = int(np.flatnonzero(self.alarms)[0])
        way = "upwards" if self.ewma[first] > 0 else "downwards"
        return f"a trend {way} since about point {first + 1} of {self.points.size} ({stated})"


def chart(points: npt.ArrayLike, run_length: float = 370.0) -> Chart:
    """Chart standardised points with EWMA and CUSUM whose combined in-control ARL is at least ``run_length``.

    Raises
    ------
    BadInput
        When a point is not finite or ``run_length`` is below 20.
    """
    z = np.asarray(points, dtype=np.float64)
    if z.ndim != 1 or not np.isfinite(z).all():
        raise BadInput("a control chart needs finite points", found=f"shape {z.shape}")
    if run_length < 20:
        raise BadInput(
            "such a chart would alarm all the time", found=f"run length {run_length:g}", expected=">= 20"
        )
    # Two charts at twice the run length each alarm at most as often as one at the run length.
    ewma_limit, cusum_limit = limits(2.0 * run_length)
    smooth, up, down = np.zeros(z.size), np.zeros(z.size), np.zeros(z.size)
    e = high = low = 0.0
    for i, value in enumerate(z):  # a recursion over batches, of which there are few
        e = (1 - EWMA_WEIGHT) * e + EWMA_WEIGHT * value
        high = max(0.0, high + value - CUSUM_ALLOWANCE)
        low = max(0.0, low - value - CUSUM_ALLOWANCE)
        smooth[i], up[i], down[i] = e, high, low
    # The asymptotic limit from the first point on, as the run length assumes.
    smooth = smooth / np.sqrt(EWMA_WEIGHT / (2 - EWMA_WEIGHT))
    alarms = (np.abs(smooth) > ewma_limit) | (up > cusum_limit) | (down > cusum_limit)
    return Chart(z, smooth, up, down, ewma_limit, cusum_limit, alarms, run_length)


@lru_cache(maxsize=32)
def limits(run_length: float) -> tuple[float, float]:
    """Return the EWMA limit (in its asymptotic standard deviations) and the CUSUM limit with this ARL each."""
    from scipy.optimize import brentq

    ewma_limit = brentq(lambda v: np.log(ewma_run_length(v) / run_length), 1.0, 6.0, xtol=1e-4)
    cusum_limit = brentq(lambda v: np.log(cusum_run_length(v) / run_length), 0.5, 20.0, xtol=1e-4)
    return float(ewma_limit), float(cusum_limit)


def ewma_run_length(limit: float, shift: float = 0.0) -> float:
    """ARL of a two-sided EWMA chart started at 0, its limit in asymptotic standard deviations."""
    from scipy.special import ndtr

    half = limit * np.sqrt(EWMA_WEIGHT / (2 - EWMA_WEIGHT))
    edges = np.linspace(-half, half, _STATES + 1)
    middle = 0.5 * (edges[:-1] + edges[1:])
    bounds = (edges[None, :] - (1 - EWMA_WEIGHT) * middle[:, None]) / EWMA_WEIGHT - shift
    moves = np.diff(ndtr(bounds), axis=1)
    lengths = np.linalg.solve(np.eye(_STATES) - moves, np.ones(_STATES))
    return float(lengths[_STATES // 2])


def cusum_run_length(limit: float, shift: float = 0.0) -> float:
    """ARL of a two-sided CUSUM chart started at 0: the two sides' rates of alarm add up (van Dobben de Bruyn 1968)."""
    rates = [1.0 / _one_sided(limit, side * shift) for side in (1.0, -1.0)]
    return 1.0 / sum(rates)


def _one_sided(limit: float, shift: float) -> float:
    from scipy.special import ndtr

    width = 2.0 * limit / (2 * _STATES - 1)  # Brook & Evans: the first state is half as wide and holds zero
    middle = np.arange(_STATES) * width
    upper = middle[None, :] + width / 2 - middle[:, None] + CUSUM_ALLOWANCE - shift
    below = ndtr(upper)
    moves = np.diff(below, axis=1, prepend=0.0)
    return float(np.linalg.solve(np.eye(_STATES) - moves, np.ones(_STATES))[0])


@dataclass(frozen=True, eq=False)
class CheckChart:
    """A check soil scanned again and again on one instrument.

    Parameters
    ----------
    values : ndarray, shape (n,)
        What is charted, oldest first.
    centre, low, high : float
        From the baseline: mean and the limits for one further value.
    baseline : int
        Scans that the limits come from.
    outside : ndarray of bool, shape (n,)
        Later values beyond the limits.
    trend : Chart or None
        EWMA and CUSUM of the later values; None while there are none.
    """

    values: FloatArray
    centre: float
    low: float
    high: float
    baseline: int
    outside: npt.NDArray[np.bool_]
    trend: Chart | None

    def words(self) -> str:
        """Say what the chart shows."""
        later = self.values.size - self.baseline
        if not later:
            return f"{self.baseline} scans make the baseline; nothing is judged yet"
        count = int(self.outside.sum())
        said = f"{count} of {later} later scans beyond the limits {self.low:.4g} to {self.high:.4g}"
        return f"{said}; {self.trend.words()}" if self.trend is not None else said


def check_chart(values: npt.ArrayLike, baseline: int = 10, rate: float = 0.0027) -> CheckChart:
    """Chart a check soil's values; limits are prediction limits, wider for a small baseline.

    The limits of one further value are mean +- t(1 - rate / 2, m - 1) s sqrt(1 + 1/m): the usual 3 s ignores that
    mean and s come from m scans and alarms 2.5 times as often as meant at m = 10.

    Parameters
    ----------
    values : array_like, shape (n,)
        One value a check scan, oldest first: a prediction, the level, or a distance from the first scans' mean.
    baseline : int
        Scans at the start that are taken as good, at least 5.
    rate : float
        False-alarm rate of one scan.

    Raises
    ------
    BadInput
        When there are fewer values than the baseline needs, or they do not vary.
    """
    from scipy.stats import t

    v = np.asarray(values, dtype=np.float64)
    if baseline < 5 or v.size < baseline or not np.isfinite(v).all():
        raise BadInput(
            "a check chart needs a baseline",
            found=f"{v.size} values, a baseline of {baseline}",
            expected="finite values, at least as many as the baseline, which is at least 5",
        )
    first = v[:baseline]
    centre, spread = float(first.mean()), float(first.std(ddof=1))
    if not spread > 0:
        raise BadInput(
            "the check scans do not vary at all", found=f"{baseline} equal values", mend="check the export"
        )
    one = spread * float(np.sqrt(1 + 1 / baseline))
    reach = float(t.ppf(1 - rate / 2, baseline - 1)) * one
    outside = np.abs(v - centre) > reach
    outside[:baseline] = False
    trend = chart(_q_statistics(v)[baseline:]) if v.size > baseline else None
    return CheckChart(v, centre, centre - reach, centre + reach, baseline, outside, trend)


def _q_statistics(values: FloatArray) -> FloatArray:
    """Standardise each value by all earlier ones (Quesenberry 1991, J. Qual. Technol. 23, 213).

    In control they are independent standard normal whatever the unknown mean and standard deviation, so that the
    charts' run lengths hold; values standardised by one small baseline would all share its error.
    """
    from scipy.special import ndtri
    from scipy.stats import t

    count = np.arange(1, values.size + 1)
    mean = np.cumsum(values) / count
    squares = np.cumsum(values**2) - count * mean**2
    out = np.zeros(values.size)
    earlier = np.arange(2, values.size)
    spread = np.sqrt(np.maximum(squares[earlier - 1], 1e-300) / (earlier - 1))
    ratio = np.sqrt(earlier / (earlier + 1)) * (values[earlier] - mean[earlier - 1]) / spread
    out[earlier] = ndtri(np.clip(t.cdf(ratio, earlier - 1), 1e-12, 1 - 1e-12))
    return out
