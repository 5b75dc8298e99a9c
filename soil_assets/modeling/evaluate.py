"""How well a model does on samples it has not seen.

Belongs here: error measures with intervals, and coverage of the model's prediction intervals.
Does not belong here: comparing two models (``comparison``) and thresholds (the policy).
"""

from __future__ import annotations

import builtins
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.errors import BadInput
from soil_assets.modeling import transforms
from soil_assets.modeling.applicability import exceedance_interval
from soil_assets.modeling.intervals import level_name
from soil_assets.modeling.metrics import bootstrap_intervals, regression_metrics
from soil_assets.modeling.model import SoilModel
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import Property

_COVERAGE_CONFIDENCE = 0.99


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model measured on one batch.

    Parameters
    ----------
    property, unit : str
    n, n_missing, n_refused, n_outside : int
        Judged samples; samples without a reference value; samples without a finite prediction; judged samples
        outside the model's applicability domain. ``n + n_missing + n_refused`` is the batch's size.
    metrics : dict of str to float
        In the property's unit; keys of ``metrics.METRICS`` and ``n``.
    intervals : dict of str to (low, high)
        Bootstrap intervals of the measures.
    scaled_metrics : dict of str to float or None
        The same on the modelling scale when that is not the unit itself.
    coverage : DataFrame
        A row a level: ``level``, ``n``, ``inside``, ``picp``, ``mean_width``, ``winkler``, ``low``, ``high``
        (counts that a right interval gives with 99 % probability), ``covered``.
    predictions : DataFrame
        The model's predictions with column ``observed``, every row of the batch.
    """

    property: str
    unit: str
    n: int
    n_missing: int
    n_refused: int
    n_outside: int
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    scaled_metrics: dict[str, float] | None
    coverage: pd.DataFrame
    predictions: pd.DataFrame

    @builtins.property  # the field ``property`` hides the plain name in this class
    def covered(self) -> bool:
        """Whether at every level the number of covered samples is one that a right interval gives."""
        return bool(self.coverage["covered"].all())

    @builtins.property  # the field ``property`` hides the plain name in this class
    def finite(self) -> bool:
        """Whether every sample got a finite prediction."""
        return self.n_refused == 0

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready form (NaN and infinity become None), predictions included."""
        return {
            "property": self.property,
            "unit": self.unit,
            "n": self.n,
            "n_missing": self.n_missing,
            "n_refused": self.n_refused,
            "n_outside": self.n_outside,
            "metrics": json_ready(self.metrics),
            "intervals": json_ready(self.intervals),
            "scaled_metrics": json_ready(self.scaled_metrics),
            "coverage": json_ready(self.coverage.to_dict("records")),
            "covered": self.covered,
            "finite": self.finite,
            "predictions": json_ready(self.predictions.to_dict("records")),
        }


def evaluate(
    model: SoilModel,
    batch: SpectralBatch,
    prop: Property,
    *,
    groups: npt.ArrayLike | None = None,
    n_boot: int = 2000,
    level: float = 0.95,
    seed: int = 20260101,
) -> Evaluation:
    """Measure a model on a batch that it was not trained on.

    Parameters
    ----------
    model : SoilModel
    batch : SpectralBatch
        With a column of the property.
    prop : Property
        Must be the model's.
    groups : array_like, shape (n_scans,), optional
        Resampled together; ``batch.groups()`` when left out.
    n_boot, level, seed
        Of the bootstrap intervals.

    Raises
    ------
    BadInput
        For another property, axis or quantity, or when no sample can be judged.
    """
    if prop.name != model.property:
        raise BadInput("the model predicts another property", found=model.property, expected=prop.name)
    predictions = model.predict(batch)
    observed = batch.property_values(prop.name)
    predictions.insert(1, "observed", observed)
    value = predictions["value"].to_numpy(dtype=np.float64)
    known, finite = np.isfinite(observed), np.isfinite(value)
    judged = known & finite
    if not judged.any():
        raise BadInput(
            f"no sample of the batch can be judged for {prop.name}",
            column=prop.name,
            found=f"{int((~known).sum())} without a reference value, {int((known & ~finite).sum())} refused",
        )
    o, p = observed[judged], value[judged]
    codes = np.asarray(batch.groups() if groups is None else groups)[judged]
    scaled = None
    if model.transform != "none":
        scaled = regression_metrics(
            transforms.forward(o, model.transform), transforms.forward(p, model.transform)
        )
    return Evaluation(
        property=prop.name,
        unit=model.unit,
        n=int(judged.sum()),
        n_missing=int((~known).sum()),
        n_refused=int((known & ~finite).sum()),
        n_outside=int((~predictions["inside"].to_numpy(dtype=bool) & judged).sum()),
        metrics=regression_metrics(o, p),
        intervals=bootstrap_intervals(o, p, codes, level, n_boot, seed),
        scaled_metrics=scaled,
        coverage=coverage_table(predictions[judged], model.levels, int(model.training.get("n_groups", 0))),
        predictions=predictions,
    )


def coverage_table(predictions: pd.DataFrame, levels: tuple[float, ...], calibration_n: int) -> pd.DataFrame:
    """Count how often the intervals hold the observed value, level by level.

    Parameters
    ----------
    predictions : DataFrame
        With ``observed`` and the ``lower_``/``upper_`` columns of each level.
    levels : tuple of float
    calibration_n : int
        Number of groups behind the intervals; the count that a right interval gives is beta-binomial.

    Returns
    -------
    DataFrame
        Columns as in :class:`Evaluation`. ``winkler`` is the mean interval score (Gneiting & Raftery 2007):
        width + 2/(1 - level) x the distance by which the observation is missed.
    """
    o = predictions["observed"].to_numpy(dtype=np.float64)
    rows = []
    for level in levels:
        low, high = (predictions[f"{side}_{level_name(level)}"].to_numpy() for side in ("lower", "upper"))
        missed = np.maximum(np.maximum(low - o, o - high), 0.0)
        inside = int((missed == 0.0).sum())
        width = high - low
        few, many = _covered_range(o.size, level, calibration_n)
        rows.append(
            {
                "level": level,
                "n": o.size,
                "inside": inside,
                "picp": inside / o.size,
                "mean_width": float(np.mean(width)),
                "winkler": float(np.mean(width + 2.0 / (1.0 - level) * missed)),
                "low": few,
                "high": many,
                "covered": few <= inside <= many,
            }
        )
    return pd.DataFrame(rows)


def _covered_range(n: int, level: float, calibration_n: int) -> tuple[int, int]:
    if calibration_n < 1:
        return 0, n
    few, many = exceedance_interval(n, 1.0 - level, calibration_n, _COVERAGE_CONFIDENCE)
    # Where the calibration cannot bound the level, the interval is unbounded and covering all is right.
    unbounded = math.ceil(round((calibration_n + 1) * level, 9)) > calibration_n
    return n - many, n if unbounded else n - few


def json_ready(value: Any) -> Any:
    """Turn numpy numbers into Python's, tuples into lists, NaN and infinity into None."""
    if isinstance(value, dict):
        return {str(k): json_ready(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
