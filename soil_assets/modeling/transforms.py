"""The scale on which a target is modelled, and the way back.

Belongs here: forward and backward transforms with their statement. Does not belong here: which property uses
which (the catalogue says so).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput

FloatArray = npt.NDArray[np.float64]

#: What a back-transformed value is, in words for reports.
STATEMENTS = {
    "none": "modelled in its own unit",
    "log1p": "modelled as ln(1 + value); predictions are back-transformed medians, without smearing",
    "logit": "modelled as ln((value + 0.5) / (100.5 - value)), value in percent; predictions are back-transformed "
    "medians, without smearing",
}
#: Half a percent beside 0 and 100, so that they have a finite logit (the empirical logit of 100 counts).
_OFFSET = 0.5


def forward(values: npt.ArrayLike, transform: str) -> FloatArray:
    """Bring values onto the modelling scale.

    Raises
    ------
    BadInput
        For an unknown transform, a value at or below -1 where a logarithm is taken, or one outside 0 to 100 where
        a logit is.
    """
    array = np.asarray(values, dtype=np.float64)
    if _known(transform) == "none":
        return array.copy()
    if transform == "logit":
        return _logit(array)
    if array.size and np.nanmin(array) <= -1.0:
        raise BadInput(
            "ln(1 + value) needs values over -1",
            row=int(np.nanargmin(array)) + 1,
            found=f"{np.nanmin(array):g}",
            mend="correct the value, or model the property without a transform",
        )
    return np.asarray(np.log1p(array))


def backward(values: npt.ArrayLike, transform: str) -> FloatArray:
    """Bring values back to the property's unit; monotone, so quantiles and intervals keep their coverage."""
    array = np.asarray(values, dtype=np.float64)
    if _known(transform) == "none":
        return array.copy()
    if transform == "log1p":
        return np.asarray(np.expm1(np.minimum(array, 700.0)))
    share = 0.5 * (1.0 + np.tanh(0.5 * array))  # the logistic function, without overflow
    return np.asarray(share * (100.0 + 2.0 * _OFFSET) - _OFFSET)


def _logit(array: FloatArray) -> FloatArray:
    outside = (array < 0.0) | (array > 100.0)
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        raise BadInput(
            "a logit needs percentages",
            row=row + 1,
            found=f"{array[row]:g}",
            expected="0 to 100",
            mend="correct the value or its unit, or model the property without a transform",
        )
    return np.asarray(np.log(array + _OFFSET) - np.log(100.0 + _OFFSET - array))


def _known(transform: str) -> str:
    if transform not in STATEMENTS:
        raise BadInput("unknown target transform", found=transform, expected=", ".join(STATEMENTS))
    return transform
