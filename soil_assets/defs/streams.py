"""The batches of one instrument in the order in which they came: what the drift gate remembers of each.

Belongs here: keeping and finding those records. Does not belong here: what is concluded from them (``drift.history``,
``drift.check_samples``).

A record is one small JSON file below ``judged/<instrument>/``, named by when the batch first arrived, so that a trend
over hundreds of batches reads hundreds of small files and no spectra.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from soil_assets.storage import Store

if TYPE_CHECKING:
    from soil_assets.config import DriftPolicy
    from soil_assets.drift.check_samples import CheckScan
    from soil_assets.drift.history import BatchMeans
    from soil_assets.spectra.batch import SpectralBatch

#: Batches of a trend: an EWMA of weight 0.2 has forgotten what is older.
LONGEST_TREND = 100
#: A stream of scans that name no instrument.
UNNAMED = "not named"


@dataclass(frozen=True)
class BatchRecord:
    """What is remembered of a batch.

    Parameters
    ----------
    batch, instrument : str
    verdict : str
        Of the drift gate.
    judged_with : str
        The batch whose pool it was judged in; empty while it was not, its own name where it needed no other.
    profile : str
        Fingerprint of the reference profile behind ``sums``.
    n : int
        Soils.
    sums : dict of str to float
        As ``drift.history.BatchMeans``; empty for a batch without a usable scan.
    checks : list of dict
        Scans of check samples (``drift.check_samples.CheckScan``).
    """

    batch: str
    instrument: str
    verdict: str
    judged_with: str
    profile: str
    n: int
    sums: dict[str, float] = field(default_factory=dict)
    checks: list[dict[str, Any]] = field(default_factory=list)


def instrument_of(batch: SpectralBatch) -> str:
    """Return the one instrument that a batch names, else what says that there is none or several."""
    if "instrument" not in batch.samples.columns:
        return UNNAMED
    names = sorted({str(v).strip() for v in batch.samples["instrument"].dropna()} - {""})
    return " + ".join(names) or UNNAMED


class Stream:
    """The records of one instrument, oldest first."""

    def __init__(self, data: Store, instrument: str) -> None:
        self.data, self.instrument = data, instrument
        self.folder = f"judged/{hashlib.sha256(instrument.encode()).hexdigest()[:12]}"

    def records(self, last: int = LONGEST_TREND) -> list[BatchRecord]:
        """Return the newest ``last`` records."""
        return [BatchRecord(**self.data.read_json(key)) for key in self.data.files(self.folder)[-last:]]

    def key_of(self, batch: str) -> str | None:
        """Return the key of a batch's record, or None where it has none."""
        keys = self.data.files(self.folder)
        return next((k for k in keys if k.rsplit("/", 1)[-1].partition("_")[2] == f"{batch}.json"), None)

    def keep(self, record: BatchRecord) -> None:
        """Write a record; a batch that is judged again keeps its place."""
        arrived = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S%f")
        key = self.key_of(record.batch) or f"{self.folder}/{arrived}_{record.batch}.json"
        self.data.write_json(key, asdict(record))

    def before(self, batch: str) -> list[BatchRecord]:
        """Return the records of the batches that came before this one."""
        records = self.records()
        place = next((i for i, r in enumerate(records) if r.batch == batch), len(records))
        return records[:place]

    def unjudged_before(self, batch: str) -> list[str]:
        """Return the batches just before this one that were too small to be judged, oldest first.

        Those that were judged in this very batch's pool are among them, so that judging it again gives the same pool;
        those judged in another's are not.
        """
        names: list[str] = []
        for record in reversed(self.before(batch)):
            if record.judged_with not in ("", batch):
                if record.judged_with == record.batch:
                    continue
                break
            names.insert(0, record.batch)
        return names

    def mark_judged(self, names: Sequence[str], together_with: str, verdict: str) -> None:
        """Remember that small batches were judged in the pool of a later one."""
        for record in self.records():
            if record.batch in names:
                self.keep(replace(record, judged_with=together_with, verdict=verdict))

    def trend(self, batch: str, profile: str, newest: BatchMeans | None) -> list[BatchMeans]:
        """Return the sums of earlier batches and of the newest; batches that drifted are no part of a slow trend."""
        from soil_assets.drift.history import BatchMeans

        earlier = [
            BatchMeans(r.batch, r.n, r.sums)
            for r in self.before(batch)
            if r.sums and r.profile == profile and r.verdict != "fail"
        ]
        return earlier if newest is None else [*earlier, newest]

    def check_scans(self) -> list[CheckScan]:
        """Return the scans of check samples, oldest first."""
        from soil_assets.drift.check_samples import CheckScan

        return [CheckScan(**scan) for record in self.records() for scan in record.checks]


def all_streams(data: Store) -> list[Stream]:
    """Return the streams of all instruments, by name."""
    found = []
    for folder in data.folders("judged"):
        keys = data.files(f"judged/{folder}")
        if keys:
            found.append(Stream(data, str(data.read_json(keys[-1])["instrument"])))
    return sorted(found, key=lambda s: s.instrument)


def with_predecessors(
    data: Store, stream: Stream, name: str, batch: SpectralBatch, policy: DriftPolicy
) -> tuple[SpectralBatch, tuple[str, ...]]:
    """Return a batch with as few unjudged predecessors of its instrument as make it large enough, and their names."""
    from soil_assets.defs.io import has_value, load_value
    from soil_assets.drift.check_samples import apart
    from soil_assets.drift.history import pooled_with_predecessors
    from soil_assets.drift.pool import soils_of

    if len(soils_of(batch, (), ())) >= policy.min_samples:
        return batch, ()
    earlier = []
    for other in stream.unjudged_before(name):
        if not has_value(data, "validated_batches", other):
            continue
        accepted, _ = apart(load_value(data, "validated_batches", other).accepted, policy.check_samples)
        if len(accepted) and instrument_of(accepted) == stream.instrument:
            earlier.append((other, accepted))
    return pooled_with_predecessors(batch, earlier, policy)
