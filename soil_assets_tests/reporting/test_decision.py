"""The report: verdict first, figures that agree with the JSON, nothing lost, nothing injected."""

from __future__ import annotations

import base64
import json
import math
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from soil_assets.errors import BadInput
from soil_assets.reporting.decision import DecisionReport, build
from soil_assets.reporting.decision_inputs import (
    BatchResult,
    Check,
    Confusion,
    DecisionInputs,
    PropertyResult,
    Stratum,
)
from soil_assets_tests.reporting.facts import evaluation, first, inputs, result
from soil_assets_tests.reporting.test_escaping import HOSTILE, _parsed
from soil_assets_tests.reporting.test_markdown_rendered import RENDERER


@cache
def _build(facts: str) -> DecisionReport:
    return build(DecisionInputs.from_json(facts))


WHOLE = inputs(result("better"), result("cannot tell", "ph"), result("worse", "soc"))


def _unescaped(text: str) -> str:
    return re.sub(
        r"\\([^\w\s])", r"\1", text.replace("&lt;", "<").replace("&amp;", "&").replace("&#8203;", "")
    )


def test_verdict_stands_first_and_the_rule_beside_it() -> None:
    lines = [line for line in _build(WHOLE.model_dump_json()).markdown.splitlines() if line]
    assert lines[0] == "## Soil models: reject"
    assert lines[1] == "![soil decision: reject](decision.svg)"
    assert lines[2].startswith("Reject: ")
    first = next(i for i, line in enumerate(lines) if line.startswith("SOP rule 3: "))
    assert first < lines.index("### On the benchmark")


def test_metrics_read_as_promised() -> None:
    report = build(inputs(result("better")))
    rmse = report.data["properties"][0]["metrics"]["rmse"]
    pattern = r"\d+\.\d\d -> \d+\.\d\d \([-+]\d+\.\d\d, 95 % CI [-+]\d+\.\d\d\.\.[-+]?\d+\.\d\d\)"
    assert re.fullmatch(pattern, rmse["text"])
    assert rmse["text"] in _unescaped(report.markdown)


def test_every_figure_of_the_table_agrees_with_the_json_to_the_digit() -> None:
    report = _build(WHOLE.model_dump_json())
    data = json.loads(json.dumps(report.data, allow_nan=False))
    table = [line for line in report.markdown.splitlines() if line.startswith("| **")]
    assert len(table) == 3
    for line, figures in zip(table, data["properties"], strict=True):
        cells = [_unescaped(c.strip()) for c in re.split(r"(?<!\\)\|", line)[1:-1]]
        for cell, key in zip(cells[2:6], ("rmse", "ccc", "me", "rpiq"), strict=True):
            metric = figures["metrics"][key]
            places = metric["decimals"]
            shown = [
                float(v)
                for v in re.findall(
                    r"(?<![\d.])[-+]?\d+(?:\.\d+)?", cell.replace("95 % CI", "").replace("..", " ")
                )
            ]
            known = [
                metric[k] for k in ("main", "candidate", "difference", "low", "high") if metric[k] is not None
            ]
            assert shown == [pytest.approx(round(v, places), abs=10**-places / 1e6) for v in known]
        at90 = next(c for c in figures["coverage"] if c["level"] == 0.9)
        assert cells[6].startswith(f"{at90['inside']} of {at90['n']} ({round(100 * at90['picp'])} %)")
    for words in (*data["reasons"], *data["cautions"]):
        assert words in _unescaped(report.markdown)


def test_plot_and_badge_agree_with_the_json() -> None:
    report = _build(WHOLE.model_dump_json())
    assert report.data["verdict"].encode() in report.images["decision.svg"]
    for batch in report.data["batches"]:
        svg = report.images[f"drift-{batch['name']}.svg"].decode()
        assert f"drift: {batch['drift'].replace('_', ' ')}" in svg
    for figures in report.data["properties"]:
        # The plot computes its caption from the errors themselves; both come from the same predictions.
        rows = next(p for p in report.data["inputs"]["properties"] if p["name"] == figures["name"])[
            "candidate"
        ]
        errors = [r["value"] - r["observed"] for r in rows["predictions"]]
        rmse = math.sqrt(sum(e * e for e in errors) / len(errors))
        assert rmse == pytest.approx(figures["metrics"]["rmse"]["candidate"], rel=1e-12)


