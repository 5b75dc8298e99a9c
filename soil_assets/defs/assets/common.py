"""What several assets say about themselves: owners, counts, plots, tables."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    import pandas as pd

    from soil_assets.spectra.batch import SpectralBatch

OWNERS = ["team:soil-spectroscopy"]
#: A plot is stored in the event log; beyond this it would weigh on every page that lists events.
_MAX_PNG = 100_000


def png(image: bytes) -> dg.MarkdownMetadataValue:
    """Return a plot as metadata that the UI shows."""
    if len(image) > _MAX_PNG:
        return dg.MetadataValue.md(f"(plot of {len(image):,} bytes left out)")
    return dg.MetadataValue.md(f"![plot](data:image/png;base64,{base64.b64encode(image).decode()})")


def batch_metadata(batch: SpectralBatch) -> dict[str, Any]:
    """Return what a batch tells of itself."""
    return {
        "scans": len(batch),
        "axis": batch.axis.describe(),
        "quantity": batch.quantity if batch.quantity == "absorbance" else f"{batch.quantity} ({batch.scale})",
        **{f"origin/{key}": str(value)[:500] for key, value in sorted(batch.origin.items())},
    }


def table(frame: pd.DataFrame, limit: int = 50) -> dg.MarkdownMetadataValue:
    """Return the first rows of a table as metadata; every cell is escaped."""
    from soil_assets.reporting.escaping import markdown_text

    def cell(value: object) -> str:
        missing = value is None or value != value  # NaN is the value that differs from itself
        return (
            "" if missing else markdown_text(f"{value:.4g}" if isinstance(value, float) else str(value), 200)
        )

    if frame.empty:
        return dg.MetadataValue.md("(none)")
    names = [str(c) for c in frame.columns]
    rows = [names, ["---" for _ in names]]
    rows.extend([cell(v) for v in row] for row in frame.head(limit).itertuples(index=False))
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if len(frame) > limit:
        lines.append(f"\n(the first {limit} of {len(frame)} rows)")
    return dg.MetadataValue.md("\n".join(lines))


def numbers(values: Mapping[str, Any]) -> dict[str, dg.MetadataValue]:
    """Return finite figures as metadata that the UI plots over time; others as text."""
    import math

    return {
        name: dg.MetadataValue.float(float(v))
        if isinstance(v, (int, float)) and math.isfinite(v)
        else dg.MetadataValue.text("not available")
        for name, v in values.items()
    }
