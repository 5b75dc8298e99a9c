"""Two-sample statistics under every relabelling of a pool of reference and batch rows.

Belongs here: test statistics, their effect sizes, and scores that make them comparable. Does not belong here:
what the rows are (``battery``) and how tests are combined (``family``).

Every statistic is a function of the pooled rows and of which of them are called 'the batch'. When batch and
reference come from one population, the true labelling is one of many equally likely ones, so the rank of its
statistic is uniform at every batch size, whatever the distribution (Lehmann & Romano 2005, ch. 15).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from soil_assets.drift.labellings import IntArray, Labellings

FloatArray = npt.NDArray[np.float64]

#: Elements of the largest temporary array.
_BLOCK = 4_000_000
_TINY = 1e-300
#: Largest values of a statistic beyond which its null distribution is extrapolated.
_TAIL = 10
#: Rows furthest out that count alike.
_EQUALLED = 3


@dataclass(frozen=True, eq=False)
class Tested:
    """One test under every labelling.

    Parameters
    ----------
    family, name : str
        What was tested.
    statistic : ndarray, shape (1 + n_permutations,)
        In its own unit, first the observed one.
    score : ndarray, shape (1 + n_permutations,)
        About -log10 of the p-value: a rising function of the statistic that makes tests comparable.
    effect : float
        Size of the observed difference, 0 for none.
    statistic_at : callable
        Smallest statistic that reaches a given score: the threshold at this batch size.
    """

    family: str
    name: str
    statistic: FloatArray
    score: FloatArray
    effect: float
    statistic_at: Callable[[float], float]

    @property
    def p_value(self) -> float:
        """Permutation p-value of this test alone."""
        return rank_p(self.score)


def rank_p(score: FloatArray) -> float:
    """Share of labellings that score at least as high as the observed one, itself included."""
    return float(np.mean(score >= score[0]))


def ranks(values: FloatArray) -> FloatArray:
    """Mid-ranks 1..n of every column, shape (n_columns, n_rows)."""
    columns = np.ascontiguousarray(values.T, dtype=np.float64)
    order = np.argsort(columns, axis=1)
    ordered = np.take_along_axis(columns, order, axis=1)
    if not (ordered[:, 1:] > ordered[:, :-1]).all():  # ties, or a missing value
        from scipy.stats import rankdata

        return np.ascontiguousarray(rankdata(values, axis=0).T)
    ranked = np.empty_like(columns)
    np.put_along_axis(ranked, order, np.arange(1.0, columns.shape[1] + 1)[None, :], axis=1)
    return ranked


def kolmogorov_smirnov(
    family: str, names: Sequence[str], values: FloatArray, labels: Labellings
) -> list[Tested]:
    """Two-sample Kolmogorov-Smirnov test of every column of ``values``, shape (n_pool, n_columns).

    The statistic is D, the effect too. Scores use the asymptotic distribution with Stephens' (1970)
    correction. Tied values are handled conservatively to first order by their mid-ranks and exactly by the
    permutations.
    """
    if not len(names):
        return []
    from scipy.special import kolmogi, kolmogorov

    distances = _ks_distances(ranks(values).astype(np.float32), labels)
    size = labels.sizes.astype(np.float64)
    root = np.sqrt(size * (labels.pool - size) / labels.pool)
    factor = root + 0.12 + 0.11 / root
    tested = []
    for name, distance in zip(names, distances, strict=True):
        score = -np.log10(np.maximum(kolmogorov(factor * distance), _TINY))

        def statistic_at(wanted: float) -> float:
            return float(min(kolmogi(10.0**-wanted) / factor[0], 1.0))

        tested.append(Tested(family, name, distance, score, float(distance[0]), statistic_at))
    return tested


def _ks_distances(ranked: npt.NDArray[np.float32], labels: Labellings) -> FloatArray:
    """Return D of shape (n_columns, n_labellings) from ranks of shape (n_columns, n_pool)."""
    size = labels.sizes.astype(np.float32)[:, None]
    rest = np.float32(labels.pool) - size
    position = np.arange(1, labels.rows.shape[1] + 1, dtype=np.float32)
    out = np.empty((ranked.shape[0], len(labels)))
    step = max(1, _BLOCK // labels.rows.size)
    for start in range(0, ranked.shape[0], step):
        part = ranked[start : start + step]
        taken = part[:, labels.rows]
        if not labels.even:
            taken[:, labels.rows < 0] = np.inf
        taken.sort(axis=2)
        # The i-th smallest batch rank r has i batch rows and r - i reference rows at or below it.
        below = np.clip((taken - position) / rest, 0.0, 1.0)
        above = np.maximum(position / size - below, below - (position - 1) / size)
        if not labels.even:
            above[:, position[None, :] > size] = 0.0
        out[start : start + step] = above.max(axis=2)
    return out


def location(family: str, names: Sequence[str], values: FloatArray, labels: Labellings) -> list[Tested]:
    """Test every column of ``values``, shape (n_pool, n_columns), for a shift by its normal scores.

    The test of van der Waerden (1952): ranks are replaced by normal quantiles, so that it is as powerful as a t-test
    on normal data and heavy tails do no harm. The statistic, and the effect, is the size of the difference of the
    mean scores of both sides, in about standard deviations.
    """
    if not len(names):
        return []
    from scipy.special import log_ndtr, ndtri

    size = labels.sizes.astype(np.float64)
    rest = labels.pool - size
    tested = []
    for name, ranked in zip(names, ranks(values), strict=True):
        scores = ndtri(ranked / (labels.pool + 1))
        scores = scores - scores.mean()
        difference = np.abs(_batch_sums(scores, labels)) * (1.0 / size + 1.0 / rest)
        error = np.sqrt(scores.var() * labels.pool / max(labels.pool - 1, 1) * (1.0 / size + 1.0 / rest))
        error = np.maximum(error, 1e-12)
        score = -(log_ndtr(-difference / error) + np.log(2.0)) / np.log(10.0)

        def statistic_at(wanted: float, error: float = float(error[0])) -> float:
            return -float(ndtri(0.5 * 10.0**-wanted)) * error

        tested.append(Tested(family, name, difference, np.asarray(score), float(difference[0]), statistic_at))
    return tested


def log_excess(distances: FloatArray) -> FloatArray:
    """Return max(0, log(distance / upper quartile)), scaled so that the median of those beyond it is 1.

    The largest few are made equal, so that two absurd reference rows do not hide five strange ones of the batch.
    """
    logs = np.log(np.maximum(distances, _TINY))
    excess = np.maximum(logs - np.quantile(logs, 0.75), 0.0)
    beyond = excess[excess > 0]
    if excess.size > _EQUALLED:
        excess = np.minimum(excess, np.partition(excess, -_EQUALLED)[-_EQUALLED])
    return np.asarray(excess / max(float(np.median(beyond)), 1e-12)) if beyond.size else excess


def far_out(family: str, name: str, excess: FloatArray, labels: Labellings) -> Tested:
    """Test for rows that are too far out, given :func:`log_excess` of their distances, shape (n_pool,).

    A few outliers in a batch hardly move a mean or a Kolmogorov-Smirnov distance. In the batch's mean excess
    rows inside count nothing, rows far out count by how far, and one absurd row does not drown the others.
    The effect is it less the pool's mean. Scores use a gamma distribution with the exact permutation mean and
    variance.
    """
    mean = _batch_sums(excess, labels) / labels.sizes
    score, statistic_at = _tail_scores(mean)
    return Tested(family, name, mean, score, float(mean[0] - excess.mean()), statistic_at)


def energy(family: str, name: str, distances: npt.NDArray[np.float32], labels: Labellings) -> Tested:
    """Energy distance (Szekely & Rizzo 2004) between batch and rest, given the pool's distances.

    The statistic is 2 E|x-y| - E|x-x'| - E|y-y'|; the effect is it over 2 E|x-y|, between 0 and 1.
    """
    inner = _within(distances, labels)
    row_sums = distances.sum(axis=1, dtype=np.float64)
    sums = _batch_sums(row_sums, labels)
    size = labels.sizes.astype(np.float64)
    rest = labels.pool - size
    between = sums - inner
    outer = row_sums.sum() - 2 * sums + inner
    mean_between = 2 * between / (size * rest)
    statistic = mean_between - inner / size**2 - outer / rest**2
    score, statistic_at = _tail_scores(statistic)
    return Tested(
        family, name, statistic, score, float(statistic[0] / max(mean_between[0], _TINY)), statistic_at
    )


def neighbours(family: str, name: str, nearest: IntArray, labels: Labellings) -> Tested:
    """Test whether the batch's rows lie next to each other: nearest neighbours (Schilling 1986).

    A handful of foreign scans may lie within the range of the reference and still stand side by side. The
    statistic is the mean number of neighbour links (to each row's nearest, both ways) between a batch
    row and other batch rows; the effect is it over the pool's mean number of links, less what chance gives, at
    most 1.
    """
    count = nearest.shape[1]
    size = labels.sizes.astype(np.float64)
    statistic = _links_within(nearest, labels) / size
    expected = 2.0 * count * (size[0] - 1) / (labels.pool - 1)
    score, statistic_at = _tail_scores(statistic)
    return Tested(
        family, name, statistic, score, float((statistic[0] - expected) / (2.0 * count)), statistic_at
    )


def together(family: str, name: str, tests: Sequence[Tested], materials: Sequence[float]) -> Tested:
    """Combine tests of one thing seen in several ways: the sum of their scores (Fisher's combination).

    A change that several tests half see is found by none of them alone. The sum is ranked under the same labellings,
    so that the tests' dependence is accounted for (Pesarin 2001, nonparametric combination). The effect is the largest
    effect in units of the size from which it matters.

    Parameters
    ----------
    tests : sequence of Tested
        Under the same labellings.
    materials : sequence of float
        Effect of each from which a difference matters.
    """
    summed = np.sum([t.score for t in tests], axis=0)
    score, statistic_at = _tail_scores(summed)
    effect = max(t.effect / m for t, m in zip(tests, materials, strict=True))
    return Tested(family, name, summed, score, float(effect), statistic_at)


def _within(distances: npt.NDArray[np.float32], labels: Labellings) -> FloatArray:
    """Sum of all distances inside each labelling's batch."""
    pool, largest = labels.pool, labels.rows.shape[1]
    out = np.empty(len(labels))
    if largest**2 * 150 < pool**2:  # few entries are gathered sooner than the whole matrix is multiplied
        step = max(1, _BLOCK // largest**2)
        for start in range(0, len(labels), step):
            rows = labels.rows[start : start + step]
            block = distances[rows[:, :, None], rows[:, None, :]]
            if not labels.even:
                block *= (rows >= 0)[:, :, None] & (rows >= 0)[:, None, :]
            out[start : start + step] = block.sum(axis=(1, 2))
        return out
    step = max(1, _BLOCK // pool)
    for start in range(0, len(labels), step):
        member = _membership(labels.rows[start : start + step], pool)
        out[start : start + step] = np.einsum("ij,ij->j", distances @ member, member)
    return out


def _links_within(nearest: IntArray, labels: Labellings) -> FloatArray:
    """Count links, both ways, inside each labelling's batch: every row links to ``nearest``, shape (n_pool, n)."""
    out = np.empty(len(labels))
    step = max(1, _BLOCK // nearest.size)
    for start in range(0, len(labels), step):
        member = _membership(labels.rows[start : start + step], labels.pool) > 0
        both = member[:, None, :] & member[nearest]
        out[start : start + step] = 2.0 * both.sum(axis=(0, 1))
    return out


def _membership(rows: IntArray, pool: int) -> npt.NDArray[np.float32]:
    member = np.zeros((pool + 1, rows.shape[0]), dtype=np.float32)
    member[rows.T, np.arange(rows.shape[0])] = 1.0  # padding (-1) falls into the last row
    return member[:-1]


def _batch_sums(values: FloatArray, labels: Labellings) -> FloatArray:
    return np.asarray(np.append(values, 0.0)[labels.rows].sum(axis=1))


def chi_squared(family: str, name: str, codes: IntArray, labels: Labellings) -> Tested:
    """Chi-squared test of a category (``codes`` 0..k-1, shape (n_pool,)), its p-value by permutation.

    The statistic is Pearson's; the effect is Cramer's V.
    """
    from scipy.special import chdtrc, chdtri

    levels = int(codes.max()) + 1
    size = labels.sizes.astype(np.float64)[:, None]
    totals = np.bincount(codes, minlength=levels).astype(np.float64)
    counts = np.stack(
        [_batch_sums((codes == level).astype(float), labels) for level in range(levels)], axis=1
    )
    expected = size * totals / labels.pool
    statistic = np.asarray(
        ((counts - expected) ** 2 / np.maximum(expected * (1 - size / labels.pool), _TINY)).sum(axis=1)
    )
    freedom = max(levels - 1, 1)
    score = -np.log10(np.maximum(chdtrc(freedom, statistic), _TINY))
    effect = float(np.sqrt(statistic[0] / labels.pool))

    def statistic_at(wanted: float) -> float:
        return float(chdtri(freedom, 10.0**-wanted))

    return Tested(family, name, statistic, score, effect, statistic_at)


def _tail_scores(statistic: FloatArray) -> tuple[FloatArray, Callable[[float], float]]:
    """Scores of a statistic without a known distribution: its ranks, and an exponential tail beyond the last
    few.

    Ranks alone end at one over the number of labellings, where a huge difference in one test would tie with
    the largest chance value of every other. Medians decide the tail, so that one extreme value (the observed
    one, when there is drift) does not bend the scale.
    """
    count = statistic.size
    ordered = np.sort(statistic)
    tail = max(_TAIL, count // 200)
    start = float(ordered[-tail])
    beyond = ordered[ordered > start] - start
    spread = float(np.median(beyond)) if beyond.size else 1.0
    rate = float(np.log10(2.0)) / max(spread, _TINY)
    first = float(np.log10(count / tail))
    reached = count - np.searchsorted(ordered, statistic, side="left")
    above = np.maximum(statistic - start, 0.0)
    score = np.where(above > 0, first + rate * above, np.log10(count / np.maximum(reached, 1)))

    def statistic_at(wanted: float) -> float:
        if wanted > first:
            return start + (wanted - first) / rate
        return float(ordered[max(count - int(np.floor(count * 10.0**-wanted + 1e-9)), 0)])

    return np.asarray(score), statistic_at
