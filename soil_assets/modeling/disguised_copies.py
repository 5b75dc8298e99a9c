"""Batches that hold benchmark soils in disguise: measured again, with noise, offset, tilt or a shifted axis.

Belongs here: the space in which a disguise weighs little and the difference of two soils much, and the evidence of a
whole batch in it. Does not belong here: copies of one scan, ids and profiles (``leakage``).

One disguised copy among soils that lie close together may look like one more soil; several in one batch do not. Each
row of a batch that lies as near to a benchmark soil as noise could leave it gets the ratio of its distances to the
nearest and to the second nearest benchmark soil, and that ratio its rank among those of the golden reference, whose
soils are no copies. Smallest ranks of a batch, one per benchmark soil, are not below those of uniform numbers when its
soils are no copies either (order statistics; Berk & Jones 1979, Z. Wahrscheinlichkeitstheorie 47, 47). Soils that
resemble each other and one soil of the benchmark are one such rank, not many.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput

FloatArray = npt.NDArray[np.float64]

#: Standard deviation of the noise that a disguise may add, in absorbance: white, and smooth over these shares of the
#: axis. Offset and tilt weigh nothing at any size, a shift of the axis nothing as far as it is linear.
NOISE = 0.004
_LENGTHS = (0.01, 0.02, 0.05, 0.1)
_BANDS = 150
#: Directions in which soils differ less than this, in variances of the noise, tell nothing.
_LEAST_SIGNAL = 0.05
#: Rows from which the space is fitted, at most, and the neighbours whose differences it keeps apart.
_MOST_ROWS, _NEIGHBOURS = 1000, 3
#: Fewest soils whose ratios tell what is usual, and fewest benchmark soils to have a second nearest of.
FEWEST_USUAL, FEWEST_BENCHMARK = 20, 5
#: Of a batch, so many smallest ranks are looked at.
_MOST_RANKS = 12
#: Share of batches without a copy that may be called suspicious.
FALSE_ALARM_RATE = 1e-4
#: Rows of a suspicious batch are named when their ratio is among this share of the usual ones.
_CLOSE = 0.05
_CHUNK_ROWS = 20_000
#: Name of all batches together: copies may be spread over several.
ALL_BATCHES = "all batches together"


@dataclass(frozen=True, eq=False)
class Suspicion:
    """Rows of a batch that lie suspiciously close to one benchmark soil each.

    Parameters
    ----------
    batch : str
    rows, soils : ndarray of int
        Of the training set, and the benchmark row that each is nearest to.
    ratios : ndarray
        Distance to that soil over the distance to the second nearest.
    probability : float
        Of the whole batch, see :func:`batch_probability`.
    """

    batch: str
    rows: npt.NDArray[np.intp]
    soils: npt.NDArray[np.intp]
    ratios: FloatArray
    probability: float


def suspicions(
    training: FloatArray,
    batches: npt.NDArray[np.object_],
    benchmark: FloatArray,
    soils: npt.NDArray[np.intp],
    reference: str = "reference",
) -> list[Suspicion]:
    """Batches of a training set that hold disguised copies of benchmark soils; their union counts as one more.

    Parameters
    ----------
    training, benchmark : ndarray, shape (n_scans, n_bands)
        Absorbance on one axis.
    batches : ndarray of object, shape (n_training,)
        Batch of each training row.
    soils : ndarray of int, shape (n_benchmark,)
        Soil of each benchmark row.
    reference : str
        The batch whose soils are no copies.

    Returns
    -------
    list of Suspicion
        Empty, too, where fewer than ``FEWEST_USUAL`` reference rows or ``FEWEST_BENCHMARK`` benchmark soils tell what
        is usual: ask :func:`can_judge`.
    """
    usual_rows = np.flatnonzero(batches == reference)
    if not can_judge(usual_rows.size, np.unique(soils).size):
        return []
    space = CopySpace.fit(np.concatenate([benchmark, training[usual_rows]]))
    ratios, nearest = np.empty(len(training)), np.empty(len(training), dtype=np.intp)
    near = np.empty(len(training), dtype=bool)
    for start in range(0, len(training), _CHUNK_ROWS):
        part = slice(start, start + _CHUNK_ROWS)
        distances = space.distances(training[part], benchmark)
        ratios[part], nearest[part] = nearest_ratios(distances, soils)
        near[part] = distances.min(axis=1) <= space.reach
    own, _ = nearest_ratios(space.distances(benchmark, benchmark), soils, soils)
    usual = np.concatenate([ratios[usual_rows], own])
    names = list(dict.fromkeys(batches[batches != reference]))
    groups = {name: np.flatnonzero(batches == name) for name in names}
    if len(groups) > 1:
        groups[ALL_BATCHES] = np.flatnonzero(batches != reference)
    suspicious = []
    for name, rows in groups.items():
        smallest = np.ones(int(soils.max()) + 1)
        np.minimum.at(smallest, soils[nearest[rows]], np.where(near[rows], ratios[rows], 1.0))
        probability = batch_probability(smallest[smallest < 1.0], usual, rows.size)
        if probability < FALSE_ALARM_RATE:
            close = rows[near[rows] & (ratios[rows] <= np.quantile(usual, _CLOSE))]
            suspicious.append(Suspicion(str(name), close, nearest[close], ratios[close], probability))
    return suspicious


def can_judge(reference_rows: int, benchmark_soils: int) -> bool:
    """Whether there are enough soils to tell what is usual."""
    return reference_rows >= FEWEST_USUAL and benchmark_soils >= FEWEST_BENCHMARK


@dataclass(frozen=True, eq=False)
class CopySpace:
    """Linear map under which a distance is a likelihood ratio of 'another soil' against 'a disguised copy'.

    Parameters
    ----------
    vectors : ndarray, shape (n_bands_averaged, n_dimensions)
        Generalised eigenvectors of the differences between neighbouring soils against the noise, weighted by
        ``sqrt(v / (1 + v))`` of their eigenvalue ``v``; orthogonal to offset and tilt.
    reach : float
        Distance within which a disguise leaves a copy, with twice the noise.
    """

    vectors: FloatArray
    reach: float

    @classmethod
    def fit(cls, soils: FloatArray) -> CopySpace:
        """Fit the space to absorbance spectra of distinct soils, shape (n_soils, n_bands).

        Raises
        ------
        BadInput
            When there are too few soils.
        """
        if len(soils) < FEWEST_BENCHMARK:
            raise BadInput(
                "too few soils to tell a disguised copy from another soil",
                found=str(len(soils)),
                expected=f"at least {FEWEST_BENCHMARK}",
            )
        from scipy.linalg import eigh

        step = -(-len(soils) // _MOST_ROWS)
        averaged = _averaged(soils[::step])
        bands = averaged.shape[1]
        noise = _noise(bands, soils.shape[1])
        whitened = averaged @ np.linalg.cholesky(np.linalg.inv(noise))
        squared = _squared(whitened, whitened)
        np.fill_diagonal(squared, np.inf)
        nearest = np.argsort(squared, axis=1)[:, : min(_NEIGHBOURS, len(averaged) - 1)]
        differences = (averaged[:, None, :] - averaged[nearest]).reshape(-1, bands)
        values, vectors = eigh(differences.T @ differences / len(differences), noise)
        telling = values > _LEAST_SIGNAL
        values, vectors = values[telling], vectors[:, telling]
        weights = values / (1.0 + values)
        return cls(vectors * np.sqrt(weights), 2.0 * float(np.sqrt(weights.sum())))

    def distances(self, rows: FloatArray, soils: FloatArray) -> FloatArray:
        """Distance of each row from each soil, whatever their offset, tilt and shift; shape (n_rows, n_soils)."""
        ours, theirs = self._map(rows), self._map(soils)
        shifts = self._map(np.gradient(soils, axis=1))
        lengths = np.linalg.norm(shifts, axis=1, keepdims=True)
        shifts = np.divide(shifts, lengths, out=np.zeros_like(shifts), where=lengths > 0)
        along = ours @ shifts.T - (theirs * shifts).sum(axis=1)
        squared: FloatArray = np.maximum(_squared(ours, theirs) - along**2, 0.0)
        return np.sqrt(squared)

    def _map(self, spectra: FloatArray) -> FloatArray:
        mapped: FloatArray = _averaged(spectra) @ self.vectors
        bands = self.vectors.shape[0]
        line = np.stack([np.ones(bands), np.linspace(-1.0, 1.0, bands)]) @ self.vectors
        basis, _ = np.linalg.qr(line.T)
        mapped -= (mapped @ basis) @ basis.T
        return mapped


def nearest_ratios(
    distances: FloatArray, soils: npt.NDArray[np.intp], own: npt.NDArray[np.intp] | None = None
) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Ratio of each row's distances to its nearest and its second nearest soil, and the column of the nearest.

    Parameters
    ----------
    distances : ndarray, shape (n_rows, n_scans)
    soils : ndarray of int, shape (n_scans,)
        Soil of each column: replicate scans of one are one neighbour.
    own : ndarray of int, shape (n_rows,), optional
        Soil of each row, which is not its own neighbour.
    """
    table = distances.copy()
    if own is not None:
        table[own[:, None] == soils[None, :]] = np.inf
    nearest = np.argmin(table, axis=1)
    rows = np.arange(len(table))
    first = table[rows, nearest]
    table[soils[nearest][:, None] == soils[None, :]] = np.inf
    second = table.min(axis=1)
    ratios = np.divide(first, second, out=np.ones_like(first), where=np.isfinite(second) & (second > 0))
    return ratios, nearest


