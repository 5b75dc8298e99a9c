"""What a fitted learner leaves behind: arrays that predict with numpy alone.

Belongs here: the prediction forms an artifact may hold. Does not belong here: fitting (``pls`` and the other
learners) and anything in the property's own unit (``model``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.modeling.pretreatment import Pretreatment

FloatArray = npt.NDArray[np.float64]


class Predictor(Protocol):
    """Predicts on the modelling scale."""

    def predict(self, spectra: FloatArray) -> FloatArray:
        """Return predictions, shape (n_samples,)."""
        ...

    def facts(self) -> dict[str, Any]:
        """Return JSON-ready facts; key ``kind`` says which class reads them back."""
        ...

    def arrays(self) -> dict[str, FloatArray]:
        """Return the arrays beside the facts."""
        ...


@dataclass(frozen=True, eq=False)
class LinearPredictor:
    """Pre-treatment, then one coefficient a band.

    Parameters
    ----------
    pretreatment : Pretreatment
    coefficients : ndarray, shape (n_bands,)
        On the modelling scale per unit of pre-treated intensity.
    intercept : float
    """

    pretreatment: Pretreatment
    coefficients: FloatArray
    intercept: float

    def predict(self, spectra: FloatArray) -> FloatArray:
        """Return predictions, shape (n_samples,)."""
        return np.asarray(self.pretreatment.apply(spectra) @ self.coefficients + self.intercept)

    def facts(self) -> dict[str, Any]:
        """JSON-ready facts."""
        return {"kind": "linear", "pretreatment": self.pretreatment.to_dict(), "intercept": self.intercept}

    def arrays(self) -> dict[str, FloatArray]:
        """Arrays of the artifact."""
        return {"coefficients": self.coefficients}

    @classmethod
    def from_parts(cls, facts: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> LinearPredictor:
        """Build from facts and arrays."""
        return cls(
            Pretreatment.from_dict(facts["pretreatment"]), arrays["coefficients"], float(facts["intercept"])
        )


def predictor_from_parts(facts: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> Predictor:
    """Read any predictor back.

    Raises
    ------
    BadInput
        For a kind that this version does not know.
    """
    kinds = {"linear": LinearPredictor}
    kind = str(facts.get("kind"))
    if kind not in kinds:
        raise BadInput(
            "the model file holds a predictor that this version does not know",
            found=kind,
            expected=", ".join(kinds),
            mend="use a newer version of soil_assets",
        )
    return kinds[kind].from_parts(facts, arrays)
