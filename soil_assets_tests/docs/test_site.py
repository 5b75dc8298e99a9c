"""The documentation site: it builds strictly, opens from a folder in a browser, and asks no other host for anything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from soil_assets.config import Settings
from soil_assets_tests.reporting.test_pages_in_browser import CHROMIUM, FLAGS

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("mkdocs")
sys.path.insert(0, str(ROOT / "docs" / "hooks"))
import reference  # noqa: E402  # the hooks are no package

PAGES = (
    "index.html",
    "tutorial/batch.html",
    "pull-requests.html",
    "reference/commands.html",
    "security.html",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(tmp_path_factory.mktemp("site"))
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class _Loads(HTMLParser):
    """What a page loads by itself: not its links."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "img", "iframe", "source", "video", "embed") and given.get("src"):
            self.found.append(str(given["src"]))
        if tag == "link" and given.get("rel") in ("stylesheet", "preconnect", "icon", "preload", "prefetch"):
            self.found.append(str(given["href"]))


@pytest.mark.slow
@pytest.mark.timeout(1800)  # builds the site
def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 35
    for page in pages:
        loads = _Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        for address in loads.found:
            assert "//" not in address, f"{page.relative_to(site)}: {address}"
            assert (page.parent / address.partition("?")[0]).exists() or page.name == "404.html", address
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", sheet.read_text(encoding="utf-8")), sheet


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield started
        started.close()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_from_a_folder_without_a_network(browser: Any, site: Path, name: str) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto((site / name).as_uri())
    page.wait_for_load_state("networkidle")
    assert [u for u in asked if not u.startswith(("file:", "data:", "blob:"))] == []
    assert wrong == []
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert page.locator("article h1").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    page.close()


@pytest.mark.slow
def test_the_search_finds_without_a_server(browser: Any, site: Path) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto((site / "index.html").as_uri())
    page.locator("input.md-search__input").click()
    page.locator("input.md-search__input").press_sequentially("quarantine")
    page.wait_for_selector(".md-search-result__item")
    assert "quarantine" in page.text_content(".md-search-result__list").lower()
    page.close()


def test_every_command_option_and_key_is_in_the_reference() -> None:
    made = reference.pages()
    for words, command in reference.walk():
        assert f"`{words}`" in made["reference/commands.md"]
        for parameter in command.params:
            for option in parameter.opts if parameter.param_type_name == "option" else ():
                assert f"`{option}`" in made["reference/commands.md"]
    for name in Settings.model_fields:
        assert f"`{name}" in made["reference/settings.md"], name
    assert "`false_alarm_rate` | number | `0.01` | per batch" in made["reference/settings.md"]
    for name in ("batch_drift", "no_benchmark_leakage", "not_worse", "new_batches", "declared_automation"):
        assert f"`{name}`" in made["reference/assets.md"], name
    assert "## `POST /v1/predict`" in made["reference/http.md"]


def test_every_variable_that_the_code_reads_is_described() -> None:
    page = (ROOT / "docs" / "reference" / "environment.md").read_text(encoding="utf-8")
    text = "".join(f.read_text(encoding="utf-8") for f in (ROOT / "soil_assets").rglob("*.py"))
    read = set(re.findall(r"\bSOIL_[A-Z]+(?:_[A-Z]+)*\b", text))
    described = set(re.findall(r"`(SOIL_[A-Z_]+)`", page))
    # How long and on what a bench runs stands in the bench itself.
    assert {v for v in read - described if not v.startswith("SOIL_BENCH_")} == set()
    elsewhere = "".join(
        f.read_text(encoding="utf-8")
        for folder in ("deploy", ".github")
        for f in (ROOT / folder).rglob("*")
        if f.is_file()
    )
    assert {v for v in described - read if v not in elsewhere} == set()


def test_every_page_is_in_the_navigation() -> None:
    listed = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]

    def leaves(node: Any) -> Iterator[str]:
        if isinstance(node, str):
            yield node
        else:
            for child in node.values() if isinstance(node, dict) else node:
                yield from leaves(child)

    there = {f.relative_to(ROOT / "docs").as_posix() for f in (ROOT / "docs").rglob("*.md")}
    assert set(leaves(listed)) == there | set(reference.pages())


def test_every_drawing_is_of_a_diagram() -> None:
    import events

    drawn = {
        events.drawing(diagram)
        for page in (ROOT / "docs").rglob("*.md")
        for diagram in events.DIAGRAM.findall(page.read_text(encoding="utf-8"))
    }
    assert {f.name for f in (ROOT / "docs" / "images").glob("diagram-*")} == drawn


def test_lists_in_lists_are_indented_as_the_site_reads_them() -> None:
    """By fewer than four blanks the site takes an inner item for one more of the outer list."""
    for page in (ROOT / "docs").rglob("*.md"):
        inner = re.findall(r"^ {1,3}(?:[-*+]|\d+\.) .*$", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert not inner, f"{page.name}: {inner[0]}"
