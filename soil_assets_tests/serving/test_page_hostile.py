"""The service's page in a real browser: ids, files, models and errors that others named are only text.

The service is real; its answers are altered on the way, so that every field that the page shows is hostile.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from soil_assets_tests.reporting.test_pages_in_browser import ACTIVE
from soil_assets_tests.serving.registered import Client
from soil_assets_tests.serving.test_page import (  # noqa: F401  # fixtures
    browser,
    open_at,
    page,
    pytestmark,
    spectra,
)

WORDS = " ".join(ACTIVE)


def altered(value: Any, keys: set[str]) -> Any:
    """Return an answer whose texts under ``keys`` are hostile."""
    if isinstance(value, dict):
        return {k: WORDS if k in keys and isinstance(v, str) else altered(v, keys) for k, v in value.items()}
    return [altered(v, keys) for v in value] if isinstance(value, list) else value


def intercept(page: Any, address: str, change: Any) -> None:  # noqa: F811
    def handle(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=json.dumps(change(answer.json())))

    page.route(address, handle)


def assert_harmless(page: Any, client: Client) -> None:  # noqa: F811
    assert page.evaluate("window.hit") is None
    assert (
        page.evaluate("document.querySelectorAll('script:not([src]), iframe, object, embed, style').length")
        == 0
    )
    assert page.evaluate("document.querySelectorAll('img[src=x], [onload], [onerror]').length") == 0
    assert page.hosts == {f"127.0.0.1:{client.port}"}


@pytest.mark.slow
def test_whatever_is_named_is_only_text(page: Any, client: Client, tmp_path: Path) -> None:  # noqa: F811
    keys = {"label", "version", "unit", "property", "name"} - {"property"}
    intercept(page, "**/v1/models", lambda body: altered(body, keys))

    def hostile(body: Any) -> Any:
        body = altered(body, {"id", "file", "reason", "version"})
        for sample in body["samples"]:
            sample["warnings"] = [WORDS]
            for said in sample["predictions"].values():
                said["inside"], said["reason"] = False, WORDS
        return body | {"notes": [WORDS]}

    intercept(page, "**/v1/predict*", hostile)
    open_at(page, client)
    file = spectra(tmp_path)
    page.set_input_files("#file", str(file.rename(tmp_path / "'><img src=x onerror=window.hit=1>.csv")))
    page.wait_for_selector("#result:not([hidden])")
    assert "<script>window.hit = 1</script>" in page.text_content("#rows")
    assert "<script>window.hit = 1</script>" in page.text_content("#models")
    assert "<script>window.hit = 1</script>" in page.text_content("#notes")
    page.locator("#rows tr").nth(0).hover()
    assert_harmless(page, client)


@pytest.mark.slow
def test_an_error_is_only_text(page: Any, client: Client, tmp_path: Path) -> None:  # noqa: F811
    keys = {"what", "file", "column", "found", "expected", "mend"}
    intercept(page, "**/v1/predict*", lambda body: altered(body, keys))
    bad = tmp_path / "no spectra.csv"
    bad.write_text("sample_id,clay\na,1\n", encoding="utf-8")
    open_at(page, client)
    page.set_input_files("#file", str(bad))
    page.wait_for_selector(".problem")
    assert "<script>window.hit = 1</script>" in page.text_content(".problem")
    assert_harmless(page, client)
