"""Cross-products of one set of features with several properties.

Belongs here: summing, adding, taking away and storing them. Does not belong here: the algebra of one target
(``additive``) and what the features are (``additive_features``).

Samples without a value of a property do not count for that property; properties measured on the same samples share one
matrix, in memory and on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.modeling.additive import CrossProducts

FloatArray = npt.NDArray[np.float64]
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class PropertySums:
    """Sums by property.

    Parameters
    ----------
    sums : mapping of str to CrossProducts
        On the modelling scale of each property; all about one origin.
    """

    sums: Mapping[str, CrossProducts]

    @classmethod
    def of(cls, features: FloatArray, targets: Mapping[str, FloatArray], origin: FloatArray) -> PropertySums:
        """Sum features, shape (n, n_features), with targets, each of shape (n,) and NaN where it is not known."""
        shared: dict[bytes, tuple[FloatArray, FloatArray]] = {}
        sums = {}
        centred = features - origin
        for name, values in targets.items():
            known = np.isfinite(values)
            key = known.tobytes()
            everyone = bool(known.all())
            x, y = (centred, values) if everyone else (centred[known], values[known])
            if key not in shared:
                shared[key] = (x.sum(axis=0), x.T @ x)
            sum_x, xx = shared[key]
            sums[name] = CrossProducts(
                int(y.size), origin, sum_x, float(y.sum()), xx, x.T @ y, float(y @ y)
            )  # fmt: skip
        return cls(sums)

    def __add__(self, other: PropertySums) -> PropertySums:
        return self._combine(other, np.add)

    def __sub__(self, other: PropertySums) -> PropertySums:
        return self._combine(other, np.subtract)

    def _combine(self, other: PropertySums, operation: Callable[..., Any]) -> PropertySums:
        matrices: dict[tuple[int, int], FloatArray] = {}
        sums = {}
        for name, a in self.sums.items():
            b = other.sums[name]
            key = (id(a.xx), id(b.xx))
            if key not in matrices:  # shared matrices are combined once and stay shared
                matrices[key] = operation(a.xx, b.xx)
            n = int(operation(a.n, b.n))
            if n < 0:
                raise BadInput("more samples taken away than there are", found=str(b.n), expected=f"<= {a.n}")
            sums[name] = CrossProducts(
                n, a.origin, operation(a.sum_x, b.sum_x), float(operation(a.sum_y, b.sum_y)), matrices[key],
                operation(a.xy, b.xy), float(operation(a.yy, b.yy)),
            )  # fmt: skip
        return PropertySums(sums)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return arrays to store; a shared matrix appears once, and of a symmetric matrix its upper triangle."""
        places: dict[int, int] = {}
        arrays: dict[str, npt.NDArray[Any]] = {"names": np.array(list(self.sums))}
        for i, sums in enumerate(self.sums.values()):
            place = places.setdefault(id(sums.xx), len(places))
            arrays[f"xx/{place}"] = sums.xx[np.triu_indices(len(sums.xx))]
            arrays[f"{i}/place"] = np.array(place)
            arrays[f"{i}/scalars"] = np.array([sums.n, sums.sum_y, sums.yy])
            arrays[f"{i}/sum_x"], arrays[f"{i}/xy"] = sums.sum_x, sums.xy
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Arrays, origin: FloatArray) -> PropertySums:
        """Build from what :meth:`arrays` gave."""
        matrices: dict[int, FloatArray] = {}
        sums = {}
        upper = np.triu_indices(origin.size)
        for i, name in enumerate(arrays["names"].tolist()):
            place = int(arrays[f"{i}/place"])
            if place not in matrices:
                whole = np.zeros((origin.size, origin.size))
                whole[upper] = arrays[f"xx/{place}"]
                matrices[place] = whole + np.triu(whole, 1).T
            n, sum_y, yy = arrays[f"{i}/scalars"].tolist()
            sums[str(name)] = CrossProducts(
                int(n), origin, arrays[f"{i}/sum_x"], sum_y, matrices[place], arrays[f"{i}/xy"], yy
            )
        return cls(sums)
