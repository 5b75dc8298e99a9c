"""Mutations of a report's artifact: each field removed, emptied, made NaN, or exchanged between two entries of a list.

They are generated from the report itself, so that a field that is added tomorrow is mutated tomorrow.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from soil_assets.errors import BadInput
from soil_assets.pull_request.expectation import Expectation, SoilYaml
from soil_assets.pull_request.message import Origin, trusted
from soil_assets.pull_request.recomputation import MainSide, disagreements, property_result
from soil_assets.reporting.decision_inputs import DecisionInputs
from soil_assets.reporting.rules import decide
from soil_assets_tests.pull_request.facts import (
    POLICY,
    PROPERTIES,
    RAW,
    batch,
    benchmark,
    catalogue_of,
    check_names,
    facts,
    held,
    known,
    models,
    settings,
)

Path = tuple[str | int, ...]
Judge = Callable[[str], str]
#: Rows of a long list that are mutated; the others have the same fields.
_ROWS = 3


def cases() -> dict[str, tuple[DecisionInputs, Judge]]:
    """Artifacts that do not pass, each with the judge that main's side is for it."""
    june = {"june": "added", "may": "unchanged"}
    may = batch("may")
    leak = tuple(
        c.model_copy(update={"passed": False}) if c.name == "no_benchmark_leakage" else c
        for c in facts().checks
    )
    drift = tuple(
        c.model_copy(update={"passed": False, "blocking": True}) if c.name == "training_drift" else c
        for c in facts().checks
    )
    both = (batch("june", part_of_change=True), may)
    return {
        "worse": (facts("weak", "strong", batches=both), judge("weak", "strong", june)),
        "cannot tell": (facts("weak", "full", batches=both), judge("weak", "full", june)),
        "held batch": (
            facts(batches=(held("june", part_of_change=True), may)),
            judge("strong", "weak", june),
        ),
        "held batch of main": (
            facts(batches=(batch("june", part_of_change=True), held("may"))),
            judge("strong", "weak", june, trains_on=frozenset({"may"})),
        ),
        "unreadable batch": (
            facts(batches=(held("june", "readable", part_of_change=True), may)),
            judge("strong", "weak", june),
        ),
        "leakage": (facts(batches=both, checks=leak), judge("strong", "weak", june)),
        "all batches drift together": (facts(batches=both, checks=drift), judge("strong", "weak", june)),
        "no model uploaded": (facts(batches=both), judge(None, "weak", june)),
        "no model of main": (facts(batches=both), judge("strong", None, june)),
        "a batch left out": (facts(batches=(may,)), judge("strong", "weak", june)),
    }


def judge(
    kind: str | None, of_main: str | None, batches: Any, trains_on: frozenset[str] | None = None
) -> Judge:
    """Return main's side as a function from the text of ``report.json`` to the state of the status check."""
    main_side = MainSide({} if of_main is None else models(of_main), benchmark(), POLICY, {})
    catalogue = catalogue_of(settings())
    uploaded = {} if kind is None else models(kind)
    outcomes = [property_result(catalogue[p], uploaded.get(p), main_side, added=False) for p in PROPERTIES]
    results = [result for result, _ in outcomes]
    reasons = [reason for _, each in outcomes for reason in each]
    from soil_assets.defs.gates import BATCH_CHAIN

    expectation = Expectation(
        properties=PROPERTIES,
        batches=batches,
        batch_checks=tuple(c for asset in BATCH_CHAIN for c in check_names().get(asset, ())),
        training_checks=check_names()["training_set"],
        main_trains_on=trains_on,
    )
    soil_yaml = SoilYaml(RAW, RAW, RAW)
    origin = Origin(7, "a" * 40, "b" * 40)

    def state(text: str) -> str:
        try:
            raw = json.loads(text, parse_constant=_refuse)
            if not isinstance(raw, dict) or not isinstance(raw.get("inputs"), dict):
                return "error"
            change = DecisionInputs.from_json(json.dumps(raw["inputs"]))
        except (BadInput, ValueError):
            return "error"
        missing = [*reasons, *disagreements(change, {r.name: r for r in results})]
        judged = trusted(
            change,
            expectation,
            results,
            missing,
            POLICY,
            known(),
            soil_yaml,
            origin,
            ["batches/june/s.csv"],
            {},
        )
        return "failure" if decide(judged).blocks else "success"

    return state


def mutations(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the name of each single mutation and the text of the mutated report."""
    for path in _paths(report):
        here = _at(report, path[:-1])
        name = ".".join(map(str, path))
        yield f"{name} removed", _text(report, path, _remove)
        for empty in _emptied(here[path[-1]]):
            yield f"{name} emptied to {empty!r}", _text(report, path, _setter(empty))
        yield f"{name} NaN", _text(report, path, _setter(float("nan")))
    for place in (
        ("inputs", "properties"),
        ("inputs", "batches"),
        ("inputs", "checks"),
        ("inputs", "training"),
    ):
        yield from _exchanged(report, place)


def _exchanged(report: dict[str, Any], place: Path) -> Iterator[tuple[str, str]]:
    entries = _at(report, place)
    for i in range(len(entries)):
        for j in range(i + 1, len(entries)):
            for key in sorted({*entries[i], *entries[j]}):
                mutated = json.loads(json.dumps(report))
                one, other = _at(mutated, place)[i], _at(mutated, place)[j]
                one[key], other[key] = other.get(key), one.get(key)
                yield f"{'.'.join(place)}: {key} of {i} and {j} exchanged", json.dumps(mutated)


def _paths(value: Any, start: Path = ()) -> Iterator[Path]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*start, key)
            yield from _paths(inner, (*start, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value[:_ROWS]):
            yield (*start, i)
            yield from _paths(inner, (*start, i))


def _emptied(value: Any) -> tuple[Any, ...]:
    if isinstance(value, bool):
        return (None, "", 0)
    if isinstance(value, str):
        return ("", None)
    if isinstance(value, (int, float)):
        return (0, None)
    if isinstance(value, list):
        return ([], None)
    if isinstance(value, dict):
        return ({}, None)
    return ("",)


def _at(report: Any, path: Path) -> Any:
    for step in path:
        report = report[step]
    return report


def _text(report: dict[str, Any], path: Path, change: Callable[[Any, str | int], None]) -> str:
    mutated = json.loads(json.dumps(report))
    change(_at(mutated, path[:-1]), path[-1])
    return json.dumps(mutated)


def _remove(container: Any, key: str | int) -> None:
    del container[key]


def _setter(value: Any) -> Callable[[Any, str | int], None]:
    def change(container: Any, key: str | int) -> None:
        container[key] = value

    return change


def _refuse(text: str) -> None:
    raise ValueError(text)
