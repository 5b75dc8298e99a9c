"""The quarantine, seen by a person: what waits there.

Belongs here: pure functions over the gate's tables. Does not belong here: letting a scan go on
(``quality.releases``), the table that goes back to the lab (``quality.lab_return``), where tables are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from soil_assets.errors import BadInput
from soil_assets.spectra.lab import normalise_id


def list_quarantines(quarantines: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return one row a batch that has something in quarantine.

    Parameters
    ----------
    quarantines : mapping of str to DataFrame
        ``QualityResult.quarantine`` by batch.

    Returns
    -------
    DataFrame
        ``batch``, ``scans``, ``files``, ``rules`` (each with its count), in the order of the batches.
    """
    rows = []
    for batch, table in quarantines.items():
        if table.empty:
            continue
        files = int((table["rules"] == "unreadable_file").sum())
        counted = pd.Series(
            [rule for text in table["rules"] for rule in str(text).split("; ")]
        ).value_counts()
        said = ", ".join(f"{rule} {count}" for rule, count in counted.items())
        rows.append({"batch": batch, "scans": len(table) - files, "files": files, "rules": said})
    return pd.DataFrame(rows, columns=["batch", "scans", "files", "rules"])


def show_quarantine(
    table: pd.DataFrame, *, samples: Iterable[str] | None = None, rules: Iterable[str] | None = None
) -> pd.DataFrame:
    """Return the rows of a quarantine that are about the given samples and rules.

    Raises
    ------
    BadInput
        When a sample or rule that was asked for is not there.
    """
    keep = np.ones(len(table), dtype=bool)
    if samples is not None:
        wanted = {normalise_id(s): s for s in samples}
        ids = [None if pd.isna(i) else normalise_id(str(i)) for i in table["sample_id"]]
        _all_there(wanted, set(ids), "no such sample in this quarantine", table["sample_id"])
        keep &= np.array([i is not None and i in wanted for i in ids], dtype=bool)
    if rules is not None:
        asked = {r: r for r in rules}
        held = [set(str(text).split("; ")) for text in table["rules"]]
        _all_there(asked, set().union(*held), "no such rule in this quarantine", sorted(set().union(*held)))
        keep &= np.array([bool(h & set(asked)) for h in held], dtype=bool)
    return table[keep].reset_index(drop=True)


def _all_there(wanted: Mapping[Any, str], present: set[Any], what: str, expected: Iterable[Any]) -> None:
    absent = [text for key, text in wanted.items() if key not in present]
    if absent:
        shown = ", ".join(str(e) for e in list(dict.fromkeys(expected))[:8])
        raise BadInput(what, found=", ".join(absent), expected=shown or "an empty quarantine")
