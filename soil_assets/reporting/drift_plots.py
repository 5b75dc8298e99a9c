"""Pictures of a batch against a reference profile.

Belongs here: drawing what ``drift`` computed. Does not belong here: deciding anything. The style, and the
promise of small files with the same bytes for the same data, are those of ``plots``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from soil_assets.drift.features import bin_positions, features
from soil_assets.reporting.canvas import BLUE, GREY, INK, ORANGE, cut, png
from soil_assets.spectra.batch import SpectralBatch

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from soil_assets.drift.control_charts import CheckChart
    from soil_assets.drift.history import History
    from soil_assets.drift.profile import ReferenceProfile
    from soil_assets.drift.report import Band

FloatArray = npt.NDArray[np.float64]

#: Points drawn at most; more only blacken the picture.
_POINTS = 600


def envelope(profile: ReferenceProfile, batch: SpectralBatch, bands: tuple[Band, ...] = ()) -> bytes:
    """Draw the reference's 5-95 % envelope with the batch's median and 5-95 % range over it.

    Parameters
    ----------
    profile : ReferenceProfile
        The reference.
    batch : SpectralBatch
        On the profile's axis and quantity; scans with missing values are left out.
    bands : tuple of Band
        Stretches to shade, as a report names them.

    Returns
    -------
    bytes
        PNG.
    """
    profile.check_comparable(batch)
    spectra = batch.spectra[np.isfinite(batch.spectra).all(axis=1)].astype(np.float64)

    def draw(ax: Axes) -> None:
        x = profile.axis.values
        for band in bands:
            ax.axvspan(band.low, band.high, color=ORANGE, alpha=0.12, linewidth=0)
        ax.fill_between(
            x, profile.envelope[0], profile.envelope[-1], color=GREY, alpha=0.45, linewidth=0,
            label=f"reference 5-95 % (n = {profile.n})",
        )  # fmt: skip
        ax.plot(x, profile.envelope[2], color=INK, linewidth=1.1, label="reference median")
        if len(spectra):
            low, middle, high = np.quantile(spectra, (0.05, 0.5, 0.95), axis=0)
            ax.plot(x, middle, color=ORANGE, linewidth=1.5, label=f"batch median (n = {len(spectra)})")
            ax.plot(x, low, color=ORANGE, linewidth=0.8, linestyle="--", label="batch 5-95 %")
            ax.plot(x, high, color=ORANGE, linewidth=0.8, linestyle="--")
        _spectral_axis(ax, profile)
        ax.set_ylabel(profile.quantity.capitalize())
        ax.set_title("Spectra: batch against reference")
        ax.legend(loc="best", fontsize=8)

    return png(draw)


def scores(profile: ReferenceProfile, batch: SpectralBatch) -> bytes:
    """Draw the two components of the profile's frozen space on which the batch differs most.

    Returns
    -------
    bytes
        PNG; the axes are in standard deviations of the reference.
    """
    profile.check_comparable(batch)
    usable = batch.take(np.isfinite(batch.spectra).all(axis=1))
    known = profile.scores(profile.features)
    new = profile.scores(features(usable)) if len(usable) else np.empty((0, known.shape[1]))
    first, second = _most_different(known, new)

    def draw(ax: Axes) -> None:
        for values, marker, colour, label in (
            (_thinned(known), "o", GREY, f"reference (n = {profile.n})"),
            (_thinned(new), "^", BLUE, f"batch (n = {len(usable)})"),
        ):
            ax.scatter(
                values[:, first],
                values[:, second],
                s=18,
                marker=marker,
                color=colour,
                alpha=0.8,
                linewidth=0,
                label=label,
            )
        ax.axhline(0, color=INK, linewidth=0.5)
        ax.axvline(0, color=INK, linewidth=0.5)
        ax.set_xlabel(f"Component {first + 1} (reference sd)")
        ax.set_ylabel(f"Component {second + 1} (reference sd)")
        ax.set_title("Component scores: batch against reference")
        ax.legend(loc="best", fontsize=8)

    return png(draw)


def _most_different(known: FloatArray, new: FloatArray) -> tuple[int, int]:
    """Return the two components with the largest Kolmogorov-Smirnov distance, the first two without a batch."""
    count = known.shape[1]
    if count < 2 or not len(new):
        return 0, min(1, count - 1)
    both = np.concatenate([known, new])
    order = np.argsort(both, axis=0, kind="stable")
    steps = np.where(order < len(known), 1.0 / len(known), -1.0 / len(new))
    distance = np.abs(np.cumsum(steps, axis=0)).max(axis=0)
    first, second = np.sort(np.argsort(-distance, kind="stable")[:2])
    return int(first), int(second)


def difference(profile: ReferenceProfile, batch: SpectralBatch, bands: tuple[Band, ...] = ()) -> bytes:
    """Draw where the batch's mean differs: SNV spectra, in standard deviations of the reference.

    Returns
    -------
    bytes
        PNG.
    """
    profile.check_comparable(batch)
    usable = batch.take(np.isfinite(batch.spectra).all(axis=1))

    def draw(ax: Axes) -> None:
        positions = bin_positions(profile.axis)
        for band in bands:
            ax.axvspan(band.low, band.high, color=ORANGE, alpha=0.12, linewidth=0)
        if len(usable):
            reference = profile.features.broad
            spread = np.maximum(reference.std(axis=0, ddof=1), 1e-9)
            moved = (features(usable).broad.mean(axis=0) - reference.mean(axis=0)) / spread
            # What the mean of so many reference soils would differ by, twice.
            chance = 2.0 * np.sqrt(1 / len(usable) + 1 / len(reference))
            ax.fill_between(
                positions, -chance, chance, color=GREY, alpha=0.35, linewidth=0, label="chance (2 sd)"
            )
            ax.plot(positions, moved, color=ORANGE, linewidth=1.5, label="batch less reference")
        ax.axhline(0, color=INK, linewidth=0.6)
        _spectral_axis(ax, profile)
        ax.set_ylabel("Difference (reference sd)")
        ax.set_title("Where the mean spectra differ")
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + 0.22 * (high - low))  # room for the legend above every curve
        ax.legend(loc="upper center", ncols=2, fontsize=8, frameon=False)

    return png(draw)


def trends(history: History) -> bytes:
    """Draw the EWMA of everything charted over successive batches, with the alarm limit.

    Returns
    -------
    bytes
        PNG.
    """

    from matplotlib.ticker import MaxNLocator

    def draw(ax: Axes) -> None:
        steps = np.arange(1, len(history.batches) + 1)
        for name, chart in history.charts.items():
            alarming = name in history.alarming
            ax.plot(
                steps, chart.ewma, color=ORANGE if alarming else GREY, linewidth=1.6 if alarming else 0.9,
                marker="o", markersize=3, label=name if alarming else None,
            )  # fmt: skip
            for side in (-1, 1):
                ax.axhline(side * chart.ewma_limit, color=INK, linewidth=0.6, linestyle="--")
        ax.set_xlabel("Batch, oldest first")
        ax.set_ylabel("EWMA (its own sd)")
        ax.set_title(f"Trends: a false alarm every {history.run_length:.0f} batches")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        if history.alarming:
            ax.legend(loc="best", fontsize=8)

    return png(draw)


def check_samples(chart: CheckChart, what: str = "Value", title: str = "Check sample") -> bytes:
    """Draw a check soil's control chart: baseline, limits, later scans.

    Returns
    -------
    bytes
        PNG.
    """

    def draw(ax: Axes) -> None:
        steps = np.arange(1, chart.values.size + 1)
        ax.axvspan(0.5, chart.baseline + 0.5, color=GREY, alpha=0.2, linewidth=0, label="baseline")
        ax.plot(steps, chart.values, color=GREY, linewidth=0.8)
        inside = ~chart.outside
        ax.plot(steps[inside], chart.values[inside], "o", color=BLUE, markersize=4)
        ax.plot(
            steps[~inside], chart.values[~inside], "^", color=ORANGE, markersize=6, label="beyond the limits"
        )
        ax.axhline(chart.centre, color=INK, linewidth=0.8)
        for limit in (chart.low, chart.high):
            ax.axhline(limit, color=INK, linewidth=0.8, linestyle="--")
        ax.set_xlabel("Scan, oldest first")
        ax.set_ylabel(what)
        ax.set_title(cut(title))
        ax.legend(loc="best", fontsize=8)

    return png(draw)


def _spectral_axis(ax: Axes, profile: ReferenceProfile) -> None:
    if profile.axis.unit == "cm-1":
        ax.set_xlim(profile.axis.high, profile.axis.low)  # spectroscopists read wavenumbers from high to low
        ax.set_xlabel("Wavenumber (cm⁻¹)")
    else:
        ax.set_xlim(profile.axis.low, profile.axis.high)
        ax.set_xlabel("Wavelength (nm)")


def _thinned(values: FloatArray) -> FloatArray:
    if len(values) <= _POINTS:
        return values
    return np.asarray(values[np.linspace(0, len(values) - 1, _POINTS).astype(int)])
