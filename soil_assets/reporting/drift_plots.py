"""Pictures of a batch against a reference profile.

Belongs here: drawing what ``drift`` computed. Does not belong here: deciding anything. The style, and the
promise of small files with the same bytes for the same data, are those of ``plots``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from soil_assets.drift.features import features
from soil_assets.reporting.canvas import BLUE, GREY, INK, ORANGE, png
from soil_assets.spectra.batch import SpectralBatch

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
        if profile.axis.unit == "cm-1":
            ax.set_xlim(
                profile.axis.high, profile.axis.low
            )  # spectroscopists read wavenumbers from high to low
            ax.set_xlabel("Wavenumber (cm⁻¹)")
        else:
            ax.set_xlim(profile.axis.low, profile.axis.high)
            ax.set_xlabel("Wavelength (nm)")
        ax.set_ylabel(profile.quantity.capitalize())
        ax.set_title("Spectra: batch against reference")
        ax.legend(loc="best", fontsize=8)

    return png(draw)


def scores(profile: ReferenceProfile, batch: SpectralBatch) -> bytes:
    """Draw the first two components of the profile's frozen space, in standard deviations of the reference.

    Returns
    -------
    bytes
        PNG.
    """
    profile.check_comparable(batch)
    usable = batch.take(np.isfinite(batch.spectra).all(axis=1))
    known = _thinned(profile.scores(profile.features))
    new = _thinned(profile.scores(features(usable))) if len(usable) else np.empty((0, known.shape[1]))
    second = min(1, known.shape[1] - 1)

    def draw(ax: Axes) -> None:
        ax.scatter(
            known[:, 0],
            known[:, second],
            s=16,
            color=GREY,
            alpha=0.7,
            linewidth=0,
            label=f"reference (n = {profile.n})",
        )
        ax.scatter(
            new[:, 0], new[:, second], s=20, marker="^", color=BLUE, alpha=0.85, linewidth=0,
            label=f"batch (n = {len(usable)})",
        )  # fmt: skip
        ax.axhline(0, color=INK, linewidth=0.5)
        ax.axvline(0, color=INK, linewidth=0.5)
        ax.set_xlabel("Component 1 (reference sd)")
        ax.set_ylabel(f"Component {second + 1} (reference sd)")
        ax.set_title("Component scores: batch against reference")
        ax.legend(loc="best", fontsize=8)

    return png(draw)


def _thinned(values: FloatArray) -> FloatArray:
    if len(values) <= _POINTS:
        return values
    return np.asarray(values[np.linspace(0, len(values) - 1, _POINTS).astype(int)])
