"""The models' figures of a report judged again, by another policy or by code that is trusted.

Everything is computed from the stored predictions: metrics, the comparison with main, the floor. So a policy can be
tried on the past, and a report from a stranger's run is not believed about what its own numbers mean.
Belongs here: judging stored predictions. Does not belong here: batches, whose gates need the spectra.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from soil_assets.config import ModelPolicy, Policy
from soil_assets.errors import BadInput
from soil_assets.reporting.decision_figures import rows
from soil_assets.reporting.decision_inputs import Check, DecisionInputs, PropertyResult, plain
from soil_assets.reporting.numerals import finite

#: Of the benchmark: by property, sample id to (group, observed value).
Benchmark = Mapping[str, Mapping[str, tuple[str, float]]]


def judged_again(facts: DecisionInputs, policy: Policy, benchmark: Benchmark | None = None) -> DecisionInputs:
    """Return the facts with every property's comparison and floor made anew by ``policy``.

    Parameters
    ----------
    facts : DecisionInputs
        With the predictions of candidate and main.
    policy : Policy
        By which to judge.
    benchmark : mapping, optional
        Groups and observed values as the judge knows them. A property whose samples or observed values are others is
        not judged. Without it every sample is a group of its own.

    Returns
    -------
    DecisionInputs
        A property that cannot be judged again keeps its figures and loses its verdict.
    """
    properties = tuple(
        _again(p, policy.model, None if benchmark is None else benchmark.get(p.name, {}))
        for p in facts.properties
    )
    return facts.model_copy(update={"policy": policy, "properties": properties})


def judged_together(properties: tuple[PropertyResult, ...]) -> tuple[PropertyResult, ...]:
    """Return results with every comparison at one error rate over all properties, and the confusion of its classes."""
    from soil_assets.modeling.verdict import over_properties
    from soil_assets.reporting.texture import class_confusion, texture_confusion

    adjusted = over_properties({p.name: p.comparison for p in properties if p.comparison is not None})
    together = tuple(
        p
        if p.comparison is None
        else p.model_copy(update={"comparison": {**p.comparison, "over_properties": adjusted[p.name]}})
        for p in properties
    )
    texture = texture_confusion(together)
    return tuple(
        p.model_copy(
            update={"confusion": texture if p.name == "clay" and texture is not None else class_confusion(p)}
        )
        for p in together
    )


def comparison_again(
    result: PropertyResult, policy: ModelPolicy, benchmark: Mapping[str, tuple[str, float]] | None
) -> dict[str, Any]:
    """Return a property's comparison made anew (``Comparison.to_dict()``).

    Raises
    ------
    BadInput
        When samples, observed values or predictions are not those of a fair comparison.
    """
    import pandas as pd

    from soil_assets.modeling.judge import judge

    candidate = pd.DataFrame([dict(r) for r in rows(result.candidate)])
    main = None if result.main is None else pd.DataFrame([dict(r) for r in rows(result.main)])
    for who, table in (("candidate", candidate), ("main", main)):
        if table is not None and not {"sample_id", "observed", "value"} <= set(table.columns):
            raise BadInput(f"no predictions of {who} to judge again", column=result.name)
    for table in (candidate, main):
        if table is not None:
            table["observed"] = pd.to_numeric(table["observed"], errors="coerce")
            table["value"] = pd.to_numeric(table["value"], errors="coerce")
    groups = None
    if benchmark is not None:
        groups = _checked(candidate, benchmark, result.name)
        if main is not None:
            _checked(main, benchmark, result.name)
    evaluation = {**(result.candidate or {}), "predictions": candidate.to_dict("records")}
    evaluation["metrics"] = _metrics(candidate)
    evaluation["n"] = int(evaluation["metrics"].get("n", len(candidate)))
    found: dict[str, Any] = plain(judge(main, evaluation, policy, groups=groups).to_dict())
    return found


def _again(
    result: PropertyResult, policy: ModelPolicy, benchmark: Mapping[str, tuple[str, float]] | None
) -> PropertyResult:
    if result.candidate is None:
        return result
    kept = {k: v for k, v in (result.comparison or {}).items() if k not in ("verdict", "margin", "alpha")}
    try:
        comparison = {**kept, **comparison_again(result, policy, benchmark)}
        metrics = comparison["candidate"]
        candidate = {**result.candidate, "metrics": {**(result.candidate.get("metrics") or {}), **metrics}}
        main = result.main
        if main is not None and comparison.get("main"):
            main = {**main, "metrics": {**(main.get("metrics") or {}), **comparison["main"]}}
    except BadInput as error:
        return result.model_copy(
            update={
                "comparison": {**kept, "verdict": None, "reason": str(error)},
                "checks": (
                    *result.checks,
                    Check(name="judged_again", passed=None, summary=f"not judged again: {error}"),
                ),
            }
        )
    rpiq = finite(candidate["metrics"].get("rpiq"))
    checks = tuple(
        c.model_copy(
            update={
                "passed": None if rpiq is None else rpiq >= policy.min_rpiq,
                "summary": f"RPIQ {'not judged' if rpiq is None else f'{rpiq:.2f}'}, floor {policy.min_rpiq:g}",
            }
        )
        if c.name == "above_floor"
        else c
        for c in result.checks
    )
    return result.model_copy(
        update={"comparison": comparison, "candidate": candidate, "main": main, "checks": checks}
    )


def _checked(table: Any, benchmark: Mapping[str, tuple[str, float]], prop: str) -> list[str]:
    """Return the group of each row, after comparing samples and observed values with the judge's own."""
    ids = [str(i) for i in table["sample_id"]]
    if sorted(ids) != sorted(benchmark):
        raise BadInput(
            "these are not the benchmark's samples",
            column=prop,
            found=f"{len(set(ids) & set(benchmark))} of {len(benchmark)} in {len(ids)} rows",
        )
    expected = np.array([benchmark[i][1] for i in ids], dtype=np.float64)
    observed = table["observed"].to_numpy(dtype=np.float64)
    differ = ~(
        np.isclose(observed, expected, rtol=1e-6, atol=1e-9) | (np.isnan(observed) & np.isnan(expected))
    )
    if differ.any():
        row = int(np.flatnonzero(differ)[0])
        raise BadInput(
            "an observed value is not the benchmark's",
            row=ids[row],
            column=prop,
            found=f"{observed[row]:g}",
            expected=f"{expected[row]:g}",
        )
    return [benchmark[i][0] for i in ids]


def _metrics(table: Any) -> dict[str, Any]:
    from soil_assets.modeling.metrics import regression_metrics

    judged = table[np.isfinite(table["observed"]) & np.isfinite(table["value"])]
    if judged.empty:
        raise BadInput("no sample can be judged", found=f"{len(table)} rows without a pair of finite values")
    return dict(regression_metrics(judged["observed"].to_numpy(), judged["value"].to_numpy()))
