"""A change's models judged by main's side: predictions, metrics, comparison and checks from the uploaded arrays.

Nothing that the change's own run computed about a model is used. The arrays hold no code, so that predicting with them
is safe; main's models, main's benchmark and main's policy are main's own.

Belongs here: one property's result from two models. Does not belong here: reading arrays (``artifact``), bringing
main's models (``baseline``), batches (``expectation``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from soil_assets.config import Policy, Settings
from soil_assets.errors import BadInput
from soil_assets.reporting.decision_figures import trend_points
from soil_assets.reporting.decision_inputs import (
    BandImportance,
    Check,
    DecisionInputs,
    PropertyResult,
    Stratum,
    TrendPoint,
    plain,
)
from soil_assets.reporting.numerals import finite

if TYPE_CHECKING:
    from soil_assets.modeling.model import SoilModel
    from soil_assets.spectra.axis import Axis
    from soil_assets.spectra.batch import SpectralBatch
    from soil_assets.spectra.catalogue import Property

#: Largest difference between a reported and a recomputed prediction, over the spread of the observed values.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class MainSide:
    """Everything that main's side brings to the judgement.

    Parameters
    ----------
    models : mapping of str to SoilModel
        By property, trained or registered from main's commit.
    benchmark : SpectralBatch
    policy : Policy
    trend : mapping of str to list of dict
        Past benchmark figures by property.
    """

    models: Mapping[str, SoilModel]
    benchmark: SpectralBatch
    policy: Policy
    trend: Mapping[str, list[dict[str, Any]]]


def property_result(
    prop: Property, candidate: SoilModel | None, main_side: MainSide, *, added: bool
) -> tuple[PropertyResult, list[str]]:
    """Result of one property, and the evidence that is missing for it.

    Parameters
    ----------
    candidate : SoilModel or None
        The uploaded model; None where there is none that can be read.
    added : bool
        Whether the change adds the property, so that main is known to have no model of it.
    """
    from soil_assets.modeling.benchmark_judgement import (
        compare_by_policy,
        evaluate_by_policy,
        evaluation_checks,
        model_checks,
    )

    empty = PropertyResult(name=prop.name, label=prop.label, unit=prop.unit)
    if candidate is None:
        return empty, []  # a rule of its own: no candidate model
    main = main_side.models.get(prop.name)
    policy = main_side.policy.model
    try:
        evaluation = evaluate_by_policy(candidate, main_side.benchmark, prop, policy)
        measured: dict[str, Any] = plain(evaluation.to_dict())
        result = empty.model_copy(update={"candidate": measured})
        if main is None and not added:
            return result, [f"{prop.name}: main's model could not be had, although main has the property"]
        comparison, compared = compare_by_policy(
            main, candidate, evaluation.to_dict(), main_side.benchmark, prop, policy
        )
    except BadInput as error:
        return empty, [f"{prop.name}: candidate and main cannot be compared ({error})"]
    except Exception as error:  # noqa: BLE001  # arrays of a stranger may break a prediction anywhere
        return empty, [
            f"{prop.name}: the uploaded model cannot predict the benchmark ({type(error).__name__})"
        ]
    checks = (*model_checks(candidate), *evaluation_checks(candidate, evaluation, policy), *compared)
    main_facts = comparison.pop("main_evaluation")
    return (
        result.model_copy(
            update={
                "main": None if main_facts is None else plain(main_facts),
                "comparison": plain(comparison),
                "checks": tuple(
                    Check(name=c.name, passed=c.passed, blocking=c.blocking, summary=c.summary)
                    for c in checks
                ),
                "importance": BandImportance(
                    positions=tuple(candidate.axis.values.tolist()),
                    unit=candidate.axis.unit,
                    vip=tuple(np.asarray(candidate.importance).tolist()),
                ),
                "strata": tuple(
                    Stratum(**{k: s.get(k) for k in Stratum.model_fields}) for s in comparison["strata"]
                ),
                "trend": trend_points(
                    [TrendPoint(**point) for point in main_side.trend.get(prop.name, [])],
                    main_facts,
                    measured,
                ),
                "identical": main is not None and same_model(main, candidate),
            }
        ),
        [],
    )


def same_model(main: SoilModel, candidate: SoilModel) -> bool:
    """Whether two models predict from equal arrays with equal intervals."""
    return (
        _equal(main.predictor.arrays(), candidate.predictor.arrays())
        and dict(main.half_widths) == dict(candidate.half_widths)
        and (main.limits, main.transform, main.unit)
        == (candidate.limits, candidate.transform, candidate.unit)
        and _equal(main.difficulty.arrays(), candidate.difficulty.arrays())
        and _equal(main.domain.arrays(), candidate.domain.arrays())
        and main.domain.facts() == candidate.domain.facts()
        and main.predictor.facts() == candidate.predictor.facts()
    )


def _equal(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[k], theirs[k]) for k in ours)


def task_mismatch(prop: Property, model: SoilModel, settings: Settings) -> list[str]:
    """Sentences on what a model answers another question than the change's settings ask."""
    axis = _axis(settings)
    pairs = {
        "axis": (model.axis == axis, model.axis.describe(), axis.describe()),
        "quantity": (model.quantity == settings.axis.quantity, model.quantity, settings.axis.quantity),
        "unit": (model.unit == prop.unit, model.unit, prop.unit),
        "transform": (model.transform == prop.transform, model.transform, prop.transform),
        "sensors": (not model.sensors, ", ".join(model.sensors), "none"),
    }
    return [
        f"{prop.name}: the uploaded model has {name} {used}; the change states {stated}"
        for name, (same, used, stated) in pairs.items()
        if not same
    ]


