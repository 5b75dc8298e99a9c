"""A prediction on two scales: a stack of the target and one of its logarithm, averaged in the target's unit.

Belongs here: the prediction form of such a model. Does not belong here: fitting (``stack``, ``scales``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.modeling.predictors import StackPredictor
from soil_assets.modeling.scales import ShiftedLog

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BlendPredictor:
    """Weighted mean of a stack and of the back-transformed stack of the shifted logarithm.

    Parameters
    ----------
    plain, logged : StackPredictor
        Over the same training spectra.
    share : float
        Weight of ``logged``.
    log : ShiftedLog
    residuals : ndarray, shape (m,)
        Left-out residuals of the logarithm, for smearing.
    """

    plain: StackPredictor
    logged: StackPredictor
    share: float
    log: ShiftedLog
    residuals: FloatArray

    def predict(self, spectra: FloatArray, sensors: FloatArray | None = None) -> FloatArray:
        """Return predictions, shape (n_samples,), on the target's scale."""
        back = self.log.backward(self.logged.predict(spectra, sensors), self.residuals)
        return np.asarray((1.0 - self.share) * self.plain.predict(spectra, sensors) + self.share * back)

    def facts(self) -> dict[str, Any]:
        """JSON-ready facts."""
        return {
            "kind": "blend",
            "share": self.share,
            "log": vars(self.log),
            "plain": self.plain.facts(),
            "logged": self.logged.facts(),
        }

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays of the artifact; what both stacks share is kept once."""
        plain, logged = self.plain.arrays(), self.logged.arrays()
        own = {k: v for k, v in logged.items() if not _same(v, plain.get(k))}
        return {**plain, **{f"logged/{k}": v for k, v in own.items()}, "residuals": self.residuals}


def predictor_from_parts(facts: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> BlendPredictor:
    """Read a predictor back from facts and arrays."""
    own = {k.removeprefix("logged/"): v for k, v in arrays.items() if k.startswith("logged/")}
    plain = {k: v for k, v in arrays.items() if not k.startswith("logged/")}
    log = facts["log"]
    return BlendPredictor(
        StackPredictor.from_parts(facts["plain"], plain),
        StackPredictor.from_parts(facts["logged"], {**plain, **own}),
        float(facts["share"]),
        ShiftedLog(*(float(log[k]) for k in ("sign", "reference", "spread", "offset", "largest"))),
        arrays["residuals"],
    )


def _same(a: npt.NDArray[Any], b: npt.NDArray[Any] | None) -> bool:
    return b is not None and a.shape == b.shape and a.dtype == b.dtype and bool(np.array_equal(a, b))
