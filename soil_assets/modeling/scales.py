"""A second scale for a skewed target: a shifted logarithm on which it is symmetric.

Belongs here: fitting the shift on training targets, forward, and the way back with smearing. Does not belong here:
which property is modelled on which scale (the catalogue) and combining models of both scales (``stack``).

z = ln(sign (y - reference) / spread + offset): the reference is the extreme on the short tail's side, and the offset
is the one that makes the skewness of z zero (a three-parameter lognormal; Box & Cox 1964, J. R. Stat. Soc. B 26, 211).
A value comes back as the mean over the model's own left-out residuals (Duan 1983, J. Am. Stat. Assoc. 78, 605),
so that it is an estimate of the mean, not of the median. Logarithms are not extrapolated: z is cut a tenth of its
trained range beyond either end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

#: A target has a second scale when its skewness is over this by two of its standard errors, sqrt(6/n).
LEAST_SKEWNESS = 0.5
_OFFSETS = (0.03, 30.0)
_RESIDUALS = 50
_BEYOND = 0.1


@dataclass(frozen=True)
class ShiftedLog:
    """The fitted scale.

    Parameters
    ----------
    sign : float
        1 when the long tail is upwards, else -1.
    reference, spread, offset : float
    largest : float
        Largest distance from the reference among the training targets, in spreads.
    """

    sign: float
    reference: float
    spread: float
    offset: float
    largest: float

    @classmethod
    def fit(cls, target: FloatArray) -> ShiftedLog | None:
        """Fit on training targets, shape (n,); None when they are hardly skewed."""
        spread = float(target.std())
        if target.size < 8 or spread <= 0.0:
            return None
        lean = _skewness(target)
        if abs(lean) < LEAST_SKEWNESS + 2.0 * np.sqrt(6.0 / target.size):
            return None
        sign = float(np.sign(lean))
        reference = float(target.min() if sign > 0 else target.max())
        distance = sign * (target - reference) / spread
        low, high = np.log(_OFFSETS)
        for _ in range(40):  # skewness grows with the offset: bisection
            middle = 0.5 * (low + high)
            if _skewness(np.log(distance + np.exp(middle))) > 0.0:
                high = middle
            else:
                low = middle
        return cls(sign, reference, spread, float(np.exp(0.5 * (low + high))), float(distance.max()))

    def forward(self, target: FloatArray) -> FloatArray:
        """Return z of targets that the scale was fitted on."""
        return np.asarray(np.log(self.sign * (target - self.reference) / self.spread + self.offset))

    def backward(self, values: FloatArray, residuals: FloatArray) -> FloatArray:
        """Return mean values in the target's unit.

        Parameters
        ----------
        values : ndarray, shape (n,)
            Predictions of z.
        residuals : ndarray, shape (m,)
            z less its left-out prediction, thinned by :func:`thinned`.
        """
        low, high = np.log(self.offset), np.log(self.largest + self.offset)
        margin = _BEYOND * (high - low)
        z = np.clip(values[:, None] + residuals, low - margin, high + margin)
        distance = np.exp(z).mean(axis=1) - self.offset
        return np.asarray(self.reference + self.sign * self.spread * distance)


def thinned(residuals: FloatArray) -> FloatArray:
    """Return at most 50 evenly spaced quantiles that stand for all residuals."""
    if residuals.size <= _RESIDUALS:
        return residuals
    return np.asarray(np.quantile(residuals, (np.arange(_RESIDUALS) + 0.5) / _RESIDUALS))


def _skewness(values: FloatArray) -> float:
    centred = values - values.mean()
    return float((centred**3).mean() / max(float((centred**2).mean()) ** 1.5, 1e-300))
