"""The figures of a decision report, each with the text that every format shows for it.

Belongs here: picking figures out of evaluations and comparisons and writing them down once. The Markdown, the
page and the plots' captions take the text from here, so that they agree with the JSON to the digit.
Does not belong here: judging (``rules``), layout (``decision``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from soil_assets.config import ModelPolicy
from soil_assets.reporting.decision_inputs import PropertyResult, Stratum, TrendPoint
from soil_assets.reporting.numerals import NOT_JUDGED, decimals_for, finite, fixed, percent, span
from soil_assets.reporting.outcome import outcome

#: Key of a measure, how the report calls it, and its decimals (None: from the size of the RMSE).
_METRICS: tuple[tuple[str, str, int | None], ...] = (
    ("rmse", "RMSE", None),
    ("ccc", "CCC", 3),
    ("me", "bias", None),
    ("rpiq", "RPIQ", 2),
    ("r2", "R2", 3),
)
#: Behind the RMSE of a candidate whose arrays are main's.
IDENTICAL = " (identical to main)"
#: Where a comparison keeps the interval of a measure's difference; bias is compared by its size.
_DIFFERENCES = {"rmse": "rmse_difference", "ccc": "ccc_difference", "me": "bias_difference"}


def property_figures(result: PropertyResult, policy: ModelPolicy) -> dict[str, Any]:
    """Return what the report says of one property.

    Parameters
    ----------
    result : PropertyResult
    policy : ModelPolicy
        That the comparison must have been made by.

    Returns
    -------
    dict
        ``name``, ``label``, ``unit``, ``n``, ``outcome``, ``reason``, ``metrics`` (by key: main, candidate,
        difference, low, high, level, decimals, text), ``coverage`` (a list of level, n, inside, picp, low,
        high, covered, text), ``strata``, ``notes``. JSON-ready; a missing figure is None, its text says so.
    """
    candidate, main = result.candidate or {}, result.main or {}
    unit_decimals = decimals_for([_metric(candidate, "rmse"), _metric(main, "rmse")])
    metrics = {}
    for key, name, decimals in _METRICS:
        metrics[key] = _metric_figures(result, key, name, unit_decimals if decimals is None else decimals)
    return {
        "name": result.name,
        "label": result.label or result.name,
        "unit": result.unit,
        "n": _count(candidate.get("n")),
        "outcome": outcome(result, policy),
        "identical": result.identical,
        "reason": str((result.comparison or {}).get("reason") or ""),
        "metrics": metrics,
        "coverage": _coverage(candidate),
        "strata": [_stratum(s, unit_decimals) for s in result.strata],
        "notes": _notes(candidate),
    }


def tracked_figures(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of an evaluation that are tracked from commit to commit (``metrics.json``).

    Returns
    -------
    dict
        ``n``, ``rmse`` with ``rmse_low`` and ``rmse_high``, ``bias``, ``ccc``, ``rpiq``, ``r2``, and the share that
        each interval holds (``coverage_90``); a figure that is missing is left out.
    """
    bounds = evaluation.get("intervals")
    low, high = (bounds.get("rmse") or (None, None)) if isinstance(bounds, Mapping) else (None, None)
    found: dict[str, Any] = {"n": _count(evaluation.get("n")), "rmse": _metric(evaluation, "rmse")}
    found |= {"rmse_low": finite(low), "rmse_high": finite(high), "bias": _metric(evaluation, "me")}
    found |= {key: _metric(evaluation, key) for key in ("ccc", "rpiq", "r2")}
    for row in _coverage(evaluation):
        found[f"coverage_{round(100 * row['level'])}"] = row["picp"]
    return {key: value for key, value in found.items() if value is not None}


def trend_points(
    past: Sequence[TrendPoint], main: Mapping[str, Any] | None, candidate: Mapping[str, Any] | None
) -> tuple[TrendPoint, ...]:
    """Return the benchmark RMSE over main's versions, with this change as the last point.

    Where no past is on record, main's own evaluation is its only point; without a main there is no trend.
    """
    points = list(past)[-12:] or ([_trend_point("main", main)] if main is not None else [])
    return (*points, _trend_point("this change", candidate)) if points and candidate is not None else ()


def _trend_point(version: str, evaluation: Mapping[str, Any]) -> TrendPoint:
    bounds = evaluation.get("intervals")
    low, high = (bounds.get("rmse") or (None, None)) if isinstance(bounds, Mapping) else (None, None)
    return TrendPoint(version=version, rmse=_metric(evaluation, "rmse"), low=low, high=high)


def errors(evaluation: Mapping[str, Any] | None) -> list[float]:
    """Return predicted - observed of every row where both are finite."""
    pairs = ((finite(r.get("value")), finite(r.get("observed"))) for r in rows(evaluation))
    return [value - observed for value, observed in pairs if value is not None and observed is not None]


