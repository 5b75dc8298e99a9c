"""Files of the prediction log: few and whole, and gone when their time is over.

Belongs here: names, putting small files together, retention. Does not belong here: what is logged, and when
(``serving.prediction_log``), what is made of a day (``serving.served_day``).

A service puts together files that it wrote itself, sixteen of about one size at a time, so that a spectrum is written
a few times at most and a day has tens of files and not thousands. A killed process may leave both the parts and the
whole: a day's spectra count once, however often they are there.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import re
import secrets
from collections import defaultdict
from collections.abc import Hashable
from typing import TYPE_CHECKING

from soil_assets.storage import Store, file_system

if TYPE_CHECKING:
    from soil_assets.spectra.batch import SpectralBatch

DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
#: So many files of about one size become one, unless it would hold more intensities than are handled at a time.
_TOGETHER = 16
MOST_VALUES = 4_000_000


class LogFiles:
    """The files that one service writes.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._service = secrets.token_hex(4)
        self._number = 0
        #: By what may lie in one file, and by how often its files were put together: keys and numbers of intensities.
        self._written: dict[tuple[dt.date, Hashable], dict[int, list[tuple[str, int]]]] = {}

    def takes(self, day: dt.date, kind: Hashable, most: int) -> bool:
        """Whether a batch of this kind may be written: a day has ``most`` kinds of one service."""
        return (day, kind) in self._written or sum(1 for of, _ in self._written if of == day) < most

    def write(self, at: dt.datetime, kind: Hashable, batch: SpectralBatch) -> None:
        """Write one batch.

        Parameters
        ----------
        at : datetime
            When it was answered.
        kind : hashable
            Batches of one kind have one axis and the same columns, and may lie in one file.
        batch : SpectralBatch
        """
        key = self._put(at, batch)
        levels = self._written.setdefault((at.date(), kind), defaultdict(list))
        levels[0].append((key, batch.spectra.size))

    def put_together(self) -> None:
        """Put together what has become many small files."""
        for (day, _), levels in self._written.items():
            level = 0
            while len(levels[level]) >= _TOGETHER:
                parts = levels.pop(level)
                if (
                    sum(values for _, values in parts) <= MOST_VALUES
                ):  # else they are large enough as they are
                    levels[level + 1].append(self._together(day, parts))
                level += 1

    def day_over(self, today: dt.date) -> None:
        """Put together what is left of days before ``today``, and forget them."""
        for of in [key for key in self._written if key[0] < today]:
            files = [one for level in self._written.pop(of).values() for one in level]
            some: list[tuple[str, int]] = []
            for one in files:
                if sum(values for _, values in some) + one[1] > MOST_VALUES:
                    self._together(of[0], some)
                    some = []
                some.append(one)
            self._together(of[0], some)

    def remove_before(self, first: dt.date) -> int:
        """Remove the files of days before ``first``; return how many."""
        removed = 0
        for day in self._store.folders():
            if DAY.fullmatch(day) and day < first.isoformat():
                keys = [key for key in self._store.files(day) if key.endswith(".parquet")]
                for key in keys:
                    self._remove(key)
                removed += len(keys)
                fs, path = file_system(self._store.where(day))
                with contextlib.suppress(OSError):  # something else lies there, or there are no folders
                    fs.rmdir(path)
        return removed

    def _together(self, day: dt.date, parts: list[tuple[str, int]]) -> tuple[str, int]:
        from soil_assets.spectra.batch import concatenate
        from soil_assets.spectra.parquet import from_parquet

        if len(parts) < 2:
            return parts[0] if parts else ("", 0)
        batches = [from_parquet(io.BytesIO(self._store.read(key))) for key, _ in parts]
        whole = concatenate(batches, batches[0].origin)
        key = self._put(dt.datetime.combine(day, dt.time()), whole)
        for part, _ in parts:
            self._remove(part)
        return key, whole.spectra.size

    def _put(self, at: dt.datetime, batch: SpectralBatch) -> str:
        self._number += 1
        key = f"{at:%Y-%m-%d}/{at:%H%M%S}-{self._service}-{self._number:06d}.parquet"
        self._store.write(key, parquet(batch))
        return key

    def _remove(self, key: str) -> None:
        fs, path = file_system(self._store.where(key))
        with contextlib.suppress(FileNotFoundError):
            fs.rm_file(path)


def parquet(batch: SpectralBatch) -> bytes:
    """Return a batch as the bytes of a Parquet file."""
    import pyarrow as pa

    from soil_assets.spectra.parquet import to_parquet

    target = io.BytesIO()
    to_parquet(batch, target)
    pa.default_memory_pool().release_unused()  # a service keeps for its requests what Arrow would keep for tables
    return target.getvalue()
