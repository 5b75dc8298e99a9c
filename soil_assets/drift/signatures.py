"""Known ways in which an instrument or a sample goes wrong, as directions in absorbance.

Belongs here: the directions, and how strongly each scan shows one (a matched filter).
Does not belong here: the wording of a likely cause (``words``).

A direction of small absorbance can be invisible in a component space of soils and yet be the one thing that
an instrument changes. The filter weighs every direction by how little soils vary along it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from soil_assets.drift.space import pooled_space
from soil_assets.spectra.axis import Axis, AxisUnit

FloatArray = npt.NDArray[np.float64]

#: Liquid water as (position, standard deviation, height relative to the strongest). Positions are the maxima and
#: widths those of Gaussians with the half-widths in the table of absorption coefficients of Hale & Querry (1973), Appl.
#: Opt. 12, 555. Heights are square roots of the ratios of those coefficients (per cm: 12694 at 2950 nm, 2699 at 6100,
#: 420 at 4700, 3368 at 15000; 120 at 1940, 28.8 at 1450, 1.04 at 1190, 0.45 at 970 nm): diffuse reflectance compresses
#: strong bands, and log(1/R) of a scattering powder goes about with the square root of absorption (Kubelka & Munk
#: 1931, for small absorption).
WATER_BANDS: Mapping[AxisUnit, tuple[tuple[float, float, float], ...]] = {
    "cm-1": ((3390.0, 170.0, 1.0), (1640.0, 40.0, 0.46), (2128.0, 130.0, 0.18), (670.0, 150.0, 0.52)),
    "nm": ((1940.0, 45.0, 1.0), (1450.0, 45.0, 0.49), (1190.0, 35.0, 0.09), (970.0, 30.0, 0.06)),
}
#: Components of the weighting; more than in the score space, for the filter lives on small directions.
_MAX_COMPONENTS = 100
_ROWS_PER_COMPONENT = 3


@dataclass(frozen=True)
class Signature:
    """A known change.

    Parameters
    ----------
    name : str
        Short name, also in reports.
    unit : str
        Unit of the amount that the filter estimates.
    plausible : float
        An amount beyond this is no such change: other soils that happen to lie in its direction.
    """

    name: str
    unit: str
    plausible: float


SIGNATURES = (
    Signature("water", "absorbance at the main water band", 1.0),
    Signature("offset", "absorbance", 0.5),
    Signature("tilt", "absorbance from one end to the other", 0.5),
    Signature("gain", "share of absorbance", 0.5),
    Signature("stray light", "share of the signal", 0.1),
    Signature("shift", "channels", 15.0),
)


def water_spectrum(axis_values: FloatArray, unit: AxisUnit) -> FloatArray:
    """Absorbance difference of added water, scaled to 1 at its strongest band, shape (n_bands,)."""
    position = np.asarray(axis_values, dtype=np.float64)
    bands = WATER_BANDS[unit]
    return np.asarray(sum(h * np.exp(-0.5 * ((position - c) / s) ** 2) for c, s, h in bands))


def water_bands(axis_values: FloatArray, unit: AxisUnit) -> FloatArray:
    """Water's bands one by one, with their change by position and by width, shape (3 x n_bands_seen, n_positions)."""
    x = np.asarray(axis_values, dtype=np.float64)
    rows = []
    for centre, width, _ in WATER_BANDS[unit]:
        if x.min() <= centre <= x.max():
            z = (x - centre) / width
            band = np.exp(-0.5 * z**2)
            rows += [band, z * band, z**2 * band]
    return np.array(rows) if rows else water_spectrum(x, unit)[None, :]


def directions(mean: FloatArray, positions: FloatArray, axis: Axis) -> FloatArray:
    """Return the change of binned absorbance by one unit of each signature, shape (n_signatures, n_bins).

    Parameters
    ----------
    mean : ndarray, shape (n_bins,)
        Mean absorbance that the change applies to.
    positions : ndarray, shape (n_bins,)
        Axis positions of the bins.
    axis : Axis
        Of the scans before binning; its step is the channel of a shift.
    """
    channels = np.abs(positions - positions[0]) / axis.step
    ramp = np.linspace(-0.5, 0.5, positions.size)
    stray = -(np.power(10.0, np.clip(mean, -1.0, 6.0)) - 1.0) / np.log(10.0)
    return np.stack(
        [
            water_spectrum(positions, axis.unit),
            np.ones_like(mean),
            ramp if axis.ascending else -ramp,
            mean,
            stray,
            -np.gradient(mean, channels),
        ]
    )


def filtered(raw: FloatArray, positions: FloatArray, axis: Axis) -> FloatArray:
    """Estimate how much of each signature each row of a pool shows against the pool's mean.

    Generalised least squares with the pool's own covariance: w' S^-1 (x - mean) / (w' S^-1 w).

    Parameters
    ----------
    raw : ndarray, shape (n_rows, n_bins)
        Binned absorbance of the pool.
    positions, axis
        As for :func:`directions`.

    Returns
    -------
    ndarray, shape (n_rows, n_signatures)
        In the signatures' units; zero where the pool does not vary.
    """
    mean = raw.mean(axis=0)
    weighting = Weighting.fit(raw - mean)
    if weighting is None:
        return np.zeros((raw.shape[0], len(SIGNATURES)))
    weighted = weighting.apply(directions(mean, positions, axis))
    energy = np.einsum("ij,ij->i", weighted, directions(mean, positions, axis))
    return np.asarray((raw - mean) @ weighted.T / np.maximum(energy, 1e-300))


@dataclass(frozen=True, eq=False)
class Weighting:
    """The inverse of a covariance: its largest components and an even remainder (Tipping & Bishop 1999).

    Parameters
    ----------
    loadings : ndarray, shape (n_components, n_bins)
    variances : ndarray, shape (n_components,)
    remainder : float
        Variance along every other direction.
    """

    loadings: FloatArray
    variances: FloatArray
    remainder: float

    @classmethod
    def fit(cls, centred: FloatArray) -> Weighting | None:
        """Fit to centred rows, shape (n_rows, n_bins); None when nothing varies."""
        rows, columns = centred.shape
        count = max(1, min(_MAX_COMPONENTS, rows // _ROWS_PER_COMPONENT, columns - 1))
        space = pooled_space(centred, count)
        if space is None:
            return None
        remainder = max(float(space.q.mean()) / max(columns - space.variances.size, 1), 1e-14)
        return cls(space.loadings, space.variances, remainder)

    def apply(self, vectors: FloatArray) -> FloatArray:
        """Return S^-1 v for every row v of ``vectors``; nothing of size n_bins x n_bins is built."""
        inside = vectors @ self.loadings.T
        weight = 1.0 / self.variances - 1.0 / self.remainder
        return np.asarray((inside * weight) @ self.loadings + vectors / self.remainder)
