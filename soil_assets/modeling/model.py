"""A trained model of one soil property: arrays and facts, predicting with numpy alone.

Belongs here: prediction with intervals and applicability, and what the model says about itself.
Does not belong here: training (``train``), files (``artifact``), measuring it on a benchmark (``evaluate``).
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.modeling import transforms
from soil_assets.modeling.applicability import ApplicabilityDomain
from soil_assets.modeling.difficulty import Difficulty, beyond
from soil_assets.modeling.intervals import Calibration, level_name
from soil_assets.modeling.predictors import Predictor
from soil_assets.spectra.axis import Axis

if TYPE_CHECKING:  # a service that answers from arrays alone needs no tables
    import pandas as pd

    from soil_assets.spectra.batch import Quantity, SpectralBatch

FloatArray = npt.NDArray[np.float64]

#: A prediction further beyond the trained range than this share of it is an extrapolation.
_RANGE_TOLERANCE = 0.10


@dataclass(frozen=True, eq=False)
class SoilModel:
    """A model of one property.

    Parameters
    ----------
    property, label, unit, method : str
        The property in the catalogue's terms; ``method`` is the laboratory's.
    transform : {"none", "log1p"}
        Modelling scale; predictions are given back in ``unit`` (``transforms.STATEMENTS`` says how).
    limits : (low, high)
        What is physically possible; values and intervals are cut there.
    axis : Axis
    quantity : {"absorbance", "reflectance"}
        What the model sees; anything else is refused.
    predictor : Predictor
        Predicts on the modelling scale.
    half_widths : mapping of float to float
        Conformal half-width by nominal level at difficulty 1, on the modelling scale.
    domain : ApplicabilityDomain
        Where the model may be used.
    importance : ndarray, shape (n_bands,)
        Variable importance in projection (VIP); its mean square is 1.
    training : mapping
        JSON-ready summary: n, groups, cross-validation, what was chosen, seed, hash of the training ids ...
    recipe : mapping
        The recipe as data.
    sensors : tuple of str
        Columns of other sensors that the model needs beside the spectra.
    difficulty : Difficulty
        By which half-widths are scaled, sample by sample.
    """

    property: str
    label: str
    unit: str
    method: str
    transform: str
    limits: tuple[float, float]
    axis: Axis
    quantity: Quantity
    predictor: Predictor
    half_widths: Mapping[float, float]
    domain: ApplicabilityDomain
    importance: FloatArray
    training: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    sensors: tuple[str, ...] = ()
    difficulty: Difficulty = field(default_factory=Difficulty.constant)

    @builtins.property  # the field ``property`` hides the plain name in this class
    def levels(self) -> tuple[float, ...]:
        """Nominal coverages, ascending."""
        return tuple(sorted(self.half_widths))

    @builtins.property
    def calibration_n(self) -> int:
        """Number of groups behind the intervals."""
        return int(self.training.get("calibration_groups", self.training.get("n_groups", 0)))

    @builtins.property
    def held_out_values(self) -> FloatArray:
        """Out-of-fold predictions of the training samples (at most 2,000), in the property's unit."""
        return np.asarray(self.training.get("held_out_values", ()), dtype=np.float64)

    def check_compatible(self, batch: SpectralBatch) -> None:
        """Refuse spectra that the model was not made for.

        Raises
        ------
        BadInput
            Saying both axes or both quantities.
        """
        if batch.quantity != self.quantity or batch.scale != "fraction":
            raise BadInput(
                f"the model of {self.property} was trained on another quantity",
                found=batch.quantity if batch.scale == "fraction" else f"{batch.quantity} in {batch.scale}",
                expected=self.quantity,
                mend="harmonise the batch first (soil_assets.spectra.harmonise)",
            )
        if batch.axis != self.axis:
            raise BadInput(
                f"the model of {self.property} was trained on another spectral axis",
                found=batch.axis.describe(),
                expected=self.axis.describe(),
                mend="harmonise the batch first (soil_assets.spectra.harmonise)",
            )

    def predict(self, batch: SpectralBatch) -> pd.DataFrame:
        """Predict every sample of a batch.

        Parameters
        ----------
        batch : SpectralBatch
            On the model's axis and in its quantity.

        Returns
        -------
        DataFrame, one row a sample, in the batch's order
            ``sample_id``, ``value`` and ``lower_<level>``/``upper_<level>`` in the property's unit, ``t2``,
            ``q``, ``distance``, ``inside`` (bool) and ``reason`` (why not; empty when inside). A spectrum
            that cannot be used has NaN values and says so; an interval that the training data cannot bound
            ends at the property's physical limits. Outside the domain intervals are wider by a stated rule
            (``difficulty.beyond``), and the reason says by how much.

        Raises
        ------
        BadInput
            When axis or quantity differ from the model's.
        """
        import pandas as pd

        self.check_compatible(batch)
        spectra = batch.spectra.astype(np.float64)
        measures = self.domain.measures(spectra)
        scaled = self.predictor.predict(spectra, batch_sensors(batch, self.sensors))
        return pd.DataFrame({"sample_id": batch.sample_ids.to_numpy(), **self.columns_of(scaled, measures)})

    def columns_of(self, scaled: FloatArray, measures: Mapping[str, FloatArray]) -> dict[str, Any]:
        """Turn predictions on the modelling scale and the domain's measures into the columns of :meth:`predict`.

        Parameters
        ----------
        scaled : ndarray, shape (n_samples,)
            What the predictor gave.
        measures : mapping of str to ndarray, shape (n_samples,)
            What :meth:`ApplicabilityDomain.measures` gave.
        """
        columns: dict[str, Any] = {"value": self._to_unit(scaled)}
        further = beyond(measures, self.domain.limits)
        calibration = Calibration({v: self.half_widths[v] for v in self.levels}, self.difficulty)
        for level, half in calibration.widths(scaled, measures, self.domain.limits).items():
            columns[f"lower_{level_name(level)}"] = self._to_unit(scaled - half)
            columns[f"upper_{level_name(level)}"] = self._to_unit(scaled + half)
        columns |= measures
        inside, reasons = self.domain.inside(measures), self.domain.reasons(measures)
        low, high = self.training["scaled_range"]
        slack = _RANGE_TOLERANCE * (high - low)
        extrapolated = (scaled < low - slack) | (scaled > high + slack)
        for row in np.flatnonzero(extrapolated):
            word = f"value outside the range the model was trained on ({self._describe_range()})"
            reasons[row] = "; ".join(filter(None, (reasons[row], word)))
        for row in np.flatnonzero(inside & ~np.isfinite(scaled)):
            reasons[row] = "a sensor value is missing"
        for row in np.flatnonzero(further > 1.0):
            reasons[row] += f"; interval widened {further[row]:.3g} times"
        columns["inside"] = inside & ~extrapolated & np.isfinite(scaled)
        columns["reason"] = reasons
        return columns

    def to_unit(self, scaled: npt.ArrayLike) -> FloatArray:
        """Bring values from the modelling scale to the property's unit, cut at its physical limits."""
        return self._to_unit(np.asarray(scaled, dtype=np.float64))

    def _to_unit(self, scaled: FloatArray) -> FloatArray:
        return np.clip(transforms.backward(scaled, self.transform), *self.limits)

    def _describe_range(self) -> str:
        low, high = self.training["range"]
        return f"{low:.3g} to {high:.3g} {self.unit}"


def batch_sensors(
    batch: SpectralBatch, names: Sequence[str], rows: npt.NDArray[Any] | None = None
) -> FloatArray | None:
    """Return the named sensor columns as float64, shape (n_samples, n_sensors); None without names.

    Raises
    ------
    BadInput
        When the batch does not carry a column.
    """
    if not names:
        return None
    missing = [n for n in names if n not in batch.samples.columns]
    if missing:
        raise BadInput(
            "the batch lacks sensor columns that the model uses",
            column=missing[0],
            found=f"{len(missing)} missing: {', '.join(missing)}",
            expected=", ".join(names),
            mend="add the readings, or use a model of spectra alone",
        )
    values = np.column_stack([batch.property_values(n) for n in names])
    return values if rows is None else values[rows]
