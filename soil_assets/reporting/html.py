"""Documents as one self-contained HTML page: no outside host, no script, readable on a phone, light and dark.

Belongs here: HTML syntax and the page's style. Does not belong here: what a report says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

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
from soil_assets.reporting.embedding import data_address
from soil_assets.reporting.escaping import html_text, safe_url, visible

# The policy forbids everything the page does not need, should anything ever slip through the escaping.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_STYLE = """
:root{color-scheme:light dark;--ink:#1c2126;--soft:#5a6672;--paper:#fff;--shade:#f4f6f8;--line:#dde3e8;
--good:#0b6b3a;--bad:#a8290f;--warning:#8a5a00;--link:#0062a8}
@media(prefers-color-scheme:dark){:root{--ink:#e4e8ec;--soft:#9aa7b3;--paper:#14181c;--shade:#1e242a;--line:#333c45;
--good:#5fd39a;--bad:#ff9079;--warning:#f0bd5b;--link:#7cc0ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif}
main{max-width:66rem;margin:0 auto;padding:1rem 1rem 4rem;overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.25;margin:.5rem 0 1rem}
h2{font-size:1.2rem;margin:2rem 0 .5rem;padding-bottom:.25rem;border-bottom:1px solid var(--line)}
h3{font-size:1rem;margin:1.25rem 0 .5rem}
p,ul{margin:.5rem 0}ul{padding-left:1.25rem}a{color:var(--link)}
.good,.bad,.warning{border-left:4px solid;padding:.5rem .75rem;background:var(--shade);
border-radius:0 4px 4px 0}
.good{border-color:var(--good)}.bad{border-color:var(--bad)}.warning{border-color:var(--warning)}
.table{overflow-x:auto;margin:.75rem 0}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{overflow-wrap:break-word;padding:.35rem .6rem;border-bottom:1px solid var(--line);text-align:left;
vertical-align:top}
th{color:var(--soft);font-weight:600;border-bottom-width:2px}
.n{text-align:right;font-variant-numeric:tabular-nums}td.n{white-space:nowrap}
code,pre{font-family:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.88em;
background:var(--shade);border-radius:4px;overflow-wrap:anywhere}
code{padding:.1em .3em}pre{padding:.75rem;overflow-x:auto}pre code{padding:0;overflow-wrap:normal}
.add{color:var(--good)}.del{color:var(--bad)}
.figures{display:flex;flex-wrap:wrap;align-items:flex-start;gap:.75rem;margin:.75rem 0}
.figures img{flex:1 1 22rem;min-width:0;max-width:min(100%,32rem);height:auto;background:#fff;
border:1px solid var(--line);border-radius:6px}
.small img{flex:0 1 360px;max-width:min(100%,360px)}
img{max-width:100%;vertical-align:middle}td img{max-width:none}td code{overflow-wrap:break-word}
details{margin:.5rem 0;border:1px solid var(--line);border-radius:6px;padding:0 .75rem}
summary{cursor:pointer;padding:.5rem 0;font-weight:600;overflow-wrap:anywhere}
@media print{details::details-content{content-visibility:visible;block-size:auto}main{max-width:none}}
@media(max-width:32rem){body{font-size:15px}th,td{padding:.3rem .4rem}}
"""


# Spaces inside a figure, where a line must not break: "95 % CI -0.2..0.1", "1.50 -> 1.30" (with a real arrow).
_GLUE = re.compile(r"(?<=\d) (?=%)|(?<=%) (?=CI\b)|(?<=CI) (?=[-+\d])")
_ARROW = re.compile(r"(?<=\d) -> (?=[-+\d])")


def render(document: Document, images: Mapping[str, bytes] | None = None) -> str:
    """Render a document as a page.

    Parameters
    ----------
    document : Document
        What to write.
    images : mapping of str to bytes
        PNG or SVG by file name; each becomes a data address. An image that is missing is shown as its words.

    Returns
    -------
    str
        HTML that loads nothing and runs nothing.
    """
    body = "\n".join(_block(block, images or {}) for block in document.blocks)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{html_text(document.title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _inline(text: Text, images: Mapping[str, bytes]) -> str:
    return "".join(_piece(piece, images) for piece in pieces(text))


def _piece(piece: Inline, images: Mapping[str, bytes]) -> str:
    match piece:
        case str():
            return html_text(_GLUE.sub("\u00a0", _ARROW.sub("\u00a0→\u00a0", piece)))
        case Strong():
            return f"<strong>{html_text(piece.text)}</strong>"
        case Code():
            return f"<code>{html_text(piece.text)}</code>"
        case Link():
            url = safe_url(piece.url)
            if url is None:
                return html_text(piece.text)
            return (
                f'<a href="{html_text(url)}" rel="noopener noreferrer nofollow">{html_text(piece.text)}</a>'
            )
        case Image():
            return _image(piece, images)


def _image(image: Image, images: Mapping[str, bytes]) -> str:
    content = images.get(image.name)
    if content is None:
        return f"<em>{html_text(image.alt)}</em>"
    return f'<img src="{data_address(content)}" alt="{html_text(image.alt)}">'


def _block(block: Block, images: Mapping[str, bytes]) -> str:
    match block:
        case Heading():
            return f"<h{block.level}>{_inline(block.text, images)}</h{block.level}>"
        case Paragraph():
            tone = "" if block.tone == "neutral" else f' class="{block.tone}"'
            return f"<p{tone}>{_inline(block.text, images)}</p>"
        case Bullets():
            return "<ul>" + "".join(f"<li>{_inline(item, images)}</li>" for item in block.items) + "</ul>"
        case Table():
            return _table(block, images)
        case CodeBlock():
            return f"<pre><code>{_code_lines(block)}</code></pre>"
        case Figures():
            small = ' class="figures small"' if block.width is not None else ' class="figures"'
            return f"<div{small}>" + "".join(_image(i, images) for i in block.images) + "</div>"
        case Details():
            inner = "\n".join(_block(b, images) for b in block.blocks)
            return f"<details><summary>{html_text(block.summary)}</summary>\n{inner}\n</details>"


def _table(table: Table, images: Mapping[str, bytes]) -> str:
    def row(tag: str, cells: Sequence[Text]) -> str:
        kinds = (' class="n"' if i in table.numeric else "" for i in range(len(cells)))
        return (
            "<tr>"
            + "".join(f"<{tag}{k}>{_inline(c, images)}</{tag}>" for k, c in zip(kinds, cells, strict=True))
            + "</tr>"
        )

    body = "\n".join(row("td", cells) for cells in table.rows)
    head = row("th", table.header)
    return f'<div class="table"><table>\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'


def _code_lines(block: CodeBlock) -> str:
    lines = []
    for line in block.text.splitlines():
        escaped = html_text(visible(line, 2000))
        if block.language == "diff" and line[:1] in "+-":
            escaped = f'<span class="{"add" if line[0] == "+" else "del"}">{escaped}</span>'
        lines.append(escaped)
    return "\n".join(lines)
