"""Markdown keeps tables and fences whole, and fits GitHub's cap whatever it is given."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


def _table(rows: int, cell: str = "x" * 80) -> Table:
    return Table(("A", "B"), [[cell, str(i)] for i in range(rows)], frozenset({1}))


def _whole(text: str) -> None:
    """Fences close, details close, every table row has its table's number of cells."""
    outside = re.sub(r"(?ms)^(`{3,})[^\n]*\n.*?^\1$", "", text)
    assert "```" not in outside
    assert outside.count("<details>") == outside.count("</details>")
    width = 0
    for line in outside.splitlines():
        if line.startswith("|"):
            cells = len(re.findall(r"(?<!\\)\|", line))
            assert width in (0, cells)
            width = cells
        else:
            width = 0


def test_every_block_is_written() -> None:
    text = markdown.render(
        Document(
            "t",
            (
                Heading("Title", 2),
                Paragraph(
                    ("plain ", Strong("bold"), " ", Code("a|b"), " ", Link("run", "https://h.example/1"))
                ),
                Bullets(["one", "two"]),
                _table(1, "cell"),
                CodeBlock("make demo", "console"),
                Figures([Image("a.png", "what it shows")]),
                Details("more <b>", [Paragraph("inside")]),
            ),
        )
    )
    assert "## Title" in text
    assert "plain **bold** `a\\|b` [run](<https://h.example/1>)" in text
    assert "- one\n- two" in text
    assert "| A | B |\n|---|--:|\n| cell | 0 |" in text
    assert "```console\nmake demo\n```" in text
    assert "![what it shows](a.png)" in text
    assert "<details><summary>more &lt;b&gt;</summary>\n\ninside\n\n</details>" in text


def test_image_addresses_can_be_replaced() -> None:
    document = Document("t", (Figures([Image("a.png", "alt")]),))
    text = markdown.render(document, image_url=lambda name: f"https://h.example/c0ffee/{name}")
    assert "![alt](https://h.example/c0ffee/a.png)" in text


def test_a_fence_inside_code_is_outfenced() -> None:
    text = markdown.render(Document("t", (CodeBlock("```\n<script>\n````\n"),)))
    assert text.startswith("`````\n")
    assert text.rstrip().endswith("`````")


@pytest.mark.parametrize("rows", [0, 1, 3, 100, 5000])
def test_huge_tables_are_shortened_and_say_by_how_much(rows: int) -> None:
    document = Document("t", (Heading("Verdict"), _table(rows), Paragraph("last")))
    text = markdown.render(document, limit=8_000)
    assert len(text) <= 8_000
    _whole(text)
    assert "Verdict" in text
    assert "last" in text
    kept = text.count("| xxx")
    if kept < rows:
        assert f"… {rows - kept:,} more rows" in text
        assert "Shortened" in text
    else:
        assert "Shortened" not in text


def test_details_go_before_what_is_open() -> None:
    blocks = (
        Heading("Verdict"),
        Paragraph("y" * 1500),
        *(Details(f"d{i}", [Paragraph("z" * 900)]) for i in range(9)),
    )
    text = markdown.render(Document("t", blocks), limit=6_000)
    assert len(text) <= 6_000
    _whole(text)
    assert "y" * 1500 in text
    assert "z" * 900 in text.split("d1")[0]
    assert "Left out here" in text.split("d8")[1]


def test_nothing_that_fits_is_touched() -> None:
    document = Document("t", (_table(150),))
    assert "more rows" not in markdown.render(document)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.builds(Paragraph, st.text(max_size=300)),
            st.builds(Bullets, st.lists(st.text(max_size=60), max_size=30)),
            st.builds(
                lambda cells: Table(("A", "B"), [list(c) for c in cells]),
                st.lists(st.tuples(st.text(max_size=60), st.text(max_size=60)), max_size=40),
            ),
            st.builds(CodeBlock, st.text(alphabet="ab`~\n -+", max_size=300)),
            st.builds(lambda t, s: Details(t, [Paragraph(s)]), st.text(max_size=40), st.text(max_size=200)),
        ),
        max_size=12,
    ),
    st.integers(min_value=700, max_value=5_000),
)
def test_any_document_fits_any_limit_whole(blocks: list[object], limit: int) -> None:
    text = markdown.render(Document("t", tuple(blocks)), limit=limit)  # type: ignore[arg-type]
    assert len(text) <= limit
    _whole(text)
