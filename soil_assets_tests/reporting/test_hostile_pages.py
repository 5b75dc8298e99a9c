"""Every page that shows what others named, in a real browser: sample ids, batches, branches and files are only text.

The decision report and the page of one sample are in ``test_pages_in_browser.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soil_assets.config import DriftPolicy
from soil_assets.drift.check_samples import CheckSoil
from soil_assets.drift.compare import compare
from soil_assets.drift.control_charts import check_chart
from soil_assets.drift.damage import measured_damage
from soil_assets.drift.history import successive
from soil_assets.drift.profile import fit_profile
from soil_assets.reporting import batch_page, drift_check_samples, drift_html, html, index_page, model_card
from soil_assets.reporting.batch_facts import DriftFacts
from soil_assets.reporting.decision import build as decision
from soil_assets.reporting.decision_inputs import BatchResult
from soil_assets.reporting.model_card_facts import CardFacts
from soil_assets.reporting.policy_trial import trial
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.embedded import limesoda
from soil_assets.spectra.harmonise import harmonise
from soil_assets_tests.reporting.facts import inputs, result
from soil_assets_tests.reporting.test_batch_page import BATCH, _result
from soil_assets_tests.reporting.test_pages_in_browser import ACTIVE, CHROMIUM, FLAGS
from soil_assets_tests.reporting.test_policy_trial import LOOSE, _rejudge

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
]
#: Everything at once: whatever one of them closes, the next finds open.
WORDS = " ".join(ACTIVE)
#: What a git server lets a branch be called.
BRANCH = "pr-<img/src=x/onerror=window.hit=1>-'\"><script>window.hit=1</script>"


def _hostile(n: int) -> list[str]:
    running = [words for words in ACTIVE if "window.hit" in words]
    return [f"{running[i % len(running)]} {i}" for i in range(n)]


def _drift() -> str:
    axis = Axis.regular(3796, 552, 12, "cm-1")
    field, other = (harmonise(limesoda(name), axis, "absorbance") for name in ("NRW.115", "NRW.62"))
    profile = fit_profile(field.take(range(60)), properties=("clay",))
    ids = other.samples.assign(sample_id=_hostile(len(other)))
    batch = replace(other, samples=ids)
    report = compare(profile, batch, policy=DriftPolicy(permutations=199))
    rng = np.random.default_rng(0)
    harm = measured_damage(WORDS, np.zeros(20), rng.normal(0, 3, 20), rng.normal(0, 1, 50))
    history = successive(profile, [(BRANCH, field.take(range(60, 100))), ("$x^$ $$", batch)])
    far = tuple((sample, 3.0) for sample in _hostile(5))
    report = replace(report, samples=far, reasons=(*report.reasons, WORDS), notes=(*report.notes, WORDS))
    return drift_html.page(report, name=WORDS, profile=profile, batch=batch, damage=[harm], history=history)


def _check_samples() -> str:
    chart = check_chart(np.random.default_rng(0).normal(size=30))
    return drift_check_samples.page([CheckSoil(WORDS, WORDS, tuple(_hostile(30)), {"level": chart})])


def _batch() -> str:
    bad = _result(WORDS)
    named = BATCH.samples.assign(sample_id=_hostile(len(BATCH)))
    accepted = replace(BATCH, samples=named).take(range(2, 12))
    rows = bad.quarantine.assign(sample_id=_hostile(2))
    bad = replace(
        bad, accepted=accepted, quarantine=rows, findings=bad.findings.assign(sample_id=_hostile(2))
    )
    drift = DriftFacts("fail", (WORDS,), page=WORDS, check_samples=WORDS)
    return batch_page.build(WORDS, bad, reference=BATCH, drift=drift, next_step=WORDS).html


def _index() -> str:
    batches = [
        index_page.BatchEntry(BatchResult(name=w, landed=1, accepted=1, quarantined=0, next_step=w), w)
        for w in ACTIVE
    ]
    models = [index_page.ModelEntry(w, w, w, w, w) for w in ACTIVE]
    return index_page.build(index_page.DecisionEntry(WORDS, WORDS, WORDS), batches, models)


def _branch() -> str:
    facts = inputs(result("worse", WORDS), candidate=BRANCH, main=BRANCH, changes=(BRANCH,))
    return decision(facts).html


def _card() -> str:
    facts = CardFacts(
        name=WORDS, version=BRANCH, property=WORDS, label=WORDS, unit=WORDS, method=WORDS, spectra=WORDS,
        training={"chosen": {WORDS: WORDS}, "back_transform": WORDS}, recipe={"learner": WORDS},
        domain={"limits": {WORDS: 1}}, benchmark=WORDS, data=(WORDS,), caveats=(WORDS,), versions={WORDS: WORDS},
    )  # fmt: skip
    return model_card.build(facts).html


def _trial() -> str:
    batches = (
        BatchResult(
            name=WORDS, landed=1, accepted=1, quarantined=0, drift="fail", held=True, reasons=(WORDS,)
        ),
    )
    return html.render(
        trial([(BRANCH, inputs(result("better"), batches=batches))], LOOSE, _rejudge).document()
    )


PAGES: dict[str, Callable[[], str]] = {
    "drift": _drift,
    "check samples": _check_samples,
    "batch": _batch,
    "front page": _index,
    "decision of a branch": _branch,
    "model card": _card,
    "policy trial": _trial,
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


def opened(browser: Any, folder: Path, text: str) -> tuple[Any, list[str], list[str]]:
    """Open a page without its own content policy (the escaping alone must hold); note what it asks for and says."""
    file = folder / "page.html"
    file.write_text(
        re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>\n', "", text, count=1), encoding="utf-8"
    )
    page = browser.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.goto(file.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.wait_for_load_state("networkidle")
    return page, [u for u in asked if not u.startswith("data:") and u != file.as_uri()], said


@pytest.mark.parametrize("name", PAGES)
def test_nothing_runs_and_nothing_is_loaded(browser: Any, tmp_path: Path, name: str) -> None:
    text = PAGES[name]()
    assert "window.hit" in text
    page, asked, said = opened(browser, tmp_path, text)
    assert page.evaluate("window.hit") is None
    count = page.evaluate(
        "document.querySelectorAll('script, iframe, object, embed, meta[http-equiv], form').length"
    )
    handlers = page.evaluate(
        "[...document.querySelectorAll('*')].flatMap(e => [...e.attributes])"
        ".filter(a => a.name.startsWith('on')).length"
    )
    assert (count, handlers, asked, said) == (0, 0, [], [])
    hrefs = page.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.protocol)")
    assert set(hrefs) <= {"file:", "https:", "http:"}
    page.close()


def test_a_page_that_does_not_escape_would_be_caught(browser: Any, tmp_path: Path) -> None:
    page, asked, _ = opened(browser, tmp_path, f"<!doctype html><p>{BRANCH}</p>")
    assert page.evaluate("window.hit") == 1
    assert asked
    page.close()
