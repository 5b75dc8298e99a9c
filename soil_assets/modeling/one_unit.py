"""Whether a target is in one unit throughout: g/kg among percent, mg/kg among g/kg.

Belongs here: telling a slip of the unit from a wide range of values, by spectra. Does not belong here: converting
(``spectra.catalogue``), limits of single values (``quality``).

Soils with like spectra have like values. The ratio of a sample's value to its spectral neighbours' is therefore
around 1, however wide the range of the whole set is. Where some values are in another unit, ratios near the
factor between the units become frequent while those half-way (on the logarithmic scale) stay rare: a second peak.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.modeling.kernels import squared_distances
from soil_assets.modeling.pretreatment import chain, snv

FloatArray = npt.NDArray[np.float64]

#: Factors between units of one property: percent and g/kg, g/kg and mg/kg.
FACTORS = (10.0, 1000.0)
_NEIGHBOURS = 5
_SCORES = 10
_MOST = 2000
_NEAR = 0.15  # decades around a factor that still count as the factor
_LEAST_SHARE = 0.04  # of ratios near the factor
_LEAST_ROWS = 3


@dataclass(frozen=True, eq=False)
class SecondUnit:
    """What gave it away.

    Parameters
    ----------
    factor : float
    rows : ndarray of int64
        Positions of the samples that are apart from their neighbours by the factor.
    looked_at : int
        Number of samples looked at.
    """

    factor: float
    rows: npt.NDArray[np.int64]
    looked_at: int


def second_unit(spectra: FloatArray, values: FloatArray, seed: int) -> SecondUnit | None:
    """Look for a second unit among values of samples with their spectra.

    Parameters
    ----------
    spectra : ndarray, shape (n, n_bands)
    values : ndarray, shape (n,)
        In the unit that they are said to be in; values that are not positive are left out.
    seed : int
        Of the sample of 2,000 that is looked at where there are more.

    Returns
    -------
    SecondUnit or None
    """
    rows = np.flatnonzero(np.isfinite(values) & (values > 0.0))
    if rows.size > _MOST:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _MOST, replace=False))
    if rows.size < 4 * _NEIGHBOURS:
        return None
    treated = chain(snv()).apply(spectra[rows])
    fine = np.isfinite(treated).all(axis=1)
    rows, treated = rows[fine], treated[fine]
    if rows.size < 4 * _NEIGHBOURS:
        return None
    left, size, _ = np.linalg.svd(treated - treated.mean(axis=0), full_matrices=False)
    scores = left[:, :_SCORES] * size[:_SCORES]
    squared = squared_distances(scores, scores)
    np.fill_diagonal(squared, np.inf)
    neighbours = np.argpartition(squared, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS]
    logs = np.log10(values[rows])
    ratios = logs[:, None] - logs[neighbours]
    for factor in FACTORS:
        decades = np.log10(factor)
        peak = np.abs(np.abs(ratios) - decades) < _NEAR
        valley = np.abs(np.abs(ratios) - 0.6 * decades) < _NEAR
        if peak.mean() < _LEAST_SHARE or peak.sum() < 3 * valley.sum():
            continue
        apart = np.flatnonzero(np.abs(np.median(ratios, axis=1)) > 0.7 * decades)
        if apart.size >= _LEAST_ROWS:
            return SecondUnit(factor, rows[apart].astype(np.int64), int(rows.size))
    return None


def check_one_unit(
    spectra: FloatArray, values: FloatArray, column: str, rows: npt.NDArray[np.int64], seed: int
) -> None:
    """Refuse a target of which some values are in another unit.

    Parameters
    ----------
    spectra, values
        Of the samples that are trained on.
    column : str
    rows : ndarray of int64
        Their rows in the batch, to name them.
    seed : int

    Raises
    ------
    BadInput
    """
    found = second_unit(spectra, values, seed)
    if found is None:
        return
    first = ", ".join(str(int(r) + 1) for r in rows[found.rows[:5]])
    raise BadInput(
        f"values of {column} seem to be in two units",
        row=int(rows[found.rows[0]]) + 1,
        column=column,
        found=f"{found.rows.size} of {found.looked_at} samples are about {found.factor:g} times apart from samples "
        f"with like spectra (rows {first}{' ...' if found.rows.size > 5 else ''})",
        expected="one unit throughout",
        mend="bring those values into the unit of the others, batch by batch",
    )
