"""Per-scan features that drift is looked for in: each is computed from one scan alone.

Belongs here: fixed treatments (scatter correction, derivative, binning) and summaries of a scan.
Does not belong here: anything fitted to data. Because no number here is learnt from the reference, a
reference scan and a new scan are treated alike, and tests built on these features keep their stated error
rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch

FloatArray = npt.NDArray[np.float64]

#: Bins after averaging neighbouring bands. Soil bands are tens of channels wide, so little is lost, and the
#: cost of everything downstream no longer depends on the instrument's resolution.
MAX_BINS = 300
#: Reflectance below this has no usable logarithm.
_FLOOR = 1e-4
#: Half-width of the derivative's least-squares line, in channels.
_HALF_WIDTH = 5
#: Variance gain of a fourth difference of white noise: the sum of squares of 1, -4, 6, -4, 1.
_FOURTH_DIFFERENCE_GAIN = 70.0
_MAD_TO_SD = 0.6744897501960817

#: Names of the columns of :attr:`Features.summaries`.
SUMMARIES = ("level", "scatter", "slope", "curvature", "noise low", "noise middle", "noise high")


@dataclass(frozen=True, eq=False)
class Features:
    """What a scan looks like to the drift tests.

    Parameters
    ----------
    raw : ndarray, shape (n_scans, n_bins)
        Binned absorbance; where offsets, water and gain are visible.
    broad : ndarray, shape (n_scans, n_bins)
        Binned spectra after standard normal variate (SNV): shape without path length.
    sharp : ndarray, shape (n_scans, n_bins)
        Binned first derivative of the SNV spectra: narrow bands and their positions.
    summaries : ndarray, shape (n_scans, len(SUMMARIES))
        Level (mean absorbance), scatter (its standard deviation along the axis), slope and curvature over the
        axis, and the natural logarithm of the noise in the thirds of the axis from low to high position.
    """

    raw: FloatArray
    broad: FloatArray
    sharp: FloatArray
    summaries: FloatArray

    def __len__(self) -> int:
        return len(self.raw)

    def take(self, rows: npt.NDArray[np.intp]) -> Features:
        """Return the features of ``rows``."""
        return Features(self.raw[rows], self.broad[rows], self.sharp[rows], self.summaries[rows])

    def joined(self, other: Features) -> Features:
        """Return these scans' features and below them those of others."""
        return Features(
            np.concatenate([self.raw, other.raw]),
            np.concatenate([self.broad, other.broad]),
            np.concatenate([self.sharp, other.sharp]),
            np.concatenate([self.summaries, other.summaries]),
        )


def features(batch: SpectralBatch) -> Features:
    """Compute the features of every scan; all values must be finite."""
    parts = [_features(batch.take(rows), bin_edges(batch.axis)) for rows in _chunks(len(batch))]
    return Features(
        np.concatenate([p.raw for p in parts]),
        np.concatenate([p.broad for p in parts]),
        np.concatenate([p.sharp for p in parts]),
        np.concatenate([p.summaries for p in parts]),
    )


def bin_edges(axis: Axis) -> npt.NDArray[np.intp]:
    """Return the first band of each bin, shape (n_bins,): equal counts of bands, at most :data:`MAX_BINS`."""
    width = -(-len(axis) // MAX_BINS)
    return np.arange(0, len(axis), width, dtype=np.intp)


def bin_positions(axis: Axis) -> FloatArray:
    """Return the mean axis position of each bin, shape (n_bins,)."""
    return np.asarray(_bin(axis.values[None, :], bin_edges(axis))[0])


def absorbance(batch: SpectralBatch) -> FloatArray:
    """Return log10(1/R) as float64, whatever the batch's quantity and scale."""
    spectra = batch.spectra.astype(np.float64)
    if batch.quantity == "absorbance":
        return spectra
    if batch.scale == "percent":
        spectra /= 100.0
    return np.asarray(-np.log10(np.maximum(spectra, _FLOOR)))


def snv(spectra: FloatArray) -> FloatArray:
    """Standard normal variate (Barnes et al. 1989): each scan centred and scaled by itself.

    A flat scan becomes 0.
    """
    centred = spectra - spectra.mean(axis=1, keepdims=True)
    scale = np.sqrt(np.mean(centred**2, axis=1, keepdims=True))
    return np.asarray(centred / np.where(scale > 0, scale, 1.0))


def derivative(spectra: FloatArray) -> FloatArray:
    """First derivative by band: slope of a least-squares line over 11 channels (Savitzky & Golay 1964)."""
    half = min(_HALF_WIDTH, (spectra.shape[1] - 1) // 2)
    offsets = np.arange(-half, half + 1)
    padded = np.pad(spectra, ((0, 0), (half, half)), mode="edge")
    width = spectra.shape[1]
    slope = np.zeros_like(spectra)
    for k, offset in enumerate(offsets):  # 11 shifted views, not a loop over bands
        slope += offset * padded[:, k : k + width]
    return np.asarray(slope / float(np.sum(offsets**2)))


def noise(spectra: FloatArray) -> FloatArray:
    """Noise standard deviation of each scan in the thirds of the band order, shape (n_scans, 3).

    The median absolute fourth difference between neighbouring bands, scaled to the standard deviation of
    white noise: soil bands are too wide to leave a trace in a fourth difference.
    """
    if spectra.shape[1] < 15:
        return np.full((spectra.shape[0], 3), np.nan)
    differences = np.abs(np.diff(spectra, 4, axis=1))
    thirds = np.array_split(np.arange(differences.shape[1]), 3)
    medians = [np.median(differences[:, third], axis=1) for third in thirds]
    return np.asarray(np.stack(medians, axis=1) / (_MAD_TO_SD * np.sqrt(_FOURTH_DIFFERENCE_GAIN)))


def _features(batch: SpectralBatch, edges: npt.NDArray[np.intp]) -> Features:
    spectra = absorbance(batch)
    normal = snv(spectra)
    position = np.linspace(-1.0, 1.0, spectra.shape[1]) * (1.0 if batch.axis.ascending else -1.0)
    # Legendre polynomials: slope and curvature do not share what the level already says.
    slope = spectra @ position / np.sum(position**2)
    bow = 1.5 * position**2 - 0.5
    bow -= bow.mean()
    curvature = spectra @ bow / np.sum(bow**2)
    sigma = noise(spectra)
    if not batch.axis.ascending:
        sigma = sigma[:, ::-1]
    # Spectra stored with few digits can have a fourth difference of exactly zero; one digit of float32 is the
    # least.
    summaries = np.column_stack(
        [spectra.mean(axis=1), spectra.std(axis=1), slope, curvature, np.log(np.maximum(sigma, 1e-8))]
    )
    return Features(_bin(spectra, edges), _bin(normal, edges), _bin(derivative(normal), edges), summaries)


def _bin(values: FloatArray, edges: npt.NDArray[np.intp]) -> FloatArray:
    counts = np.diff(np.append(edges, values.shape[1]))
    return np.asarray(np.add.reduceat(values, edges, axis=1) / counts)


def _chunks(count: int, size: int = 2048) -> list[npt.NDArray[np.intp]]:
    return [np.arange(start, min(start + size, count)) for start in range(0, max(count, 1), size)]
