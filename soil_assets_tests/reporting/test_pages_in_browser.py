"""In a real browser a page full of hostile text runs nothing, loads nothing and fits a phone."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from soil_assets.reporting import html
from soil_assets.reporting.decision import build
from soil_assets.reporting.decision_inputs import BatchResult, Check
from soil_assets.reporting.why import BatchRecord, trace
from soil_assets_tests.reporting.facts import inputs, result
from soil_assets_tests.reporting.test_escaping import HOSTILE

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
]
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-sync",
)
ACTIVE = (
    *HOSTILE,
    "<script>window.hit = 1</script>",
    "<img src=x onerror='window.hit = 1'>",
    '"><svg onload=window.hit=1>',
    "'-window.hit=1-'",
    "<style>*{display:none}</style>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<iframe src=https://evil.example></iframe>",
)


def _decision() -> str:
    words = "W" * 150 + " ".join(ACTIVE)
    quarantine = tuple(
        {"sample_id": w, "source_file": w, "rules": [w], "found": w, "mend": w} for w in ACTIVE
    )
    batches = tuple(
        BatchResult(
            name=w, landed=1, accepted=0, quarantined=1, quarantine=quarantine[:1], reasons=(w,), next_step=w
        )
        for w in ACTIVE
    )
    worse = result(
        "worse", words[:300], label=words, checks=(Check(name=words, passed=False, summary=words),)
    )
    facts = inputs(worse, result("better"), batches=batches, candidate=words, main=words, changes=ACTIVE)
    return build(facts).html


def _sample() -> str:
    landed = pd.DataFrame({"sample_id": ["a", *ACTIVE]})
    rows = landed.iloc[:1].assign(rules="".join(ACTIVE), found="".join(ACTIVE), mend="".join(ACTIVE))
    return html.render(trace("a", [BatchRecord("".join(ACTIVE), landed, rows)]).document())


PAGES = {"decision": _decision, "sample": _sample}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync = pytest.importorskip("playwright.sync_api")
    with sync.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.mark.parametrize("name", PAGES)
def test_nothing_runs_and_nothing_is_loaded(browser: Any, tmp_path: Path, name: str) -> None:
    # Without the page's own content policy: the escaping alone must hold.
    page_text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>\n', "", PAGES[name](), count=1)
    file = tmp_path / "page.html"
    file.write_text(page_text, encoding="utf-8")
    asked: list[str] = []
    dialogs: list[str] = []
    page = browser.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(file.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.hit") is None
    assert (
        page.evaluate("document.querySelectorAll('script, iframe, object, embed, meta[http-equiv]').length")
        == 0
    )
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert [u for u in asked if not u.startswith("data:")] == [file.as_uri()]
    assert dialogs == []
    page.close()


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_page_is_wider_than_its_screen(browser: Any, tmp_path: Path, name: str, width: int) -> None:
    file = tmp_path / "page.html"
    file.write_text(PAGES[name](), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(file.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
