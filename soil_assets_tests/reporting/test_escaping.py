"""No text from a file or a stranger becomes markup, a link or a notification."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soil_assets.reporting.document import slug
from soil_assets.reporting.escaping import (
    html_text,
    markdown_code,
    markdown_html,
    markdown_text,
    safe_url,
    visible,
)

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</details></summary><h1>approved</h1>",
    "<!-- soil -->",
    "[click](javascript:alert(1))",
    "![x](https://evil.example/p.png)",
    "`code` ```fence```",
    "a | b | c",
    "**bold** _em_ ~~gone~~ __dunder__",
    "@octocat please @org/team look",
    "see #12 and GH-12 and owner/repo#3",
    "https://evil.example and www.evil.example",
    "mailto:a@evil.example a@evil.example",
    "$x^2$ $$y$$",
    ":shipit: :+1:",
    "# heading",
    "> quote",
    "- item",
    "1. item",
    "---",
    "line\nbreak\r\nand\ttab\u2028sep",
    "\u202egnp.exe\u200b\u0000\x1b[31m",
    "&lt;b&gt; &#64;octocat",
    "\\",
    "=cmd|' /C calc'!A0",
)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_comment(self, data: str) -> None:
        self.tags.append("comment")

    def handle_data(self, data: str) -> None:
        self.text += data


def _parsed(page: str) -> _Tags:
    parser = _Tags()
    parser.feed(page)
    parser.close()
    return parser


@pytest.mark.parametrize("text", HOSTILE)
def test_html_shows_text_and_nothing_else(text: str) -> None:
    parsed = _parsed(f"<p>{html_text(text)}</p>")
    assert parsed.tags == ["p"]
    assert parsed.text == visible(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_leaves_no_trigger(text: str) -> None:
    escaped = markdown_text(text)
    assert "\n" not in escaped
    assert not re.search(r"<(?!/?span>)", escaped)
    assert not re.search(r"(?<!\\)[`*|~\[\]]", escaped)
    assert not re.search(r"@\w|(?<!&)#\d|\bgh-\d|://|www\.|:[\w+-]+:", escaped, re.IGNORECASE)
    assert not re.search(r"(?<!>)\$(?!<)", escaped)
    assert not re.match(r"[-+*]\s|#+\s|>|\d+[.)]\s|-{3}|=", escaped)


@given(st.text())
def test_html_text_never_opens_a_tag(text: str) -> None:
    assert _parsed(f"<p>{html_text(text)}</p>").tags == ["p"]
    assert _parsed(f'<p title="{html_text(text)}"></p>').tags == ["p"]


@given(st.text())
def test_markdown_text_is_one_line_without_raw_markup(text: str) -> None:
    escaped = markdown_text(text)
    assert len(escaped.splitlines()) <= 1
    assert not re.search(r"<(?!/?span>)", escaped)
    assert not re.search(r"@\w", escaped)


@given(st.text())
def test_code_span_cannot_be_closed_from_inside(text: str) -> None:
    span = markdown_code(text)
    fence = re.match("`+", span)
    assert fence is not None
    inner = span[len(fence[0]) : -len(fence[0])]
    assert fence[0] not in re.findall("`+", inner)
    assert "|" not in inner.replace("\\|", "")


@given(st.text())
def test_text_in_raw_html_of_markdown_opens_nothing(text: str) -> None:
    escaped = markdown_html(text)
    assert "<" not in escaped
    assert not re.search(r"@\w", escaped)
    assert len(escaped.splitlines()) <= 1


def test_invisible_characters_are_spelled_out() -> None:
    assert visible("a\u202eb\x00") == "a⟨U+202E⟩b⟨U+0000⟩"
    assert visible("Müller, 5 µm, Ω") == "Müller, 5 µm, Ω"


def test_long_text_is_cut_and_says_so() -> None:
    assert visible("x" * 50, 10) == "x" * 9 + "…"


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "JAVASCRIPT:alert(1)",
        "//evil.example",
        "file:///etc/passwd",
        "",
        "http://",
        "https://[broken",
        "../secret.html",
        "a/../../secret.html",
        "/etc/page.html",
        "batches/june.png",
        "x.html#javascript:",
    ],
)
def test_only_web_addresses_become_links(url: str) -> None:
    assert safe_url(url) is None


@pytest.mark.parametrize("page", ["report.html", "batches/nrw115-june.html", "a.b.html", "../../report.html"])
def test_a_page_beside_this_one_may_be_linked(page: str) -> None:
    assert safe_url(page) == page


def test_an_address_cannot_end_early() -> None:
    url = safe_url("https://host.example/a b>)\"'<x>(y)")
    assert url is not None
    assert not re.search(r"[\s<>()\"']", url)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a/b", "a\\b", "..", ".", "", "a b", "ü", "x" * 300, "a\x00b"]
)
def test_slug_stays_in_its_folder(name: str) -> None:
    part = slug(name)
    assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,69}", part)
    assert ".." not in part


def test_slug_keeps_harmless_names_and_tells_others_apart() -> None:
    assert slug("nrw115-june.v2") == "nrw115-june.v2"
    assert slug("a/b") != slug("a\\b")
