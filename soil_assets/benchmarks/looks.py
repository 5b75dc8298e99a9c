"""The book of looks: every time that test samples of a benchmark were scored on this machine.

Belongs here: appending and counting looks. Does not belong here: the looks of the recipe's makers (``looks.yaml``,
read by ``official.earlier_looks``).

A test sample that is looked at often enough becomes a training sample through its reader; the count says how often.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from soil_assets.errors import BadInput


@dataclass(frozen=True)
class LookBook:
    """A file with one JSON line a look, only ever appended to.

    Parameters
    ----------
    file : Path
    """

    file: Path

    def look(self, benchmark: str, task: str, recipe: str, why: str, rmse: float) -> None:
        """Write one look down."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        entry = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "benchmark": benchmark,
            "task": task,
            "recipe": recipe,
            "why": why,
            "rmse": rmse,
        }
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry, ensure_ascii=False) + "\n")

    def entries(self) -> list[dict[str, Any]]:
        """Return all looks in the order of their writing.

        Raises
        ------
        BadInput
            When a line is not a look: the book is evidence, and is not guessed at.
        """
        if not self.file.is_file():
            return []
        found = []
        for number, line in enumerate(self.file.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                entry = json.loads(line)
                found.append({k: entry[k] for k in ("at", "benchmark", "task", "recipe", "why", "rmse")})
            except (json.JSONDecodeError, KeyError, TypeError):
                raise BadInput(
                    "a line of the book of looks cannot be read", file=str(self.file), row=number
                ) from None
        return found

    def count(self, benchmark: str) -> tuple[int, int]:
        """Return how many looks a benchmark has had, and by how many different recipes."""
        mine = [e for e in self.entries() if e["benchmark"] == benchmark]
        return len(mine), len({e["recipe"] for e in mine})
