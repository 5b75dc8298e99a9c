"""The front page counts right, links only below itself, and shows hostile names as text."""

from __future__ import annotations

import re

import pytest

from soil_assets.reporting.decision_inputs import BatchResult
from soil_assets.reporting.index_page import BatchEntry, DecisionEntry, ModelEntry, build
from soil_assets_tests.reporting.facts import BATCHES
from soil_assets_tests.reporting.test_escaping import HOSTILE, _parsed

DECISION = DecisionEntry("approve", "Approve: clay better.", "report.html")


def test_everything_is_listed_counted_and_linked() -> None:
    entries = [BatchEntry(b, f"batches/{b.name}.html") for b in BATCHES]
    page = build(
        DECISION, entries, [ModelEntry("soil-clay", "2", "staging", "1.62 %", "models/soil-clay.html")]
    )
    text = _parsed(page).text
    assert "3 batches: 1 held, 1 scan in quarantine." in text
    assert "Approve: clay better." in text
    linked = set(re.findall(r'<a href="([^"]*)"', page))
    assert linked == {
        "report.html",
        "models/soil-clay.html",
        *(f"batches/{b.name}.html" for b in BATCHES),
    }
    assert "1.62" in text


def test_an_empty_platform_has_a_front_page() -> None:
    text = _parsed(build(None, [], [])).text
    assert "No decision report yet." in text
    assert "0 batches" in text
    assert "No registered model yet." in text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_stay_text(text: str) -> None:
    def page(words: str) -> str:
        batch = BatchResult(name=words, landed=1, accepted=1, quarantined=0, next_step=words)
        models = [ModelEntry(words, words, words, words, words)]
        return build(DecisionEntry(words, words, words), [BatchEntry(batch, words)], models)

    tags = [t for t in _parsed(page(text)).tags if t != "a"]
    assert tags == [t for t in _parsed(page("harmless")).tags if t != "a"]
    assert not re.search(r'href="(?!https?:)[^"]*:', page(text))
