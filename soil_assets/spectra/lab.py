"""The wet lab's table: read its values, name and convert its columns, join it to the scans.

Belongs here: text to number (with censored values kept apart), canonical columns and units, ids and the join.
Does not belong here: reading files (``spectra.readers``) and judging values (``quality``).
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
from soil_assets.spectra.units import PER_VOLUME, UNIT_FACTORS, normalise_unit

#: Suffix of the column that holds the limit of detection where a value was given as ``< limit``.
BELOW = "_below"
#: Column that names cells which are neither a number nor a known word for 'missing'.
UNREAD = "unread_values"

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

_MISSING = frozenset(
    {"", "na", "n/a", "nan", "none", "null", "-", "--", ".", "n.d.", "nd", "n.a.", "missing", "#n/a"}
)
_NUMBER = re.compile(r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$", re.IGNORECASE | re.ASCII)
_CENSORED = re.compile(r"^(?:<|<=|≤|lt\s)\s*(?P<limit>.+)$", re.IGNORECASE)
_LOD_WORDS = frozenset({"<lod", "< lod", "lod", "bdl", "<loq", "< loq", "<dl", "b.d.l."})


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
        When the table has no id column or a unit cannot be converted.
    """
    id_column = find_id_column(table)
    standard, notes = standardise(table.drop(columns=[id_column]), catalogue, units)
    lab_text = [_text(v) for v in table[id_column]]
    lab_keys = [normalise_id(t) for t in lab_text]
    scan_text = [_text(v) for v in batch.samples["sample_id"]]
    scan_keys = [normalise_id(t) for t in scan_text]
    standard["_key"] = pd.Series(lab_keys, dtype=object)
    filled = standard[standard["_key"].notna()]
    blank = len(standard) - len(filled)
    merged, repeated, conflicts = _one_row_an_id(filled)
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
    folded = unicodedata.normalize("NFKC", text).strip().casefold()
    return re.sub(r"[\s_\-\u2010-\u2015]+", "_", folded) or None


def standardise(
    table: pd.DataFrame, catalogue: Catalogue, units: Mapping[str, str] | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """Rename property columns to canonical names, parse their values, convert them to the catalogue's units.

    A value below the limit of detection (``<0.05``) becomes missing, its limit goes to ``<name>_below``. A
    cell that is no number and no word for 'missing' becomes missing and is named in column ``unread_values``.

    Parameters
    ----------
    table : DataFrame
        Any columns; those that the catalogue does not know are kept as they are.
    catalogue : Catalogue
    units : mapping of str to str, optional
        Unit by column name as written, or by canonical name.

    Returns
    -------
    (DataFrame, list of str)
        The same rows, and what was done in words.

    Raises
    ------
    BadInput
        When a unit cannot be converted.
    """
    units = dict(units or {})
    out: dict[str, Any] = {}
    notes: list[str] = []
    unread: list[list[str]] = [[] for _ in range(len(table))]
    density = _bulk_density(table, catalogue, units)
    for column in map(str, table.columns):
        name, header_unit = catalogue.resolve(column)
        if name is None or column == UNREAD:
            out[column] = table[column].array
            continue
        values, below, bad = parse_numbers(table[column])
        for row, text in bad.items():
            unread[row].append(f"{column}: {text!r}")
        unit = units.get(column) or units.get(name) or header_unit or catalogue[name].unit
        factor, said = _factor(catalogue, name, unit, density)
        if said:
            notes.append(f"{column}: {said}")
        oxide = catalogue.oxide(column)
        if oxide:
            factor = factor * oxide[1]
            notes.append(f"{column}: {oxide[0]} is taken as its element (times {oxide[1]:.4g})")
        if column != name:
            notes.append(f"column {column} is read as {name}")
        if name in out:
            notes.append(_fill(out, name, values * factor, column))
            continue
        out[name] = values * factor
        if np.isfinite(below).any():
            out[name + BELOW] = below * factor
            notes.append(
                f"{column}: {int(np.isfinite(below).sum())} values below the limit of detection are censored"
            )
    result = pd.DataFrame(out, index=pd.RangeIndex(len(table)))
    if any(unread):
        earlier = (
            result[UNREAD] if UNREAD in result.columns else pd.Series([None] * len(result), dtype=object)
        )
        texts = [
            "; ".join([*([e] if isinstance(e, str) else []), *u]) or None
            for e, u in zip(earlier, unread, strict=True)
        ]
        result[UNREAD] = pd.array(texts, dtype=object)
    return result, notes


def parse_numbers(
    column: pd.Series[Any],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], dict[int, str]]:
    """Turn a lab's column into numbers.

    Returns
    -------
    values, below : ndarray of float64
        The number, and the limit of detection where the cell says ``< limit`` (NaN elsewhere). Decimal commas
        are read; infinities are no numbers.
    bad : dict of int to str
        Cells that are neither a number nor a word for 'missing', by position.
    """
    below = np.full(len(column), np.nan)
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
        infinite = np.isinf(numbers)
        return (
            np.where(infinite, np.nan, numbers),
            below,
            {int(i): str(numbers[i]) for i in np.flatnonzero(infinite)},
        )
    values = np.full(len(column), np.nan)
    bad: dict[int, str] = {}
    for i, cell in enumerate(column):
        text = _text(cell)
        if text is None or text.lower() in _MISSING:
            continue
        if text.lower() in _LOD_WORDS:
            bad[i] = text  # censored, but the limit is not told: the lab must say it
            continue
        censored = _CENSORED.match(text)
        number = _number(censored["limit"] if censored else text)
        if number is None:
            bad[i] = text
        elif censored:
            below[i] = number
        else:
            values[i] = number
    return values, below, bad


