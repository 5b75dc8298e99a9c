"""The words and yes/no answers that gates need from a model's figures.

Belongs here: comparison with whatever is on main, or with nothing; a model's soundness; coverage in one sentence.
Does not belong here: the statistics themselves (``comparison``, ``evaluate``) and what a gate then does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.config import ModelPolicy
from soil_assets.errors import BadInput
from soil_assets.modeling.comparison import Comparison, compare
from soil_assets.modeling.metrics import group_codes
from soil_assets.modeling.model import SoilModel
from soil_assets.modeling.strata import Mask, compare_strata
from soil_assets.spectra.axis import Axis


def judge(
    main: pd.DataFrame | None,
    evaluation: Mapping[str, Any],
    policy: ModelPolicy,
    *,
    groups: npt.ArrayLike | None = None,
) -> Comparison:
    """Compare a candidate's evaluation (``Evaluation.to_dict()``) with main's predictions of the same samples.

    Parameters
    ----------
    main : DataFrame or None
        Main's predictions of the whole benchmark, in its order; None when there is no model on main yet.
    evaluation : mapping
        The candidate's, with its ``predictions``.
    policy : ModelPolicy
        Margin, alpha, resamples and seed.
    groups : array_like, shape (n,), optional
        Of the benchmark's rows; resampled together.

    Raises
    ------
    BadInput
        When the samples differ.
    """
    if main is None:
        return Comparison(
            "first version",
            "there is no model on main yet to compare with",
            int(evaluation["n"]),
            _n_groups(evaluation, groups),
            policy.margin,
            policy.alpha,
            None,
            dict(evaluation["metrics"]),
        )
    candidate = pd.DataFrame(evaluation["predictions"])
    return compare(
        candidate["observed"].to_numpy(dtype=np.float64),
        main,
        candidate,
        groups=groups,
        margin=policy.margin,
        alpha=policy.alpha,
        n_boot=policy.bootstrap,
        seed=policy.bootstrap_seed,
    )


def judge_strata(
    main: pd.DataFrame | None,
    evaluation: Mapping[str, Any],
    strata: Mapping[str, Mask],
    policy: ModelPolicy,
    *,
    groups: npt.ArrayLike,
) -> list[dict[str, Any]]:
    """Compare in every stratum (:func:`~soil_assets.modeling.strata.compare_strata`); nothing without a main."""
    if main is None:
        return []
    return compare_strata(
        main,
        pd.DataFrame(evaluation["predictions"]),
        strata,
        groups,
        min_samples=policy.strata.min_samples,
        margin=policy.margin,
        alpha=policy.alpha,
        n_boot=policy.bootstrap,
        seed=policy.bootstrap_seed,
    )


def _n_groups(evaluation: Mapping[str, Any], groups: npt.ArrayLike | None) -> int:
    rows = pd.DataFrame(evaluation["predictions"])[["observed", "value"]].to_numpy(dtype=np.float64)
    judged = np.isfinite(rows).all(axis=1)
    return int(np.unique(group_codes(groups, judged.size)[judged]).size)


def check_same_task(main: SoilModel, candidate: SoilModel) -> None:
    """Refuse to compare models that do not answer the same question about the same spectra.

    Raises
    ------
    BadInput
        Naming what differs: property, unit, quantity or spectral axis.
    """
    pairs = {
        "property": (main.property, candidate.property),
        "unit": (main.unit, candidate.unit),
        "quantity": (main.quantity, candidate.quantity),
        "spectral axis": (main.axis, candidate.axis),
    }
    for what, (ours, theirs) in pairs.items():
        if ours != theirs:
            words = [v.describe() if isinstance(v, Axis) else str(v) for v in (ours, theirs)]
            if words[0] == words[1]:  # the same ends and number of bands, in other places
                words = [f"{words[0]} (as main's)", f"{words[1]} (other bands)"]
            raise BadInput(
                f"candidate and main differ in {what}: their errors cannot be compared",
                column=what,
                found=words[1],
                expected=words[0],
                mend="train the candidate as main was, or register it under a name of its own "
                "(soil.yaml: properties, axis)",
            )


def all_finite(model: SoilModel) -> bool:
    """Whether every array that predicts is finite; an interval that the data cannot bound may be infinite."""
    arrays = [*model.predictor.arrays().values(), model.importance, *model.domain.arrays().values()]
    return all(bool(np.isfinite(a).all()) for a in map(np.asarray, arrays) if a.dtype.kind in "fc")


def coverage_in_words(coverage: pd.DataFrame) -> str:
    """Say of each level how many observed values its intervals hold, and what a right interval would hold."""
    rows = coverage.to_dict("records")
    return "; ".join(
        f"{100 * row['level']:g} %: {row['inside']} of {row['n']} inside (a right interval holds "
        f"{row['low']} to {row['high']})"
        for row in rows
    )
