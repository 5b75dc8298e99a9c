"""One day of the prediction log as one batch: what production was asked, and what it said.

Belongs here: reading the day's files, bringing them onto the models' axis, counting what cannot be used.
Does not belong here: writing the log (``serving.prediction_log``), judging the day (``drift``).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from soil_assets.errors import BadInput
from soil_assets.serving.log_files import DAY
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch, concatenate
from soil_assets.spectra.harmonise import harmonise
from soil_assets.spectra.parquet import from_parquet
from soil_assets.storage import Store

if TYPE_CHECKING:
    from soil_assets.spectra.batch import Quantity

#: How often a day is read again when its files change meanwhile.
_LOOKS = 5


@dataclass(frozen=True, eq=False)
class ServedDay:
    """A day's traffic.

    Parameters
    ----------
    batch : SpectralBatch
        Spectra on the models' axis, each once; ``sample_id`` is the request's id and the client's name of the sample.
    counts : mapping of str to int
        ``logged = usable + repeated + off_axis``, in spectra; ``files`` and ``unreadable_files`` beside.
    versions : mapping of str to dict
        By property, how many spectra each version answered.
    outside : mapping of str to (count, n)
        By property, how many samples lay outside what the model knew.
    notes : tuple of str
        What was left out, and why.
    """

    batch: SpectralBatch
    counts: dict[str, int]
    versions: dict[str, dict[int, int]]
    outside: dict[str, tuple[int, int]]
    notes: tuple[str, ...] = ()

    def most_used(self) -> dict[str, int]:
        """Return the version that answered most, by property."""
        return {prop: max(of, key=lambda v: (of[v], v)) for prop, of in self.versions.items()}


def days(store: Store) -> list[str]:
    """Return the days that the log has, sorted."""
    return [name for name in store.folders() if DAY.fullmatch(name)]


def read_day(store: Store, day: str, axis: Axis, quantity: Quantity) -> ServedDay:
    """Read a day.

    Parameters
    ----------
    store : Store
        Folder of the prediction log.
    day : str
        Such as ``2026-11-24``.
    axis, quantity
        What the models see.
    """
    for _ in range(_LOOKS):
        try:
            return _read(store, day, axis, quantity)
        except FileNotFoundError:  # the service has put files together since they were listed
            continue
    raise BadInput("the day's files change all the time", file=day, mend="read it when the day is over")


def _read(store: Store, day: str, axis: Axis, quantity: Quantity) -> ServedDay:
    keys = [k for k in store.files(day) if k.endswith(".parquet")]
    parts: list[SpectralBatch] = []
    notes: list[str] = []
    logged = off_axis = unreadable = 0
    for key in keys:
        try:
            part = from_parquet(io.BytesIO(store.read(key)))
        except BadInput as error:
            unreadable += 1
            notes.append(f"{key}: {error.what}")
            continue
        logged += len(part)
        try:
            parts.append(harmonise(part, axis, quantity))
        except BadInput as error:
            off_axis += len(part)
            notes.append(f"{key}: {len(part)} spectra left out: {error.what} ({error.found})")
    batch = _together(parts, axis, quantity)
    first = _first_of_each(batch)
    repeated = len(batch) - int(first.sum())
    if repeated:
        notes.append(f"{repeated} spectra were sent more than once and count once")
    properties = [c.removeprefix("version_") for c in batch.samples.columns if c.startswith("version_")]
    once = batch.take(first)
    return ServedDay(
        once,
        {
            "logged": logged,
            "usable": len(once),
            "repeated": repeated,
            "off_axis": off_axis,
            "files": len(keys),
            "unreadable_files": unreadable,
        },
        {p: _tally(once, p) for p in properties},
        {p: _outside(once, p) for p in properties},
        tuple(notes),
    )


def _together(parts: Sequence[SpectralBatch], axis: Axis, quantity: Quantity) -> SpectralBatch:
    if not parts:
        empty = pd.DataFrame({"sample_id": pd.Series(dtype=object)})
        return SpectralBatch(empty, np.empty((0, len(axis)), np.float32), axis, quantity)
    return concatenate([p.with_samples(_nullable(p.samples)) for p in parts], {"format": "prediction log"})


def _nullable(samples: pd.DataFrame) -> pd.DataFrame:
    """Name samples uniquely, and let whole numbers and truth values be missing where files are put together."""
    kinds: dict[str, Any] = {
        c: "boolean" if c.startswith("inside_") else "Int64"
        for c in samples.columns
        if c.startswith(("inside_", "version_"))
    }
    named = samples["request_id"].astype(str) + "/" + samples["sample_id"].astype(str)
    return samples.assign(sample_id=named).astype(kinds)


def _first_of_each(batch: SpectralBatch) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Mark the first of equal spectra: probes and retries would outweigh the soils."""
    if not len(batch):
        return np.zeros(0, dtype=bool)
    rows = np.ascontiguousarray(batch.spectra).view(np.void(batch.spectra.shape[1] * 4).dtype).ravel()
    first = np.zeros(len(batch), dtype=bool)
    first[np.unique(rows, return_index=True)[1]] = True
    return first


def _tally(batch: SpectralBatch, prop: str) -> dict[int, int]:
    counted = batch.samples[f"version_{prop}"].value_counts()
    return {int(version): int(n) for version, n in counted.items()}  # type: ignore[call-overload]


def _outside(batch: SpectralBatch, prop: str) -> tuple[int, int]:
    inside = batch.samples[f"inside_{prop}"].dropna()
    return int((~inside.astype(bool)).sum()), len(inside)
