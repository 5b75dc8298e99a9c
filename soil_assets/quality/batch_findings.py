"""What makes a whole batch doubtful: units that do not fit, an axis in the other unit, a gap in it.

Belongs here: warnings that no single scan carries. Does not belong here: refusing a batch
(``quality.outcomes``).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from soil_assets.quality.findings import BatchFinding
from soil_assets.quality.unit_suspicion import suspect_units
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import Catalogue
from soil_assets.spectra.lab import normalise_id
from soil_assets.spectra.lab_values import unconvertible

#: A distance between neighbouring bands above this many of the model's steps is a gap: bands narrower than it
#: would be interpolated out of nothing.
_GAP_STEPS = 4.0


def batch_findings(batch: SpectralBatch, axis: Axis, catalogue: Catalogue) -> list[BatchFinding]:
    """Return warnings about a landed batch, for a model on ``axis``."""
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
    return [*_spellings(batch.samples), *spectra, *refused, *found]


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
