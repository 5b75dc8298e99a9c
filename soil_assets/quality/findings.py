"""Failures of expectations become findings and a quarantine that a person can act on.

Belongs here: the tables' columns, the masking of failures that another rule explains.
Does not belong here: deciding about the batch as a whole (``quality.outcomes``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from string import Formatter
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.quality.expectations import Check, Expectation

FINDING_COLUMNS = (
    "check", "rule", "severity", "sample_id", "source_file", "row", "column", "found", "expected", "mend",
)  # fmt: skip
QUARANTINE_COLUMNS = (
    "row", "sample_id", "scan_id", "source_file", "source_row",
    "checks", "rules", "found", "expected", "mend", "scan_key", "faults",
)  # fmt: skip

_WORDS = ("rules", "found", "expected", "mend")

#: Positions of findings that are not about a scan.
FILE = -1
WHOLE_BATCH = -2


@dataclass(frozen=True)
class BatchFinding:
    """A warning about the batch as a whole: a unit, a gap in the axis."""

    check: Check
    rule: str
    column: str
    found: str
    expected: str
    mend: str


def findings_table(
    failures: pd.DataFrame,
    rules: Sequence[Expectation],
    tables: Mapping[str, pd.DataFrame],
    samples: pd.DataFrame,
    unreadable: Sequence[Any],
    about_batch: Sequence[BatchFinding] = (),
) -> pd.DataFrame:
    """Put failures into words.

    Parameters
    ----------
    failures : DataFrame
        What the evaluator returned (``expectation``, ``row``, ``value``).
    rules : sequence of Expectation
        The expectations it evaluated.
    tables : mapping of str to DataFrame
        The tables it evaluated them on.
    samples : DataFrame
        The batch's samples, for file and row.
    unreadable : sequence
        Files that could not be read; each is one finding.
    about_batch : sequence of BatchFinding
        Warnings about the batch as a whole.

    Returns
    -------
    DataFrame
        :data:`FINDING_COLUMNS` and ``position``: the scan in the batch from 0, :data:`FILE` for a file,
        :data:`WHOLE_BATCH` for the batch. ``row`` is the row in the source file where it is known, else the
        position counted from 1.
    """
    parts = [pd.DataFrame([_file_finding(u) for u in unreadable])]
    parts.append(
        pd.DataFrame([{**asdict(f), "severity": "warning", "position": WHOLE_BATCH} for f in about_batch])
    )
    rows = failures["row"].to_numpy(dtype=np.intp)
    names = failures["expectation"].to_numpy(dtype=np.intp)
    failed: dict[tuple[str, str], set[int]] = {}
    for i in np.unique(names):
        failed.setdefault((rules[i].rule, _subject(rules[i])), set()).update(rows[names == i].tolist())
    values = failures["value"].to_numpy(dtype=object)
    doubted = {f.column: f.mend for f in about_batch if f.rule == "unit_suspected"}
    for i in np.unique(names):
        rule, mine = rules[i], names == i
        if rule.rule == "unusual_value" and rule.column in doubted:
            continue  # told once about the column, not once a row
        masking = set().union(*(failed.get((mask, _subject(rule)), set()) for mask in rule.masked_by))
        told = np.array([row not in masking for row in rows[mine]], dtype=bool)
        part = _in_words(rule, rows[mine][told], values[mine][told], tables[rule.table], samples)
        if rule.rule in ("impossible_value", "value_set_aside") and rule.column in doubted:
            part["mend"] = doubted[rule.column]  # the unit is at fault, not each value
        parts.append(part)
    filled = [p for p in parts if len(p)]
    columns = [*FINDING_COLUMNS, "position"]
    table = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=columns)
    table = table.reindex(columns=columns).sort_values("position", kind="stable", ignore_index=True)
    table = table.astype({"position": np.int64, **dict.fromkeys(FINDING_COLUMNS, object)})
    return table.where(table.notna(), None).astype({"position": np.int64})


def quarantine_table(
    findings: pd.DataFrame,
    samples: pd.DataFrame,
    rejected: npt.NDArray[np.intp],
    unreadable: Sequence[Any],
    keys: Sequence[str],
) -> pd.DataFrame:
    """Return one row a quarantined scan (in the order of ``rejected``), then one an unreadable file.

    ``keys`` name the quarantined scans by content (``quality.releases``).
    """
    critical = findings[(findings["severity"] == "critical") & (findings["position"] >= 0)]
    reasons: dict[int, list[tuple[Any, ...]]] = {}
    columns = ("position", "column", "check", "rule", "found", "expected", "mend")
    for position, *reason in zip(*(critical[c] for c in columns), strict=True):
        reasons.setdefault(int(position), []).append(tuple(reason))
    cells = {c: _cells(samples, c, rejected) for c in ("sample_id", "scan_id", "source_file", "source_row")}
    scans = pd.DataFrame(
        {"row": _source_rows(samples, rejected), **cells, "scan_key": list(keys)}, dtype=object
    )
    words = pd.DataFrame(
        [_joined(reasons[int(row)]) for row in rejected], columns=["checks", *_WORDS, "faults"]
    )
    files = pd.DataFrame([_file_finding(u) for u in unreadable]).rename(
        columns={"check": "checks", "rule": "rules"}
    )
    parts = [p for p in (pd.concat([scans, words], axis=1), files) if len(p)]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    table = table.reindex(columns=list(QUARANTINE_COLUMNS)).astype(object)
    return table.where(table.notna(), None)


def _in_words(
    rule: Expectation,
    rows: npt.NDArray[np.intp],
    values: npt.NDArray[Any],
    table: pd.DataFrame,
    samples: pd.DataFrame,
) -> pd.DataFrame:
    fields = {name for _, name, _, _ in Formatter().parse(rule.found) if name and name != "value"}
    cells = {name: table[name].iloc[rows].tolist() for name in fields}
    found = [
        rule.describe({name: column[k] for name, column in cells.items()}, value)
        for k, value in enumerate(values)
    ]
    return pd.DataFrame(
        {
            "check": rule.check,
            "rule": rule.rule,
            "severity": rule.severity,
            "sample_id": _cells(samples, "sample_id", rows),
            "source_file": _cells(samples, "source_file", rows),
            "row": _source_rows(samples, rows),
            "column": _subject(rule),
            "found": found,
            "expected": rule.expected,
            "mend": rule.mend,
            "position": rows,
        },
        index=pd.RangeIndex(len(rows)),
    )


def _joined(reasons: list[tuple[Any, ...]]) -> dict[str, str]:
    columns, checks, rules, found, expected, mend = zip(*reasons, strict=True)
    # With several columns at fault, each finding says which one it is about, unless its own words do.
    named = [
        f if len(set(columns)) < 2 or c == "spectrum" or str(f).startswith(str(c)) else f"{c}: {f}"
        for c, f in zip(columns, found, strict=True)
    ]
    # A fault is a rule and what it is about: that is what a person can release.
    faults = [f"{rule}:{column}" for rule, column in zip(rules, columns, strict=True)]
    joined = (_unique(texts) for texts in (checks, rules, named, expected, mend, faults))
    return dict(zip(("checks", *_WORDS, "faults"), joined, strict=True))


def _unique(texts: Iterable[Any]) -> str:
    return "; ".join(dict.fromkeys(map(str, texts)))


def _file_finding(unread: Any) -> dict[str, Any]:
    return {
        "check": "schema",
        "rule": "unreadable_file",
        "severity": "critical",
        "sample_id": None,
        "source_file": unread.file,
        "row": None,
        "column": None,
        "found": unread.reason,
        "expected": unread.expected or "a file that can be read",
        "mend": unread.mend or "export the file again",
        "position": FILE,
    }


def _subject(rule: Expectation) -> str:
    return rule.subject or rule.column


def _cells(samples: pd.DataFrame, column: str, rows: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    if column not in samples.columns:
        return np.full(len(rows), None, dtype=object)
    cells = samples[column].iloc[rows].astype(object)
    return cells.where(cells.notna(), None).to_numpy(dtype=object)


def _source_rows(samples: pd.DataFrame, rows: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    known = _cells(samples, "source_row", rows)
    return np.array(
        [row + 1 if k is None else int(k) for row, k in zip(rows, known, strict=True)], dtype=object
    )
