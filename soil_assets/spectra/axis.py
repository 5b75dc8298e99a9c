"""The spectral axis: where each band of a matrix lies, and in which unit.

Belongs here: positions, units, ranges, coverage. Does not belong here: intensities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput

AxisUnit = Literal["cm-1", "nm"]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Axis:
    """Strictly monotone band positions.

    Parameters
    ----------
    values : ndarray, shape (n_bands,)
        Wavenumbers (``cm-1``) or wavelengths (``nm``), ascending or descending.
    unit : {"cm-1", "nm"}
        Unit of ``values``.

    Raises
    ------
    BadInput
        When there are fewer than two bands, a position is not finite or not positive, or the axis turns.
    """

    values: FloatArray
    unit: AxisUnit

    def __post_init__(self) -> None:
        values = np.ascontiguousarray(self.values, dtype=np.float64)
        object.__setattr__(self, "values", values)
        if self.unit not in ("cm-1", "nm"):
            raise BadInput("unknown axis unit", found=repr(self.unit), expected="cm-1 or nm")
        if values.ndim != 1 or values.size < 2:
            raise BadInput("a spectral axis needs at least two bands", found=f"shape {values.shape}")
        if not np.all(np.isfinite(values)) or values.min() <= 0:
            raise BadInput("axis positions must be finite and positive", found=f"minimum {values.min():g}")
        steps = np.diff(values)
        if not (np.all(steps > 0) or np.all(steps < 0)):
            turn = int(np.flatnonzero((np.sign(steps) != np.sign(steps[0])) | (steps == 0))[0]) + 1
            raise BadInput(
                "the spectral axis is not monotone",
                column=f"band {turn + 1}",
                found=f"{values[turn - 1]:g}, {values[turn]:g}, {values[min(turn + 1, values.size - 1)]:g}",
                expected="strictly ascending or strictly descending positions",
                mend="sort the bands, or export one detector range at a time",
            )

    @classmethod
    def regular(cls, start: float, stop: float, step: float, unit: AxisUnit) -> Axis:
        """Build an even axis from ``start`` to ``stop`` (both included); ``step`` is a positive width."""
        count = round(abs(stop - start) / step) + 1
        return cls(np.linspace(start, stop, count), unit)

    def __len__(self) -> int:
        return int(self.values.size)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Axis) and self.unit == other.unit and np.array_equal(self.values, other.values)
        )

    def __hash__(self) -> int:
        return hash((self.unit, self.values.tobytes()))

    def __repr__(self) -> str:
        return f"Axis({self.describe()})"

    @property
    def ascending(self) -> bool:
        """Whether positions grow with the band index."""
        return bool(self.values[0] < self.values[-1])

    @property
    def low(self) -> float:
        """Smallest position."""
        return float(min(self.values[0], self.values[-1]))

    @property
    def high(self) -> float:
        """Largest position."""
        return float(max(self.values[0], self.values[-1]))

    @property
    def step(self) -> float:
        """Median distance of neighbouring bands."""
        return float(np.median(np.abs(np.diff(self.values))))

    def describe(self) -> str:
        """Say the axis in one line, in its own direction."""
        return f"{self.values[0]:g} to {self.values[-1]:g} {self.unit}, {len(self)} bands of about {self.step:.3g}"

    def covers(self, other: Axis, tolerance: float = 1e-6) -> bool:
        """Whether every band of ``other`` (same unit) lies inside this axis's range."""
        return (
            self.unit == other.unit
            and self.low <= other.low + tolerance
            and self.high >= other.high - tolerance
        )

    def to_unit(self, unit: AxisUnit) -> Axis:
        """Return the axis in ``unit``; wavelength in nm is 1e7 / wavenumber in cm-1."""
        return self if unit == self.unit else Axis(1e7 / self.values, unit)
