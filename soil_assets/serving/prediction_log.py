"""The prediction log: sampled spectra with what was said of them, as one folder of Parquet files a day.

Belongs here: sampling, the bounded queue, writing whole files. A request never waits for the log: what does not
fit is dropped and counted. Does not belong here: what is made of a day (``defs.assets.served``).

A file ``<day>/<time>-<service>-<number>.parquet`` (:mod:`soil_assets.serving.log_files`) is a stored
:class:`SpectralBatch`: spectra as they were measured, and columns ``request_id``, ``answered_at``,
``predicted_<property>``, ``inside_<property>``, ``version_<property>``. A prediction's column never carries a
property's own name: a predicted value is not a lab's.
"""

from __future__ import annotations

import datetime as dt
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from soil_assets.serving.log_files import MOST_VALUES, LogFiles
from soil_assets.storage import Store

if TYPE_CHECKING:
    from soil_assets.serving.incoming import Asked
    from soil_assets.serving.model_store import LoadedModel
    from soil_assets.spectra.batch import SpectralBatch

#: A file is written as soon as this many spectra wait.
_FULL = 2_000
#: Intensities that may wait, whatever the number of spectra.
_MOST_WAITING = 16_000_000
#: After a failure to write, wait this long before the next try.
_WAIT = 5.0


@dataclass(frozen=True, eq=False)
class _Entry:
    #: What was sampled of it.
    asked: Asked
    #: By property, values and whether they lie inside: what waits keeps nothing else of an answer.
    said: Mapping[str, tuple[Any, Any]]
    versions: Mapping[str, int]
    request_id: str
    at: dt.datetime

    def __len__(self) -> int:
        return len(self.asked)

    def rows(self, first: int, last: int) -> _Entry:
        """Return some of it."""
        if (first, last) == (0, len(self)):
            return self
        some = slice(first, last)
        asked = replace(self.asked, ids=self.asked.ids[some], spectra=self.asked.spectra[some])
        said = {p: (values[some], inside[some]) for p, (values, inside) in self.said.items()}
        return replace(self, asked=asked, said=said)


@dataclass
class LogCounts:
    """Spectra by what became of them: ``taken = written + waiting + dropped``, less those not sampled."""

    taken: int = 0
    written: int = 0
    dropped: int = 0
    failures: int = 0


