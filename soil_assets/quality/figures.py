"""Quality figures: one row a scan, so that expectations look at a dozen columns and never at 1,700 bands.

Belongs here: what can be measured on each scan as it landed, vectorised over the matrix.
Does not belong here: limits on these figures (``quality.rules``), duplicates (``quality.duplicates``).
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.quality.spectrum_rules import PERCENT_MEDIAN
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import Quantity, SpectralBatch
from soil_assets.spectra.harmonise import REFLECTANCE_FLOOR

Floats = npt.NDArray[np.float64]

#: Rows are worked through in blocks, so that temporaries stay small beside the matrix.
_BLOCK_ROWS = 512
#: Where the detectors of a field spectrometer meet, nm: near 1000, and 1800 (FieldSpec 4) or 1830 (FieldSpec
#: 3).
_JOINS_NM = (1000.0, 1800.0, 1830.0)
_JOIN_SEARCH_NM = 5.0


def quality_figures(batch: SpectralBatch, axis: Axis) -> pd.DataFrame:
    """Measure every scan on its own axis.

    Parameters
    ----------
    batch : SpectralBatch
        As landed: quantity and scale as declared.
    axis : Axis
        The model's axis, which the scans must cover.

    Returns
    -------
    DataFrame, one row a scan
        ``row``, ``sample_id``; ``bands``; ``band_step`` (their median distance within the model's range);
        ``missing_bands`` (not finite, between the scan's first and last finite band, or all);
        ``covered_low``, ``covered_high`` (in the model axis's unit), ``uncovered`` (how much of the model's
        range is missing at the worse end); ``minimum``, ``maximum``, ``median`` (of the declared quantity, as
        fraction); ``scale_ratio`` (median against the batch's); ``contrast`` (range over median);
        ``clipped_share`` (bands in a run at the scan's highest or lowest value, less what rounding explains);
        ``spike`` (largest distance of a band from the mean of its two neighbours, over the scan's range);
        ``dark_share`` (bands too dark for a logarithm, of reflectance); ``join_step`` (largest step where
        detectors meet, against the local slope, as a share of the signal; NaN where the axis shows no joins).
    """
    spectra = batch.spectra
    positions = batch.axis.to_unit(axis.unit).values
    percent = batch.scale == "percent"
    joins = _joins_told(batch.origin.get("joins", ""))
    parts = []
    for start in range(0, len(batch), _BLOCK_ROWS):
        block = spectra[start : start + _BLOCK_ROWS]
        block = block / np.float32(100) if percent else block
        part = _block_figures(block, positions)
        part["join_step"] = join_steps(block, batch.axis, batch.quantity, joins)
        if batch.quantity == "reflectance":
            part["dark_share"] = (block <= np.float32(REFLECTANCE_FLOOR)).mean(axis=1)
        parts.append(part)
    columns = (
        {name: np.concatenate([p[name] for p in parts]) for name in parts[0]} if parts else _no_figures()
    )
    figures = pd.DataFrame(columns)
    figures.insert(0, "row", np.arange(len(batch), dtype=np.int64))
    figures.insert(1, "sample_id", batch.samples["sample_id"].astype(object).array)
    figures["band_step"] = _step_within(positions, axis)
    figures["bands"] = np.full(len(batch), len(batch.axis), dtype=np.int64)
    short = np.maximum(figures["covered_low"] - axis.low, axis.high - figures["covered_high"])
    figures["uncovered"] = np.maximum(short, 0.0)
    medians = figures["median"].to_numpy()
    figures["scale_ratio"] = relative_to(medians, trusted_medians(medians, batch))
    return figures


def _step_within(positions: Floats, axis: Axis) -> float:
    ordered = np.sort(positions)
    inside = (ordered[1:] > axis.low) & (ordered[:-1] < axis.high)
    return float(np.median(np.diff(ordered)[inside])) if inside.any() else np.nan


def _joins_told(text: str) -> tuple[float, ...]:
    """Return where detectors meet, nm: as the files tell (``1000, 1830 nm``), else wherever they may."""
    told = re.fullmatch(r"([\d., ]+) nm", text)
    return tuple(float(join) for join in told[1].split(", ")) if told else _JOINS_NM


def join_steps(
    block: npt.NDArray[np.float32], axis: Axis, quantity: Quantity, at: tuple[float, ...] = _JOINS_NM
) -> Floats:
    """Return the largest step where detectors meet, as a share of the signal; NaN where there are no joins.

    The step between two neighbouring bands is taken against the median step of the 13 around it. Only axes in
    nm with bands every 2 nm or less, from below 900 to above 2000 nm, come from such instruments.
    """
    steps = np.full(len(block), np.nan)
    if axis.unit != "nm" or axis.step > 2.0 or axis.low > 900 or axis.high < 2000:
        return steps
    positions = axis.values
    joins = [np.flatnonzero(np.abs(positions - join) <= _JOIN_SEARCH_NM) for join in at]
    places = np.unique(np.concatenate(joins))
    places = places[(places >= 8) & (places < len(axis) - 8)]
    if not places.size:
        return steps
    around = places[:, None] + np.arange(-6, 7)[None, :]
    with np.errstate(invalid="ignore", over="ignore"):
        change = np.diff(block.astype(np.float64), axis=1)
        jump = np.abs(change[:, places] - np.median(change[:, around], axis=2))
        if quantity == "absorbance":
            share = 1.0 - np.power(10.0, -jump)
        else:
            share = jump / np.maximum(np.abs(block[:, places]), 1e-3)
    return np.asarray(share.max(axis=1))


def trusted_medians(medians: Floats, batch: SpectralBatch) -> Floats:
    """Return the scans' medians that can stand for the batch: those that are possible for its quantity."""
    return medians[medians <= PERCENT_MEDIAN] if batch.quantity == "reflectance" else medians


def relative_to(values: Floats, others: Floats) -> Floats:
    """Return ``values`` over the median of ``others``; NaN where that median is missing or not positive."""
    finite = others[np.isfinite(others)]
    centre = float(np.median(finite)) if finite.size else np.nan
    return values / centre if centre > 0 else np.full(len(values), np.nan)


def _block_figures(block: npt.NDArray[np.float32], positions: Floats) -> dict[str, npt.NDArray[np.generic]]:
    finite = np.isfinite(block)
    count = finite.sum(axis=1)
    whole = count == block.shape[1]
    if whole.all():
        values = block
        lowest, highest, median = block.min(axis=1), block.max(axis=1), _medians(block)
    else:
        values = np.where(finite, block, np.float32(np.nan))
        lowest, highest, median = _nan_extremes(values, count)
    first = finite.argmax(axis=1)
    last = block.shape[1] - 1 - finite[:, ::-1].argmax(axis=1)
    some = count > 0
    ends = np.sort(np.stack([positions[first], positions[last]]), axis=0)
    spread = (highest - lowest).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        contrast = np.where(spread == 0, 0.0, spread / np.abs(median))
    return {
        "missing_bands": np.where(some, last - first + 1 - count, block.shape[1]).astype(np.int64),
        "covered_low": np.where(some, ends[0], np.nan),
        "covered_high": np.where(some, ends[1], np.nan),
        "minimum": lowest.astype(np.float64),
        "maximum": highest.astype(np.float64),
        "median": median.astype(np.float64),
        "contrast": np.where(some, contrast, np.nan),
        "clipped_share": np.where(some, _clipped_share(values, lowest, highest), np.nan),
        "spike": _spikes(values, whole),
    }


def _medians(block: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    middle = block.shape[1] // 2
    return np.partition(block, middle, axis=1)[:, middle]


def _nan_extremes(
    values: npt.NDArray[np.float32], count: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float32], ...]:
    some = count > 0
    lowest, highest, median = (np.full(len(values), np.nan, dtype=np.float32) for _ in range(3))
    if some.any():
        seen = values[some]
        lowest[some] = np.nanmin(seen, axis=1)
        highest[some] = np.nanmax(seen, axis=1)
        # NaN sorts last, so the median of the finite values sits in the middle of the first ``count``.
        median[some] = np.sort(seen, axis=1)[np.arange(len(seen)), count[some] // 2]
    return lowest, highest, median


def _spikes(values: npt.NDArray[np.float32], whole: npt.NDArray[np.bool_]) -> Floats:
    # Against the range without its outer hundredths, which the spike itself does not widen.
    spikes = np.full(len(values), np.nan)
    bands = values.shape[1]
    if bands < 10:
        return spikes
    seen = values[whole]
    away = np.abs(seen[:, 1:-1] - 0.5 * (seen[:, :-2] + seen[:, 2:])).max(axis=1, initial=0.0)
    ends = (bands // 100, bands - 1 - bands // 100)
    ordered = np.partition(seen, ends, axis=1)
    span = ordered[:, ends[1]] - ordered[:, ends[0]]
    spikes[whole] = np.where(span > 0, away / np.where(span > 0, span, 1), np.nan)
    return spikes


def _clipped_share(
    values: npt.NDArray[np.float32], lowest: npt.NDArray[np.float32], highest: npt.NDArray[np.float32]
) -> Floats:
    # A plateau at an extreme is clipping, unless the whole scan repeats its values, which is rounding: the
    # share is lowered by how often neighbours are equal elsewhere.
    equal = values[:, 1:] == values[:, :-1]
    share = np.zeros(len(values))
    elsewhere = equal.sum(axis=1).astype(np.float64)
    for extreme in (lowest, highest):
        run = equal & (values[:, 1:] == extreme[:, None])
        length = run.sum(axis=1)
        elsewhere -= length
        share = np.maximum(share, (length + (length > 0)) / values.shape[1])
    return np.asarray(share * (1.0 - np.clip(elsewhere / values.shape[1], 0.0, 1.0)))


def _no_figures() -> dict[str, npt.NDArray[np.generic]]:
    names = (
        "covered_low",
        "covered_high",
        "minimum",
        "maximum",
        "median",
        "contrast",
        "clipped_share",
        "join_step",
    )
    return {"missing_bands": np.empty(0, np.int64), **{n: np.empty(0, np.float64) for n in names}}
