"""Texture classes from measured and predicted fractions: where two numbers are right and the class is not.

Belongs here: the texture triangle, and observed against predicted class. Does not belong here: predicting a fraction.

The classes are those of the USDA triangle (Soil Survey Manual, USDA Handbook 18, 2017, chapter 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.reporting.decision_figures import rows
from soil_assets.reporting.decision_inputs import Confusion, PropertyResult
from soil_assets.reporting.numerals import finite

FRACTIONS = ("sand", "silt", "clay")
#: Properties that are fractions of this triangle (sand from 50 µm); those of ISO 14688 have other limits.
_FRACTION_OF = {
    "clay": "clay", "silt": "silt", "silt_usda": "silt", "sand": "sand", "sand_usda": "sand",
}  # fmt: skip
FloatArray = npt.NDArray[np.float64]


def usda_class(sand: npt.ArrayLike, silt: npt.ArrayLike, clay: npt.ArrayLike) -> npt.NDArray[np.str_]:
    """Return the USDA texture class of each sample.

    Parameters
    ----------
    sand, silt, clay : array_like, shape (n,)
        Fractions in any common unit; each sample is scaled to a sum of 100 %. Negative predictions count as 0.

    Returns
    -------
    ndarray of str, shape (n,)
        Empty where a fraction is not finite or all are 0.
    """
    parts = np.clip(np.array([sand, silt, clay], dtype=np.float64), 0.0, None)
    total = parts.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        s, u, c = 100.0 * parts / total
    known = np.isfinite(s) & np.isfinite(u) & np.isfinite(c)
    s, u, c = (np.where(known, x, -1.0) for x in (s, u, c))
    rules = {
        "": ~known,
        "sand": u + 1.5 * c < 15,
        "loamy sand": u + 2 * c < 30,
        "sandy loam": ((c >= 7) & (c < 20) & (s > 52)) | ((c < 7) & (u < 50)),
        "silt": (u >= 80) & (c < 12),
        "silt loam": (u >= 50) & (c < 27),
        "loam": (c < 27) & (u >= 28) & (s <= 52),
        "sandy clay loam": (c < 35) & (u < 28) & (s > 45),
        "sandy clay": (c >= 35) & (s > 45),
        "silty clay loam": (c < 40) & (s <= 20),
        "clay loam": c < 40,
        "silty clay": u >= 40,
    }
    return np.asarray(np.select(list(rules.values()), list(rules), default="clay"), dtype=np.str_)


def texture_confusion(properties: Sequence[PropertyResult]) -> Confusion | None:
    """Return observed against predicted texture class of the candidates, or None where fractions are missing.

    Parameters
    ----------
    properties : sequence of PropertyResult
        Clay and at least one of sand and silt must have predictions of the same samples; the third fraction is the
        rest. Fractions by ISO's limits are not of this triangle.
    """
    tables = {
        _FRACTION_OF[p.name]: _table(p.candidate)
        for p in properties
        if p.name in _FRACTION_OF and p.candidate is not None
    }
    if "clay" not in tables or len(tables) < 2:
        return None
    ids = sorted(set.intersection(*(set(t) for t in tables.values())))
    if not ids:
        return None
    classes = []
    for which in (0, 1):
        parts = {name: np.array([t[i][which] for i in ids], dtype=np.float64) for name, t in tables.items()}
        for missing in set(FRACTIONS) - set(parts):
            parts[missing] = 100.0 - np.sum(list(parts.values()), axis=0)
        classes.append(usda_class(*(parts[name] for name in FRACTIONS)))
    observed, predicted = classes
    judged = (observed != "") & (predicted != "")
    labels = tuple(sorted({*observed[judged], *predicted[judged]}))
    counts = [[int(((observed == o) & (predicted == p) & judged).sum()) for p in labels] for o in labels]
    return Confusion(labels=tuple(map(str, labels)), counts=tuple(map(tuple, counts))) if labels else None


def class_confusion(result: PropertyResult) -> Confusion | None:
    """Return observed against predicted class of one property: low, medium, high by thirds of the observed values.

    None with fewer than nine judged samples, or where the values are too few to have three classes.
    """
    pairs = np.array(list(_table(result.candidate or {}).values()), dtype=np.float64)
    if len(pairs) < 9:
        return None
    low, high = np.quantile(pairs[:, 0], [1 / 3, 2 / 3])
    if not low < high:
        return None
    observed, predicted = (np.digitize(pairs[:, column], [low, high], right=True) for column in (0, 1))
    counts = [[int(((observed == o) & (predicted == p)).sum()) for p in range(3)] for o in range(3)]
    labels = (f"low (to {low:.3g})", f"medium (to {high:.3g})", f"high (over {high:.3g})")
    return Confusion(labels=labels, counts=tuple(map(tuple, counts)))


def _table(candidate: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Return observed and predicted value by sample, where both are finite."""
    found = {}
    for row in rows(candidate):
        observed, value = finite(row.get("observed")), finite(row.get("value"))
        if observed is not None and value is not None:
            found[str(row.get("sample_id"))] = (observed, value)
    return found
