"""A verdict that only holds for a property by itself is told as such."""

from __future__ import annotations

from soil_assets.reporting.cautions import cautions
from soil_assets_tests.reporting.facts import inputs, result


def test_a_verdict_that_holds_alone_only_is_a_caution() -> None:
    clay = result("better", "clay")

    def told(verdict: str) -> list[str]:
        together = {"alone": "better", "verdict": verdict, "n_properties": 3}
        comparison = {**(clay.comparison or {}), "over_properties": together}
        facts = inputs(clay.model_copy(update={"comparison": comparison}))
        return [c for c in cautions(facts) if "Holm" in c]

    assert told("cannot tell") == [
        "clay: better by itself; over 3 properties at one error rate (Holm): cannot tell"
    ]
    assert told("better") == []
