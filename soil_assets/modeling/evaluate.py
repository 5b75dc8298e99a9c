"""How well a model does on samples it has not seen.

Belongs here: error measures with intervals, and coverage of the model's prediction intervals.
Does not belong here: comparing two models (``comparison``) and thresholds (the policy).
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.errors import BadInput
from soil_assets.modeling import transforms
from soil_assets.modeling.coverage import coverage_table
from soil_assets.modeling.metrics import bootstrap_intervals, regression_metrics
from soil_assets.modeling.model import SoilModel
from soil_assets.modeling.plain import json_ready
from soil_assets.modeling.strata import Mask, evaluate_strata
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import Property


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
    strata : list of dict
        The same figures in parts of the batch (:func:`~soil_assets.modeling.strata.evaluate_strata`).
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
    strata: list[dict[str, Any]] = field(default_factory=list)

    @builtins.property  # the field ``property`` hides the plain name in this class
    def covered(self) -> bool:
        """Whether there are levels, and at each the number of covered samples is one that a right interval gives."""
        return len(self.coverage) > 0 and bool(self.coverage["covered"].all())

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
            "strata": self.strata,
            "predictions": json_ready(self.predictions.to_dict("records")),
        }


def evaluate(
    model: SoilModel,
    batch: SpectralBatch,
    prop: Property,
    *,
    groups: npt.ArrayLike | None = None,
    strata: Mapping[str, Mask] | None = None,
    min_samples: int = 15,
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
    strata : mapping of str to ndarray of bool, shape (n_scans,), optional
        Parts of the batch that are measured by themselves too (:func:`~soil_assets.modeling.strata.strata_of`).
    min_samples : int
        A smaller stratum is not judged.
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
    all_codes = np.asarray(batch.groups() if groups is None else groups)
    codes = all_codes[judged]
    calibration_n = model.calibration_n
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
        coverage=coverage_table(predictions[judged], model.levels, calibration_n),
        predictions=predictions,
        strata=evaluate_strata(
            predictions,
            strata or {},
            all_codes,
            min_samples=min_samples,
            levels=model.levels,
            calibration_n=calibration_n,
        ),
    )
