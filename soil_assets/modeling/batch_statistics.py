"""What one batch contributes to every model, kept once and for all.

Belongs here: sums of landmark features with several properties, per batch; adding, taking away, storing them and
releasing models from their total. Does not belong here: the algebra of one target (``additive``).

A retrain after a new batch costs the new batch: its sums are added to the stored total, and the models follow.
Samples without a value of a property do not count for that property; properties measured on the same samples
share one matrix.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.modeling import transforms
from soil_assets.modeling.additive import CrossProducts, ridge
from soil_assets.modeling.nystrom import LandmarkFeatures, LandmarkPredictor
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import Property

FloatArray = npt.NDArray[np.float64]
SCHEMA_VERSION = 1


@dataclass(frozen=True, eq=False)
class BatchStatistics:
    """Sums of one batch (or of a total) by property.

    Parameters
    ----------
    features_id : str
        Hash of the feature map: sums over different features cannot be added.
    sums : mapping of str to CrossProducts
        On the modelling scale of each property.
    """

    features_id: str
    sums: Mapping[str, CrossProducts]

    @classmethod
    def of(
        cls, features: LandmarkFeatures, batch: SpectralBatch, properties: Sequence[Property]
    ) -> BatchStatistics:
        """Sum a batch over fixed features.

        Raises
        ------
        BadInput
            When a spectrum that has a value of a property is not finite.
        """
        phi = features.transform(batch.spectra)
        origin = np.zeros(phi.shape[1])
        shared: dict[bytes, tuple[FloatArray, FloatArray]] = {}
        sums = {}
        for prop in properties:
            values = batch.property_values(prop.name)
            known = np.isfinite(values)
            x, y = phi[known], transforms.forward(values[known], prop.transform)
            if not np.isfinite(x).all():
                raise BadInput(
                    "a spectrum cannot be used",
                    row=int(np.flatnonzero(known)[~np.isfinite(x).all(axis=1)][0]) + 1,
                    mend="quarantine flat or incomplete spectra first",
                )
            key = known.tobytes()
            if key not in shared:
                shared[key] = (x.sum(axis=0), x.T @ x)
            sum_x, xx = shared[key]
            sums[prop.name] = CrossProducts(
                int(known.sum()), origin, sum_x, float(y.sum()), xx, x.T @ y, float(y @ y)
            )
        return cls(features_identity(features), sums)

    def __add__(self, other: BatchStatistics) -> BatchStatistics:
        return self._combine(other, np.add)

    def __sub__(self, other: BatchStatistics) -> BatchStatistics:
        return self._combine(other, np.subtract)

    def _combine(self, other: BatchStatistics, operation: Callable[..., Any]) -> BatchStatistics:
        if self.features_id != other.features_id or set(self.sums) != set(other.sums):
            raise BadInput(
                "statistics over different features or properties cannot be combined",
                found=", ".join(sorted(other.sums)),
                expected=", ".join(sorted(self.sums)),
                mend="compute the statistics of every batch again with the new features",
            )
        matrices: dict[tuple[int, int], FloatArray] = {}
        sums = {}
        for name, a in self.sums.items():
            b = other.sums[name]
            key = (id(a.xx), id(b.xx))
            if key not in matrices:  # shared matrices are combined once and stay shared
                matrices[key] = operation(a.xx, b.xx)
            sums[name] = CrossProducts(
                int(operation(a.n, b.n)), a.origin, operation(a.sum_x, b.sum_x),
                float(operation(a.sum_y, b.sum_y)), matrices[key], operation(a.xy, b.xy),
                float(operation(a.yy, b.yy)),
            )  # fmt: skip
        return BatchStatistics(self.features_id, sums)

    def release(self, features: LandmarkFeatures, penalty: float) -> dict[str, LandmarkPredictor]:
        """Solve every property's ridge and return predictors, on the modelling scale.

        Raises
        ------
        BadInput
            When the features are not those of the sums.
        """
        if features_identity(features) != self.features_id:
            raise BadInput("the statistics belong to other features")
        return {name: features.predictor(*ridge(sums, penalty)) for name, sums in self.sums.items()}

    def save(self, file: str | Path) -> None:
        """Write to one npz file; matrices that properties share are written once."""
        arrays: dict[str, npt.NDArray[Any]] = {
            "schema_version": np.array(SCHEMA_VERSION),
            "features_id": np.array(self.features_id),
            "names": np.array(list(self.sums)),
        }
        places: dict[int, int] = {}
        for i, sums in enumerate(self.sums.values()):
            place = places.setdefault(id(sums.xx), len(places))
            arrays[f"xx/{place}"] = sums.xx
            arrays[f"{i}/place"] = np.array(place)
            arrays[f"{i}/scalars"] = np.array([sums.n, sums.sum_y, sums.yy])
            arrays[f"{i}/sum_x"], arrays[f"{i}/xy"] = sums.sum_x, sums.xy
        target = Path(file)
        temporary = target.with_name(f".{target.name}.tmp.npz")
        np.savez(temporary, **arrays)  # type: ignore[arg-type]
        temporary.replace(target)

    @classmethod
    def load(cls, file: str | Path) -> BatchStatistics:
        """Read what :meth:`save` wrote.

        Raises
        ------
        BadInput
            For a file of a newer schema.
        """
        with np.load(file, allow_pickle=False) as stored:
            if int(stored["schema_version"]) > SCHEMA_VERSION:
                raise BadInput("statistics of a newer schema", file=str(file), mend="use a newer soil_assets")
            matrices: dict[int, FloatArray] = {}
            sums = {}
            for i, name in enumerate(stored["names"].tolist()):
                place = int(stored[f"{i}/place"])
                if place not in matrices:
                    matrices[place] = stored[f"xx/{place}"]
                n, sum_y, yy = stored[f"{i}/scalars"].tolist()
                sum_x = stored[f"{i}/sum_x"]
                sums[name] = CrossProducts(
                    int(n), np.zeros_like(sum_x), sum_x, sum_y, matrices[place], stored[f"{i}/xy"], yy
                )
            return cls(str(stored["features_id"]), sums)


def features_identity(features: LandmarkFeatures) -> str:
    """Return a hash of everything that a feature map consists of."""
    digest = hashlib.sha256(repr((features.pretreatment.to_dict(), features.gamma)).encode())
    digest.update(features.landmarks.tobytes() + features.whitening.tobytes())
    return digest.hexdigest()
