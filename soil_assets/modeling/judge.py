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

from soil_assets.modeling.comparison import Comparison, compare
from soil_assets.modeling.model import SoilModel


def judge(
    main: pd.DataFrame | None,
    evaluation: Mapping[str, Any],
    *,
    groups: npt.ArrayLike | None = None,
    margin: float,
    alpha: float,
    n_boot: int,
    seed: int,
) -> Comparison:
    """Compare a candidate's evaluation (``Evaluation.to_dict()``) with main's predictions of the same samples.

    Parameters
    ----------
    main : DataFrame or None
        Main's predictions of the whole benchmark, in its order; None when there is no model on main yet.
    evaluation : mapping
        The candidate's, with its ``predictions``.
    groups, margin, alpha, n_boot, seed
        As of :func:`soil_assets.modeling.comparison.compare`.

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
            int(evaluation["n"]),
            margin,
            alpha,
            None,
            dict(evaluation["metrics"]),
        )
    candidate = pd.DataFrame(evaluation["predictions"])
    return compare(
        candidate["observed"].to_numpy(dtype=np.float64),
        main,
        candidate,
        groups=groups,
        margin=margin,
        alpha=alpha,
        n_boot=n_boot,
        seed=seed,
    )


def all_finite(model: SoilModel) -> bool:
    """Whether every array that predicts is finite; an interval that the data cannot bound may be infinite."""
    arrays = [*model.predictor.arrays().values(), model.importance, *model.domain.arrays().values()]
    return all(bool(np.isfinite(a).all()) for a in map(np.asarray, arrays) if a.dtype.kind == "f")


def coverage_in_words(coverage: pd.DataFrame) -> str:
    """Say of each level how many observed values its intervals hold, and what a right interval would hold."""
    rows = coverage.to_dict("records")
    return "; ".join(
        f"{100 * row['level']:g} %: {row['inside']} of {row['n']} inside (a right interval holds "
        f"{row['low']} to {row['high']})"
        for row in rows
    )