def batch_probability(ratios: FloatArray, usual: FloatArray, n_rows: int) -> float:
    """Probability of so many so small ratios in a batch of soils that are no copies, over all numbers looked at.

    Parameters
    ----------
    ratios : ndarray, shape (n,)
        The smallest of the batch, at most one per benchmark soil.
    n_rows : int
        Of the batch.
    usual : ndarray, shape (n,)
        Of soils that are no copies.
    """
    from scipy.special import betainc

    ranks = np.sort(_ranks(ratios, usual))[:_MOST_RANKS]
    if not ranks.size:
        return 1.0
    k = np.arange(1, ranks.size + 1)
    probabilities = betainc(k, n_rows - k + 1, ranks)
    return float(min(1.0, probabilities.min() * ranks.size))


def _ranks(ratios: FloatArray, usual: FloatArray) -> FloatArray:
    """Share of usual ratios that are as small; below all of them by the tail of a Weibull distribution, bounded."""
    order = np.sort(usual)
    ranks = (np.searchsorted(order, ratios, side="right") + 1.0) / (order.size + 1.0)
    low, middle = np.quantile(order, [0.15, 0.5])
    shape = np.log(np.log1p(-0.15) / np.log1p(-0.5)) / np.log(max(low, 1e-12) / max(middle, 1e-12))
    if np.isfinite(shape) and shape > 0:
        tail = -np.expm1(np.log1p(-0.5) * (ratios / middle) ** shape)
        least = 0.1 / (order.size + 1.0)
        ranks = np.where(ratios < order[0], np.clip(tail, least, ranks), ranks)
    return np.asarray(np.minimum(ranks, 1.0), dtype=np.float64)


