"""A report as a tree of blocks, rendered to Markdown (``markdown``) or HTML (``html``) from one source.

Belongs here: what a report is made of. Strings in the tree are plain text, trusted or not: a renderer escapes
every one of them, so a hostile sample id can reach no page as markup. Does not belong here: any syntax.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Tone = Literal["good", "bad", "warning", "neutral"]


@dataclass(frozen=True)
class Strong:
    """Text that stands out."""

    text: str


@dataclass(frozen=True)
class Code:
    """A name, an id, a value: text set in a fixed-width face, never interpreted."""

    text: str


@dataclass(frozen=True)
class Link:
    """Text that leads to ``url``: an http(s) address, or a page beside this one (``batches/june.html``).

    Anything else is shown as text alone.
    """

    text: str
    url: str


@dataclass(frozen=True)
class Image:
    """A picture of the report, by its file name in ``images``; ``alt`` says in words what it shows.

    ``mermaid`` draws about the same in text, for Markdown whose pictures have no address.
    """

    name: str
    alt: str
    mermaid: str = ""


Inline: TypeAlias = str | Strong | Code | Link | Image
#: One piece or a run of pieces, set one after the other.
Text: TypeAlias = Inline | Sequence[Inline]


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the title of the page."""

    text: Text
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """Running text; ``tone`` colours it where the format can."""

    text: Text
    tone: Tone = "neutral"


@dataclass(frozen=True)
class Bullets:
    """A list."""

    items: Sequence[Text]


@dataclass(frozen=True)
class Table:
    """A table; ``numeric`` names the columns (by position) that are set flush right."""

    header: Sequence[Text]
    rows: Sequence[Sequence[Text]]
    numeric: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"a row of {len(row)} cells under a header of {len(self.header)}")


@dataclass(frozen=True)
class CodeBlock:
    """Commands, a diff: text kept line by line."""

    text: str
    language: Literal["", "console", "diff", "json", "mermaid", "yaml"] = ""


@dataclass(frozen=True)
class Figures:
    """Pictures side by side where there is room, one below the other on a phone; ``width`` in pixels for small ones."""

    images: Sequence[Image]
    width: int | None = None


@dataclass(frozen=True)
class Details:
    """Blocks behind a line that opens them."""

    summary: str
    blocks: Sequence[Block]


Block: TypeAlias = Heading | Paragraph | Bullets | Table | CodeBlock | Figures | Details


@dataclass(frozen=True)
class Document:
    """A page: its title (for the browser's tab) and its blocks in reading order."""

    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)


def unfolded(document: Document) -> Document:
    """Return the document with its details open under headings, for viewers that cannot fold."""

    def opened(blocks: Sequence[Block]) -> list[Block]:
        told: list[Block] = []
        for block in blocks:
            told += (
                [Heading(block.summary, 4), *opened(block.blocks)] if isinstance(block, Details) else [block]
            )
        return told

    return Document(document.title, tuple(opened(document.blocks)))


def pieces(text: Text) -> tuple[Inline, ...]:
    """Return a text as the run of its pieces."""
    if isinstance(text, (str, Strong, Code, Link, Image)):
        return (text,)
    return tuple(text)


def slug(name: str) -> str:
    """Return a file-name part for ``name``: unchanged when harmless, else cleaned and told apart by a hash.

    Only ``a-z A-Z 0-9 . _ -`` are kept, so that no name from a file can leave the report's folder.
    """
    cleaned = re.sub(r"[^A-Za-z0-9._-]+|\.{2,}", "-", name).strip("-.")[:60]
    if cleaned == name and cleaned:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{cleaned}-{digest}" if cleaned else digest
