"""The pictures of the reports: small PNGs, the same bytes for the same data, readable without colour vision.

Belongs here: drawing. Does not belong here: statistics beyond what a picture itself needs, drift pictures
(``drift_plots``), the canvas (``canvas``). Candidate and main differ in lightness and filling, not in hue
alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.reporting.canvas import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    cut,
    drawable,
    in_unit,
    nothing,
    png,
    wavelength_axis,
)
from soil_assets.reporting.numerals import decimals_for, fixed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from soil_assets.spectra.axis import Axis
    from soil_assets.spectra.batch import SpectralBatch

_LINES = 6
_DOTS = 400

FloatArray = npt.NDArray[np.float64]


def spectra(batch: SpectralBatch, title: str, reference: SpectralBatch | None = None) -> bytes:
    """Draw a batch: median, 5-95 % band and a few single scans, over the reference's band where one is given.

    Parameters
    ----------
    batch : SpectralBatch
        What to draw; bands that are not finite are left out band by band.
    title : str
        Any text.
    reference : SpectralBatch or None
        Drawn behind, in its own axis, when unit and quantity agree with the batch's.

    Returns
    -------
    bytes
        PNG.
    """

    def draw(ax: Axes) -> None:
        kind = (batch.axis.unit, batch.quantity)
        if reference is not None and len(reference) and (reference.axis.unit, reference.quantity) == kind:
            _band(ax, reference, GREY, f"reference, 5-95 % (n = {len(reference)})", 0.35, line=False)
        if len(batch):
            _band(ax, batch, BLUE, f"5-95 % (n = {len(batch)})", 0.25, line=True)
            rows = np.unique(np.linspace(0, len(batch) - 1, min(_LINES, len(batch))).astype(int))
            ax.plot(batch.axis.values, batch.spectra[rows].T, color=INK, linewidth=0.5, alpha=0.55)
            if ax.get_legend_handles_labels()[0]:
                ax.legend(loc="best")
        else:
            nothing(ax, "no scans")
        wavelength_axis(ax, batch.axis.unit)
        ax.set_ylabel(batch.quantity + (" / %" if batch.scale == "percent" else ""))
        ax.set_title(cut(title))

    return png(draw)


def error_distribution(errors: Mapping[str, npt.ArrayLike], unit: str, title: str = "Error") -> bytes:
    """Draw the distribution of errors (predicted - observed), one row a model, on one scale.

    Each row shows a density (Gaussian kernel, Silverman's rule), the errors as dots, their median and the
    middle half as a bar; RMSE and n stand beside. Errors that are not finite are left out and counted.
    """

    def draw(ax: Axes) -> None:
        kept = {name: _finite(values) for name, values in errors.items()}
        everything = np.concatenate([*kept.values(), np.empty(0)])
        if everything.size == 0:
            return nothing(ax, "no errors to show")
        low, high = float(min(everything.min(), 0.0)), float(max(everything.max(), 0.0))
        pad = 0.08 * ((high - low) or 1.0)
        grid = np.linspace(low - pad, high + pad, 400)
        densities = {name: _density(values, grid) for name, values in kept.items()}
        tallest = max((float(d.max()) for d in densities.values() if d is not None), default=1.0) or 1.0
        ticks = []
        for row, (name, values) in enumerate(reversed(kept.items())):
            colour, hatch = _model_style(name)
            density = densities[name]
            if density is not None:
                top = row + 0.14 + 0.62 * density / tallest
                ax.fill_between(grid, row + 0.14, top, color=colour, alpha=0.35, linewidth=0, hatch=hatch)
                ax.plot(grid, top, color=colour, linewidth=1.4)
            _dots(ax, values, row, colour)
            missing = np.size(np.asarray(errors[name])) - values.size
            rmse = float(np.sqrt(np.mean(values**2))) if values.size else float("nan")
            label = f"{name}\nRMSE {fixed(rmse, decimals_for([rmse]))}\nn = {values.size}"
            ticks.append(label + (f"\n({missing} not finite)" if missing else ""))
        ax.axvline(0, color=INK, linewidth=0.9)
        ax.set_yticks(range(len(ticks)), ticks)
        ax.set_ylim(-0.3, len(ticks) - 0.1)
        ax.set_xlim(grid[0], grid[-1])
        ax.grid(visible=False, axis="y")
        ax.set_xlabel(f"predicted - observed{in_unit(unit)}")
        ax.set_title(cut(title))

    return png(draw)


def predicted_against_observed(predictions: pd.DataFrame, unit: str, title: str = "") -> bytes:
    """Draw predicted against observed with 90 % intervals and the line of equality, on equal scales.

    Parameters
    ----------
    predictions : DataFrame
        Columns ``observed`` and ``value``; ``lower_90`` and ``upper_90`` where there are intervals.
    unit, title : str
        Unit of all of them; any title.
    """

    def draw(ax: Axes) -> None:
        observed, value = (np.asarray(predictions[c], dtype=np.float64) for c in ("observed", "value"))
        keep = drawable(observed) & drawable(value)
        if not keep.any():
            return nothing(ax, "no predictions to show")
        observed, value = observed[keep], value[keep]
        shown = [observed, value]
        if {"lower_90", "upper_90"} <= set(predictions.columns):
            lower, upper = (
                np.asarray(predictions[c], dtype=np.float64)[keep] for c in ("lower_90", "upper_90")
            )
            outside = (observed < lower) | (observed > upper)
            lower, upper = (np.where(drawable(ends), ends, np.nan) for ends in (lower, upper))
            for mask, colour, style in ((~outside, BLUE, "o"), (outside, ORANGE, "D")):
                if not mask.any():
                    continue
                ax.vlines(observed[mask], lower[mask], upper[mask], color=colour, linewidth=1.0, alpha=0.5)
                words = "observed inside its 90 % interval" if colour == BLUE else "outside"
                ax.plot(
                    observed[mask],
                    value[mask],
                    style,
                    color=colour,
                    markersize=4,
                    label=f"{words}: {mask.sum()}",
                )
            ax.legend(loc="upper left")
        else:
            ax.plot(observed, value, "o", color=BLUE, markersize=4)
        low, high = min(float(a.min()) for a in shown), max(float(a.max()) for a in shown)
        pad = 0.05 * ((high - low) or abs(high) or 1.0)
        ax.plot([low - pad, high + pad], [low - pad, high + pad], color=INK, linewidth=0.9)
        ax.set_xlabel(f"observed{in_unit(unit)}")
        ax.set_ylabel(f"predicted{in_unit(unit)}")
        ax.set_title(cut(title) or f"n = {observed.size}")

    return png(draw, height=4.0)


def metric_trend(
    versions: Sequence[str],
    values: Sequence[float | None],
    *,
    name: str,
    unit: str = "",
    low: Sequence[float | None] | None = None,
    high: Sequence[float | None] | None = None,
    title: str = "",
) -> bytes:
    """Draw one metric over successive versions, each with its interval; a missing figure leaves a gap."""

    def draw(ax: Axes) -> None:
        figures = _optional(values)
        if not np.isfinite(figures).any():
            return nothing(ax, "no figures to show")
        x = np.arange(len(versions))
        if low is not None and high is not None:
            ax.vlines(x, _optional(low), _optional(high), color=BLUE, linewidth=2, alpha=0.45)
        ax.plot(x, figures, "-o", color=BLUE, markersize=4.5)
        labelled = np.unique(np.linspace(0, len(x) - 1, min(8, len(x))).astype(int))
        ax.set_xticks(labelled, [cut(versions[i], 10) for i in labelled])
        ax.set_xlim(-0.5, len(x) - 0.5)
        ax.set_ylabel(f"{name}{in_unit(unit)}")
        ax.set_title(cut(title))

    return png(draw)


def vip(axis: Axis, values: npt.ArrayLike, title: str = "Band importance (VIP)") -> bytes:
    """Draw the variable importance in projection of each band, with the customary limit of 1.

    VIP as in Wold, Sjöström & Eriksson (2001), Chemometrics and Intelligent Laboratory Systems 58, 109-130;
    the mean of its squares is 1, so that bands above 1 matter more than average.
    """

    def draw(ax: Axes) -> None:
        importance = np.asarray(values, dtype=np.float64)
        importance = np.where(drawable(importance), importance, np.nan)
        ax.plot(axis.values, importance, color=BLUE, linewidth=1.0)
        ax.fill_between(
            axis.values, 1.0, importance, where=importance > 1, color=BLUE, alpha=0.3, linewidth=0
        )
        ax.axhline(1.0, color=INK, linewidth=0.9, linestyle="--")
        wavelength_axis(ax, axis.unit)
        ax.set_ylabel("VIP")
        ax.set_title(cut(title))

    return png(draw)


def _band(ax: Axes, batch: SpectralBatch, colour: str, label: str, alpha: float, *, line: bool) -> None:
    spectra = batch.spectra
    if not np.isfinite(spectra).all():
        spectra = np.where(np.isfinite(spectra), spectra, np.nan)
        spectra = spectra[np.isfinite(spectra).any(axis=1)]
        if not len(spectra):
            return
    # A band without a single finite value stays a gap; nanquantile would warn about it.
    bands = np.isfinite(spectra).any(axis=0)
    low, middle, high = np.full((3, spectra.shape[1]), np.nan)
    inside = spectra[:, bands]
    # nanquantile goes through the bands one by one.
    quantile = np.quantile if np.isfinite(inside).all() else np.nanquantile
    low[bands], middle[bands], high[bands] = quantile(inside, (0.05, 0.5, 0.95), axis=0)
    ax.fill_between(batch.axis.values, low, high, color=colour, alpha=alpha, linewidth=0, label=label)
    if line:
        ax.plot(batch.axis.values, middle, color=colour, linewidth=1.6, label="median")


def _dots(ax: Axes, values: FloatArray, row: int, colour: str) -> None:
    if not values.size:
        return
    shown = np.sort(values)
    if shown.size > _DOTS:
        shown = shown[np.linspace(0, shown.size - 1, _DOTS).astype(int)]
    # A golden-ratio sequence spreads the dots evenly and is the same every time.
    jitter = ((np.arange(shown.size) * 0.6180339887) % 1 - 0.5) * 0.18
    ax.plot(shown, row - 0.02 + jitter, "o", color=colour, markersize=2.6, alpha=0.7, markeredgewidth=0)
    first, middle, third = np.quantile(values, (0.25, 0.5, 0.75))
    ax.plot([first, third], [row - 0.19, row - 0.19], color=colour, linewidth=4, solid_capstyle="butt")
    ax.plot([middle], [row - 0.19], "|", color=INK, markersize=9, markeredgewidth=1.6)


def _density(values: FloatArray, grid: FloatArray) -> FloatArray | None:
    """Gaussian kernel density with Silverman's (1986) rule, or None where there is no spread to show."""
    if values.size < 4:
        return None
    first, third = np.quantile(values, (0.25, 0.75))
    spread = min(float(np.std(values, ddof=1)), float(third - first) / 1.349 or np.inf)
    width = 0.9 * spread * values.size**-0.2
    if not width > 0:
        return None
    if values.size > 5000:
        values = np.quantile(values, np.linspace(0, 1, 5000))
    z = (grid[:, None] - values[None, :]) / width
    return np.asarray(np.exp(-0.5 * z**2).mean(axis=1) / (width * np.sqrt(2 * np.pi)))


def _model_style(name: str) -> tuple[str, str | None]:
    return (GREY, "///") if name.startswith("main") else (BLUE, None)


def _finite(values: npt.ArrayLike) -> FloatArray:
    array = np.ravel(np.asarray(values, dtype=np.float64))
    return array[drawable(array)]


def _optional(values: Sequence[float | None]) -> FloatArray:
    array = np.asarray([np.nan if v is None else v for v in values], dtype=np.float64)
    return np.where(drawable(array), array, np.nan)