def test_every_image_named_is_there_and_small() -> None:
    report = _build(WHOLE.model_dump_json())
    named = set(re.findall(r"!\[[^\]]*\]\(([^)]*)\)", report.markdown))
    assert named == set(report.images)
    assert all(len(content) < 60_000 for content in report.images.values())
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in named)


def test_the_report_can_be_drawn_again_from_its_json() -> None:
    report = _build(WHOLE.model_dump_json())
    again = build(DecisionInputs.from_json(json.dumps(report.data["inputs"])))
    assert again.markdown == report.markdown
    assert again.html == report.html
    assert again.images == report.images
    assert again.data == report.data


def test_nothing_is_lost() -> None:
    report = _build(WHOLE.model_dump_json())
    for batch in WHOLE.batches:
        row = next(line for line in report.markdown.splitlines() if line.startswith(f"| `{batch.name}`"))
        assert f"| {batch.landed} | {batch.accepted} | {batch.quarantined} |" in row
    with pytest.raises(ValueError, match="is not"):
        BatchResult(name="b", landed=5, accepted=3, quarantined=1)


def test_first_version_shows_figures_with_their_intervals() -> None:
    report = build(inputs(first(), main=""))
    assert report.verdict == "first version"
    assert re.search(r"\d\.\d\d \(95 % CI \d\.\d\d\.\.\d\.\d\d\)", report.markdown)
    assert "->" not in report.data["properties"][0]["metrics"]["rmse"]["text"]


def test_a_gate_that_failed_before_training_is_reported() -> None:
    failed = Check(name="schema", passed=False, summary="no clay column")
    report = build(inputs(PropertyResult(name="clay"), checks=(failed,)))
    assert report.verdict == "request changes"
    assert "schema failed: no clay column" in report.markdown
    assert "not judged" in report.markdown


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "n/a"])
def test_a_missing_metric_reads_not_judged(value: Any) -> None:
    broken = evaluation()
    broken["metrics"]["rmse"] = value
    broken["coverage"][1]["picp"] = value
    report = build(inputs(result(candidate=broken, comparison=None)))
    json.dumps(report.data, allow_nan=False)
    assert report.verdict == "cannot tell"
    line = next(line for line in report.markdown.splitlines() if line.startswith("| **Clay**"))
    assert line.count("not judged") >= 3
    assert "nan" not in report.markdown.lower()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    bare = evaluation() | {"predictions": []}

    def facts(words: str) -> DecisionInputs:
        batch = BatchResult(
            name=words,
            landed=1,
            accepted=0,
            quarantined=1,
            reasons=(words.replace(";", ","),),
            next_step=words.replace(";", ","),
            quarantine=(
                {"sample_id": words, "source_file": words, "rules": [words], "found": words, "mend": words},
            ),
        )
        check = Check(name=words, passed=False, summary=words)
        return inputs(
            result(
                "better",
                words,
                label=words,
                unit=words,
                checks=(check,),
                candidate=bare,
                importance=None,
                trend=(),
            ),
            candidate=words,
            main=words,
            batches=(batch,),
            changes=(words,),
            versions={words: words},
            links={words: words},
            reproduce=(words,),
        )

    report, plain_report = build(facts(text)), build(facts("harmless"))
    # A link's address and the report's own pictures are the only markup that may differ.
    assert _parsed(report.html).tags.count("script") == 0
    assert [t for t in _parsed(report.html).tags if t != "a"] == [
        t for t in _parsed(plain_report.html).tags if t != "a"
    ]
    shown, plain_shown = (_parsed(RENDERER.render(r.markdown)) for r in (report, plain_report))
    assert [t for t in shown.tags if t not in ("a", "span")] == [t for t in plain_shown.tags if t != "a"]
    outside = re.sub(r"(?ms)^(`{3,})[^\n]*\n.*?^\1$", "", report.markdown)
    assert not re.search(r"@\w", re.sub(r"(`+).+?\1", "", outside))
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in report.images)


