"""The sections of a model card on how a model was validated: ways of leaving out, intervals, strata.

Belongs here: telling those facts. Does not belong here: the card as a whole (``model_card``), computing anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from soil_assets.reporting.document import Block, Bullets, Heading, Paragraph, Table, Text
from soil_assets.reporting.model_card_facts import CardFacts
from soil_assets.reporting.numerals import NOT_JUDGED, decimals_for, finite, fixed, percent

_MEASURES = {
    "value": "the predicted value",
    "t2": "T2",
    "q": "Q",
    "distance": "the distance to the nearest training spectrum",
}


def validation(facts: CardFacts) -> list[Block]:
    """Tell the cross-validated figures: grouped, random beside it with the gap, and repeats where there are some."""
    t = facts.training
    grouped = _mapping(t.get("cross_validation"))
    if not grouped:
        return []
    places = decimals_for([grouped.get("rmse")])
    folds = f"{fixed(t.get('folds'), 0)} folds"
    rows: list[list[Text]] = [
        [
            f"whole groups left out, {folds}",
            f"{fixed(grouped.get('rmse'), places)}",
            f"R2 {fixed(grouped.get('r2'), 3)}, RPIQ {fixed(grouped.get('rpiq'), 2)}, n = {fixed(grouped.get('n'), 0)}",
        ]
    ]
    repeated = _mapping(t.get("repeated_validation")).get("rmse")
    if isinstance(repeated, Sequence) and len(repeated) > 1:
        told = ", ".join(fixed(v, places) for v in repeated)
        rows.append(["the same under other assignments to folds", told, f"{len(repeated)} assignments"])
    random = _mapping(t.get("random_validation"))
    if random:
        if random.get("judged"):
            words = f"groups look {percent(random.get('gap'), 0)} worse: that much of it is neighbours"
            gap = finite(random.get("gap"))
            rows.append(
                [
                    "samples left out at random, for comparison",
                    fixed(random.get("rmse"), places),
                    words if gap is not None and gap > 0 else "no worse by groups",
                ]
            )
        else:
            rows.append(["samples left out at random", NOT_JUDGED, str(random.get("why") or "")])
    unit = f" ({facts.unit})" if facts.unit and facts.unit != "index" else ""
    return [
        Heading("Validation"),
        Paragraph(
            f"Inside the training set ({t.get('validation') or 'not recorded'}): every figure comes from models that "
            "were chosen and fitted without the samples they predict."
        ),
        Table(("Left out", f"RMSE{unit}", ""), rows),
    ]


def intervals(facts: CardFacts) -> list[Block]:
    """Tell how intervals are made and how wide they are."""
    told = facts.intervals
    halves = _mapping(told.get("half_widths"))
    if not halves:
        return []
    scale = str(told.get("scale") or facts.unit)
    rows: list[list[Text]] = [
        [
            f"{level} %",
            "not bounded by so few groups"
            if finite(half) is None
            else f"± {fixed(half, decimals_for([half]))} {scale}",
        ]
        for level, half in halves.items()
    ]
    slopes = {k: finite(v) for k, v in _mapping(told.get("slopes")).items()}
    strong = [k for k, v in slopes.items() if v is not None and abs(v) >= 0.1]
    words = "They are nearly the same for all samples."
    if strong:
        named = ", ".join(
            f"{_MEASURES.get(k, k)} ({percent(2.718281828459045 ** (slopes[k] or 0.0) - 1)} a standard deviation)"
            for k in strong
        )
        words = f"They change with {named}."
    return [
        Heading("Prediction intervals"),
        Paragraph(
            "Cross-conformal, from errors of left-out samples; each sample's width follows its difficulty, "
            f"learnt from those errors. {words} Outside the domain they grow in proportion to how far outside."
        ),
        Table(("Interval", "Width at typical difficulty"), rows),
    ]


def strata(facts: CardFacts) -> list[Block]:
    """Tell the benchmark's parts, so that an average hides nothing."""
    found = (facts.evaluation or {}).get("strata")
    if not isinstance(found, list) or not found:
        return []
    rows: list[list[Text]] = []
    for raw in found:
        row = _mapping(raw)
        metrics = _mapping(row.get("metrics"))
        held = [
            f"{percent(c.get('level'))}: {fixed(c.get('inside'), 0)} of {fixed(c.get('n'), 0)}"
            for c in map(_mapping, row.get("coverage") or [])
        ]
        judged = bool(row.get("judged")) and bool(metrics)
        places = decimals_for([metrics.get("rmse")])
        rows.append(
            [
                str(row.get("name")),
                fixed(row.get("n"), 0),
                fixed(metrics.get("rmse"), places) if judged else NOT_JUDGED,
                fixed(metrics.get("me"), places, sign=True) if judged else NOT_JUDGED,
                "; ".join(held) if judged else NOT_JUDGED,
            ]
        )
    return [
        Heading("Parts of the benchmark"),
        Table(("Part", "n", "RMSE", "Bias", "Intervals hold"), rows, frozenset({1, 2, 3})),
        Bullets(["A part with too few samples is not judged, which is not a pass."]),
    ]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
