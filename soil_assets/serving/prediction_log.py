"""The prediction log: sampled spectra with what was said of them, as one folder of Parquet files a day.

Belongs here: sampling, the bounded queue, writing whole files. A request never waits for the log: what does not
fit is dropped and counted. Does not belong here: what is made of a day (``defs.assets.served``).

A file ``<day>/<time>-<service>-<number>.parquet`` is a stored :class:`SpectralBatch`: spectra as they were measured,
and columns ``request_id``, ``answered_at``, ``predicted_<property>``, ``inside_<property>``, ``version_<property>``. A
prediction's column never carries a property's own name: a predicted value is not a lab's.
"""

from __future__ import annotations

import datetime as dt
import io
import random
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from soil_assets.storage import Store

if TYPE_CHECKING:
    from soil_assets.serving.incoming import Asked
    from soil_assets.serving.model_store import LoadedModel
    from soil_assets.spectra.batch import SpectralBatch

#: A file is written as soon as this many spectra wait.
_FULL = 2_000
#: After a failure to write, wait this long before the next try.
_WAIT = 5.0


@dataclass(frozen=True, eq=False)
class _Entry:
    asked: Asked
    #: None for all of them.
    rows: np.ndarray[Any, np.dtype[np.intp]] | None
    #: By property, values and whether they lie inside: what waits keeps nothing else of an answer.
    said: Mapping[str, tuple[Any, Any]]
    versions: Mapping[str, int]
    request_id: str
    at: dt.datetime

    def __len__(self) -> int:
        return len(self.asked) if self.rows is None else len(self.rows)

    def of(self, column: Any) -> Any:
        """Return what was sampled of a column, a matrix or a list."""
        return np.asarray(column) if self.rows is None else np.asarray(column)[self.rows]


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
        tell: Callable[[str, dict[str, object]], None] = lambda event, facts: None,
    ) -> None:
        import soil_assets.spectra.parquet  # noqa: F401  # loaded before the first request, not beside one

        self.counts = LogCounts()
        self._store = Store(url)
        self._share, self._seconds, self._most = share, seconds, queue
        self._tell = tell
        self._waiting: deque[_Entry] = deque()
        self._size = 0
        self._lock = threading.Condition()
        self._closed = False
        self._number = 0
        self._service = secrets.token_hex(4)
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
        rows = None
        if self._share < 1.0:
            rows = np.flatnonzero([random.random() < self._share for _ in range(len(asked))])
            if not len(rows):
                return
        said = {p: (of["value"], of["inside"]) for p, of in columns.items()}
        versions = {p: models[p].version for p in columns}
        entry = _Entry(asked, rows, said, versions, request_id, dt.datetime.now(dt.UTC))
        with self._lock:
            self.counts.taken += len(entry)
            if self._closed or self._size + len(entry) > self._most:
                self.counts.dropped += len(entry)
                return
            self._waiting.append(entry)
            self._size += len(entry)
            if self._size >= _FULL:
                self._lock.notify()

    def close(self) -> None:
        """Write what waits and end; what cannot be written now is dropped and counted."""
        with self._lock:
            self._closed = True
            self._lock.notify()
        self._thread.join(timeout=30.0)

    def _write_on(self) -> None:
        while True:
            with self._lock:
                if not self._closed and self._size < _FULL:
                    self._lock.wait(self._seconds)
                closed = self._closed
                taken = list(self._waiting)
                self._waiting.clear()
            if taken:
                self._write(taken, last=closed)
            if closed and not self._waiting:
                return

    def _write(self, entries: list[_Entry], *, last: bool) -> None:
        """Write entries that belong into one file together; those that fail wait on, in front."""
        groups: dict[Any, list[_Entry]] = {}
        for e in entries:
            kind = (e.at.date(), e.asked.axis, e.asked.quantity, e.asked.scale, tuple(e.said))
            groups.setdefault(kind, []).append(e)
        left: list[_Entry] = []
        for group in groups.values():
            size = sum(map(len, group))
            try:
                self._store.write(self._key(group[-1].at), _parquet(_batch(group)))
            except Exception as error:  # noqa: BLE001  # object stores raise what they like; a log must not end a service
                self.counts.failures += 1
                self._tell("prediction_log", {"error": f"{type(error).__name__}: {error}", "waiting": size})
                left += group
            else:
                self.counts.written += size
                with self._lock:
                    self._size -= size
        if not left:
            return
        with self._lock:
            if last:
                self._size -= sum(map(len, left))
                self.counts.dropped += sum(map(len, left))
                return
            self._waiting.extendleft(reversed(left))
            if not self._closed:
                self._lock.wait(_WAIT)

    def _key(self, at: dt.datetime) -> str:
        self._number += 1
        return f"{at:%Y-%m-%d}/{at:%H%M%S}-{self._service}-{self._number:06d}.parquet"


def _batch(entries: list[_Entry]) -> SpectralBatch:
    import pandas as pd

    from soil_assets.spectra.batch import SpectralBatch

    # One table for all: a table for each request would cost more than answering it did.
    columns: dict[str, Any] = {
        "sample_id": [
            name
            for e in entries
            for name in (e.asked.ids if e.rows is None else map(e.asked.ids.__getitem__, e.rows))
        ],
        "request_id": [e.request_id for e in entries for _ in range(len(e))],
        "answered_at": [text for e in entries for text in [e.at.isoformat(timespec="milliseconds")] * len(e)],
    }
    for prop in entries[0].said:
        columns[f"predicted_{prop}"] = np.concatenate([e.of(e.said[prop][0]) for e in entries])
        columns[f"inside_{prop}"] = np.concatenate([e.of(e.said[prop][1]) for e in entries])
        columns[f"version_{prop}"] = np.repeat([e.versions[prop] for e in entries], [len(e) for e in entries])
    first = entries[0].asked
    return SpectralBatch(
        pd.DataFrame(columns),
        np.concatenate([e.of(e.asked.spectra) for e in entries]),
        first.axis,
        first.quantity,
        first.scale,
        {"format": "prediction log", "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())},
    )


def _parquet(batch: SpectralBatch) -> bytes:
    import pyarrow as pa

    from soil_assets.spectra.parquet import to_parquet

    target = io.BytesIO()
    to_parquet(batch, target)
    pa.default_memory_pool().release_unused()  # a service keeps for its requests what Arrow would keep for tables
    return target.getvalue()
