"""What a renderer makes of a report's Markdown: the text as it was, and no markup that it brought along."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from soil_assets.reporting import markdown
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
from soil_assets.reporting.escaping import visible
from soil_assets_tests.reporting.test_escaping import HOSTILE, _parsed

# Raw HTML passes, as it does on GitHub before its sanitiser: nothing may lean on the sanitiser.
RENDERER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def _document(text: str) -> Document:
    return Document(
        "t",
        (
            Heading(text),
            Paragraph(text),
            Paragraph((Strong(text), " ", Code(text), " ", Link(text, "https://h.example/"))),
            Bullets([text, text]),
            Table((text, "b"), [[text, Code(text)], ["x", (text, Strong(text))]]),
            CodeBlock(text),
            Figures([Image("a.png", text)]),
            Details(text, [Paragraph(text), Table(("a",), [[text]])]),
            Paragraph("end"),
        ),
    )


def _render(text: str) -> str:
    return str(RENDERER.render(markdown.render(_document(text), limit=10**6)))


def _tags(text: str) -> list[str]:
    # A dollar sign is wrapped in a plain span, which stops GitHub from reading mathematics.
    return [tag for tag in _parsed(_render(text)).tags if tag != "span"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_brings_no_markup_along(text: str) -> None:
    assert _tags(text) == _tags("harmless")


@pytest.mark.parametrize("text", HOSTILE)
def test_text_reads_as_it_was(text: str) -> None:
    page = RENDERER.render(markdown.render(Document("t", (Paragraph(text),))))
    shown = _parsed(page).text.replace("\u200b", "").strip()
    assert shown == visible(text).strip()


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab1 .,-+*_`~|<>&[]()!#@$:\\\"'/\n=", min_size=1, max_size=30).filter(str.strip))
def test_no_mixture_of_marks_brings_markup_along(text: str) -> None:
    assert _tags(text) == _tags("harmless")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab1 .,-+*_`~|<>&[]()!#@$:\\\"'/=", min_size=1, max_size=30).filter(str.strip))
def test_every_mixture_of_marks_reads_as_it_was(text: str) -> None:
    page = RENDERER.render(markdown.render(Document("t", (Paragraph(text),))))
    assert _parsed(page).text.replace("\u200b", "").strip() == text.strip()
