"""Badges: one label, one message, as a self-contained SVG.

Belongs here: drawing a badge and the words of each verdict. Does not belong here: reaching a verdict.
The flat layout follows the badge specification of the shields project (label on grey, message on colour).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from soil_assets.reporting.document import slug
from soil_assets.reporting.escaping import html_text
from soil_assets.reporting.numerals import fixed

#: Fill colours that carry white text at a contrast of at least 4.5 : 1 (WCAG 2.2, 1.4.3).
COLOURS: Final = {
    "good": "#0b6b3a",
    "warning": "#8a5a00",
    "bad": "#a8290f",
    "neutral": "#5a6672",
    "info": "#0062a8",
}
_DRIFT: Final = {
    "pass": ("pass", "good"),
    "warn": ("warning", "warning"),
    "fail": ("fail", "bad"),
    "not_judged": ("not judged", "neutral"),
    "not_reached": ("not reached", "neutral"),
}
_DECISION: Final = {
    "approve": "good",
    "request changes": "warning",
    "reject": "bad",
    "cannot tell": "neutral",
    "first version": "info",
}
# Advance widths of DejaVu Sans / Verdana at 11 px, by class of letter; textLength makes every renderer agree.
_NARROW, _WIDE = frozenset("iljtfr.,:;'!|()[] "), frozenset("mwMW@%")


def badge(label: str, message: str, colour: str) -> bytes:
    """Draw a badge.

    Parameters
    ----------
    label, message : str
        Any text; it is escaped and cut at 60 characters.
    colour : str
        A key of :data:`COLOURS`.

    Returns
    -------
    bytes
        SVG in UTF-8.
    """
    label, message = _cut(label), _cut(message)
    fill = COLOURS[colour]
    left, right = _width(label) + 12, _width(message) + 12
    text = '<text x="{x}" y="14" textLength="{length}" lengthAdjust="spacingAndGlyphs">{text}</text>'
    title = html_text(f"{label}: {message}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{title}"><title>{title}</title>'
        f'<clipPath id="r"><rect width="{left + right}" height="20" rx="3"/></clipPath>'
        '<g clip-path="url(#r)">'
        f'<rect width="{left}" height="20" fill="#444b52"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{fill}"/></g>'
        '<g fill="#fff" text-anchor="middle" font-size="11" '
        'font-family="Verdana,DejaVu Sans,Geneva,sans-serif">'
        + text.format(x=left / 2, length=left - 12, text=html_text(label))
        + text.format(x=left + right / 2, length=right - 12, text=html_text(message))
        + "</g></svg>"
    ).encode()


def drift_badge(verdict: str, batch: str | None = None) -> bytes:
    """Draw the badge of a drift verdict (``pass``, ``warn``, ``fail``, ``not_reached``; else not judged)."""
    message, colour = _DRIFT.get(verdict, _DRIFT["not_judged"])
    return badge(f"drift {batch}" if batch else "drift", message, colour)


def decision_badge(verdict: str) -> bytes:
    """Draw the badge of a decision report's verdict; a verdict that is not known is drawn grey."""
    return badge("soil decision", verdict, _DECISION.get(verdict, "neutral"))


def readme_badges(data: Mapping[str, Any]) -> dict[str, bytes]:
    """Draw what a README can show of a decision report (``DecisionReport.data``), by file name."""
    found = {"decision.svg": decision_badge(str(data["verdict"]))}
    for batch in data["batches"]:
        name = str(batch["name"])
        found[f"drift-{slug(name)}.svg"] = drift_badge(batch["drift"] or "not_reached", name)
    for p in data["properties"]:
        rmse = p["metrics"]["rmse"]
        unit = "" if p["unit"] in ("", "index") else f" {p['unit']}"
        shown = (
            f"{fixed(rmse['candidate'], rmse['decimals'])}{unit} (n = {p['n']})" if p["n"] else "not judged"
        )
        found[f"rmse-{slug(p['name'])}.svg"] = badge(
            f"{p['label']} RMSE", shown, "info" if p["n"] else "neutral"
        )
    return found


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


def _width(text: str) -> int:
    return round(sum(4.3 if c in _NARROW else 10.5 if c in _WIDE else 6.9 for c in text)) or 7
