"""Untrusted text made harmless: visible as what it is, markup nowhere.

Belongs here: escaping for GitHub-flavoured Markdown and for HTML. Does not belong here: layout.

Sample ids, batch and branch names, commit messages come from files and from strangers. GitHub acts on more
than markup: ``@name`` notifies, ``#12`` and bare addresses link, ``$`` starts mathematics, ``:name:`` becomes
a picture. A zero-width space behind the trigger (dependabot and renovate do the same) keeps the text readable
and the trigger dead.
"""

from __future__ import annotations

import html
import re
import unicodedata
from urllib.parse import quote, urlsplit

_BREAK = "&#8203;"  # zero-width space
_MARKDOWN = str.maketrans(
    {c: "\\" + c for c in "\\`*[]|~"} | {"&": "&amp;", "<": "&lt;", "$": "<span>$</span>"}
)
_TRIGGERS = (
    (re.compile(r"@(?=\w)"), "@" + _BREAK),
    (re.compile(r"(?<!&)#(?=\d)"), "#" + _BREAK),
    (re.compile(r"\b(gh)-(?=\d)", re.IGNORECASE), r"\1-" + _BREAK),
    (re.compile(r":(?=//)"), ":" + _BREAK),
    (re.compile(r"\b(www)\.", re.IGNORECASE), r"\1" + _BREAK + "."),
    (re.compile(r":(?=[\w+-]+:)"), ":" + _BREAK),
    (re.compile(r"\b(mailto|xmpp):(?!&)", re.IGNORECASE), r"\1:" + _BREAK),
)
# What would start a list, a heading, a quotation or a rule when a text begins with it.
_LINE_START = re.compile(r"^( *)(?:([-+](?=\s|$|-)|#(?=[#\s]|$)|[=>])|(\d{1,9})([.)])(?=\s|$))")
# Inside a word an underscore is only an underscore.
_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")


def visible(text: str, limit: int = 2000) -> str:
    """Return ``text`` on one line with every invisible character spelled out, at most ``limit`` characters.

    Control, format (bidirectional overrides among them), private and unassigned characters become
    ``⟨U+202E⟩``: they could hide or reorder what a reader sees.
    """
    if text.isascii() and text.isprintable():
        shown = text
    else:
        text = re.sub(r"\r\n|[\r\n\t\u2028\u2029]", " ", text)
        shown = "".join(c if unicodedata.category(c)[0] != "C" else f"⟨U+{ord(c):04X}⟩" for c in text)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def markdown_text(text: str, limit: int = 2000) -> str:
    """Escape for GitHub-flavoured Markdown, wherever the text stands, the start of a line included."""
    return line_start(markdown_inline(text, limit))


def markdown_inline(text: str, limit: int = 2000) -> str:
    """Escape for a place inside a line (a table's cell, a heading); see :func:`line_start` for its start."""
    escaped = _UNDERSCORE.sub(r"\\_", visible(text, limit).translate(_MARKDOWN))
    for pattern, replacement in _TRIGGERS:
        escaped = pattern.sub(replacement, escaped)
    return escaped


def line_start(markdown: str) -> str:
    """Keep a line from starting a list, a heading, a quotation or a rule; what is escaped already stays."""
    return _LINE_START.sub(
        lambda m: f"{m[1]}\\{m[2]}" if m[2] else f"{m[1]}{m[3]}\\{m[4]}", markdown, count=1
    )


def markdown_html(text: str, limit: int = 2000) -> str:
    """Escape for text inside a raw HTML element of a Markdown page (``<summary>``, ``<code>``)."""
    escaped = html.escape(visible(text, limit))
    for pattern, replacement in _TRIGGERS:
        escaped = pattern.sub(replacement, escaped)
    return escaped


def markdown_code(text: str, limit: int = 2000) -> str:
    """Write a code span; inside one GitHub links and notifies nothing. A pipe is escaped for tables."""
    shown = visible(text, limit).replace("|", "\\|")
    if not shown.strip():
        return "`(empty)`"
    fence = "`" * (max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    pad = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def html_text(text: str, limit: int = 20_000) -> str:
    """Escape for HTML text and quoted attributes."""
    return html.escape(visible(text, limit))


_PAGE = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*\.html")

#: Pages above a batch's own.
_ABOVE = ("../../report.html", "../../check-samples/index.html")


def safe_url(url: str) -> str | None:
    """Return an http(s) address with everything percent-encoded that could end it early, else None.

    A relative ``.html`` page passes too when it stays below the page that links to it, or is one of the reports' own
    that a batch's page links to.
    """
    if url in _ABOVE or _PAGE.fullmatch(url):
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme.lower() not in ("http", "https") or not parts.netloc or len(url) > 2000:
        return None
    return quote(url, safe="/:?#@!$&+,;=%~.-_[]").replace("[", "%5B").replace("]", "%5D")
