"""The reference profile: what batches are compared with, fitted once from the golden set and then frozen.

Belongs here: the profile and its fitting. Does not belong here: its file (``profile_file``), comparing (``compare``).
A profile never refreshes itself; whoever replaces it does so by name (its ``fingerprint`` goes into every
report).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.drift.features import Features, features
from soil_assets.drift.pool import soils_of
from soil_assets.drift.space import pooled_space
from soil_assets.errors import BadInput
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import Quantity, Scale, SpectralBatch

FloatArray = npt.NDArray[np.float64]

#: Raised whenever the same reference would give other features: a profile of older ones cannot be compared with.
SCHEMA_VERSION = 1
#: Fewer soils than this are no reference for anything.
MIN_REFERENCE = 20
#: Soils kept for the tests. With 1,000 soils on either side a Kolmogorov-Smirnov distance of about 0.09 is
#: already significant at a family-wise 1 %, which is less than the smallest difference that counts (0.10).
MAX_SOILS = 1000
#: Shares of the envelope.
ENVELOPE = (0.05, 0.25, 0.50, 0.75, 0.95)
_FIRST_SCORES = 10


@dataclass(frozen=True, eq=False)
class ReferenceProfile:
    """A frozen description of the reference.

    Parameters
    ----------
    axis, quantity, scale
        Of the reference; a batch on another axis or quantity is refused.
    features : Features
        Of the soils kept (at most :data:`MAX_SOILS`, drawn with the profile's seed).
    rows : ndarray of int, shape (n_kept,)
        First reference scan of each soil kept: which value of a per-scan table belongs to it.
    groups : ndarray of int, shape (n_kept,)
        Site or profile of each soil; all different where the reference names none.
    group_column : str
        Column that the groups come from, ``sample_id`` when soils count as independent.
    properties : mapping of str to ndarray, shape (n_kept,)
        Property values, NaN where missing.
    categories : mapping of str to ndarray of str, shape (n_kept,)
        Category values, empty where missing.
    envelope : ndarray, shape (5, n_bands)
        5, 25, 50, 75 and 95 % quantiles of the spectra kept, band by band.
    mean, loadings, scales : ndarray
        Frozen component space of the derivative features for plots and control charts: shapes (n_bins,),
        (n_components, n_bins), (n_components,).
    n, n_scans : int
        Soils and scans in the whole reference.
    n_left_out : int
        Scans without usable spectra.
    seed : int
        Of the draw.
    reference_hash : str
        Content hash of the reference.
    """

    axis: Axis
    quantity: Quantity
    scale: Scale
    features: Features
    rows: npt.NDArray[np.intp]
    groups: npt.NDArray[np.int64]
    group_column: str
    properties: Mapping[str, FloatArray]
    categories: Mapping[str, npt.NDArray[np.str_]]
    envelope: FloatArray
    mean: FloatArray
    loadings: FloatArray
    scales: FloatArray
    n: int
    n_scans: int
    n_left_out: int
    seed: int
    reference_hash: str

    def __repr__(self) -> str:
        return f"ReferenceProfile({self.n} soils, {self.quantity}, {self.axis.describe()})"

    @cached_property
    def fingerprint(self) -> str:
        """First 12 digits of the hash of everything in the profile."""
        digest = hashlib.sha256(json.dumps(self.facts(), sort_keys=True).encode())
        for name, array in sorted(self.arrays().items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:12]

    def scores(self, values: Features) -> FloatArray:
        """Return scores in the frozen space (sd 1 over the reference), shape (n_scans, n_components)."""
        return np.asarray((values.sharp - self.mean) @ self.loadings.T / self.scales)

    def check_comparable(self, batch: SpectralBatch) -> None:
        """Refuse a batch on another axis or quantity.

        Raises
        ------
        BadInput
            Saying both; spectra are never resampled in silence.
        """
        found = (batch.axis, batch.quantity, batch.scale)
        if found != (self.axis, self.quantity, self.scale):
            raise BadInput(
                "the batch and the reference profile cannot be compared",
                found=f"{batch.quantity} ({batch.scale}), {batch.axis.describe()}",
                expected=f"{self.quantity} ({self.scale}), {self.axis.describe()}",
                mend="harmonise the batch onto the profile's axis and quantity first",
            )

    def facts(self) -> dict[str, Any]:
        """JSON-ready facts beside the arrays."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "soil_assets drift reference profile",
            "axis_unit": self.axis.unit,
            "quantity": self.quantity,
            "scale": self.scale,
            "group_column": self.group_column,
            "properties": list(self.properties),
            "categories": list(self.categories),
            "n": self.n,
            "n_scans": self.n_scans,
            "n_left_out": self.n_left_out,
            "seed": self.seed,
            "reference_hash": self.reference_hash,
        }

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Everything else, by name."""
        arrays: dict[str, npt.NDArray[Any]] = {
            "axis": self.axis.values,
            "raw": self.features.raw,
            "broad": self.features.broad,
            "sharp": self.features.sharp,
            "summaries": self.features.summaries,
        }
        names = ("rows", "groups", "envelope", "mean", "loadings", "scales")
        arrays |= {name: getattr(self, name) for name in names}
        arrays |= {f"property_{i}": values for i, values in enumerate(self.properties.values())}
        arrays |= {f"category_{i}": values for i, values in enumerate(self.categories.values())}
        return arrays


def fit_profile(
    reference: SpectralBatch,
    *,
    properties: Sequence[str],
    categories: Sequence[str] = (),
    groups: npt.ArrayLike | None = None,
    seed: int = 20260101,
    values: Features | None = None,
) -> ReferenceProfile:
    """Fit the profile of a reference.

    Replicate scans of a soil are averaged first, so that soils and not scans are counted.

    Parameters
    ----------
    reference : SpectralBatch
        The golden set.
    properties : sequence of str
        Property columns to compare; one that the reference does not carry is noted and never judged.
    categories : sequence of str
        Category columns to compare (instrument, lab, soil class, land use, depth class).
    groups : array_like of shape (n_scans,), optional
        What stays together; by default the column ``site``, else ``profile``, else every soil by itself.
    seed : int
        Of the draw of soils from a reference larger than :data:`MAX_SOILS`.
    values : Features, optional
        Features of the reference's scans where they are known already (each is of one scan alone); only for a
        reference of one usable scan a soil.

    Returns
    -------
    ReferenceProfile

    Raises
    ------
    BadInput
        When a category column is missing or fewer than :data:`MIN_REFERENCE` soils have usable spectra.
    """
    for name in categories:
        if name not in reference.samples.columns:
            raise BadInput(
                "the reference has no such category column",
                column=name,
                expected=", ".join(map(str, reference.samples.columns)),
            )
    soils = soils_of(reference, properties, categories, groups)
    if len(soils) < MIN_REFERENCE:
        raise BadInput(
            "the reference is too small to compare anything with",
            found=f"{len(soils)} soils with usable spectra",
            expected=f"at least {MIN_REFERENCE}",
            mend="add soils to the reference",
        )
    kept = _draw(soils.groups, seed)
    part = soils.take(kept)
    values = soils.features_of(values).take(kept) if values is not None else features(part.batch)
    space = pooled_space(values.sharp)
    if space is None:
        raise BadInput("the reference spectra are all alike", found="no variance", mend="check the reference")
    count = min(_FIRST_SCORES, space.variances.size)
    return ReferenceProfile(
        axis=reference.axis,
        quantity=reference.quantity,
        scale=reference.scale,
        features=values,
        rows=part.rows,
        groups=part.groups,
        group_column=part.group_column,
        properties=part.properties,
        categories=part.categories,
        envelope=_quantiles(part.batch.spectra, ENVELOPE),
        mean=values.sharp.mean(axis=0),
        loadings=space.loadings[:count],
        scales=np.sqrt(space.variances[:count]),
        n=len(soils),
        n_scans=len(reference),
        n_left_out=soils.n_left_out,
        seed=seed,
        reference_hash=reference.content_hash(),
    )


def _quantiles(spectra: npt.NDArray[np.float32], shares: tuple[float, ...]) -> FloatArray:
    """Quantiles by band as numpy's default method gives them; one sort costs a tenth of its selections."""
    ordered = np.sort(spectra, axis=0)
    place = np.asarray(shares) * (len(ordered) - 1)
    below = np.floor(place).astype(np.intp)
    above = np.minimum(below + 1, len(ordered) - 1)
    part = (place - below)[:, None]
    return np.asarray((1.0 - part) * ordered[below] + part * ordered[above])


def _draw(groups: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.intp]:
    count = groups.size
    if count <= MAX_SOILS:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, MAX_SOILS, replace=False))
