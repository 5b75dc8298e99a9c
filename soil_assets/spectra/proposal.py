"""What settings fit the data a lab has: axis, quantity and properties proposed from real batches.

Belongs here: looking at batches and proposing. Does not belong here: thresholds of gates, which are a person's choice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from soil_assets.errors import BadInput
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import Catalogue

#: Values of a property that make it worth modelling: below, cross-validation says little.
MIN_VALUES = 30
_TIDY_STEPS = (0.5, 1.0, 2.0, 4.0, 5.0, 8.0, 10.0)


@dataclass(frozen=True)
class Proposal:
    """Settings that fit some batches, and why.

    Parameters
    ----------
    axis : dict
        Section ``axis`` of ``soil.yaml``: the range that every batch covers, in tidy steps.
    properties : tuple of str
        Catalogue properties with at least :data:`MIN_VALUES` values.
    notes : tuple of str
        What was seen and decided, in words.
    """

    axis: dict[str, float | str]
    properties: tuple[str, ...]
    notes: tuple[str, ...]


def propose(batches: Sequence[SpectralBatch], catalogue: Catalogue) -> Proposal:
    """Propose settings for batches that were read from one lab's folder.

    Raises
    ------
    BadInput
        When there is no batch, or the batches of the most common unit share no range.
    """
    if not batches:
        raise BadInput("no spectra to propose settings from", mend="name a folder with spectra in it")
    notes: list[str] = []
    unit = Counter(b.axis.unit for b in batches for _ in range(len(b))).most_common(1)[0][0]
    alike = [b for b in batches if b.axis.unit == unit]
    if len(alike) < len(batches):
        notes.append(
            f"{len(batches) - len(alike)} batches in another unit than {unit} are left out of the axis"
        )
    low, high = max(b.axis.low for b in alike), min(b.axis.high for b in alike)
    native = float(np.median([b.axis.step for b in alike]))
    step = next((s for s in _TIDY_STEPS if s >= native * 0.99), float(np.ceil(native)))
    start, stop = float(np.ceil(low / step) * step), float(np.floor(high / step) * step)
    if stop - start < 2 * step:
        ranges = "; ".join(sorted({b.axis.describe() for b in alike}))
        raise BadInput(
            "the batches share no spectral range", found=ranges, mend="propose for each instrument apart"
        )
    notes.append(
        f"every batch covers {start:g} to {stop:g} {unit}; bands lie {native:.3g} apart, the axis takes {step:g}"
    )
    # Mid-infrared is modelled as absorbance; elsewhere what the lab measures most is kept.
    measured = Counter(b.quantity for b in alike for _ in range(len(b))).most_common(1)[0][0]
    quantity = "absorbance" if unit == "cm-1" else measured
    if quantity != measured:
        notes.append("reflectance is turned into absorbance, log10(1/R), as usual in the mid-infrared")
    if unit == "cm-1":
        start, stop = stop, start
    properties, few = [], []
    for name in catalogue.properties:
        n = sum(int(np.isfinite(b.property_values(name)).sum()) for b in batches)
        if n >= MIN_VALUES:
            properties.append(name)
            notes.append(f"{name}: {n} values")
        elif n:
            few.append(f"{name} ({n})")
    if few:
        notes.append(f"too few values to model (at least {MIN_VALUES}): {', '.join(few)}")
    axis: dict[str, float | str] = {
        "start": start,
        "stop": stop,
        "step": step,
        "unit": unit,
        "quantity": quantity,
    }
    return Proposal(axis, tuple(properties), tuple(notes))
