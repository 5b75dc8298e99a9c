"""The example in docs: a real report whose page, pictures and figures agree."""

from __future__ import annotations

import json
import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "example-pull-request"


def test_the_pages_figures_are_those_of_the_report_to_the_digit() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    data = json.loads((FOLDER / "figures.json").read_text(encoding="utf-8"))
    assert f"## Soil models: {data['verdict']}" in page
    assert data["recommendation"] in page
    for p in data["properties"]:
        for figures in p["metrics"].values():
            assert figures["text"] in page
            shown = f"{figures['candidate']:+.{figures['decimals']}f}"
            assert shown.lstrip("+") in figures["text"]
        for row in p["coverage"]:
            assert row["text"] in page
    for batch in data["batches"]:
        assert (
            f"| `{batch['name']}` | {batch['landed']} | {batch['accepted']} | {batch['quarantined']} |"
            in page
        )


def test_every_picture_is_there_and_shown() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"!\[[^\]]*\]\(([\w.-]+)\)", page)) | set(
        re.findall(r'<img src="([\w.-]+)"', page)
    )
    kept = {f.name for f in FOLDER.iterdir() if f.suffix in (".png", ".svg")}
    assert shown == kept
    assert any(name.startswith("trend-") for name in shown)