def test_a_huge_report_fits_a_comment_with_its_verdict() -> None:
    rows = tuple(
        {"sample_id": f"s{i}", "rules": ["range"], "found": f"{i} " + "x" * 200} for i in range(1500)
    )
    batches = tuple(
        BatchResult(name=f"b{i}", landed=1500, accepted=0, quarantined=1500, quarantine=rows)
        for i in range(20)
    )
    report = build(inputs(result("better", importance=None, trend=()), batches=batches))
    assert len(report.markdown) < 65_536
    assert report.markdown.startswith("## Soil models: approve")
    assert "Shortened" in report.markdown
    assert "s1499" in report.html


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("{", None),
        ("[]", None),
        ("{}", "candidate"),
        ('{"candidate": "c", "schema_version": 2}', "schema_version"),
        ('{"candidate": "c", "surprise": 1}', "surprise"),
        (
            '{"candidate": "c", "batches": [{"name": "b", "landed": 3, "accepted": 3, "quarantined": 1}]}',
            "batches.0",
        ),
    ],
)
def test_a_malformed_artifact_is_refused_by_its_key(text: str, column: str | None) -> None:
    with pytest.raises(BadInput) as refused:
        DecisionInputs.from_json(text, file="report.json")
    assert refused.value.file == "report.json"
    assert refused.value.column == column


def test_report_agrees_with_what_modeling_gives(tmp_path: Path) -> None:
    pytest.importorskip("soil_assets.modeling.comparison")
    import numpy as np

    from soil_assets.modeling.comparison import compare

    rng = np.random.default_rng(5)
    observed = rng.uniform(5, 40, 60)
    main, candidate = observed + rng.normal(0, 3, 60), observed + rng.normal(0, 1, 60)
    compared = compare(observed, main, candidate, n_boot=400)
    report = build(
        inputs(result(comparison=compared.to_dict(), main=None, candidate={"metrics": compared.candidate}))
    )
    assert compared.verdict == "better"
    assert report.verdict == "approve"
    metric = report.data["properties"][0]["metrics"]["rmse"]
    assert metric["main"] == compared.main["rmse"]  # type: ignore[index]
    assert (metric["difference"], metric["low"], metric["high"]) == compared.rmse_difference


def test_a_loss_in_one_stratum_is_not_hidden_by_the_whole() -> None:
    strata = (
        Stratum(name="clay over 30 %", n=9, main=1.2, candidate=1.9, low=0.3, high=1.1),
        Stratum(name="clay under 30 %", n=17, main=1.5, candidate=1.1, low=-0.6, high=-0.2),
        Stratum(name="sand", n=1, main=1.5, candidate=float("nan")),
    )
    report = build(inputs(result("better", strata=strata)))
    assert report.verdict == "approve"
    assert (
        "clay: worse in clay over 30 % (n = 9), whatever the whole benchmark says" in report.data["cautions"]
    )
    told = report.data["properties"][0]["strata"]
    assert [s["verdict"] for s in told] == ["worse", "better", "not judged"]
    assert all(s["text"] in _unescaped(report.markdown) for s in told)
    assert told[0]["text"] == "1.20 -> 1.90 (+0.70, 95 % CI +0.30..+1.10)"


def test_classes_are_shown_where_a_property_has_them() -> None:
    texture = Confusion(labels=("sand", "loam"), counts=((7, 1), (2, 9)))
    report = build(inputs(result("better", confusion=texture)))
    assert "classes-clay.png" in report.markdown
    assert (
        report.images["classes-clay.png"]
        != build(
            inputs(result("better", confusion=Confusion(labels=("sand", "loam"), counts=((7, 1), (9, 2)))))
        ).images["classes-clay.png"]
    )
    with pytest.raises(ValueError, match="2 classes"):
        Confusion(labels=("sand", "loam"), counts=((7, 1),))


def test_without_a_host_for_pictures_their_words_and_a_chart_stand_there() -> None:
    text = _build(WHOLE.model_dump_json()).to_markdown(image_url=lambda _: None)
    assert "![" not in text
    assert "`drift: fail`" in text
    assert "`soil decision: reject`" in text
    charts = re.findall(r"(?s)```mermaid\n(.*?)\n```", text)
    assert len(charts) == len(WHOLE.properties)
    bars = [float(v) for v in re.findall(r"bar \[(.*)\]", charts[0])[0].split(", ")]
    assert sum(bars) == pytest.approx(100, abs=0.6)


def test_pictures_may_have_another_address() -> None:
    text = _build(WHOLE.model_dump_json()).to_markdown(
        image_url=lambda name: f"https://h.example/c0ffee/{name}"
    )
    named = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", text)
    assert named
    assert all(address.startswith("https://h.example/c0ffee/") for address in named)


