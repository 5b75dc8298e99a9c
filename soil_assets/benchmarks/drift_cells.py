"""A cell of the drift bench's tables: many batches of one kind, summed up.

Belongs here: shares and their intervals. Does not belong here: running batches (``drift_runs``, ``drift_power``).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Cell:
    """Many batches of one kind.

    Parameters
    ----------
    table, name, change, n
        What was done to which set at which batch size.
    p_values : ndarray
        Family-wise, one a batch; NaN where the batch was not judged.
    failed : ndarray of bool
        Whether the verdict was ``fail`` at the policy's 1 %: significant, and large enough to matter.
    references : ndarray of int
        Which reference each batch was compared with.
    causes : tuple of str
        Likely cause that each report names; empty for none.
    """

    table: str
    name: str
    change: str
    n: int
    p_values: npt.NDArray[np.float64]
    failed: npt.NDArray[np.bool_]
    references: npt.NDArray[np.intp]
    causes: tuple[str, ...] = ()

    @property
    def batches(self) -> int:
        """Batches that were judged."""
        return int(np.isfinite(self.p_values).sum())

    def alarms(self, rate: float) -> int:
        """Count family-wise p-values at or below ``rate``."""
        return int((self.p_values <= rate).sum())

    def row(self) -> dict[str, Any]:
        """Return a JSON-ready row with 95 % Wilson intervals.

        Batches that share a reference are not independent; ``references`` says how many there were.
        """
        row: dict[str, Any] = {
            "table": self.table,
            "set": self.name,
            "change": self.change,
            "n": self.n,
            "batches": self.batches,
            "references": int(np.unique(self.references).size),
            "not_judged": int(np.isnan(self.p_values).sum()),
        }
        counts = {"at_1_percent": self.alarms(0.01), "at_5_percent": self.alarms(0.05)}
        if self.table != "in control":
            counts["failed"] = int(self.failed.sum())
        for key, count in counts.items():
            low, high = wilson(count, self.batches)
            row[key] = count / self.batches if self.batches else None
            row[f"{key}_interval"] = [round(low, 4), round(high, 4)]
        return row


def wilson(count: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927); it holds near 0 and 1, where most cells lie."""
    if not total:
        return 0.0, 1.0
    share = count / total
    middle = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    reach = z / (1 + z**2 / total) * np.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    return max(float(middle - reach), 0.0), min(float(middle + reach), 1.0)


def confusion(cells: list[Cell]) -> list[dict[str, Any]]:
    """Tabulate, for every change at every size, which likely causes the reports of failed batches name."""
    rows = []
    for change in dict.fromkeys(c.change for c in cells):
        mine = [c for c in cells if c.change == change]
        named = Counter(
            cause or "none named"
            for c in mine
            for cause, failed in zip(c.causes, c.failed, strict=True)
            if failed
        )
        rows.append({"change": change, "failed": sum(named.values()), "named": dict(named.most_common())})
    return rows
