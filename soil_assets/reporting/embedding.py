"""Pictures inside the text that shows them: for pages that load nothing from elsewhere.

Belongs here: data addresses and the Markdown that carries them. Does not belong here: syntax, layout.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from soil_assets.reporting.document import Document, unfolded
from soil_assets.reporting.markdown import render


def data_address(content: bytes) -> str:
    """Return a PNG or SVG as an address that holds it."""
    kind = "image/png" if content.startswith(b"\x89PNG") else "image/svg+xml"
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def embedded_markdown(document: Document, images: Mapping[str, bytes]) -> str:
    """Return Markdown with its pictures inside and nothing folded: what Dagster's pages show.

    GitHub shows no data address, and Dagster drops raw HTML, a fold's title with it; so each has its own form.
    A picture that is missing is told in words.
    """

    def address(name: str) -> str | None:
        return data_address(images[name]) if name in images else None

    return render(unfolded(document), limit=10**7, image_url=address)
