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
}


def forward(values: npt.ArrayLike, transform: str) -> FloatArray:
    """Bring values onto the modelling scale.

    Raises
    ------
    BadInput
        For an unknown transform, or a value at or below -1 where a logarithm is taken.
    """
    array = np.asarray(values, dtype=np.float64)
    if _known(transform) == "none":
        return array.copy()
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
    return array.copy() if _known(transform) == "none" else np.asarray(np.expm1(np.minimum(array, 700.0)))


def _known(transform: str) -> str:
    if transform not in STATEMENTS:
        raise BadInput("unknown target transform", found=transform, expected=", ".join(STATEMENTS))
    return transform
