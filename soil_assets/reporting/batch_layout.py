"""How batches and their quarantine are laid out, on the decision report and on a batch's own page.

Belongs here: tables of batches and of quarantined scans. Does not belong here: what they are (``quality``).
"""

from __future__ import annotations

from typing import Any

from soil_assets.reporting.decision_inputs import BatchResult
from soil_assets.reporting.document import (
    Block,
    Bullets,
    Code,
    Details,
    Heading,
    Image,
    Inline,
    Link,
    Table,
    Text,
    slug,
)


def batches_overview(batches: tuple[BatchResult, ...]) -> list[Block]:
    """Return the table of batches, one line each, with longer reasons folded away below it."""
    if not batches:
        return []
    table: list[list[Text]] = []
    for b in batches:
        words = (b.drift or "not reached").replace("_", " ")
        badge = Image(f"drift-{slug(b.name)}.svg", f"drift: {words}")
        table.append(
            [
                Link(b.name, b.page) if b.page else Code(b.name),
                f"{b.landed:,}",
                f"{b.accepted:,}",
                f"{b.quarantined:,}",
                badge,
                _brief(b.reasons),
                _brief((b.next_step,)) if b.next_step else ("held" if b.held else "-"),
            ]
        )
    header = ("Batch", "Landed", "Accepted", "Quarantined", "Drift", "Why", "What happened next")
    long = [
        Details(f"Why {b.name}", [Bullets(_parts(b.reasons))]) for b in batches if len(_parts(b.reasons)) > 1
    ]
    return [Heading("Batches", 3), Table(header, table, frozenset({1, 2, 3})), *long]


def _parts(reasons: tuple[str, ...]) -> list[str]:
    return [part for reason in reasons for part in reason.split("; ") if part]


def _brief(reasons: tuple[str, ...]) -> str:
    """Return the first reason, and how many more are folded away below."""
    parts = _parts(reasons)
    if not parts:
        return "-"
    return parts[0] + (f" (and {len(parts) - 1} more, below)" if len(parts) > 1 else "")


def quarantine_table(quarantined: tuple[dict[str, Any], ...]) -> Table:
    """Return quarantined scans as a table: which, where from, what was found, what to do."""
    header = ("Sample", "File, row", "Rules", "Found", "Expected", "Mend")
    table: list[list[Text]] = []
    for row in quarantined:
        number = row.get("source_row") if row.get("source_row") is not None else row.get("row")
        place = [str(row["source_file"])] if row.get("source_file") is not None else []
        place += [f"row {number}"] if number is not None else []
        table.append(
            [
                Code(str(row["sample_id"])) if row.get("sample_id") is not None else "(no id)",
                ", ".join(place) or "-",
                *(_words(row.get(k)) for k in ("rules", "found", "expected", "mend")),
            ]
        )
    return Table(header, table)


def grouped_quarantine(quarantined: tuple[dict[str, Any], ...]) -> Table:
    """Return quarantined scans with the same reason as one row: which they are, and what to do."""
    groups: dict[tuple[str, ...], list[str]] = {}
    keys = ("rules", "found", "expected", "mend")
    for row in quarantined:
        sample = row.get("sample_id")
        groups.setdefault(tuple(_words(row.get(k)) for k in keys), []).append(
            "(no id)" if sample is None else str(sample)
        )
    table: list[list[Text]] = []
    for reason, samples in groups.items():
        shown: list[Inline] = [Code(samples[0])]
        if len(samples) > 1:
            shown += [f" and {len(samples) - 1:,} more, to ", Code(samples[-1])]
        table.append([str(len(samples)), shown, *reason])
    return Table(("Scans", "Samples", "Rules", "Found", "Expected", "Mend"), table, frozenset({0}))


def _words(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "-" if value is None or value == "" else str(value)[:300]
