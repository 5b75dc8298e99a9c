"""What MkDocs asks while it builds: reference pages from the code, drawings for diagrams, links that stay inside.

Belongs here: MkDocs's events. Does not belong here: what a reference page says (``reference.py``).
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from reference import pages

DIAGRAM = re.compile(r"^```mermaid\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
#: The docstrings' names of other objects are written for Sphinx.
ROLE = re.compile(r":(?:meth|func|class|data|attr|mod|exc):<code>~?")
WORKER = re.compile(r'src="https://[^"]*/iframe-worker/shim"')
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(((?:\.\./)+[^)\s]+)\)")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages that are written from the code."""
    for address, text in pages().items():
        files.append(File.generated(config, address, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Show diagrams as drawings, and name files outside of the site instead of linking to them."""
    docs, here = Path(config["docs_dir"]), Path(config["docs_dir"]) / Path(page.file.src_uri).parent

    def drawn(found: re.Match[str]) -> str:
        name = drawing(found[1])
        if not (docs / "images" / name).is_file():
            raise PluginError(
                f"{page.file.src_uri}: a diagram has no drawing docs/images/{name}; "
                "make it with: python docs/hooks/draw.py MERMAID.min.js"
            )
        up = "../" * page.file.src_uri.count("/")
        return f"![Diagram]({up}images/{name})\n"

    def inside(found: re.Match[str]) -> str:
        target = (here / found[2].partition("#")[0]).resolve()
        return found[0] if target.is_relative_to(docs.resolve()) else found[1]

    return LINK.sub(inside, DIAGRAM.sub(drawn, markdown))


def on_post_page(output: str, *, page: Any, config: Any) -> str:
    """Take the help for searching without a server from the site; the theme takes it from another host."""
    up = "../" * page.file.dest_uri.count("/")
    return WORKER.sub(f'src="{up}assets/frame-worker.js"', ROLE.sub(r"<code>", output))


def on_post_template(output: str, *, template_name: str, config: Any) -> str:
    """Do the same for the page of what is not found."""
    return WORKER.sub('src="/assets/frame-worker.js"', output)


def drawing(diagram: str) -> str:
    """Return the name of a diagram's drawing: another text is another drawing."""
    return f"diagram-{hashlib.sha256(diagram.encode()).hexdigest()[:12]}.svg"