def test_long_reasons_are_folded_and_none_is_lost() -> None:
    reasons = tuple(f"reason {i}; detail {i}" for i in range(6))
    batch = BatchResult(
        name="july", landed=9, accepted=9, quarantined=0, drift="fail", held=True, reasons=reasons
    )
    text = build(inputs(result("better", importance=None, trend=()), batches=(batch,))).markdown
    row = next(line for line in text.splitlines() if line.startswith("| `july`"))
    assert "reason 0 (and 11 more, below)" in row
    assert "detail 5" not in row
    folded = text.split("<summary>Why july</summary>")[1].split("</details>")[0]
    assert all(f"- reason {i}\n- detail {i}" in folded for i in range(6))


def test_scans_with_the_same_reason_are_one_row_of_the_quarantine() -> None:
    same = {
        "rules": "range",
        "found": "751 to 3800",
        "expected": "552 to 3796",
        "mend": "measure the full range",
    }
    rows = (
        *({"sample_id": f"O-{i}", **same} for i in range(31)),
        {"sample_id": None, **same, "found": "nothing"},
    )
    batch = BatchResult(name="short", landed=32, accepted=0, quarantined=32, quarantine=rows)
    text = build(inputs(result("better", importance=None, trend=()), batches=(batch,))).markdown
    assert "| 31 | `O-0` and 30 more, to `O-30` | range | 751 to 3800 |" in text
    assert "| 1 | `(no id)` | range | nothing |" in text


def test_a_batch_that_was_stopped_before_the_drift_gate_says_so() -> None:
    batch = BatchResult(name="short", landed=2, accepted=0, quarantined=2, held=True, next_step="held")
    report = build(inputs(result("better", importance=None, trend=()), batches=(batch,)))
    assert "![drift: not reached](drift-short.svg)" in report.markdown
    assert "drift: not reached" in report.images["drift-short.svg"].decode()


def test_pictures_may_be_inside_the_markdown() -> None:
    report = _build(WHOLE.model_dump_json())
    named = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", report.embedded_markdown)
    assert len(named) >= len(report.images)
    held = {base64.b64decode(address.split(",", 1)[1]) for address in named}
    assert held == set(report.images.values())
    # Dagster's pages drop raw HTML, a fold's title with it.
    assert "<details>" not in report.embedded_markdown
    assert "#### Quarantine of damaged: 1 scan\n" in report.embedded_markdown


def test_missing_evidence_and_removals_stand_before_the_figures_once() -> None:
    facts = inputs(
        result("better"), missing=("batch x is not in the report",), removals=("property ph is removed",)
    )
    report = build(facts)
    top = report.markdown.split("### On the benchmark")[0]
    assert report.verdict == "cannot tell"
    for sentence in (*facts.missing, *facts.removals):
        assert top.count(sentence) == 1
    worse = build(inputs(result("worse"), missing=("batch x is not in the report",)))
    assert worse.verdict == "reject"
    assert "**Not seen**\n\n- batch x is not in the report" in worse.markdown.split("### On the benchmark")[0]


def test_a_candidate_without_effect_is_said_to_be_mains() -> None:
    same = result("not worse").model_copy(update={"identical": True})
    report = build(inputs(same))
    assert report.recommendation == "Approve: the candidate is identical to main."
    assert report.data["properties"][0]["metrics"]["rmse"]["text"] == "1.32 (identical to main)"
    assert "0.00, 95 % CI" not in report.markdown.split("<details>")[0]


def test_a_change_of_data_opens_with_its_batches() -> None:
    june = BatchResult(
        name="june", landed=12, accepted=7, quarantined=5, drift="not_judged", part_of_change=True
    )
    lines = [x for x in build(inputs(result("better"), batches=(june,))).markdown.splitlines() if x]
    assert lines[3].startswith("- `june`: 12 landed, 7 accepted, 5 quarantined; drift: not judged ![")
    assert lines[4].startswith("- **Clay**: better, RMSE ")


def test_rows_of_a_quarantine_that_are_left_out_are_counted() -> None:
    rows = tuple({"sample_id": str(i), "rules": ["range"]} for i in range(3))
    huge = BatchResult(
        name="june",
        landed=80_003,
        accepted=0,
        quarantined=80_003,
        quarantine=rows,
        quarantine_omitted=80_000,
        held=True,
    )
    text = build(inputs(result("better"), batches=(huge,))).markdown
    assert "80,000 more rows are not listed" in text
    assert "Quarantine of june: 80,003 scans" in text
