"""The page in a real browser: a file dropped, spectra and predictions seen, hostile names harmless, no other host."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from soil_assets.serving.keys import add_key
from soil_assets_tests.delivery.models import field
from soil_assets_tests.serving.registered import Client, Home, client_of

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
]
HOSTILE = "<img src=x onerror='window.hit=1'>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    made = browser.new_page(viewport={"width": 1280, "height": 900})
    made.complaints = []
    made.hosts = set()
    made.on("pageerror", lambda error: made.complaints.append(str(error)))
    made.on("console", lambda said: made.complaints.append(said.text) if said.type == "error" else None)
    made.on("request", lambda asked: made.hosts.add(asked.url.split("/")[2]))
    yield made
    made.close()


def spectra(folder: Path, n: int = 4) -> Path:
    """A table of real spectra; the second has a hostile name, the third is in percent."""
    batch = field().take(list(range(60, 60 + n)))
    names = batch.sample_ids.tolist()
    names[1] = HOSTILE
    head = ",".join(["sample_id", *map(repr, batch.axis.values.tolist())])
    rows = [
        ",".join([f'"{name}"', *(repr(v * (40 if i == 2 else 1)) for v in row)])
        for i, (name, row) in enumerate(zip(names, batch.spectra.tolist(), strict=True))
    ]
    file = folder / "spectra.csv"
    file.write_text("\n".join([head, *rows]))
    return file


def open_at(page: Any, client: Client) -> None:
    page.goto(f"http://127.0.0.1:{client.port}/")
    page.wait_for_selector("#models:not(:has-text('asking'))")


def test_a_file_is_read_drawn_and_answered(page: Any, client: Client, tmp_path: Path) -> None:
    open_at(page, client)
    assert page.text_content("#models") == "Clay, version 1  ·  pH, version 1"
    page.set_input_files("#file", str(spectra(tmp_path)))
    page.wait_for_selector("#result:not([hidden])")
    assert page.locator("#plot path.spectrum").count() == 4
    rows = page.locator("#rows tr")
    assert rows.count() == 4
    assert page.locator("#rows td svg").count() == 8
    assert rows.nth(1).locator("td.name").text_content().startswith(HOSTILE)
    assert "outside" in rows.nth(2).text_content()
    assert "check quantity and scale" in rows.nth(2).text_content()
    assert "do not rely" in page.text_content("#summary")
    rows.nth(0).hover()
    assert page.locator("#plot path.spectrum.on").count() == 1
    assert page.evaluate("window.hit") is None
    assert page.complaints == []
    assert page.hosts == {f"127.0.0.1:{client.port}"}


def test_a_file_can_be_dropped(page: Any, client: Client, tmp_path: Path) -> None:
    open_at(page, client)
    text = spectra(tmp_path).read_text()
    page.evaluate(
        """text => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([text], "dropped.csv"));
            document.getElementById("drop").dispatchEvent(new DragEvent("drop", {dataTransfer, bubbles: true}));
        }""",
        text,
    )
    page.wait_for_selector("#result:not([hidden])")
    assert "row 4" in page.text_content("#rows")


def test_predictions_are_saved_without_formulas(page: Any, client: Client, tmp_path: Path) -> None:
    file = spectra(tmp_path)
    file.write_text(file.read_text().replace(HOSTILE, "=HYPERLINK(1)"))
    open_at(page, client)
    page.set_input_files("#file", str(file))
    page.wait_for_selector("#result:not([hidden])")
    with page.expect_download() as saved:
        page.click("#save")
    lines = Path(saved.value.path()).read_text().splitlines()
    assert lines[0].startswith("sample_id,clay,clay_unit,clay_lower_68")
    assert len(lines) == 5
    assert lines[2].startswith("'=HYPERLINK(1),")


def test_what_is_wrong_is_said_with_its_mending(page: Any, client: Client, tmp_path: Path) -> None:
    bad = tmp_path / "no <b>spectra.csv"
    bad.write_text("sample_id,clay\na,1\n")
    open_at(page, client)
    page.set_input_files("#file", str(bad))
    page.wait_for_selector(".problem")
    assert page.text_content(".problem strong") == "no spectra in it"
    assert "scan_mir.600_abs" in page.text_content(".problem")
    assert page.locator(".problem b").count() == 0


def test_a_key_is_asked_for_and_not_kept(page: Any, home: Home, tmp_path: Path) -> None:
    key = add_key(home.folder / "keys.yaml", "lab-a", None)
    with client_of(home, keys="{home}/keys.yaml") as client:
        open_at(page, client)
        assert page.is_visible("#key-form")
        page.fill("#key", key)
        page.click("#key-form button")
        page.wait_for_selector("#models:has-text('version')")
        assert page.is_hidden("#key-form")
        page.set_input_files("#file", str(spectra(tmp_path)))
        page.wait_for_selector("#result:not([hidden])")
        assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie.length]") == [
            0,
            0,
            0,
        ]


def test_it_fits_a_phone_and_runs_nothing_of_others(page: Any, client: Client, tmp_path: Path) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    open_at(page, client)
    page.set_input_files("#file", str(spectra(tmp_path)))
    page.wait_for_selector("#result:not([hidden])")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hit=1\">')")
    page.wait_for_timeout(200)
    assert page.evaluate("window.hit") is None  # the policy stops even what would get into the page


def test_headers(client: Client) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert client.get("/page/app.js").headers["content-type"].startswith("text/javascript")
    assert client.get("/page/..%2Fservice.py").status_code == 404
