"""A page loads nothing, runs nothing, and holds its pictures."""

from __future__ import annotations

import base64
import re

import pytest

from soil_assets.reporting import html
from soil_assets.reporting.badge import badge
from soil_assets.reporting.document import (
    Bullets,
    Code,
    CodeBlock,
    Details,
    Document,
    Figures,
    Heading,
    Image,
    Link,
    Paragraph,
    Strong,
    Table,
)
from soil_assets_tests.reporting.test_escaping import HOSTILE, _parsed


def _page(text: str) -> str:
    blocks = (
        Heading(text, 2),
        Paragraph((text, Strong(text), Code(text), Link(text, "https://h.example/" + text))),
        Bullets([text]),
        Table((text,), [[text]]),
        CodeBlock(text),
        CodeBlock("+" + text, "diff"),
        Figures([Image(text, text)]),
        Details(text, [Paragraph(text)]),
    )
    return html.render(Document(text, blocks))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_adds_no_element(text: str) -> None:
    assert _parsed(_page(text)).tags == _parsed(_page("harmless")).tags


def test_nothing_is_loaded_from_anywhere() -> None:
    picture = badge("a", "b", "good")
    page = html.render(
        Document(
            "t",
            (
                Figures([Image("a.svg", "words"), Image("gone.png", "gone")]),
                Paragraph(Link("x", "https://h.example")),
            ),
        ),
        {"a.svg": picture},
    )
    assert f"data:image/svg+xml;base64,{base64.b64encode(picture).decode()}" in page
    assert "<em>gone</em>" in page
    loading = re.findall(r"""(?:src|srcset|action|data)=["']([^"']*)""", page)
    assert all(address.startswith("data:") for address in loading)
    assert not re.search(r"<(script|link|iframe|object|embed)\b|@import|url\(", page)
    assert "default-src 'none'" in page


def test_a_change_is_coloured_line_by_line() -> None:
    page = html.render(Document("t", (CodeBlock("-margin: 0.10\n+margin: 0.50\n same", "diff"),)))
    assert '<span class="del">-margin: 0.10</span>\n<span class="add">+margin: 0.50</span>\n same' in page


def test_a_figure_does_not_break_between_lines() -> None:
    page = html.render(Document("t", (Paragraph("RMSE 1.50 -> 1.30 (-0.20, 95 % CI -0.28..-0.11)"),)))
    assert "1.50\u00a0→\u00a01.30 (-0.20, 95\u00a0%\u00a0CI\u00a0-0.28..-0.11)" in page
