"""A sample is found by its id, and its path names every gate it met, in order."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from soil_assets.errors import BadInput
from soil_assets.reporting import html
from soil_assets.reporting.why import BatchRecord, Path, trace
from soil_assets_tests.reporting.test_escaping import HOSTILE, _parsed

LANDED = pd.DataFrame(
    {
        "sample_id": ["A1", "A1", "A2", "A3", None, "Ä4"],
        "source_file": "scans.csv",
        "source_row": [1, 2, 3, 4, 5, 6],
    }
)
QUARANTINE = pd.DataFrame(
    {
        "sample_id": ["A1", "A3", None],
        "source_file": "scans.csv",
        "source_row": [2, 4, 5],
        "rules": ["scale", "impossible_value", "id_missing"],
        "found": ["median 18.6", "clay 140 %", "no id"],
        "expected": ["0 to 1", "0 to 100 %", "an id"],
        "mend": ["divide by 100", "mend the value", "write the id"],
    }
)
WARNINGS = pd.DataFrame({"sample_id": ["A2"], "rule": ["noise"], "found": [3.1], "expected": ["below 3"]})
JUNE = BatchRecord("june", LANDED, QUARANTINE, WARNINGS, drift="pass", training=True)
JULY = BatchRecord(
    "july", LANDED.head(3), QUARANTINE.head(0), drift="fail", drift_reasons=("wetter",), held=True,
    outliers=("A2",), training=False, why="held for drift",
)  # fmt: skip


def _told(path: Path) -> list[tuple[str, str, str]]:
    return [(s.batch, s.gate, s.outcome) for s in path.steps]


def test_a_quarantined_sample_ends_there_with_its_mend() -> None:
    path = trace("A3", [JUNE])
    assert _told(path) == [("june", "landing", "landed"), ("june", "quality", "quarantined")]
    assert "clay 140 %" in path.steps[1].words
    assert path.steps[1].mend == "mend the value"
    assert path.where == "A3 is in quarantine (june)."


def test_a_replicate_in_quarantine_does_not_hold_its_sibling() -> None:
    path = trace("A1", [JUNE])
    assert [o for _, _, o in _told(path)] == ["landed", "quarantined", "accepted", "passed", "taken"]
    assert path.where == "A1 is in the training set, 1 scan of it in quarantine (june)."


def test_every_batch_is_told_in_order() -> None:
    path = trace("A2", [JUNE, JULY])
    assert [b for b, _, _ in _told(path)] == sorted(
        [b for b, _, _ in _told(path)], key=["june", "july"].index
    )
    assert path.where == "A2 is in the training set (june); accepted, not in the training set (july)."
    assert any("warning: noise: found 3.1" in s.words for s in path.steps)
    drift = next(s for s in path.steps if s.batch == "july" and s.gate == "drift")
    assert drift.outcome == "held"
    assert "wetter" in drift.words
    assert "furthest out" in drift.words


def test_not_judged_is_never_passed() -> None:
    small = BatchRecord("small", LANDED, QUARANTINE, drift="not_judged")
    assert _told(trace("A2", [small]))[-1] == ("small", "drift", "not judged")


def test_a_release_is_told_with_who_and_why() -> None:
    path = trace("A3", [JUNE], released=[("june", "A3", "M. Weber", "clay pit, measured twice")])
    release = next(s for s in path.steps if s.gate == "release")
    assert release.words == "released by M. Weber: clay pit, measured twice"
    assert path.where == "A3 is in the training set (june)."


def test_a_benchmark_sample_is_known() -> None:
    assert trace("B7", [], benchmark=["B7"]).where == "B7 is in the benchmark (benchmark)."


@pytest.mark.parametrize("spelling", ["Ä4", " Ä4 ", "A\u03084"])
def test_spaces_and_composed_letters_do_not_matter(spelling: str) -> None:
    assert trace(spelling, [JUNE]).steps


def test_an_unknown_id_names_the_nearest() -> None:
    with pytest.raises(BadInput, match="A1") as refused:
        trace("A11", [JUNE])
    assert refused.value.found == "A11"
    with pytest.raises(BadInput):
        trace("", [JUNE])


def test_every_form_tells_the_same_steps() -> None:
    path = trace("A1", [JUNE])
    data = json.loads(json.dumps(path.to_dict(), allow_nan=False))
    assert len(data["steps"]) == len(path.steps)
    text, page = path.to_text(), html.render(path.document())
    for step in path.steps:
        assert step.words in text
        assert _parsed(page).text.count(step.outcome)
    assert "divide by 100" in text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_ids_stay_text(text: str) -> None:
    landed = pd.DataFrame({"sample_id": [text], "source_file": [text]})
    quarantine = landed.assign(rules=text, found=text, expected=text, mend=text)
    page = html.render(trace(text, [BatchRecord(text, landed, quarantine)]).document())
    harmless = trace("a", [BatchRecord("a", landed.assign(sample_id="a"), quarantine.assign(sample_id="a"))])
    assert _parsed(page).tags == _parsed(html.render(harmless.document())).tags
