"""Rows that a test may count as independent: scans averaged to soils, soils with the group they belong to.

Belongs here: leaving out scans that cannot be judged (and counting them), averaging replicates, groups.
Does not belong here: features of the spectra (``features``) and tests (``permutation``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.drift.features import Features
from soil_assets.errors import BadInput
from soil_assets.spectra.batch import SpectralBatch

FloatArray = npt.NDArray[np.float64]

GROUP_COLUMNS = ("site", "profile")


@dataclass(frozen=True, eq=False)
class Soils:
    """One row a soil.

    Parameters
    ----------
    batch : SpectralBatch
        Mean spectrum of each soil, with the table row of its first scan.
    rows : ndarray of int, shape (n_soils,)
        Position of each soil's first scan in the batch that it came from.
    groups : ndarray of int, shape (n_soils,)
        Codes from 0.
    group_column : str
        Where the groups come from; ``sample_id`` when soils count as independent.
    properties : mapping of str to ndarray of float, shape (n_soils,)
    categories : mapping of str to ndarray of str, shape (n_soils,)
    n_left_out : int
        Scans left out because a value of the spectrum is missing or not finite.
    soil_of_scan : ndarray of int, shape (n_scans,)
        Row of each scan's soil, -1 for a scan left out.
    """

    batch: SpectralBatch
    rows: npt.NDArray[np.intp]
    groups: npt.NDArray[np.int64]
    group_column: str
    properties: Mapping[str, FloatArray]
    categories: Mapping[str, npt.NDArray[np.str_]]
    n_left_out: int
    soil_of_scan: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.batch)

    def take(self, kept: npt.NDArray[np.intp]) -> Soils:
        """Return the soils of ``kept``."""
        place = np.full(len(self) + 1, -1, dtype=np.intp)
        place[kept] = np.arange(len(kept))
        return replace(
            self,
            soil_of_scan=place[self.soil_of_scan],
            batch=self.batch.take(kept),
            rows=self.rows[kept],
            groups=self.groups[kept],
            properties={name: values[kept] for name, values in self.properties.items()},
            categories={name: values[kept] for name, values in self.categories.items()},
        )

    def features_of(self, values: Features) -> Features:
        """Return features that were computed scan by scan, soil by soil.

        Raises
        ------
        BadInput
            When scans were averaged or left out: the features of a mean spectrum are not its scans' features.
        """
        scans = self.soil_of_scan.size
        if len(values) != scans or len(self) != scans:
            raise BadInput(
                "features that are known already need one usable scan a soil",
                found=f"features of {len(values)} scans; {scans} scans of {len(self)} soils",
                expected="as many of each",
            )
        return values.take(self.rows)

    def mean_of(self, values: npt.ArrayLike) -> FloatArray:
        """Average one value per scan to one per soil, ignoring missing ones; NaN where there is none."""
        given = np.asarray(values, dtype=np.float64)
        if given.shape != self.soil_of_scan.shape:
            raise BadInput(
                "one value per scan is needed",
                found=f"shape {given.shape}",
                expected=f"{self.soil_of_scan.shape}",
            )
        usable = self.soil_of_scan >= 0
        return _mean_by(given[usable], self.soil_of_scan[usable], len(self))


def soils_of(
    batch: SpectralBatch,
    properties: Sequence[str],
    categories: Sequence[str],
    groups: npt.ArrayLike | None = None,
    group_column: str | None = None,
) -> Soils:
    """Average the usable scans of each soil.

    Parameters
    ----------
    batch : SpectralBatch
        Scans.
    properties, categories : sequence of str
        Columns to carry along; missing ones become NaN or empty.
    groups : array_like of shape (n_scans,), optional
        Groups to use instead of a column's.
    group_column : str, optional
        The column to take groups from where it is complete (``sample_id``: none); by default the first
        complete one of :data:`GROUP_COLUMNS`.
    """
    # A sum is finite where every value is, and needs no second matrix of a million scans.
    usable = np.flatnonzero(np.isfinite(batch.spectra.sum(axis=1, dtype=np.float64)))
    ids = batch.sample_ids
    # A scan without an id is a soil of its own: it cannot be known to be a replicate.
    own = pd.Series([f"\x00{i}" for i in range(len(batch))])
    keys = ids.astype("string").where(ids.notna(), own).to_numpy(dtype=object)[usable]
    codes, _ = pd.factorize(keys)
    first = pd.Series(usable).groupby(codes, sort=True).first().to_numpy(dtype=np.intp)
    count = first.size
    spectra = batch.spectra if usable.size == len(batch) else batch.spectra[usable]
    if count < usable.size:
        sums = np.zeros((count, spectra.shape[1]))
        np.add.at(sums, codes, spectra)
        spectra = (sums / np.bincount(codes, minlength=count)[:, None]).astype(np.float32)
    soil_of_scan = np.full(len(batch), -1, dtype=np.intp)
    soil_of_scan[usable] = codes
    values = {name: _mean_by(batch.property_values(name)[usable], codes, count) for name in properties}
    column, group = _groups(batch, groups, group_column)
    return Soils(
        batch=replace(batch, samples=batch.samples.iloc[first].reset_index(drop=True), spectra=spectra),
        rows=first,
        groups=pd.factorize(group[first])[0].astype(np.int64),
        group_column=column,
        properties=values,
        categories={name: _category(batch, name)[first] for name in categories},
        n_left_out=int(len(batch) - usable.size),
        soil_of_scan=soil_of_scan,
    )


def _groups(
    batch: SpectralBatch, groups: npt.ArrayLike | None, wanted: str | None
) -> tuple[str, npt.NDArray[np.int64]]:
    if groups is not None:
        given = np.asarray(groups)
        if given.shape != (len(batch),):
            raise BadInput(
                "one group per scan is needed", found=f"shape {given.shape}", expected=f"({len(batch)},)"
            )
        return "given", pd.factorize(given)[0].astype(np.int64)
    for column in GROUP_COLUMNS if wanted is None else (wanted,):
        if column in GROUP_COLUMNS and column in batch.samples and batch.samples[column].notna().all():
            return column, batch.groups(column)
    return "sample_id", np.arange(len(batch), dtype=np.int64)


def _category(batch: SpectralBatch, name: str) -> npt.NDArray[np.str_]:
    if name not in batch.samples.columns:
        return np.full(len(batch), "", dtype=np.str_)
    column = batch.samples[name]
    text = column.astype("string").str.strip().where(column.notna(), "")
    return text.fillna("").to_numpy(dtype=np.str_)


def _mean_by(values: FloatArray, codes: npt.NDArray[np.intp], count: int) -> FloatArray:
    known = np.isfinite(values)
    totals = np.bincount(codes[known], weights=values[known], minlength=count)
    counts = np.bincount(codes[known], minlength=count)
    return np.asarray(np.where(counts > 0, totals / np.maximum(counts, 1), np.nan))