class PredictionLog:
    """Takes answered requests, writes them in a thread of its own.

    Parameters
    ----------
    url : str
        Folder, by any fsspec URL.
    share : float
        Share of spectra taken.
    seconds : float
        Longest that one waits to be written.
    queue : int
        Most spectra that wait.
    kinds : int
        Most kinds of spectra (axis, quantity, properties asked for) of a day; further ones are dropped and counted.
    days : int
        Days that are kept beside today; 0 for all.
    tell : callable
        Gets the event's name and facts, for logs.
    """

    def __init__(
        self,
        url: str,
        *,
        share: float = 1.0,
        seconds: float = 60.0,
        queue: int = 20_000,
        kinds: int = 64,
        days: int = 0,
        tell: Callable[[str, dict[str, object]], None] = lambda event, facts: None,
    ) -> None:
        import soil_assets.spectra.parquet  # noqa: F401  # loaded before the first request, not beside one

        self.counts = LogCounts()
        self._store = Store(url)
        self._files = LogFiles(self._store)
        self._share, self._seconds, self._most = share, seconds, queue
        self._kinds, self._days = kinds, days
        self._today: dt.date | None = None
        self._tell = tell
        self._waiting: deque[_Entry] = deque()
        self._size = self._values = 0
        self._lock = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._write_on, name="prediction-log", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Spectra that wait to be written."""
        return self._size

    def put(
        self,
        request_id: str,
        asked: Asked,
        columns: Mapping[str, Mapping[str, Any]],
        models: Mapping[str, LoadedModel],
    ) -> None:
        """Take a sample of an answered request; returns at once."""
        said = {p: (np.asarray(of["value"]), np.asarray(of["inside"])) for p, of in columns.items()}
        if self._share < 1.0:
            rows = np.flatnonzero([random.random() < self._share for _ in range(len(asked))])
            if not len(rows):
                return
            asked = replace(asked, ids=[asked.ids[row] for row in rows], spectra=asked.spectra[rows])
            said = {p: (values[rows], inside[rows]) for p, (values, inside) in said.items()}
        versions = {p: models[p].version for p in columns}
        entry = _Entry(asked, said, versions, request_id, dt.datetime.now(dt.UTC))
        values = entry.asked.spectra.size
        with self._lock:
            self.counts.taken += len(entry)
            full = self._size + len(entry) > self._most or self._values + values > _MOST_WAITING
            if self._closed or full:
                self.counts.dropped += len(entry)
                return
            self._waiting.append(entry)
            self._size += len(entry)
            self._values += values
            if self._is_full():
                self._lock.notify()

    def _is_full(self) -> bool:
        return self._size >= _FULL or self._values >= MOST_VALUES

    def close(self) -> None:
        """Write what waits and end; what cannot be written now is dropped and counted."""
        with self._lock:
            self._closed = True
            self._lock.notify()
        self._thread.join(timeout=30.0)

    def _write_on(self) -> None:
        while True:
            self._tidy()
            with self._lock:
                if not self._closed and not self._is_full():
                    self._lock.wait(self._seconds)
                closed = self._closed
                taken = list(self._waiting)
                self._waiting.clear()
            if taken:
                self._write(taken, last=closed)
            if closed and not self._waiting:
                return

    def _tidy(self) -> None:
        """Put small files together; when a day is over, what is left of it, and remove days that are too old."""
        today = dt.datetime.now(dt.UTC).date()
        try:
            self._files.put_together()
            if today != self._today:
                self._files.day_over(today)
                if self._days:
                    removed = self._files.remove_before(today - dt.timedelta(days=self._days))
                    self._tell("prediction_log", {"removed_files": removed, "days": self._days})
                self._today = today
        except Exception as error:  # noqa: BLE001  # as for writing: tried again with the next files
            self._tell("prediction_log", {"error": f"{type(error).__name__}: {error}"})

    def _write(self, entries: list[_Entry], *, last: bool) -> None:
        """Write entries that belong into one file together; those that fail wait on, in front."""
        groups: dict[tuple[dt.date, Any], list[_Entry]] = {}
        for e in entries:
            kind = (e.asked.axis, e.asked.quantity, e.asked.scale, tuple(e.said))
            groups.setdefault((e.at.date(), kind), []).append(e)
        left: list[_Entry] = []
        for (day, kind), group in groups.items():
            if not self._files.takes(day, kind, self._kinds):
                self._done(group, dropped=True)
                continue
            for part in _parts(group):
                try:
                    self._files.write(part[-1].at, kind, _batch(part))
                except Exception as error:  # noqa: BLE001  # object stores raise what they like; a log must not end a service
                    self.counts.failures += 1
                    size = sum(map(len, part))
                    self._tell(
                        "prediction_log", {"error": f"{type(error).__name__}: {error}", "waiting": size}
                    )
                    left += part
                else:
                    self._done(part)
        if not left:
            return
        if last:
            self._done(left, dropped=True)
            return
        with self._lock:
            self._waiting.extendleft(reversed(left))
            if not self._closed:
                self._lock.wait(_WAIT)

    def _done(self, entries: list[_Entry], *, dropped: bool = False) -> None:
        """Count entries that wait no longer."""
        size = sum(map(len, entries))
        with self._lock:
            self._size -= size
            self._values -= sum(e.asked.spectra.size for e in entries)
            if dropped:
                self.counts.dropped += size
            else:
                self.counts.written += size


def _parts(entries: list[_Entry]) -> Iterator[list[_Entry]]:
    """Yield entries in parts of at most so many intensities; large ones are cut."""
    most = max(1, MOST_VALUES // entries[0].asked.spectra.shape[1])
    part: list[_Entry] = []
    room = most
    for entry in entries:
        first = 0
        while first < len(entry):
            last = min(len(entry), first + room)
            part.append(entry.rows(first, last))
            room -= last - first
            first = last
            if not room:
                yield part
                part, room = [], most
    if part:
        yield part


def _batch(entries: list[_Entry]) -> SpectralBatch:
    import pandas as pd

    from soil_assets.spectra.batch import SpectralBatch

    # One table for all: a table for each request would cost more than answering it did.
    columns: dict[str, Any] = {
        "sample_id": [name for e in entries for name in e.asked.ids],
        "request_id": [e.request_id for e in entries for _ in range(len(e))],
        "answered_at": [text for e in entries for text in [e.at.isoformat(timespec="milliseconds")] * len(e)],
    }
    for prop in entries[0].said:
        columns[f"predicted_{prop}"] = np.concatenate([e.said[prop][0] for e in entries])
        columns[f"inside_{prop}"] = np.concatenate([e.said[prop][1] for e in entries])
        columns[f"version_{prop}"] = np.repeat([e.versions[prop] for e in entries], [len(e) for e in entries])
    first = entries[0].asked
    return SpectralBatch(
        pd.DataFrame(columns),
        np.concatenate([e.asked.spectra for e in entries]),
        first.axis,
        first.quantity,
        first.scale,
        {"format": "prediction log", "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())},
    )
