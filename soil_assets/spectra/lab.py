"""The wet lab's table joined to the scans.

Belongs here: ids (which spellings are one), the join, and the report of what matched and what was left.
Does not belong here: cells and units (``spectra.lab_values``), reading files (``spectra.readers``), judging values
(``quality``).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.errors import BadInput
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import Catalogue
from soil_assets.spectra.lab_values import BELOW, UNREAD, cell_text, parse_numbers, standardise

__all__ = [
    "BELOW", "CONFLICTS", "ID_COLUMNS", "UNREAD", "JoinReport", "find_id_column", "join_lab", "normalise_id",
    "parse_numbers", "standardise",
]  # fmt: skip

#: Column that names results which the lab's table gives twice and differently; they are left missing.
CONFLICTS = "lab_conflicts"

#: Column names under which labs keep the sample's id, best first.
ID_COLUMNS = (
    "sample_id",
    "id.layer_uuid_txt",
    "id.layer_local_c",
    "sampleid",
    "sample",
    "lab_id",
    "labid",
    "id",
)


#: Blanks, underscores and dashes, which labs write one for the other.
_GAP = re.compile(r"[\s_\-\u2010-\u2015]+")


@dataclass(frozen=True)
class JoinReport:
    """What a join did: nothing is matched, renamed or left over in silence.

    Parameters
    ----------
    matched : int
        Scans that got a lab row.
    lab_rows : int
        Rows of the lab table.
    scans_without_lab, lab_without_scans : tuple of str
        Ids that found no partner, in the order of the files.
    normalised : tuple of (str, str)
        Ids whose spelling was changed for the match (as written, as matched).
    repeated : tuple of str
        Ids with several lab rows; rows that agree are merged, a value on which they differ is left missing.
    notes : tuple of str
        Conversions and suspicions, in words.
    """

    matched: int
    lab_rows: int
    scans_without_lab: tuple[str, ...]
    lab_without_scans: tuple[str, ...]
    normalised: tuple[tuple[str, str], ...]
    repeated: tuple[str, ...]
    notes: tuple[str, ...]


def join_lab(
    batch: SpectralBatch, table: pd.DataFrame, catalogue: Catalogue, units: Mapping[str, str]
) -> tuple[SpectralBatch, JoinReport]:
    """Join a lab table to the scans of a batch by normalised sample id.

    Parameters
    ----------
    batch : SpectralBatch
        Scans; every scan of a sample gets the sample's values.
    table : DataFrame
        One row a sample, as the lab wrote it; one column of :data:`ID_COLUMNS`.
    catalogue : Catalogue
        Names and units of properties.
    units : mapping of str to str
        Unit of a column (as written, or canonical) where header and catalogue do not tell.

    Returns
    -------
    (SpectralBatch, JoinReport)
        The batch with the lab's columns under canonical names and units.

    Raises
    ------
    BadInput
        When the table has no id column.
    """
    id_column = find_id_column(table)
    standard, notes = standardise(table.drop(columns=[id_column]), catalogue, units)
    lab_text = [cell_text(v) for v in table[id_column]]
    lab_keys = [normalise_id(t) for t in lab_text]
    scan_text = [cell_text(v) for v in batch.samples["sample_id"]]
    scan_keys = [normalise_id(t) for t in scan_text]
    standard["_key"] = pd.Series(lab_keys, dtype=object)
    filled = standard[standard["_key"].notna()]
    blank = len(standard) - len(filled)
    merged, repeated, conflicts = _one_row_an_id(filled, catalogue)
    if blank:
        notes.append(f"{blank} lab rows carry no id and cannot be matched")
    notes += conflicts
    position = {key: i for i, key in enumerate(merged["_key"])}
    rows = np.array([position.get(k, -1) if k is not None else -1 for k in scan_keys], dtype=np.intp)
    samples = _with_columns(batch.samples, merged.drop(columns="_key"), rows, notes)
    present = {k for k in scan_keys if k is not None}
    report = JoinReport(
        matched=int((rows >= 0).sum()),
        lab_rows=len(table),
        scans_without_lab=_distinct(
            t for t, r in zip(scan_text, rows, strict=True) if r < 0 and t is not None
        ),
        lab_without_scans=_distinct(
            t
            for t, k in zip(lab_text, lab_keys, strict=True)
            if k is not None and k not in present and t is not None
        ),
        normalised=_changed(lab_text, lab_keys, scan_text, scan_keys),
        repeated=repeated,
        notes=tuple(notes),
    )
    return batch.with_samples(samples), report


def find_id_column(table: pd.DataFrame) -> str:
    """Return the name of the column that holds sample ids.

    Raises
    ------
    BadInput
        When there is none.
    """
    by_key = {re.sub(r"[\s\-]+", "_", str(c).strip().lower()): str(c) for c in reversed(list(table.columns))}
    for wanted in ID_COLUMNS:
        if wanted in by_key:
            return by_key[wanted]
    raise BadInput(
        "the lab table has no column of sample ids",
        found=", ".join(map(str, list(table.columns)[:8])),
        expected="a column sample_id",
        mend="name the column that holds the sample ids sample_id",
    )


def normalise_id(text: str | None) -> str | None:
    """Return the form of an id on which two files are matched: case, blanks, dashes and unicode forms folded.

    >>> normalise_id(" Léo 01 "), normalise_id("A-7.0"), normalise_id("")
    ('léo_01', 'a_7.0', None)
    """
    if text is None:
        return None
    folded = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return _GAP.sub("_", folded.strip().casefold()) or None


def _one_row_an_id(
    table: pd.DataFrame, catalogue: Catalogue
) -> tuple[pd.DataFrame, tuple[str, ...], list[str]]:
    repeated = table["_key"][table["_key"].duplicated()].unique()
    if not len(repeated):
        return table.reset_index(drop=True), (), []
    columns = [c for c in table.columns if c != "_key"]
    grouped = table.groupby("_key", sort=False)
    merged = grouped[columns].first()
    distinct = grouped[columns].nunique(dropna=True)
    notes = []
    told: dict[object, list[str]] = {}
    for column in columns:
        torn = list(distinct.index[distinct[column] > 1])
        if not torn:
            continue
        merged[column] = merged[column].mask(distinct[column] > 1)
        shown = ", ".join(map(str, torn[:5])) + (" ..." if len(torn) > 5 else "")
        notes.append(f"{column}: {len(torn)} ids with several different values are left missing ({shown})")
        if column in catalogue:
            for key in torn:
                values = grouped.get_group(key)[column].dropna().unique()
                told.setdefault(key, []).append(f"{column} {' and '.join(f'{v:g}' for v in values)}")
    if told:
        merged[CONFLICTS] = pd.Series({k: "; ".join(v) for k, v in told.items()}, dtype=object).reindex(
            merged.index
        )
    return merged.reset_index(), tuple(map(str, repeated)), notes


def _with_columns(
    samples: pd.DataFrame, lab: pd.DataFrame, rows: npt.NDArray[np.intp], notes: list[str]
) -> pd.DataFrame:
    found = rows >= 0
    taken = (
        lab.iloc[np.where(found, rows, 0)].reset_index(drop=True)
        if len(lab)
        else lab.reindex(range(len(rows)))
    )
    columns = {}
    for column in taken.columns:
        values = taken[column].where(pd.Series(found))
        if column in samples.columns:
            notes.append(
                f"column {column} stands in the spectra file and in the lab table: the lab's value is taken"
            )
            values = values.where(values.notna(), samples[column])
        columns[column] = values
    kept = samples.drop(columns=[c for c in columns if c in samples.columns])
    return pd.concat([kept, pd.DataFrame(columns, index=samples.index)], axis=1)


def _changed(*pairs: list[str | None]) -> tuple[tuple[str, str], ...]:
    texts = [*pairs[0], *pairs[2]]
    keys = [*pairs[1], *pairs[3]]
    spellings: dict[str, set[str]] = {}
    for text, key in zip(texts, keys, strict=True):
        if text is not None and key is not None:
            spellings.setdefault(key, set()).add(text)
    return tuple((text, key) for key, all_ in spellings.items() if len(all_) > 1 for text in sorted(all_))


def _distinct(texts: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