def rows(evaluation: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """Return an evaluation's prediction rows, or none."""
    found = (evaluation or {}).get("predictions")
    return [r for r in found if isinstance(r, Mapping)] if isinstance(found, list) else []


def _metric_figures(result: PropertyResult, key: str, name: str, places: int) -> dict[str, Any]:
    comparison = result.comparison or {}
    candidate = _first(_metric(result.candidate, key), _of(comparison.get("candidate"), key))
    main = _first(_metric(result.main, key), _of(comparison.get("main"), key))
    figures: dict[str, Any] = {"name": name, "candidate": candidate, "main": main, "decimals": places}
    if main is None:
        intervals = (result.candidate or {}).get("intervals")
        bounds = intervals.get(key) if isinstance(intervals, Mapping) else None
        low, high = bounds if isinstance(bounds, (list, tuple)) and len(bounds) == 2 else (None, None)
        figures |= {"difference": None, "low": finite(low), "high": finite(high), "level": 0.95}
    else:
        found = comparison.get(_DIFFERENCES.get(key, ""))
        triple = found if isinstance(found, (list, tuple)) and len(found) == 3 else (None, None, None)
        difference, low, high = map(finite, triple)
        if difference is None and candidate is not None:
            difference = abs(candidate) - abs(main) if key == "me" else candidate - main
        alpha = finite(comparison.get("alpha"))
        level = None if alpha is None else 1 - alpha
        figures |= {"difference": difference, "low": low, "high": high, "level": level}
    if result.identical and candidate is not None:
        same = IDENTICAL if key == "rmse" else ""
        return figures | {"text": fixed(candidate, places, sign=name == "bias") + same}
    return figures | {"text": _metric_text(figures)}


def _metric_text(f: Mapping[str, Any]) -> str:
    places, signed = f["decimals"], f["name"] == "bias"
    if f["candidate"] is None:
        return NOT_JUDGED
    told = f["low"] is not None and f["high"] is not None and f["level"] is not None
    interval = f"{percent(f['level'])} CI " if told else ""
    shown = fixed(f["candidate"], places, sign=signed)
    if f["main"] is None:
        return shown + (f" ({interval}{span(f['low'], f['high'], places, sign=signed)})" if told else "")
    change = ("in size " if signed else "") + fixed(f["difference"], places, sign=True)
    if told:
        change += f", {interval}{span(f['low'], f['high'], places, sign=True)}"
    return f"{fixed(f['main'], places, sign=signed)} -> {shown} ({change})"


def _coverage(candidate: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = candidate.get("coverage")
    table = []
    for row in found if isinstance(found, list) else []:
        if not isinstance(row, Mapping) or finite(row.get("level")) is None:
            continue
        n, inside, picp = _count(row.get("n")), _count(row.get("inside")), finite(row.get("picp"))
        covered = row.get("covered") if isinstance(row.get("covered"), bool) and picp is not None else None
        low, high = _count(row.get("low")), _count(row.get("high"))
        text = NOT_JUDGED
        if picp is not None and n is not None:
            text = f"{percent(picp)} of {n}" if inside is None else f"{inside} of {n} ({percent(picp)})"
        table.append(
            {
                "level": finite(row.get("level")),
                "n": n,
                "inside": inside,
                "picp": picp,
                "low": low,
                "high": high,
                "mean_width": finite(row.get("mean_width")),
                "covered": covered,
                "text": text,
                "verdict": {True: "as promised", False: "not as promised", None: NOT_JUDGED}[covered],
            }
        )
    return table


def _stratum(stratum: Stratum, places: int) -> dict[str, Any]:
    main, candidate = stratum.main, stratum.candidate
    change = None if main is None or candidate is None else candidate - main
    figures: dict[str, Any] = {"name": "RMSE", "main": main, "candidate": candidate, "difference": change}
    figures |= {"low": stratum.low, "high": stratum.high, "level": 0.95, "decimals": places}
    told = stratum.low is not None and stratum.high is not None
    verdict = NOT_JUDGED
    if told and change is not None:
        verdict = "worse" if stratum.low > 0 else "better" if stratum.high < 0 else "no clear change"  # type: ignore[operator]
    figures |= {"text": _metric_text(figures), "verdict": verdict}
    return figures | {"name": stratum.name, "n": stratum.n}


def _notes(candidate: Mapping[str, Any]) -> list[str]:
    words = {
        "n_missing": "benchmark samples without a reference value",
        "n_refused": "benchmark samples without a finite prediction",
        "n_outside": "judged samples outside the model's applicability domain",
    }
    found = ((_count(candidate.get(key)), text) for key, text in words.items())
    return [f"{number} {text}" for number, text in found if number]


def _metric(evaluation: Mapping[str, Any] | None, key: str) -> float | None:
    return _of((evaluation or {}).get("metrics"), key)


def _of(metrics: object, key: str) -> float | None:
    return finite(metrics.get(key)) if isinstance(metrics, Mapping) else None


def _first(*values: object) -> float | None:
    return next((number for number in map(finite, values) if number is not None), None)


def _count(value: object) -> int | None:
    number = finite(value)
    return None if number is None else round(number)
