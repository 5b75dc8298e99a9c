"""The values of a laboratory's table: text to number, canonical names, the catalogue's units.

Belongs here: reading cells (with censored values kept apart) and converting columns.
Does not belong here: joining the table to scans (``spectra.lab``) and judging values (``quality``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.errors import BadInput
from soil_assets.spectra.catalogue import Catalogue
from soil_assets.spectra.units import PER_VOLUME, UNIT_FACTORS, normalise_unit

#: Suffix of the column that holds the limit of detection where a value was given as ``< limit``.
BELOW = "_below"
#: Column that names cells which are neither a number nor a known word for 'missing'.
UNREAD = "unread_values"

_MISSING = frozenset(
    {"", "na", "n/a", "nan", "none", "null", "-", "--", ".", "n.d.", "nd", "n.a.", "missing", "#n/a"}
)
_NUMBER = re.compile(r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$", re.IGNORECASE | re.ASCII)
_CENSORED = re.compile(r"^(?:<|<=|≤|lt\s)\s*(?P<limit>.+)$", re.IGNORECASE)
_LOD_WORDS = frozenset({"<lod", "< lod", "lod", "bdl", "<loq", "< loq", "<dl", "b.d.l."})


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

    A column whose unit cannot be converted keeps its values under a name that is no property's, and a note says why.
    """
    units = dict(units or {})
    out: dict[str, Any] = {}
    notes: list[str] = []
    read: list[str] = []
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
        try:
            factor, said = _factor(catalogue, name, unit, density)
        except BadInput as refused:
            out[column if column not in catalogue else f"{column} ({unit})"] = table[column].array
            notes.append(f"column {column} is left out: {refused}")
            continue
        oxide = catalogue.oxide(column)
        if oxide:
            factor = factor * oxide[1]
            said = [*said, f"{oxide[0]} taken as its element, times {oxide[1]:.4g}"]
        if column != name or said:
            read.append(f"{column} as {name}" + (f" ({'; '.join(said)})" if said else ""))
        if name in out:
            notes.append(_fill(out, name, values * factor, column))
            continue
        out[name] = values * factor
        if np.isfinite(below).any():
            out[name + BELOW] = below * factor
            notes.append(
                f"{column}: {int(np.isfinite(below).sum())} values below the limit of detection are censored"
            )
    if read:
        notes.insert(0, "columns read: " + ", ".join(read))
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


def unconvertible(table: pd.DataFrame, catalogue: Catalogue) -> list[BadInput]:
    """Return, for each column that names a property in a unit it cannot have, what is wrong with it."""
    density = _bulk_density(table, catalogue, {})
    found = []
    for column in map(str, table.columns):
        name, unit = catalogue.resolve(column)
        if name is not None and unit is not None:
            try:
                _factor(catalogue, name, unit, density)
            except BadInput as refused:
                found.append(refused)
    return found


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
        text = cell_text(cell)
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
) -> tuple[float | npt.NDArray[np.float64], list[str]]:
    target = catalogue[name].unit
    if (
        normalise_unit(unit) == PER_VOLUME
        and density is not None
        and ("%", target) in {*UNIT_FACTORS, ("%", "%")}
    ):
        to_target = 1.0 if target == "%" else UNIT_FACTORS[("%", target)]
        return to_target / (10.0 * density), [f"{PER_VOLUME} to {target} by each sample's bulk density"]
    factor = catalogue.factor(name, unit)
    same = normalise_unit(unit) == normalise_unit(target) or unit == target
    return factor, [] if same else [f"{unit} to {target}, times {factor:.6g}"]


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


def cell_text(cell: Any) -> str | None:
    """Return a cell as stripped text, a whole number without its ``.0``; None for an empty cell."""
    if cell is None or (not isinstance(cell, str) and pd.isna(cell)):
        return None
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))  # a spreadsheet turns the id 17 into 17.0
    return str(cell).strip() or None
