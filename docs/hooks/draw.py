"""Draw the diagrams of the pages with mermaid in Chromium: ``python docs/hooks/draw.py MERMAID.min.js``.

The site loads nothing from other hosts, and mermaid is too large to ship; so drawings are kept, named by the diagram's
text. ``npm pack mermaid`` brings the program (``package/dist/mermaid.min.js``).
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from events import DIAGRAM, drawing

DOCS = Path(__file__).resolve().parents[1]
SETTINGS = "{startOnLoad: false, htmlLabels: false, flowchart: {htmlLabels: false}, theme: 'neutral'}"


def main(program: str) -> None:
    """Write ``docs/images/diagram-*.svg`` for every diagram, and remove drawings that no page shows."""
    from playwright.sync_api import sync_playwright

    diagrams = {
        drawing(d): d
        for page in DOCS.rglob("*.md")
        for d in DIAGRAM.findall(page.read_text(encoding="utf-8"))
    }
    for old in (DOCS / "images").glob("diagram-*.svg"):
        if old.name not in diagrams:
            old.unlink()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.add_script_tag(path=program)
        page.evaluate(f"mermaid.initialize({SETTINGS})")
        for name, text in diagrams.items():
            drawn = page.evaluate("async t => (await mermaid.render('diagram', t)).svg", text)
            (DOCS / "images" / name).write_text(drawn + "\n", encoding="utf-8")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
