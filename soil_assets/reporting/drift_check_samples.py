"""The page of check samples: control charts of every check soil, instrument by instrument.

Belongs here: what the page says. Does not belong here: the charts (``drift.check_samples``), drawing (``drift_plots``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from soil_assets.drift.check_samples import BASELINE
from soil_assets.reporting import drift_plots
from soil_assets.reporting.document import (
    Block,
    Bullets,
    Code,
    Document,
    Figures,
    Heading,
    Image,
    Paragraph,
    Strong,
    Text,
)
from soil_assets.reporting.html import render
from soil_assets.reporting.numerals import count

if TYPE_CHECKING:
    from soil_assets.drift.check_samples import CheckSoil

#: Charts drawn of one soil; the others are told in words.
_DRAWN = 4


def page(soils: Sequence[CheckSoil]) -> str:
    """Return the page as self-contained HTML.

    Parameters
    ----------
    soils : sequence of CheckSoil
        In the order in which they are shown; those of one instrument together.
    """
    images: dict[str, bytes] = {}
    blocks: list[Block] = [Heading("Check samples", 1), _in_short(soils)]
    instrument = None
    for i, soil in enumerate(soils):
        if soil.instrument != instrument:
            instrument = soil.instrument
            blocks.append(Heading(f"Instrument: {instrument}"))
        blocks += [Heading(("Soil ", Code(soil.soil)), 3), *_soil(soil, f"soil{i}", images)]
    blocks.append(
        Paragraph(
            f"The first {BASELINE} scans make the baseline. Limits are prediction limits of one further scan; one scan "
            "in about 370 is beyond any of its limits by chance. The charts warn and hold nothing back."
        )
    )
    return render(Document("Check samples", tuple(blocks)), images)


def _in_short(soils: Sequence[CheckSoil]) -> Paragraph:
    if not soils:
        return Paragraph("No check sample was scanned yet.")
    wrong = [s for s in soils if s.outside]
    if wrong:
        said = f"The newest scan of {count(len(wrong), 'check soil')} lies beyond its limits."
        return Paragraph((Strong(said),), "warning")
    unready = sum(not s.charts for s in soils)
    if unready == len(soils):
        return Paragraph("Every check soil is still collecting its baseline; nothing is judged yet.")
    return Paragraph("The newest scan of every check soil lies within its limits.", "good")


def _soil(soil: CheckSoil, key: str, images: dict[str, bytes]) -> list[Block]:
    if not soil.charts:
        return [Paragraph(f"{count(len(soil.batches), 'scan')}, {BASELINE} are needed for a baseline.")]
    ordered = sorted(soil.charts, key=lambda n: (n not in soil.outside, not soil.charts[n].outside.any()))
    shown = []
    for j, name in enumerate(ordered[:_DRAWN]):
        images[f"{key}-{j}.png"] = drift_plots.check_samples(soil.charts[name], name, f"{soil.soil}: {name}")
        shown.append(Image(f"{key}-{j}.png", f"{soil.soil}: {name}"))
    told: list[Text] = [(Code(name), f": {soil.charts[name].words()}") for name in ordered]
    return [Figures(shown), Bullets(told)]
