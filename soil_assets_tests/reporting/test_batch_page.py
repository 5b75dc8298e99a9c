"""The page of a batch: every quarantined row with its mend, counts that add up, hostile ids as text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from soil_assets.reporting.batch_facts import DriftFacts
from soil_assets.reporting.batch_page import MAX_ROWS, build
from soil_assets.reporting.quality_plots import quality_strips
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.embedded import limesoda
from soil_assets_tests.reporting.test_escaping import HOSTILE, _parsed

BATCH = limesoda("NRW.115").take(range(12))


@dataclass
class Outcome:
    passed: bool
    severity: str = "warning"
    quarantined: int = 0
    summary: str = "all 12 scans pass"


@dataclass
class Result:
    accepted: SpectralBatch
    quarantined_batch: SpectralBatch | None
    quarantine: pd.DataFrame
    findings: pd.DataFrame
    figures: pd.DataFrame
    counts: dict[str, int]
    notes: tuple[str, ...]
    checks: dict[Any, Any]


def _result(words: str = "percent", bad: int = 2) -> Result:
    """Return a batch whose first ``bad`` scans are in quarantine for a reason in ``words``."""
    rows = range(bad)
    quarantine = pd.DataFrame(
        {
            "row": [i + 1 for i in rows],
            "sample_id": BATCH.sample_ids.head(bad).to_numpy(),
            "source_file": words,
            "source_row": [i + 2 for i in rows],
            "checks": "units",
            "rules": words,
            "found": words,
            "expected": words,
            "mend": words,
        }
    )
    findings = quarantine.assign(check="units", rule=words, severity="critical", column=words)
    return Result(
        accepted=BATCH.take(range(bad, 12)),
        quarantined_batch=BATCH.take(rows),
        quarantine=quarantine,
        findings=findings,
        figures=pd.DataFrame(
            {
                "row": range(12),
                "sample_id": BATCH.sample_ids,
                "median": np.linspace(0.1, 0.4, 12),
                "noise_ratio": np.r_[np.nan, np.ones(11)],
            }
        ),
        counts={"landed": 12, "accepted": 12 - bad, "quarantined": bad},
        notes=(words,),
        checks={
            "schema": Outcome(True),
            "units": Outcome(bad == 0, quarantined=bad, summary=words),
            "replicates": Outcome(True, summary="not judged: no replicates"),
        },
    )


def test_every_quarantined_row_is_there_with_what_to_do() -> None:
    page = build("june", _result("divide by 100"))
    text = _parsed(page.html).text
    assert "12 scans landed = 10 accepted + 2 in quarantine." in text
    for sample in BATCH.sample_ids.head(2):
        assert text.count(sample) >= 2
    assert "divide by 100, row 3" in text
    assert "2 in quarantine" in page.images["batch.svg"].decode()
    assert {"accepted.png", "quarantined.png", "figures.png"} <= set(page.images)
    assert all(len(content) < 60_000 for content in page.images.values())
    assert page.embedded_markdown.count("(data:image/") == len(page.images)


def test_a_check_that_judged_nothing_does_not_read_passed() -> None:
    page = build("june", _result()).html
    row = page[page.index("<td>replicates</td>") :].split("</tr>")[0]
    assert "not judged" in row
    assert "passed" not in row


def test_a_clean_batch_and_a_refused_one_say_so() -> None:
    assert "accepted" in build("june", _result(bad=0)).images["batch.svg"].decode()
    refused = _result(bad=12)
    refused.checks["units"] = Outcome(False, "critical", 12, "12 of 12 quarantined; the batch is refused")
    page = build("june", refused)
    assert "refused" in page.images["batch.svg"].decode()
    assert "accepted.png" not in page.images
    assert "The batch as a whole is refused" in page.html


def test_drift_is_shown_where_the_batch_got_that_far() -> None:
    assert "drift.svg" not in build("june", _result()).images
    picture = build("june", _result()).images["accepted.png"]
    page = build(
        "june", _result(), drift=DriftFacts("fail", ("wetter",), {"envelope": picture}), next_step="held"
    )
    assert "drift: fail" in page.images["drift.svg"].decode()
    assert "drift-0.png" in page.images
    assert "wetter" in page.html
    assert "What happened next: held." in page.html


def test_a_large_batch_stays_a_page() -> None:
    big = _result()
    many = pd.concat([big.findings] * MAX_ROWS, ignore_index=True)
    page = build("june", replace(big, findings=many))
    assert f"… {MAX_ROWS:,} more rows" in page.html
    assert "2000 findings" in page.html or "2,000 findings" in page.html


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_words_stay_text(text: str) -> None:
    def page(words: str) -> str:
        # Without pictures: what is written in them is no markup.
        result = _result(words)
        figures = result.figures.rename(columns={"median": "bands", "noise_ratio": words})
        result = replace(result, accepted=BATCH.take([]), quarantined_batch=None, figures=figures)
        return build(words, result).html

    assert _parsed(page(text)).tags == _parsed(page("harmless")).tags


def test_strips_mark_what_is_in_quarantine() -> None:
    figures = _result().figures[["median", "noise_ratio"]]
    none, some = np.zeros(12, dtype=bool), np.arange(12) < 3
    assert quality_strips(figures, none) != quality_strips(figures, some)
    assert quality_strips(figures * np.nan, none).startswith(b"\x89PNG")


def test_figures_are_not_marked_where_the_rows_cannot_be_told() -> None:
    shuffled = _result()
    shuffled.quarantine = shuffled.quarantine.assign(row=[7, 9])
    assert "figures.png" not in build("june", shuffled).images
    told = shuffled.figures.assign(quarantined=np.arange(12) < 2)
    assert "figures.png" in build("june", replace(shuffled, figures=told)).images


def test_what_the_real_gate_returns_fits() -> None:
    from soil_assets_tests.quality.batches import damaged, judge

    result = judge(damaged())
    page = build("damaged", result)
    text = _parsed(page.html).text
    assert f"{result.counts['landed']} scans landed" in text
    for mend in result.quarantine["mend"]:
        assert mend in text
