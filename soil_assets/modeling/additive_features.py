"""The fixed features that additive statistics are sums of.

Belongs here: landmark features for predicting, averaged bands for domain and band importance, and which fold a group
is in; all fixed before any batch is summed, since only sums of the same features add up.
Does not belong here: the sums (``batch_statistics``).
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.modeling import transforms
from soil_assets.modeling.additive import CrossProducts, ridge_path, total
from soil_assets.modeling.kernels import PENALTIES
from soil_assets.modeling.nystrom import LandmarkFeatures
from soil_assets.modeling.pretreatment import Pretreatment, average, chain, savgol, snv
from soil_assets.modeling.selection import squared_errors
from soil_assets.modeling.splits import grouped_folds
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import Property

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
SCHEMA_VERSION = 1

#: Averaged bands: for the applicability domain and the importance of bands.
BANDS = chain(average(300), snv(), savgol(11, 2, 1))
CANDIDATES: tuple[Pretreatment, ...] = (
    chain(average(300), snv()),
    BANDS,
    chain(average(300), snv(), savgol(15, 3, 2)),
)
WIDTHS = (0.02, 0.1, 0.5)
_MOST_TO_CHOOSE = 2000


@dataclass(frozen=True, eq=False)
class AdditiveFeatures:
    """A fixed feature map on one axis.

    Parameters
    ----------
    kernel : LandmarkFeatures
    bands : Pretreatment
    kernel_origin, band_origin : ndarray, shapes (n_features,) and (n_averaged_bands,)
        Points near the data that sums are about.
    axis : Axis
    quantity : {"absorbance", "reflectance"}
    folds, seed : int
        Of the validation: a group's fold follows from its name alone, so that a profile is in one fold whichever
        batches its samples came with.
    """

    kernel: LandmarkFeatures
    bands: Pretreatment
    kernel_origin: FloatArray
    band_origin: FloatArray
    axis: Axis
    quantity: str
    folds: int
    seed: int

    @classmethod
    def fit(
        cls,
        reference: SpectralBatch,
        *,
        pretreatment: Pretreatment = BANDS,
        width: float = 0.1,
        landmarks: int = 500,
        folds: int = 10,
        seed: int = 20260101,
    ) -> AdditiveFeatures:
        """Draw landmarks from a reference batch with the given pre-treatment and kernel width."""
        spectra = reference.spectra.astype(np.float64)
        kernel = LandmarkFeatures.fit(spectra, pretreatment, landmarks, width, seed)
        few = spectra[:_MOST_TO_CHOOSE]
        return cls(
            kernel, BANDS, kernel.transform(few).mean(axis=0), BANDS.apply(few).mean(axis=0), reference.axis,
            reference.quantity, folds, seed,
        )  # fmt: skip

    @classmethod
    def choose(
        cls,
        reference: SpectralBatch,
        properties: Sequence[Property],
        *,
        landmarks: int = 500,
        folds: int = 10,
        seed: int = 20260101,
    ) -> AdditiveFeatures:
        """Choose pre-treatment and kernel width on a reference batch by grouped folds, and draw landmarks from it.

        The candidate with the lowest sum over properties of left-out squared error / variance is taken; every
        candidate at its best penalty for each property.

        Raises
        ------
        BadInput
            When no property is known for at least four samples of three groups.
        """
        rows = np.arange(len(reference))
        if rows.size > _MOST_TO_CHOOSE:
            rows = np.sort(np.random.default_rng(seed).choice(rows, _MOST_TO_CHOOSE, replace=False))
        few = reference.take(rows)
        groups = few.groups()
        targets = {p.name: transforms.forward(few.property_values(p.name), p.transform) for p in properties}
        usable = {
            name: np.isfinite(values)
            for name, values in targets.items()
            if np.isfinite(values).sum() >= 4 and np.unique(groups[np.isfinite(values)]).size >= 3
        }
        if not usable:
            raise BadInput(
                "the reference has too few values to choose features on",
                found=", ".join(f"{k}: {int(np.isfinite(v).sum())}" for k, v in targets.items()),
                expected="at least four samples of three groups with a value",
            )
        spectra = few.spectra.astype(np.float64)
        scores: dict[tuple[Pretreatment, float], float] = {}
        for pretreatment in CANDIDATES:
            for width in WIDTHS:
                features = LandmarkFeatures.fit(spectra, pretreatment, landmarks, width, seed)
                phi = features.transform(spectra)
                scores[pretreatment, width] = sum(
                    _left_out_share(phi[known], targets[name][known], groups[known], folds, seed)
                    for name, known in usable.items()
                )
        pretreatment, width = min(scores, key=lambda candidate: scores[candidate])
        return cls.fit(
            reference,
            pretreatment=pretreatment,
            width=width,
            landmarks=landmarks,
            folds=folds,
            seed=seed,
        )

    @cached_property
    def identity(self) -> str:
        """SHA-256 of everything that the features consist of: sums over other features cannot be added."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def content_hash(self) -> str:
        """Return :attr:`identity`."""
        return self.identity

    def fold_of(self, groups: Sequence[str]) -> IntArray:
        """Return the fold of every group name, shape (n,)."""
        known: dict[str, int] = {}
        for name in groups:
            if name not in known:
                digest = hashlib.sha256(f"{self.seed}|{name}".encode()).digest()
                known[name] = int.from_bytes(digest[:8], "big") % self.folds
        return np.array([known[name] for name in groups], dtype=np.int64)

    def to_bytes(self) -> bytes:
        """Return the features as one npz archive; equal features give equal bytes."""
        from soil_assets.modeling.artifact import pack

        facts = {
            "schema_version": SCHEMA_VERSION,
            "pretreatment": self.kernel.pretreatment.to_dict(),
            "gamma": self.kernel.gamma,
            "bands": self.bands.to_dict(),
            "axis_unit": self.axis.unit,
            "quantity": self.quantity,
            "folds": self.folds,
            "seed": self.seed,
        }
        return pack(
            {
                "facts": np.array(json.dumps(facts, sort_keys=True)),
                "landmarks": self.kernel.landmarks,
                "whitening": self.kernel.whitening,
                "kernel_origin": self.kernel_origin,
                "band_origin": self.band_origin,
                "axis": self.axis.values,
            },
            compressed=False,
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> AdditiveFeatures:
        """Build from what :meth:`to_bytes` gave.

        Raises
        ------
        BadInput
            For a newer schema.
        """
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            facts: dict[str, Any] = json.loads(str(stored["facts"]))
            check_schema(facts["schema_version"], SCHEMA_VERSION, "landmark features")
            kernel = LandmarkFeatures(
                Pretreatment.from_dict(facts["pretreatment"]), stored["landmarks"], float(facts["gamma"]),
                stored["whitening"],
            )  # fmt: skip
            return cls(
                kernel,
                Pretreatment.from_dict(facts["bands"]),
                stored["kernel_origin"],
                stored["band_origin"],
                Axis(stored["axis"], facts["axis_unit"]),
                str(facts["quantity"]),
                int(facts["folds"]),
                int(facts["seed"]),
            )


def check_schema(found: int, known: int, what: str) -> None:
    """Refuse what a newer version wrote."""
    if int(found) > known:
        raise BadInput(
            f"{what} of a newer schema",
            found=f"schema {found}",
            expected=f"at most {known}",
            mend="use a newer version of soil_assets, or compute them again",
        )


def _left_out_share(phi: FloatArray, target: FloatArray, groups: IntArray, folds: int, seed: int) -> float:
    """Left-out squared error at the best penalty, as a share of the target's sum of squares."""
    fold = grouped_folds(groups, folds, seed)
    origin = phi.mean(axis=0)
    parts = [CrossProducts.of(phi[fold == k], target[fold == k], origin) for k in range(int(fold.max()) + 1)]
    everything = total(parts)
    errors = sum(squared_errors(part, *ridge_path(everything - part, PENALTIES)) for part in parts)
    spread = float(((target - target.mean()) ** 2).sum())
    return float(np.min(errors)) / spread if spread > 0 else 0.0
