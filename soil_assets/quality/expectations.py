"""What is expected of a batch, as data: one :class:`Expectation` a rule.

Belongs here: the vocabulary of expectations and a plain evaluator that defines their meaning.
Does not belong here: which rules there are (``quality.rules``), or Great Expectations, which evaluates the
same objects in the pipeline (``adapters.great_expectations``; a test holds the two to the same answer).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

Check = Literal["schema", "units", "ranges", "spectral_quality", "duplicates", "replicates"]
Severity = Literal["critical", "warning"]
Kind = Literal["not_null", "is_null", "between", "matches", "not_matches"]
TableName = Literal["samples", "figures"]

#: The asset checks of a validated batch, in the order in which a person reads them.
CHECKS: tuple[Check, ...] = ("schema", "units", "ranges", "spectral_quality", "duplicates", "replicates")

#: Columns of what an evaluator returns: position in the sequence of expectations, row of the table, value
#: there.
FAILURE_COLUMNS = ("expectation", "row", "value")


@dataclass(frozen=True)
class Expectation:
    """One rule about one column.

    Parameters
    ----------
    rule : str
        Name of the rule, as findings and the quarantine show it.
    check : str
        The asset check it belongs to (:data:`CHECKS`).
    severity : {"critical", "warning"}
        ``critical`` quarantines the row, ``warning`` says so and lets it go on.
    table : {"samples", "figures"}
        The samples table or the table of quality figures; both have one row a scan.
    column : str
        The column judged. A missing value is judged by ``not_null`` and ``is_null`` alone.
    kind : {"not_null", "is_null", "between", "matches", "not_matches"}
        ``between`` takes ``low`` and ``high`` (both included, None is open); ``matches`` and ``not_matches``
        take ``pattern``, a regular expression looked for anywhere in the text.
    expected, mend : str
        For people: what should stand there, and what to do about it.
    found : str
        Format string for what stands there; any column of the row may be named in it, ``{value}`` is the
        column.
    subject : str
        The column that a person looks for in their own table (default: ``column``).
    masked_by : tuple of str
        Rules that explain a failure of this one: a row that fails one of them is not told twice.
    """

    rule: str
    check: Check
    severity: Severity
    table: TableName
    column: str
    kind: Kind
    expected: str
    mend: str
    low: float | None = None
    high: float | None = None
    pattern: str | None = None
    found: str = "{value}"
    subject: str | None = None
    masked_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind == "between" and self.low is None and self.high is None:
            raise ValueError(f"{self.rule}: 'between' needs a low or a high limit")
        if self.kind in ("matches", "not_matches") and self.pattern is None:
            raise ValueError(f"{self.rule}: {self.kind!r} needs a pattern")

    def describe(self, row: Mapping[str, Any], value: Any) -> str:
        """Say what stands in a failing row."""
        return self.found.format_map({**row, "value": value})


#: Evaluates expectations over tables: returns a row a failure, with :data:`FAILURE_COLUMNS`.
Evaluate = Callable[[Mapping[str, pd.DataFrame], Sequence[Expectation]], pd.DataFrame]


def applicable(tables: Mapping[str, pd.DataFrame], expectations: Sequence[Expectation]) -> list[int]:
    """Return positions of the expectations whose column exists (a batch need not carry every property)."""
    return [
        i
        for i, e in enumerate(expectations)
        if e.column in tables[e.table].columns and len(tables[e.table]) > 0
    ]


def evaluate(tables: Mapping[str, pd.DataFrame], expectations: Sequence[Expectation]) -> pd.DataFrame:
    """Evaluate expectations with pandas alone: the meaning that any other evaluator must reproduce.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        ``samples`` and ``figures``, rows numbered from 0.
    expectations : sequence of Expectation

    Returns
    -------
    DataFrame
        Columns ``expectation`` (position in the sequence), ``row``, ``value``; one row a failure.
    """
    parts = []
    for i in applicable(tables, expectations):
        column = tables[expectations[i].table][expectations[i].column].reset_index(drop=True)
        rows = np.flatnonzero(_fails(column, expectations[i]))
        parts.append(
            pd.DataFrame({"expectation": i, "row": rows, "value": column.iloc[rows].astype(object).array})
        )
    return failures_table(parts)


def failures_table(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Stack partial results of an evaluator into one table, ordered by row, then expectation."""
    filled = [part for part in parts if len(part)]
    if not filled:
        return pd.DataFrame({"expectation": [], "row": [], "value": []}).astype(
            {"expectation": np.int64, "row": np.int64, "value": object}
        )
    table = pd.concat(filled, ignore_index=True).astype(
        {"expectation": np.int64, "row": np.int64, "value": object}
    )
    return table.sort_values(["row", "expectation"], ignore_index=True)


def _fails(column: pd.Series[Any], expectation: Expectation) -> np.ndarray[Any, np.dtype[np.bool_]]:
    missing = column.isna().to_numpy()
    if expectation.kind == "not_null":
        return np.asarray(missing)
    if expectation.kind == "is_null":
        return np.asarray(~missing)
    if expectation.kind == "between":
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        low = -np.inf if expectation.low is None else expectation.low
        high = np.inf if expectation.high is None else expectation.high
        return np.asarray(~missing & ~((values >= low) & (values <= high)))
    hits = (
        column[~missing].astype(str).str.contains(expectation.pattern or "", regex=True).to_numpy(dtype=bool)
    )
    fails = np.zeros(len(column), dtype=bool)
    fails[~missing] = hits if expectation.kind == "not_matches" else ~hits
    return fails
