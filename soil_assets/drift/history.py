"""A batch and its predecessors: small batches pooled until they can be judged, slow trends over batches.

Belongs here: what looks at several batches of one instrument in order. Does not belong here: the charts themselves
(``control_charts``) and where earlier batches are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from soil_assets.config import DriftPolicy
from soil_assets.drift.control_charts import Chart, chart
from soil_assets.drift.features import SUMMARIES, Features, features
from soil_assets.drift.pool import soils_of
from soil_assets.drift.profile import ReferenceProfile
from soil_assets.errors import BadInput
from soil_assets.spectra.batch import SpectralBatch, concatenate

FloatArray = npt.NDArray[np.float64]

#: What is charted: summaries of a scan and the first frozen components.
CHARTED_SUMMARIES = ("level", "slope", "noise low", "noise middle", "noise high")
CHARTED_COMPONENTS = 3


def pooled_with_predecessors(
    batch: SpectralBatch, earlier: Sequence[tuple[str, SpectralBatch]], policy: DriftPolicy
) -> tuple[SpectralBatch, tuple[str, ...]]:
    """Return a batch together with as few of its predecessors as make it large enough to judge.

    Parameters
    ----------
    batch : SpectralBatch
        The newest batch.
    earlier : sequence of (name, SpectralBatch)
        Batches *of the same instrument that were too small to be judged themselves*, oldest first. A batch that was
        judged is not judged twice.
    policy : DriftPolicy
        Its ``min_samples`` counts soils.

    Returns
    -------
    pooled, names : SpectralBatch, tuple of str
        The pooled batch and the names of the predecessors in it, oldest first. Still too small when all are in.
    """
    parts: list[SpectralBatch] = [batch]
    names: list[str] = []
    for name, previous in reversed(earlier):
        if len(soils_of(concatenate(parts), (), ())) >= policy.min_samples:
            break
        parts.insert(0, previous)
        names.insert(0, name)
    return (concatenate(parts) if names else batch), tuple(names)


@dataclass(frozen=True, eq=False)
class History:
    """Trends over successive batches of one instrument; they warn and hold nothing back.

    Parameters
    ----------
    batches : tuple of str
        Names, oldest first.
    charts : mapping of str to Chart
        By what is charted.
    run_length : float
        Average number of batches until a false alarm of *any* chart.
    """

    batches: tuple[str, ...]
    charts: Mapping[str, Chart]
    run_length: float

    @property
    def alarming(self) -> tuple[str, ...]:
        """What shows a trend at the newest batch."""
        return tuple(name for name, c in self.charts.items() if c.alarms.size and c.alarms[-1])

    def to_dict(self) -> dict[str, object]:
        """Return what a report keeps of it, JSON-ready."""
        return {
            "batches": list(self.batches),
            "charted": list(self.charts),
            "alarming": list(self.alarming),
            "run_length": self.run_length,
            "words": self.words(),
        }

    def words(self) -> str:
        """Say it in one sentence."""
        stated = f"a false alarm comes about every {self.run_length:.0f} batches"
        if len(self.batches) == 1 and not self.alarming:
            return f"the first batch of its instrument, near the reference ({stated})"
        if not self.alarming:
            return f"no trend over {len(self.batches)} batches ({stated})"
        return f"a slow trend over {len(self.batches)} batches in {', '.join(self.alarming)} ({stated})"


def successive(
    profile: ReferenceProfile, batches: Sequence[tuple[str, SpectralBatch]], run_length: float = 100.0
) -> History:
    """Chart the means of successive batches of one instrument with EWMA and CUSUM.

    Every batch mean is standardised by the mean of *everything before it* (reference and earlier batches) and its
    sampling error. Such recursive residuals are independent in control (Brown, Durbin & Evans 1975); differences
    from the reference alone all share its error, and the run length would not hold.

    Parameters
    ----------
    profile : ReferenceProfile
        Its soils come first in time.
    batches : sequence of (name, SpectralBatch)
        Oldest first, each with at least one usable scan.
    run_length : float
        Average number of batches between false alarms of any of the charts.

    Raises
    ------
    BadInput
        When there is no batch, one has no usable scan, or one is on another axis.
    """
    means = []
    for name, batch in batches:
        found = batch_means(profile, name, batch)
        if found is None:
            raise BadInput("a batch without a usable scan cannot be charted", file=name)
        means.append(found)
    return trends(profile, means, run_length)


@dataclass(frozen=True)
class BatchMeans:
    """What the charts need to know of a batch, so that its spectra need not be read again.

    Parameters
    ----------
    batch : str
        Name.
    n : int
        Soils.
    sums : mapping of str to float
        Sum over the soils of everything charted.
    """

    batch: str
    n: int
    sums: Mapping[str, float]


def batch_means(profile: ReferenceProfile, name: str, batch: SpectralBatch) -> BatchMeans | None:
    """Sum up a batch for the charts; None when it has no usable scan.

    Raises
    ------
    BadInput
        When it is on another axis or quantity than the profile.
    """
    profile.check_comparable(batch)
    soils = soils_of(batch, (), ())
    if not len(soils):
        return None
    values = _charted(profile, features(soils.batch))
    return BatchMeans(
        name, len(values), dict(zip(_names(values), map(float, values.sum(axis=0)), strict=True))
    )


def trends(profile: ReferenceProfile, batches: Sequence[BatchMeans], run_length: float = 100.0) -> History:
    """Chart batches that were summed up with this very profile, oldest first; as :func:`successive`.

    Raises
    ------
    BadInput
        When there is no batch.
    """
    if not batches:
        raise BadInput("there is no batch to chart")
    before = _charted(profile, profile.features)
    names = _names(before)
    count, total = len(before), before.sum(axis=0)
    spread = np.maximum(before.std(axis=0, ddof=1), 1e-300)
    points = []
    for batch in batches:
        sums = np.array([batch.sums.get(name, np.nan) for name in names])
        error = spread * np.sqrt(1 / batch.n + 1 / count)
        points.append((sums / batch.n - total / count) / error)
        count, total = count + batch.n, total + sums
    finite = np.asarray(np.isfinite(before).all(axis=0))
    series = np.array(points)
    charted = [i for i in range(len(names)) if finite[i] and np.isfinite(series[:, i]).all()]
    charts = {names[i]: chart(series[:, i], run_length * len(charted)) for i in charted}
    return History(tuple(b.batch for b in batches), charts, run_length)


def _names(charted: FloatArray) -> tuple[str, ...]:
    components = charted.shape[1] - len(CHARTED_SUMMARIES)
    return (*CHARTED_SUMMARIES, *(f"component {i + 1}" for i in range(components)))


def _charted(profile: ReferenceProfile, values: Features) -> FloatArray:
    columns = [SUMMARIES.index(name) for name in CHARTED_SUMMARIES]
    return np.column_stack([values.summaries[:, columns], profile.scores(values)[:, :CHARTED_COMPONENTS]])
