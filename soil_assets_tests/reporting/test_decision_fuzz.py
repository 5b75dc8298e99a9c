"""Facts of any shape that JSON can bring give a report, and never a pass that the figures do not carry."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soil_assets.reporting.decision import build
from soil_assets.reporting.decision_figures import property_figures
from soil_assets.reporting.decision_inputs import BandImportance, PropertyResult
from soil_assets.reporting.decision_layout import layout
from soil_assets.reporting.html import render as render_html
from soil_assets.reporting.markdown import render as render_markdown
from soil_assets.reporting.numerals import finite
from soil_assets.reporting.rules import decide
from soil_assets_tests.reporting.facts import inputs

# fmt: off
KEYS = st.sampled_from([
    "metrics", "intervals", "coverage", "predictions", "rmse", "me", "ccc", "level", "n", "inside", "picp", "low",
    "high", "covered", "observed", "value", "verdict", "rmse_difference", "main", "candidate", "margin", "alpha",
    "more_samples", "reason",
])
# fmt: on
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.floats(),
    st.sampled_from(["better", "not worse", "worse", "cannot tell", "first version", "nan", "", "0.1"]),
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=25,
)
FACTS = st.none() | st.dictionaries(KEYS, JSON, max_size=8)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(FACTS, FACTS, FACTS)
def test_any_facts_are_reported_and_none_pass_for_nothing(candidate: Any, main: Any, comparison: Any) -> None:
    result = PropertyResult(name="clay", candidate=candidate, main=main, comparison=comparison)
    facts = inputs(result, batches=())
    decision = decide(facts)
    figures = [property_figures(result, facts.policy.model)]
    document = layout(facts, decision, figures, "words", {})
    assert render_markdown(document)
    assert render_html(document)
    json.dumps(figures, allow_nan=False)
    if decision.verdict in ("approve", "first version"):
        metrics = (candidate or {}).get("metrics")
        assert isinstance(metrics, dict)
        assert finite(metrics.get("rmse")) is not None
    if decision.verdict == "approve":
        assert comparison["margin"] == facts.policy.model.margin
        assert comparison["verdict"] in ("better", "not worse")


CELLS = st.one_of(st.none(), st.floats(), st.integers(-5, 5), st.sampled_from(["1.5", "n/a", True]))
ROWS = st.lists(
    st.dictionaries(st.sampled_from(["observed", "value", "lower_90", "upper_90", "sample_id"]), CELLS),
    max_size=8,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ROWS, ROWS)
def test_any_predictions_are_drawn(candidate: list[Any], main: list[Any]) -> None:
    result = PropertyResult(name="clay", candidate={"predictions": candidate}, main={"predictions": main})
    report = build(inputs(result, batches=()))
    assert report.blocks
    assert all(content.startswith((b"\x89PNG", b"<svg")) for content in report.images.values())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.floats(), max_size=6), st.lists(st.floats(), max_size=6))
def test_any_band_importance_is_drawn_or_left_out(positions: list[float], vip: list[float]) -> None:
    band = BandImportance(positions=tuple(positions), unit="nm", vip=tuple(vip))
    report = build(inputs(PropertyResult(name="clay", importance=band), batches=()))
    assert ("vip-clay.png" in report.images) == band.usable