def _number(text: str) -> float | None:
    compact = text.strip().replace("\u00a0", "").replace("−", "-")
    if compact.count(",") == 1 and "." not in compact:
        compact = compact.replace(",", ".")
    if not _NUMBER.match(compact):
        return None
    number = float(compact)
    return number if np.isfinite(number) else None


def _factor(
    catalogue: Catalogue, name: str, unit: str, density: npt.NDArray[np.float64] | None
) -> tuple[float | npt.NDArray[np.float64], str | None]:
    target = catalogue[name].unit
    if (
        normalise_unit(unit) == PER_VOLUME
        and density is not None
        and ("%", target) in {*UNIT_FACTORS, ("%", "%")}
    ):
        to_target = 1.0 if target == "%" else UNIT_FACTORS[("%", target)]
        return to_target / (
            10.0 * density
        ), f"converted from {PER_VOLUME} to {target} by each sample's bulk density"
    factor = catalogue.factor(name, unit)
    same = normalise_unit(unit) == normalise_unit(target) or unit == target
    return factor, None if same else f"converted from {unit} to {target} (times {factor:g})"


def _bulk_density(
    table: pd.DataFrame, catalogue: Catalogue, units: Mapping[str, str]
) -> npt.NDArray[np.float64] | None:
    for column in map(str, table.columns):
        name, unit = catalogue.resolve(column)
        if name == "bd":
            values, _, _ = parse_numbers(table[column])
            values = values * catalogue.factor("bd", units.get(column) or units.get("bd") or unit or "g/cm3")
            return np.where(values > 0, values, np.nan)
    return None


def _fill(out: dict[str, Any], name: str, values: npt.NDArray[np.float64], column: str) -> str:
    before = np.asarray(out[name], dtype=np.float64)
    gaps = np.isnan(before) & np.isfinite(values)
    differ = int((np.isfinite(before) & np.isfinite(values) & ~np.isclose(before, values, rtol=1e-3)).sum())
    out[name] = np.where(gaps, values, before)
    return (
        f"column {column} is {name} too: it filled {int(gaps.sum())} gaps; "
        f"{differ} rows where the two differ keep the first column's value"
    )


def _one_row_an_id(table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...], list[str]]:
    repeated = table["_key"][table["_key"].duplicated()].unique()
    if not len(repeated):
        return table.reset_index(drop=True), (), []
    columns = [c for c in table.columns if c != "_key"]
    grouped = table.groupby("_key", sort=False)
    merged = grouped[columns].first()
    distinct = grouped[columns].nunique(dropna=True)
    notes = []
    for column in columns:
        torn = list(distinct.index[distinct[column] > 1])
        if torn:
            merged[column] = merged[column].mask(distinct[column] > 1)
            shown = ", ".join(map(str, torn[:5])) + (" ..." if len(torn) > 5 else "")
            notes.append(
                f"{column}: {len(torn)} ids with several different values are left missing ({shown})"
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


def _text(cell: Any) -> str | None:
    if cell is None or (not isinstance(cell, str) and pd.isna(cell)):
        return None
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))  # a spreadsheet turns the id 17 into 17.0
    return str(cell).strip() or None
