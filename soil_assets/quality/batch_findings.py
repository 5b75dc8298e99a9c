"""What makes a whole batch doubtful: units that do not fit, an axis in the other unit, a gap in it.

Belongs here: warnings that no single scan carries. Does not belong here: refusing a batch
(``quality.outcomes``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.quality.findings import BatchFinding
from soil_assets.quality.known import KnownSpectra, sample_keys
from soil_assets.quality.unit_suspicion import suspect_units
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import Catalogue
from soil_assets.spectra.lab import normalise_id
from soil_assets.spectra.lab_values import unconvertible

#: A distance between neighbouring bands above this many of the model's steps is a gap: bands narrower than it
#: would be interpolated out of nothing.
_GAP_STEPS = 4.0


#: Results under one id that differ by more than this share of their mean are not of one sample.
_REUSED = 0.5


def batch_findings(
    batch: SpectralBatch, axis: Axis, catalogue: Catalogue, earlier: KnownSpectra | None = None
) -> list[BatchFinding]:
    """Return warnings about a landed batch, for a model on ``axis``.

    ``earlier`` holds the scans of other batches: an id that had other results there is doubted.
    """
    if not len(batch):
        return []
    found = [
        BatchFinding("units", "unit_suspected", s.column, s.found, s.expected, s.mend)
        for s in suspect_units(batch.samples, catalogue)
    ]
    refused = [
        BatchFinding(
            "units",
            "unit_refused",
            e.column or "",
            e.found or "",
            e.expected or "",
            e.mend or "state its unit",
        )
        for e in unconvertible(batch.samples, catalogue)
    ]
    spectra = [*_axis_unit(batch.axis, axis), *_gap(batch.axis, axis)]
    reused = [] if earlier is None else _reused_ids(batch.samples, earlier, catalogue)
    return [*_spellings(batch.samples), *_stated(batch), *spectra, *refused, *found, *reused]


def _stated(batch: SpectralBatch) -> list[BatchFinding]:
    """Doubt what is stated of quantity, scale or axis and does not look like it, as the readers saw it."""
    doubts = [text for text in batch.origin.get("suspected", "").split("; ") if text]
    return [
        BatchFinding(
            "units",
            "stated_suspected",
            "spectrum",
            doubt,
            "spectra that look like what is stated of them",
            "correct quantity, scale or axis_unit in batch.yaml or in the export; leave it if it is right",
        )
        for doubt in doubts
    ]


def _reused_ids(samples: pd.DataFrame, earlier: KnownSpectra, catalogue: Catalogue) -> list[BatchFinding]:
    """Doubt ids that came before with other results: labs that count from 1 again use an id twice."""
    names = [str(c) for c in samples.columns if str(c) in catalogue and c in earlier.samples.columns]
    if not names:
        return []
    now = _means(samples[names], sample_keys(samples))
    same = pd.Index(earlier.keys).isin(now.index)
    before = _means(earlier.samples.loc[same, names], earlier.keys[same])
    both = now.index.intersection(before.index)
    old, new = before.loc[both].to_numpy(), now.loc[both].to_numpy()
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = np.nan_to_num(np.abs(new - old) / ((np.abs(new) + np.abs(old)) / 2)) > _REUSED
    rows = np.flatnonzero(apart.any(axis=1))
    if not rows.size:
        return []
    column = int(np.argmax(apart[rows[0]]))
    example = f"{both[rows[0]]} had {names[column]} {old[rows[0], column]:g}, now {new[rows[0], column]:g}"
    return [
        BatchFinding(
            "replicates",
            "id_reused",
            "sample_id",
            f"{rows.size} of {len(both)} ids that came before with results have others now: {example}",
            "one sample, one id, in all batches",
            "give the samples ids that no earlier batch used, or correct the results",
        )
    ]


def _means(values: pd.DataFrame, keys: npt.NDArray[np.object_]) -> pd.DataFrame:
    return values.astype(np.float64).groupby(keys).mean()


def _spellings(samples: pd.DataFrame) -> list[BatchFinding]:
    """Doubt ids that would be one if their spelling did not differ: their scans would count as two samples."""
    ids = samples["sample_id"]
    spelled: dict[str, set[str]] = {}
    for text in {str(i) for i in ids[ids.notna()]}:
        spelled.setdefault(normalise_id(text) or "", set()).add(text)
    torn = [sorted(texts) for texts in spelled.values() if len(texts) > 1]
    if not torn:
        return []
    shown = "; ".join(" and ".join(map(repr, texts)) for texts in sorted(torn)[:3])
    return [
        BatchFinding(
            "schema",
            "id_spelling",
            "sample_id",
            f"{len(torn)} ids in several spellings: {shown}" + (" ..." if len(torn) > 3 else ""),
            "one spelling of each sample's id",
            "spell the ids alike if they are one sample; rename one of them if they are two",
        )
    ]


def _axis_unit(landed: Axis, axis: Axis) -> list[BatchFinding]:
    other = Axis(landed.values, "cm-1" if landed.unit == "nm" else "nm")
    if landed.to_unit(axis.unit).covers(axis) or not other.to_unit(axis.unit).covers(axis):
        return []
    return [
        BatchFinding(
            "units",
            "axis_unit",
            "spectrum",
            f"{landed.low:g} to {landed.high:g} {landed.unit}, which misses the model's range",
            f"a range around {axis.low:g} to {axis.high:g} {axis.unit}",
            f"in {other.unit} they would fit: if they are, state axis_unit: {other.unit} in batch.yaml",
        )
    ]


def _gap(landed: Axis, axis: Axis) -> list[BatchFinding]:
    positions = np.sort(landed.to_unit(axis.unit).values)
    widths = np.diff(positions)
    inside = (positions[1:] > axis.low) & (positions[:-1] < axis.high)
    if not inside.any():
        return []
    widest = int(np.argmax(np.where(inside, widths, 0.0)))
    if widths[widest] <= _GAP_STEPS * axis.step or widths[widest] <= _GAP_STEPS * float(np.median(widths)):
        return []
    return [
        BatchFinding(
            "spectral_quality",
            "axis_gap",
            "spectrum",
            f"no band between {positions[widest]:g} and {positions[widest + 1]:g} {axis.unit}",
            f"a band at least every {_GAP_STEPS * axis.step:g} {axis.unit}",
            "export the spectra without masked bands; until then the gap is interpolated",
        )
    ]
