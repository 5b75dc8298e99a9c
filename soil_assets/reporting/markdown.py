"""Documents as GitHub-flavoured Markdown, under GitHub's size cap without a table or a fence cut in half.

Belongs here: Markdown syntax and shortening. Does not belong here: what a report says, HTML pages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from soil_assets.reporting.document import (
    Block,
    Bullets,
    Code,
    CodeBlock,
    Details,
    Document,
    Figures,
    Heading,
    Image,
    Inline,
    Link,
    Paragraph,
    Strong,
    Table,
    Text,
    pieces,
)
from soil_assets.reporting.escaping import (
    html_text,
    line_start,
    markdown_code,
    markdown_html,
    markdown_inline,
    safe_url,
    visible,
)

#: GitHub refuses a comment of more characters than this.
GITHUB_CAP = 65_536
#: Rows of a table, items of a list and lines of a block that are kept, from generous to tight.
_STEPS = (200, 60, 20, 8, 3)

ImageUrl = Callable[[str], str | None]


def render(
    document: Document,
    *,
    limit: int = GITHUB_CAP - 5_000,
    image_url: ImageUrl = lambda name: name,
    whole: str = "the report's JSON",
) -> str:
    """Render a document, shortened where needed to at most ``limit`` characters.

    Long tables, lists and code blocks are shortened first (each says how much it leaves out), then collapsed
    details are emptied from the last to the first, then whole blocks are left out from the end. The text ends
    by saying that it was shortened and where the ``whole`` is.

    Parameters
    ----------
    document : Document
        What to write.
    limit : int
        Room in characters; the default leaves some for a poster's own lines and longer image addresses.
    image_url : callable
        Gives the address of an image by its name; the name itself (a file beside the Markdown) by default.
        Where it gives None, the picture's words stand in its place, and its Mermaid form where it has one.
    whole : str
        Where the full content is, for the closing line of a shortened text.

    Returns
    -------
    str
        Markdown that ends in a newline.
    """
    # No row is shorter than "| |" and its line break: a table of more rows than this cannot fit anyway.
    text = _fitting(document.blocks, limit // 4 + 1, image_url, limit)
    if text is not None:
        return text
    notice = f"\nShortened to fit; everything is in {markdown_inline(whole)}.\n"
    for blocks, rows in _shorter(document.blocks, whole):
        text = _fitting(blocks, rows, image_url, limit - len(notice))
        if text is not None:
            break
    return (text or "") + notice


def _shorter(blocks: Sequence[Block], whole: str) -> Iterator[tuple[Sequence[Block], int]]:
    """Yield blocks and the rows to keep, shorter and shorter, the last of them empty."""
    for rows in _STEPS:
        yield blocks, rows
    rows, kept = _STEPS[-1], list(blocks)
    for index in reversed(range(len(kept))):
        block = kept[index]
        if isinstance(block, Details):
            kept[index] = replace(block, blocks=(Paragraph(f"Left out here; see {whole}."),))
            yield kept, rows
    while kept:
        kept.pop()
        yield kept, rows


def _fitting(blocks: Sequence[Block], rows: int, image_url: ImageUrl, limit: int) -> str | None:
    """Return the blocks' text when it fits; stops at the block that makes it too long."""
    written, length = [], 0
    for block in blocks:
        written.append(_block(block, rows, image_url))
        length += len(written[-1]) + 1
        if length - 1 > limit:
            return None
    return "\n".join(written)


def _join(blocks: Sequence[Block], rows: int, image_url: ImageUrl) -> str:
    return "\n".join(_block(block, rows, image_url) for block in blocks)


def inline(text: Text, image_url: ImageUrl = lambda name: name) -> str:
    """Render running text on one line."""
    return "".join(_piece(piece, image_url) for piece in pieces(text))


def _line(text: Text, image_url: ImageUrl) -> str:
    # Four spaces at the start of a line would make it code.
    return line_start(inline(text, image_url).lstrip(" "))


def _piece(piece: Inline, image_url: ImageUrl) -> str:
    match piece:
        case str():
            return markdown_inline(piece)
        case Strong():
            return _strong(piece.text)
        case Code():
            return markdown_code(piece.text)
        case Link():
            # Markdown is shown at other places than its folder: in a comment, in Dagster.
            url = safe_url(piece.url) if "://" in piece.url else None
            return f"[{markdown_inline(piece.text)}](<{url}>)" if url else markdown_inline(piece.text)
        case Image():
            return _image(piece, image_url)


def _strong(text: str) -> str:
    escaped = markdown_inline(text)
    # Stars beside a space or a punctuation mark may stay stars; the element never does.
    plain = re.fullmatch(r"[^\W_](?:.*[^\W_])?", visible(text))
    return f"**{escaped}**" if plain else f"<strong>{escaped}</strong>"


def _image(image: Image, image_url: ImageUrl) -> str:
    given = image_url(image.name)
    if given is None:
        return markdown_code(image.alt)
    return f"![{markdown_inline(image.alt)}]({_address(given)})"


def _address(stated: str) -> str:
    return re.sub(r"[\s<>()]", "", stated)


def _figure(image: Image, image_url: ImageUrl, width: int | None = None) -> str:
    address = image_url(image.name)
    if address is not None and width is not None:
        return f'<img src="{html_text(_address(address))}" width="{width}" alt="{html_text(image.alt)}">'
    if address is not None:
        return _image(image, image_url)
    if image.mermaid:
        return _code_block(CodeBlock(image.mermaid, "mermaid"), _STEPS[0])
    return f"{_line(image.alt, image_url)}\n"


def _block(block: Block, rows: int, image_url: ImageUrl) -> str:
    match block:
        case Heading():
            return f"{'#' * block.level} {_line(block.text, image_url)}\n"
        case Paragraph():
            return _line(block.text, image_url) + "\n"
        case Bullets():
            kept = [f"- {_line(item, image_url)}" for item in block.items[:rows]]
            return "\n".join(kept + _left_out(len(block.items), rows, "- … {} more")) + "\n"
        case Table():
            return _table(block, rows, image_url)
        case CodeBlock():
            return _code_block(block, rows)
        case Figures():
            return "\n".join(_figure(image, image_url, block.width) for image in block.images) + "\n"
        case Details():
            inner = _join(block.blocks, rows, image_url)
            return f"<details><summary>{markdown_html(block.summary)}</summary>\n\n{inner}\n</details>\n"


def _table(table: Table, rows: int, image_url: ImageUrl) -> str:
    def line(cells: Sequence[Text]) -> str:
        return "| " + " | ".join(inline(cell, image_url) for cell in cells) + " |"

    rule = "|" + "|".join("--:" if i in table.numeric else "---" for i in range(len(table.header))) + "|"
    kept = [line(row) for row in table.rows[:rows]]
    text = "\n".join([line(table.header), rule, *kept]) + "\n"
    more = _left_out(len(table.rows), rows, "… {} more rows")
    return text + ("\n" + more[0] + "\n" if more else "")


def _code_block(block: CodeBlock, rows: int) -> str:
    lines = [visible(line, 400) for line in block.text.splitlines()]
    # Commands stay whole: half a command would still run.
    keep = max(rows, 40)
    kept = lines[:keep] + _left_out(len(lines), keep, "… {} more lines")
    runs = re.findall(r"^\s*(`{3,})", "\n".join(kept), re.MULTILINE)
    fence = "`" * max(3, 1 + max((len(run) for run in runs), default=0))
    return "\n".join([fence + block.language, *kept, fence]) + "\n"


def _left_out(total: int, kept: int, words: str) -> list[str]:
    return [words.format(f"{total - kept:,}")] if total > kept else []
