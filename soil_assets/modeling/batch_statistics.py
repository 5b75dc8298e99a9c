"""What one batch contributes to every model, kept once and for all.

Belongs here: sums and calibration samples of a batch or of several, adding one, taking one away, storing them.
Does not belong here: which features they are of (``additive_features``) and the models released from them
(``additive_training``).

A retrain after a new batch costs the new batch: its statistics are added to the stored total, and the models follow.
All sums are kept by validation fold, so that left-out predictions and leaving a batch out are arithmetic too.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.modeling import transforms
from soil_assets.modeling.additive import CrossProducts, total
from soil_assets.modeling.additive_features import AdditiveFeatures, check_schema
from soil_assets.modeling.artifact import pack
from soil_assets.modeling.calibration_sample import CalibrationSample, chosen_rows
from soil_assets.modeling.property_sums import PropertySums
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import Property

FloatArray = npt.NDArray[np.float64]
SCHEMA_VERSION = 2


@dataclass(frozen=True)
class BatchFacts:
    """What is known of a batch beside its sums; JSON-ready.

    Parameters
    ----------
    content : str
        Hash of the scans that were summed.
    n : int
        Scans of the batch.
    known : mapping of str to int
        Samples with a value, by property.
    ranges, scaled_ranges : mapping of str to (low, high)
        Of the values, in the property's unit and on the modelling scale; nothing for a property without values.
    groups : tuple of str
        Short hashes of the names of its groups.
    ids_sha256 : str
        Hash of the sample ids.
    """

    content: str
    n: int
    known: Mapping[str, int]
    ranges: Mapping[str, tuple[float, float]]
    scaled_ranges: Mapping[str, tuple[float, float]]
    groups: tuple[str, ...]
    ids_sha256: str


@dataclass(frozen=True, eq=False)
class BatchStatistics:
    """Statistics of one batch, or of several together.

    Parameters
    ----------
    features_id : str
        Of the features that were summed: sums over different features cannot be added.
    batches : mapping of str to BatchFacts
    kernel, bands : tuple of PropertySums
        One a fold: of landmark features and of averaged bands.
    sample : CalibrationSample
    """

    features_id: str
    batches: Mapping[str, BatchFacts]
    kernel: tuple[PropertySums, ...]
    bands: tuple[PropertySums, ...]
    sample: CalibrationSample

    @classmethod
    def of(
        cls,
        features: AdditiveFeatures,
        batch: SpectralBatch,
        properties: Sequence[Property],
        name: str,
        *,
        content: str | None = None,
    ) -> BatchStatistics:
        """Sum a batch over fixed features.

        Parameters
        ----------
        features : AdditiveFeatures
        batch : SpectralBatch
            On the features' axis.
        properties : sequence of Property
        name : str
            Of the batch.
        content : str, optional
            Hash of the scans; computed when left out.

        Raises
        ------
        BadInput
            For another axis or quantity, or a spectrum with a value that cannot be used.
        """
        if batch.axis != features.axis or (batch.quantity, batch.scale) != (features.quantity, "fraction"):
            raise BadInput(
                f"batch {name} cannot be summed over these features",
                found=repr(batch),
                expected=f"{features.quantity} on {features.axis.describe()}",
                mend="harmonise the batch first (soil_assets.spectra.harmonise)",
            )
        phi = features.kernel.transform(batch.spectra)
        bands = features.bands.apply(batch.spectra)
        usable = np.isfinite(phi).all(axis=1) & np.isfinite(bands).all(axis=1)
        values = {p.name: batch.property_values(p.name) for p in properties}
        for prop, known in ((p, np.isfinite(v)) for p, v in values.items()):
            if (known & ~usable).any():
                raise BadInput(
                    f"a spectrum of batch {name} has a value of {prop} and cannot be used",
                    row=int(np.flatnonzero(known & ~usable)[0]) + 1,
                    mend="quarantine flat or incomplete spectra first",
                )
        targets = {p.name: transforms.forward(values[p.name], p.transform) for p in properties}
        labels = group_names(batch, name)
        fold = features.fold_of(labels)
        parts: list[tuple[PropertySums, PropertySums]] = []
        for k in range(features.folds):
            rows = usable & (fold == k)
            own = {p: v[rows] for p, v in targets.items()}
            parts.append(
                (
                    PropertySums.of(phi[rows], own, features.kernel_origin),
                    PropertySums.of(bands[rows], own, features.band_origin),
                )
            )
        any_known = usable & np.any([np.isfinite(v) for v in values.values()], axis=0)
        rows = np.flatnonzero(any_known)
        ids = batch.sample_ids.astype(str).to_numpy()
        rows = rows[chosen_rows(list(ids[rows]), features.seed)]
        sample = CalibrationSample(
            np.full(rows.size, name),
            np.array([labels[i] for i in rows], dtype=np.str_),
            fold[rows],
            np.arange(rows.size, dtype=np.int64),
            phi[rows],
            bands[rows],
            {p: v[rows] for p, v in targets.items()},
        )
        facts = BatchFacts(
            batch.content_hash() if content is None else content,
            len(batch),
            {p: int(np.isfinite(v).sum()) for p, v in values.items()},
            _ranges(values),
            _ranges(targets),
            tuple(sorted({_short_hash(label) for label in labels})),
            hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest(),
        )
        return cls(
            features.identity, {name: facts}, tuple(k for k, _ in parts), tuple(b for _, b in parts), sample
        )

    @property
    def properties(self) -> tuple[str, ...]:
        """Names of the properties."""
        return tuple(self.kernel[0].sums)

    def content_hash(self) -> str:
        """SHA-256 of what was summed: the same whichever order batches came in, and whatever that rounded to."""
        facts = {name: f.content for name, f in sorted(self.batches.items())}
        text = json.dumps([self.features_id, sorted(self.properties), facts], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def __add__(self, other: BatchStatistics) -> BatchStatistics:
        """Add batches that are not in these yet.

        Raises
        ------
        BadInput
            For other features or properties, or a batch that would be counted twice.
        """
        self._check(other)
        twice = sorted(set(self.batches) & set(other.batches))
        if twice:
            raise BadInput("a batch would be counted twice", found=", ".join(twice))
        together = dict(sorted({**self.batches, **other.batches}.items()))
        return BatchStatistics(
            self.features_id,
            together,
            tuple(a + b for a, b in zip(self.kernel, other.kernel, strict=True)),
            tuple(a + b for a, b in zip(self.bands, other.bands, strict=True)),
            CalibrationSample.joined([self.sample, other.sample]).thinned(len(together)),
        )

    def __sub__(self, other: BatchStatistics) -> BatchStatistics:
        """Take batches away that are in these, in the very content they were added with.

        Raises
        ------
        BadInput
            For other features or properties, or a batch that is not in these.
        """
        self._check(other)
        for name, facts in other.batches.items():
            if name not in self.batches or self.batches[name].content != facts.content:
                raise BadInput(
                    f"batch {name} is not in the statistics as it is to be taken away",
                    found=self.batches[name].content[:12] if name in self.batches else "not in them",
                    expected=facts.content[:12],
                )
        sample = self.sample
        for name in other.batches:
            sample = sample.without(name)
        return BatchStatistics(
            self.features_id,
            {name: facts for name, facts in self.batches.items() if name not in other.batches},
            tuple(a - b for a, b in zip(self.kernel, other.kernel, strict=True)),
            tuple(a - b for a, b in zip(self.bands, other.bands, strict=True)),
            sample,
        )

    def _check(self, other: BatchStatistics) -> None:
        if self.features_id != other.features_id or set(self.properties) != set(other.properties):
            raise BadInput(
                "statistics over different features or properties cannot be combined",
                found=", ".join(sorted(other.properties)),
                expected=", ".join(sorted(self.properties)),
                mend="compute the statistics of every batch again with the new features",
            )

    def of_property(self, prop: str) -> tuple[list[CrossProducts], list[CrossProducts]]:
        """Return the sums of one property by fold: of landmark features and of averaged bands."""
        return [p.sums[prop] for p in self.kernel], [p.sums[prop] for p in self.bands]

    def whole(self, prop: str) -> CrossProducts:
        """Return the sums of landmark features with one property over all folds."""
        return total(p.sums[prop] for p in self.kernel)

    def to_bytes(self) -> bytes:
        """Return the statistics as one npz archive; equal statistics give equal bytes."""
        facts = {name: vars(f) for name, f in self.batches.items()}
        arrays: dict[str, Any] = {
            "schema_version": np.array(SCHEMA_VERSION),
            "features_id": np.array(self.features_id),
            "batches": np.array(json.dumps(facts, sort_keys=True)),
            "kernel_origin": self.kernel[0].sums[self.properties[0]].origin,
            "band_origin": self.bands[0].sums[self.properties[0]].origin,
            "folds": np.array(len(self.kernel)),
            **{f"sample/{k}": v for k, v in self.sample.arrays().items()},
        }
        for kind, sums in (("kernel", self.kernel), ("bands", self.bands)):
            for fold, part in enumerate(sums):
                arrays |= {f"{kind}/{fold}/{k}": v for k, v in part.arrays().items()}
        return pack(arrays, compressed=False)

    @classmethod
    def from_bytes(cls, content: bytes) -> BatchStatistics:
        """Build from what :meth:`to_bytes` gave.

        Raises
        ------
        BadInput
            For a newer schema.
        """
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            check_schema(int(stored["schema_version"]), SCHEMA_VERSION, "batch statistics")
            names = stored.files

            def under(prefix: str) -> dict[str, npt.NDArray[Any]]:
                return {n.removeprefix(prefix): stored[n] for n in names if n.startswith(prefix)}

            folds = range(int(stored["folds"]))
            batches = {name: _facts_from(facts) for name, facts in json.loads(str(stored["batches"])).items()}
            kernel_origin, band_origin = stored["kernel_origin"], stored["band_origin"]
            return cls(
                str(stored["features_id"]),
                batches,
                tuple(PropertySums.from_arrays(under(f"kernel/{k}/"), kernel_origin) for k in folds),
                tuple(PropertySums.from_arrays(under(f"bands/{k}/"), band_origin) for k in folds),
                CalibrationSample.from_arrays(under("sample/")),
            )


def _facts_from(raw: Mapping[str, Any]) -> BatchFacts:
    pairs = {key: {p: (v[0], v[1]) for p, v in raw[key].items()} for key in ("ranges", "scaled_ranges")}
    return BatchFacts(**{**raw, **pairs, "groups": tuple(raw["groups"])})


def group_names(batch: SpectralBatch, name: str) -> list[str]:
    """Return the group of every scan by name: site, else profile, else sample, as ``SpectralBatch.groups`` does."""
    for column in ("site", "profile", "sample_id"):
        if column in batch.samples.columns and batch.samples[column].notna().all():
            return [f"{column}:{str(v).strip().lower()}" for v in batch.samples[column]]
    return [f"row:{name}:{i}" for i in range(len(batch))]


def _ranges(values: Mapping[str, FloatArray]) -> dict[str, tuple[float, float]]:
    return {
        name: (float(np.nanmin(v)), float(np.nanmax(v))) for name, v in values.items() if np.isfinite(v).any()
    }


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
