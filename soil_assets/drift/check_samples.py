"""Check samples: soils that a lab scans again and again, charted scan by scan.

Belongs here: telling their scans from a batch's soils, what is charted of a scan, one chart a value.
Does not belong here: the charts' limits (``control_charts``), and where earlier scans are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from soil_assets.drift.control_charts import CheckChart, check_chart
from soil_assets.drift.features import SUMMARIES, features
from soil_assets.drift.profile import ReferenceProfile
from soil_assets.spectra.batch import SpectralBatch

#: Scans at the start of a chart that are taken as good.
BASELINE = 10
#: Summaries of a scan that are charted, beside the scores on the first components of the frozen space.
CHARTED = ("level", "slope", "noise low", "noise middle", "noise high")
_COMPONENTS = 2


def apart(batch: SpectralBatch, ids: Sequence[str]) -> tuple[SpectralBatch, SpectralBatch]:
    """Return the scans of a batch that are no check samples, and those that are."""
    is_check = batch.sample_ids.astype("string").isin(list(ids)).to_numpy(dtype=bool)
    if not is_check.any():
        return batch, batch.take(np.arange(0))
    return batch.take(~is_check), batch.take(is_check)


@dataclass(frozen=True)
class CheckScan:
    """One scan of a check sample: which soil, in which batch, and what is charted of it."""

    soil: str
    batch: str
    values: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        return {"soil": self.soil, "batch": self.batch, "values": dict(self.values)}


def check_scans(
    profile: ReferenceProfile,
    name: str,
    scans: SpectralBatch,
    predictions: Mapping[str, Sequence[float]] | None = None,
) -> list[CheckScan]:
    """Measure the check scans of a batch; scans with missing values are left out.

    Parameters
    ----------
    profile : ReferenceProfile
        Its frozen components are charted.
    name : str
        The batch's.
    scans : SpectralBatch
        Check scans only, on the profile's axis.
    predictions : mapping of str to sequence of float, optional
        Of the live models for these scans, by property.
    """
    usable = np.flatnonzero(np.isfinite(scans.spectra).all(axis=1))
    if not usable.size:
        return []
    profile.check_comparable(scans)
    part = scans.take(usable)
    values = features(part)
    scores = profile.scores(values)[:, :_COMPONENTS]
    columns = {c: values.summaries[:, SUMMARIES.index(c)] for c in CHARTED}
    columns |= {f"component {i + 1}": scores[:, i] for i in range(scores.shape[1])}
    columns |= {f"predicted {n}": np.asarray(v, dtype=float)[usable] for n, v in (predictions or {}).items()}
    finite = {c: v for c, v in columns.items() if np.isfinite(v).all()}
    return [
        CheckScan(str(soil), name, {c: float(v[i]) for c, v in finite.items()})
        for i, soil in enumerate(part.sample_ids)
    ]


@dataclass(frozen=True, eq=False)
class CheckSoil:
    """The charts of one check soil on one instrument.

    Parameters
    ----------
    soil, instrument : str
    batches : tuple of str
        Batch of every scan, oldest first.
    charts : mapping of str to CheckChart
        By value; a value that too few scans have is left out.
    """

    soil: str
    instrument: str
    batches: tuple[str, ...]
    charts: Mapping[str, CheckChart]

    @property
    def outside(self) -> tuple[str, ...]:
        """Values whose newest scan lies beyond its limits."""
        return tuple(name for name, c in self.charts.items() if c.outside.size and c.outside[-1])


def check_soils(instrument: str, scans: Sequence[CheckScan], rate: float = 0.0027) -> list[CheckSoil]:
    """Chart every check soil of an instrument, its scans oldest first.

    Parameters
    ----------
    rate : float
        False-alarm rate of one scan, over all values charted of it (shared evenly).
    """
    found = []
    for soil in dict.fromkeys(s.soil for s in scans):
        mine = [s for s in scans if s.soil == soil]
        names = [n for n in mine[0].values if all(n in s.values for s in mine)]
        charts = {}
        for name in names if len(mine) >= BASELINE else ():
            values = np.array([s.values[name] for s in mine])
            if np.ptp(values[:BASELINE]) > 0:
                charts[name] = check_chart(values, BASELINE, rate / len(names))
        found.append(CheckSoil(soil, instrument, tuple(s.batch for s in mine), charts))
    return found
