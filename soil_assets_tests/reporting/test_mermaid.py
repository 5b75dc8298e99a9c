"""Charts in text hold the figures and let no text break out of its quotes."""

from __future__ import annotations

import re

import numpy as np
import pytest

from soil_assets.reporting.mermaid import error_chart
from soil_assets_tests.reporting.test_escaping import HOSTILE


def _numbers(chart: str, kind: str) -> list[float]:
    return [float(v) for v in re.findall(rf"^    {kind} \[(.*)\]$", chart, re.MULTILINE)[0].split(", ")]


def test_bars_and_line_are_the_shares_of_both_models() -> None:
    chart = error_chart({"candidate": [-1.0, 0.0, 0.1, 1.0], "main": [2.0, 2.0]}, "%", "Clay")
    bars, line = _numbers(chart, "bar"), _numbers(chart, "line")
    assert len(bars) == len(line)
    assert sum(bars) == pytest.approx(100)
    assert line[-1] == 100.0
    assert bars[len(bars) // 2] == 50.0


def test_a_first_version_has_no_line() -> None:
    chart = error_chart({"candidate": [0.5, np.nan], "main": []}, "index", "pH")
    assert "line" not in chart
    assert 'x-axis "predicted - observed" [' in chart


@pytest.mark.parametrize("values", [[], [np.nan, np.inf]])
def test_nothing_finite_gives_no_chart(values: list[float]) -> None:
    assert error_chart({"candidate": values}, "%", "Clay") == ""


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_breaks_out(text: str) -> None:
    chart = error_chart({"candidate": [0.0, 1.0]}, text, text)
    harmless = error_chart({"candidate": [0.0, 1.0]}, "%", "Clay")
    assert [line.split()[0] for line in chart.splitlines()] == [
        line.split()[0] for line in harmless.splitlines()
    ]
    assert all(line.count('"') % 2 == 0 for line in chart.splitlines())
