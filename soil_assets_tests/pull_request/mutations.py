"""Mutations of a report's artifact: each field removed, emptied, made NaN, or exchanged between two entries of a list.

They are generated from the report itself, so that a field that is added tomorrow is mutated tomorrow.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations
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


#: Artifacts that do not pass; :func:`case` makes each.
CASES = (
    "worse",
    "cannot tell",
    "held batch",
    "held batch of main",
    "unreadable batch",
    "leakage",
    "all batches drift together",
    "no model uploaded",
    "no model of main",
    "a batch left out",
)


def case(name: str) -> tuple[DecisionInputs, Judge]:
    """Return the facts of a change that does not pass, and the judge that main's side is for it."""
    effects = {"june": "added", "may": "unchanged"}
    june, may = batch("june", part_of_change=True), batch("may")
    both = (june, may)
    kind, of_main = {"worse": ("weak", "strong"), "cannot tell": ("weak", "full")}.get(
        name, ("strong", "weak")
    )
    batches = {
        "held batch": (held("june", part_of_change=True), may),
        "held batch of main": (june, held("may")),
        "unreadable batch": (held("june", "readable", part_of_change=True), may),
        "a batch left out": (may,),
    }.get(name, both)
    failing = {"leakage": "no_benchmark_leakage", "all batches drift together": "training_drift"}.get(name)
    checks = tuple(
        c.model_copy(update={"passed": False, "blocking": True}) if c.name == failing else c
        for c in facts().checks
    )
    return facts(kind, of_main, batches=batches, checks=checks), judge(
        None if name == "no model uploaded" else kind,
        None if name == "no model of main" else of_main,
        effects,
        trains_on=frozenset({"may"}) if name == "held batch of main" else None,
    )


def judge(
    kind: str | None, of_main: str | None, batches: Any, trains_on: frozenset[str] | None = None
) -> Judge:
    """Return main's side as a function from the text of ``report.json`` to the state of the status check."""
    main_side = MainSide({} if of_main is None else models(of_main), benchmark(), POLICY, {})
    catalogue = catalogue_of(settings())
    uploaded = {} if kind is None else models(kind)
    training = {p: dict(m.training["batches"]) for p, m in uploaded.items()}
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
            training,
        )
        return "failure" if decide(judged).blocks else "success"

    return state


def mutations(report: dict[str, Any]) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield the name of each single mutation, and a function that returns the text of the mutated report."""
    text = json.dumps(report)
    for path in _paths(report):
        name = ".".join(map(str, path))
        yield f"{name} removed", partial(_mutated, text, partial(_remove, path))
        for empty in (*_emptied(_at(report, path)), float("nan")):
            yield f"{name} as {empty!r}", partial(_mutated, text, partial(_replace, path, empty))
    for place in (
        ("inputs", "properties"),
        ("inputs", "batches"),
        ("inputs", "checks"),
        ("inputs", "training"),
    ):
        entries = _at(report, place)
        for i, j in combinations(range(len(entries)), 2):
            for key in sorted({*entries[i], *entries[j]}):
                exchange = partial(_exchange, place, key, i, j)
                yield f"{'.'.join(place)}: {key} of {i} and {j} exchanged", partial(_mutated, text, exchange)


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


def _mutated(text: str, change: Callable[[Any], None]) -> str:
    report = json.loads(text)
    change(report)
    return json.dumps(report)


def _remove(path: Path, report: Any) -> None:
    del _at(report, path[:-1])[path[-1]]


def _replace(path: Path, value: Any, report: Any) -> None:
    _at(report, path[:-1])[path[-1]] = value


def _exchange(place: Path, key: str, i: int, j: int, report: Any) -> None:
    entries = _at(report, place)
    entries[i][key], entries[j][key] = entries[j].get(key), entries[i].get(key)


def _refuse(text: str) -> None:
    raise ValueError(text)
