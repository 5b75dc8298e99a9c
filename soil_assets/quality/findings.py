"""Failures of expectations become findings and a quarantine that a person can act on.

Belongs here: the tables' columns, the masking of failures that another rule explains.
Does not belong here: deciding about the batch as a whole (``quality.outcomes``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.quality.expectations import Expectation

FINDING_COLUMNS = (
    "check", "rule", "severity", "sample_id", "source_file", "row", "column", "found", "expected", "mend",
)  # fmt: skip
QUARANTINE_COLUMNS = (
    "row", "sample_id", "scan_id", "source_file", "source_row",
    "checks", "rules", "found", "expected", "mend",
)  # fmt: skip


def findings_table(
    failures: pd.DataFrame,
    rules: Sequence[Expectation],
    tables: Mapping[str, pd.DataFrame],
    samples: pd.DataFrame,
    unreadable: Sequence[Any],
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

    Returns
    -------
    DataFrame
        :data:`FINDING_COLUMNS` and ``position`` (scan in the batch from 0; -1 for a file). ``row`` is the row
        in the source file where it is known, else the position counted from 1.
    """
    records = [_file_finding(u) for u in unreadable]
    rows = failures["row"].to_numpy(dtype=np.intp)
    names = failures["expectation"].to_numpy(dtype=np.intp)
    failed = {(int(row), rules[i].rule, _subject(rules[i])) for row, i in zip(rows, names, strict=True)}
    for row, i, value in zip(rows, names, failures["value"], strict=True):
        rule = rules[i]
        if any((int(row), mask, _subject(rule)) in failed for mask in rule.masked_by):
            continue
        table_row = tables[rule.table].iloc[int(row)].to_dict()
        records.append(
            {
                "check": rule.check,
                "rule": rule.rule,
                "severity": rule.severity,
                "sample_id": _cell(samples, "sample_id", int(row)),
                "source_file": _cell(samples, "source_file", int(row)),
                "row": _source_row(samples, int(row)),
                "column": _subject(rule),
                "found": rule.describe(table_row, value),
                "expected": rule.expected,
                "mend": rule.mend,
                "position": int(row),
            }
        )
    table = pd.DataFrame(records, columns=[*FINDING_COLUMNS, "position"])
    return table.astype({"position": np.int64, **dict.fromkeys(FINDING_COLUMNS, object)})


def quarantine_table(
    findings: pd.DataFrame, samples: pd.DataFrame, rejected: npt.NDArray[np.intp], unreadable: Sequence[Any]
) -> pd.DataFrame:
    """Return one row a quarantined scan (in the order of ``rejected``), then one an unreadable file."""
    critical = findings[findings["severity"] == "critical"]
    by_position = {int(str(p)): group for p, group in critical.groupby("position", sort=False)}
    records = []
    for row in rejected:
        group = by_position[int(row)]
        records.append(
            {
                "row": _source_row(samples, int(row)),
                **{
                    c: _cell(samples, c, int(row))
                    for c in ("sample_id", "scan_id", "source_file", "source_row")
                },
                **_joined(group),
            }
        )
    for unread in unreadable:
        finding = _file_finding(unread)
        records.append(
            {
                **dict.fromkeys(QUARANTINE_COLUMNS),
                "source_file": finding["source_file"],
                "checks": finding["check"],
                "rules": finding["rule"],
                **{c: finding[c] for c in ("found", "expected", "mend")},
            }
        )
    return pd.DataFrame(records, columns=list(QUARANTINE_COLUMNS)).astype(object)


def _joined(group: pd.DataFrame) -> dict[str, str]:
    many = len(group) > 1
    found = [
        f"{c}: {f}" if many and c != "spectrum" else str(f)
        for c, f in zip(group["column"], group["found"], strict=True)
    ]
    return {
        "checks": _unique(group["check"]),
        "rules": _unique(group["rule"]),
        "found": _unique(found),
        "expected": _unique(group["expected"]),
        "mend": _unique(group["mend"]),
    }


def _unique(texts: Any) -> str:
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
        "position": -1,
    }


def _subject(rule: Expectation) -> str:
    return rule.subject or rule.column


def _cell(samples: pd.DataFrame, column: str, row: int) -> Any:
    if column not in samples.columns:
        return None
    value = samples[column].iloc[row]
    return None if pd.isna(value) else value


def _source_row(samples: pd.DataFrame, row: int) -> int:
    known = _cell(samples, "source_row", row)
    return row + 1 if known is None else int(known)
