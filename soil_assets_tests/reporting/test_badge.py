"""Badges are well-formed, escaped and readable."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from soil_assets.reporting.badge import COLOURS, badge, decision_badge, drift_badge
from soil_assets_tests.reporting.test_escaping import HOSTILE


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_gives_well_formed_svg_with_text_only(text: str) -> None:
    root = ElementTree.fromstring(badge(text, text, "good").decode())  # noqa: S314
    assert {e.tag.rpartition("}")[2] for e in root.iter()} == {
        "svg",
        "title",
        "clipPath",
        "rect",
        "g",
        "text",
    }


@pytest.mark.parametrize(
    ("verdict", "words", "colour"),
    [
        ("pass", "pass", "good"),
        ("warn", "warning", "warning"),
        ("fail", "fail", "bad"),
        ("not_judged", "not judged", "neutral"),
        ("not_reached", "not reached", "neutral"),
        ("anything else", "not judged", "neutral"),
    ],
)
def test_drift_badge_says_the_verdict(verdict: str, words: str, colour: str) -> None:
    svg = drift_badge(verdict).decode()
    assert f"drift: {words}<" in svg
    assert COLOURS[colour] in svg


def test_an_unknown_decision_is_never_green() -> None:
    assert COLOURS["good"] not in decision_badge("approved!").decode()
    assert COLOURS["good"] in decision_badge("approve").decode()


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


@pytest.mark.parametrize("colour", COLOURS.values())
def test_white_text_is_readable_on_every_colour(colour: str) -> None:
    assert 1.05 / (_luminance(colour) + 0.05) >= 4.5
