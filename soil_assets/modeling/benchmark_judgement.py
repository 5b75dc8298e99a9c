"""A candidate on the benchmark by the policy: its evaluation, its comparison with main, and the checks of both.

Belongs here: the policy's values passed to the statistics, and the checks that follow. The asset that trains a
candidate and the job that judges a pull request use the same functions, so that neither can be more lenient.
Does not belong here: the statistics (``evaluate``, ``comparison``, ``strata``) and what a failed check holds back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from soil_assets.config import ModelPolicy
from soil_assets.modeling.evaluate import Evaluation, evaluate
from soil_assets.modeling.judge import all_finite, check_same_task, coverage_in_words, judge, judge_strata
from soil_assets.modeling.model import SoilModel
from soil_assets.modeling.strata import strata_in_words, strata_of
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import Property


@dataclass(frozen=True)
class CheckOutcome:
    """Outcome of one check: its name, whether it passed, and the figures behind it as text."""

    name: str
    passed: bool
    summary: str
    blocking: bool = True


def evaluate_by_policy(
    model: SoilModel, benchmark: SpectralBatch, prop: Property, policy: ModelPolicy
) -> Evaluation:
    """Evaluation of a model on the benchmark, with the policy's strata, resamples and seed."""
    return evaluate(
        model,
        benchmark,
        prop,
        groups=benchmark.groups(),
        strata=strata_of(benchmark, policy.strata),
        min_samples=policy.strata.min_samples,
        n_boot=policy.bootstrap,
        seed=policy.bootstrap_seed,
    )


def model_checks(model: SoilModel) -> tuple[CheckOutcome, ...]:
    """Checks of a trained model by itself."""
    return (CheckOutcome("finite", all_finite(model), "every stored number of the model"),)


def evaluation_checks(
    model: SoilModel, evaluation: Evaluation, policy: ModelPolicy
) -> tuple[CheckOutcome, ...]:
    """Checks of an evaluation: finite predictions, RPIQ over the floor, intervals that hold what they promise.

    A model without an interval at each level of the policy fails ``coverage``: nothing was promised.
    """
    rpiq = evaluation.metrics["rpiq"]
    absent = sorted(set(policy.levels) - set(model.levels))
    coverage = coverage_in_words(evaluation.coverage)
    # Without calibration groups any count would be one that a right interval gives.
    calibrated = 1 <= model.calibration_n <= int(model.training.get("n", 0))
    if not calibrated:
        coverage = f"{model.calibration_n} calibration groups: not judged; {coverage}"
    # Enough groups bound an interval: an unbounded one is no result of them, and covers whatever is measured.
    n = model.calibration_n
    unbounded = [v for v, half in model.half_widths.items() if not np.isfinite(half) and n * (1 - v) >= v]
    if unbounded:
        levels = ", ".join(f"{100 * v:g} %" for v in sorted(unbounded))
        coverage = f"unbounded intervals at {levels} from {n} calibration groups; {coverage}"
    if absent:
        coverage = f"no intervals at {', '.join(f'{100 * level:g} %' for level in absent)}; {coverage}"
    return (
        CheckOutcome(
            "finite",
            evaluation.finite,
            f"{evaluation.n} judged, {evaluation.n_refused} without a prediction",
        ),
        CheckOutcome(
            "above_floor",
            bool(rpiq >= policy.min_rpiq),
            f"RPIQ {rpiq:.2f} on {evaluation.n} samples, floor {policy.min_rpiq:g}",
        ),
        CheckOutcome("coverage", calibrated and evaluation.covered and not (absent or unbounded), coverage),
    )


def compare_by_policy(
    main: SoilModel | None,
    candidate: SoilModel,
    evaluation: Mapping[str, Any],
    benchmark: SpectralBatch,
    prop: Property,
    policy: ModelPolicy,
) -> tuple[dict[str, Any], tuple[CheckOutcome, ...]]:
    """Comparison of a candidate with main on the benchmark, whole and in strata, and its checks.

    Parameters
    ----------
    main : SoilModel or None
        None where main is known to have no model of this property.
    evaluation : mapping
        The candidate's (``Evaluation.to_dict()``).

    Returns
    -------
    facts : dict
        ``Comparison.to_dict()`` with ``strata`` and ``main_evaluation``.
    checks : tuple of CheckOutcome

    Raises
    ------
    BadInput
        When the two models do not answer the same question, or the samples differ.
    """
    measured = None
    if main is not None:
        check_same_task(main, candidate)
        measured = evaluate_by_policy(main, benchmark, prop, policy)
    predictions = None if measured is None else measured.predictions
    groups = benchmark.groups()
    comparison = judge(predictions, evaluation, policy, groups=groups)
    strata = strata_of(benchmark, policy.strata)
    parts = judge_strata(predictions, evaluation, strata, policy, groups=groups)
    facts = {
        **comparison.to_dict(),
        "strata": parts,
        "main_evaluation": None if measured is None else measured.to_dict(),
    }
    tolerated = comparison.verdict == "cannot tell" and policy.when_cannot_tell == "warn"
    summary = f"{comparison.verdict}: {comparison.reason}"
    return facts, (
        CheckOutcome("not_worse", comparison.acceptable or tolerated, summary),
        CheckOutcome("sure", comparison.verdict != "cannot tell", summary, blocking=False),
        CheckOutcome(
            "no_stratum_worse",
            not any(p["verdict"] == "worse" for p in parts),
            "first version: nothing to compare with" if main is None else strata_in_words(parts),
            blocking=policy.strata.when_worse == "hold",
        ),
    )