def _noise(bands: int, original: int) -> FloatArray:
    """Covariance of a disguise on averaged bands: white and smooth noise, any offset and tilt."""
    position = np.arange(bands)
    apart = (position[:, None] - position[None, :]) ** 2
    covariance = NOISE**2 * max(bands / original, 1e-3) * np.eye(bands)
    for length in _LENGTHS:
        covariance += 2.0 / len(_LENGTHS) * NOISE**2 * np.exp(-apart / (4.0 * (length * bands) ** 2))
    line = np.stack([np.ones(bands), np.linspace(-1.0, 1.0, bands)])
    return np.asarray(covariance + line.T @ line, dtype=np.float64)


def _averaged(spectra: FloatArray) -> FloatArray:
    if spectra.shape[1] <= _BANDS:
        return np.asarray(spectra, dtype=np.float64)
    edges = np.linspace(0, spectra.shape[1], _BANDS + 1).astype(int)
    sums = np.add.reduceat(np.asarray(spectra, dtype=np.float64), edges[:-1], axis=1)
    return np.asarray(sums / np.diff(edges), dtype=np.float64)


def _squared(a: FloatArray, b: FloatArray) -> FloatArray:
    squared: FloatArray = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2.0 * a @ b.T
    return np.maximum(squared, 0.0)
