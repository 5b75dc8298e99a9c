"""What goes back to the lab: its own table, with what to mend beside each row.

Belongs here: that table, and a workbook that opens safely. Does not belong here: finding faults.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from soil_assets.spectra.lab import find_id_column, normalise_id
from soil_assets.spectra.lab_values import cell_text

#: Columns that the lab's table gets.
LAB_COLUMNS = ("gate", "rules", "found", "expected", "mend")


def lab_table_with_mends(lab: pd.DataFrame, findings: pd.DataFrame, accepted: Iterable[str]) -> pd.DataFrame:
    """Return the lab's own table with what to mend beside each row.

    Parameters
    ----------
    lab : DataFrame
        The table as the lab wrote it.
    findings : DataFrame
        Of the gate.
    accepted : iterable of str
        Sample ids of the accepted scans.

    Returns
    -------
    DataFrame
        The lab's rows and columns unchanged, then :data:`LAB_COLUMNS`: ``gate`` is ``quarantined``,
        ``warning``, ``accepted``, or ``no scan`` for a sample that the gate did not see. Findings without a
        row in the lab's table (files, scans without id) follow below, so that none is lost.
    """
    id_column = find_id_column(lab)
    names = _column_names(lab)
    keys = [normalise_id(text) if (text := cell_text(v)) else None for v in lab[id_column]]
    about_keys = [normalise_id(text) if (text := cell_text(i)) else None for i in findings["sample_id"]]
    about = findings.assign(key=pd.Series(about_keys, index=findings.index, dtype=object))
    said = {str(key): _words(group) for key, group in about.groupby("key", sort=False)}
    passed = {normalise_id(str(i)) for i in accepted}
    silent = dict.fromkeys(LAB_COLUMNS, "")
    rows = []
    for key in keys:
        quiet = {**silent, "gate": "accepted" if key in passed else "no scan"}
        rows.append(said.get(key, quiet) if key is not None else quiet)
    table = pd.concat([lab.reset_index(drop=True), pd.DataFrame(rows).rename(columns=names)], axis=1)
    below = about[~about["key"].isin([k for k in keys if k is not None])]
    extra = [
        {id_column: row["sample_id"], **{names[c]: v for c, v in _words(below.iloc[[k]]).items()}}
        for k, (_, row) in enumerate(below.iterrows())
    ]
    if extra:
        table = pd.concat([table.astype(object), pd.DataFrame(extra, dtype=object)], ignore_index=True)
    return table[[*lab.columns, *names.values()]]


def workbook_bytes(table: pd.DataFrame, title: str = "mends") -> bytes:
    """Return a table as an XLSX workbook; every text stays a text, whatever it starts with.

    A cell such as ``=HYPERLINK(...)`` in a lab's file must not become a formula in the file that goes back.
    """
    import io

    from openpyxl import Workbook
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    book = Workbook()
    sheet = book.active
    sheet.title = title
    for r, row in enumerate(
        [list(map(str, table.columns)), *table.astype(object).to_numpy().tolist()], start=1
    ):
        for c, value in enumerate(row, start=1):
            if value is None or (not isinstance(value, str) and pd.isna(value)):
                continue
            cell = sheet.cell(row=r, column=c)
            if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
                cell.value = float(value) if isinstance(value, (float, np.floating)) else int(value)
            else:
                cell.value = ILLEGAL_CHARACTERS_RE.sub("\ufffd", str(value))
                cell.data_type = "s"
    sheet.freeze_panes = "A2"
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def _words(group: pd.DataFrame) -> dict[str, str]:
    found = []
    for file, column, text in zip(group["source_file"], group["column"], group["found"], strict=True):
        about = None if pd.isna(column) or column == "spectrum" or text.startswith(column) else column
        places = [str(p) for p in (file, about) if pd.notna(p)]
        found.append(f"{', '.join(places)}: {text}" if places else text)
    return {
        "gate": "quarantined" if (group["severity"] == "critical").any() else "warning",
        "rules": _joined(group["rule"]),
        "found": _joined(found),
        "expected": _joined(group["expected"]),
        "mend": _joined(group["mend"]),
    }


def _joined(texts: Iterable[Any]) -> str:
    return "; ".join(dict.fromkeys(map(str, texts)))


def _column_names(lab: pd.DataFrame) -> dict[str, str]:
    present = set(map(str, lab.columns))
    return {c: c if c not in present else f"{c} (quality gate)" for c in LAB_COLUMNS}