def _axis(settings: Settings) -> Axis:
    from soil_assets.spectra.axis import Axis

    return Axis.regular(**settings.axis.model_dump(include={"start", "stop", "step", "unit"}))


def disagreements(facts: DecisionInputs, results: Mapping[str, PropertyResult]) -> list[str]:
    """Properties whose reported predictions are not those of the uploaded model on main's benchmark."""
    reported = {p.name: p for p in facts.properties}
    sentences = []
    for name, result in results.items():
        if result.candidate is None:
            continue
        if name not in reported or reported[name].candidate is None:
            sentences.append(f"{name} is not in the change's own report")
            continue
        ours = _predictions(result.candidate)
        theirs = _predictions(reported[name].candidate or {})
        observed = np.array([_number(row.get("observed")) for row in ours.values()])
        scale = float(np.nanstd(observed)) or 1.0
        if ours.keys() != theirs.keys():
            sentences.append(f"{name}: the change's own report is on other benchmark samples than main's")
            continue
        values = np.array([[_number(side[i].get("value")) for i in ours] for side in (ours, theirs)])
        refused = np.isnan(values)
        differences = np.abs(values[0] - values[1])[~refused.all(axis=0)]
        # A prediction that only one side has is a NaN here, and no difference that can be tolerated.
        largest = float(differences.max(initial=0.0))
        if not largest <= TOLERANCE * scale:
            sentences.append(
                f"{name}: predictions in the change's own report differ from its model's by up to {largest:.3g}"
            )
    return sentences


def recipe_mismatch(prop: str, model: SoilModel, settings: Settings) -> str | None:
    """Sentence that a model was not trained by the change's recipe, or None."""
    from soil_assets.modeling.recipe import Recipe

    recipe = settings.recipe
    if recipe.training == "additive":
        chosen = dict(model.training.get("chosen") or {})
        trained_by = str(chosen.get("learner"))
        if trained_by != "additive":
            return _mismatch(prop, trained_by, "additive training")
        seed = model.training.get("seed")
        return None if seed == recipe.seed else _mismatch(prop, f"seed {seed}", str(recipe.seed))
    stated = Recipe.from_settings(
        recipe,
        _axis(settings),
        settings.axis.quantity,
        levels=settings.policy.model.levels,
    ).to_dict()
    used = dict(model.recipe)
    differing = [k for k in stated if plain(stated[k]) != plain(used.get(k))]
    if not differing:
        return None
    return _mismatch(
        prop,
        ", ".join(f"{k} {_short(used.get(k))}" for k in differing),
        ", ".join(_short(stated[k]) for k in differing),
    )


def _mismatch(prop: str, used: str, stated: str) -> str:
    return f"{prop}: the uploaded model was trained with {used}; the change's recipe states {stated}"


def _short(value: Any) -> str:
    text = str(plain(value))
    return text if len(text) <= 60 else f"{text[:57]}..."


def _predictions(evaluation: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    rows = evaluation.get("predictions")
    return (
        {str(r.get("sample_id")): r for r in rows if isinstance(r, Mapping)} if isinstance(rows, list) else {}
    )


def _number(value: Any) -> float:
    number = finite(value)
    return float("nan") if number is None else number
