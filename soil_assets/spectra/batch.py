"""One batch of spectra: a samples table beside one float32 matrix on one axis.

Belongs here: the container, its invariants, selection and its content hash.
Does not belong here: files (``spectra.readers``, ``spectra.parquet``), conversions (``spectra.harmonise``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.errors import BadInput
from soil_assets.spectra.axis import Axis

Quantity = Literal["absorbance", "reflectance"]
Scale = Literal["fraction", "percent"]
SpectraMatrix = npt.NDArray[np.float32]

#: Columns that say who a scan belongs to; every other column is a property or free metadata.
KEY_COLUMNS = ("sample_id", "scan_id", "replicate", "profile", "site")


@dataclass(frozen=True, eq=False)
class SpectralBatch:
    """Scans of soil samples.

    Parameters
    ----------
    samples : DataFrame, n_scans rows
        One row a scan, ``RangeIndex``. Column ``sample_id`` (str, may be missing in a raw batch) names the
        soil; ``scan_id``, ``replicate``, ``profile``, ``site``, ``source_file``, ``source_row`` where known.
        Property columns carry the catalogue's canonical names and units.
    spectra : ndarray of float32, shape (n_scans, n_bands)
        Intensities, one row a scan.
    axis : Axis
        Where the bands lie.
    quantity : {"absorbance", "reflectance"}
        log10(1/R) absorbance, or reflectance.
    scale : {"fraction", "percent"}
        Of reflectance; absorbance is always ``fraction``.
    origin : mapping of str to str
        What the files tell: ``instrument``, ``operator``, ``date``, ``lab``, ``format`` ...

    Raises
    ------
    BadInput
        When table, matrix and axis do not fit together.
    """

    samples: pd.DataFrame
    spectra: SpectraMatrix
    axis: Axis
    quantity: Quantity
    scale: Scale = "fraction"
    origin: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        spectra = np.ascontiguousarray(self.spectra, dtype=np.float32)
        object.__setattr__(self, "spectra", spectra)
        if spectra.ndim != 2:
            raise BadInput("spectra must be one matrix", found=f"{spectra.ndim} dimensions", expected="2")
        if len(self.samples) != spectra.shape[0]:
            raise BadInput(
                "samples table and spectra do not belong together",
                found=f"{len(self.samples)} table rows, {spectra.shape[0]} spectra",
            )
        if len(self.axis) != spectra.shape[1]:
            raise BadInput(
                "axis and spectra do not belong together",
                found=f"{len(self.axis)} positions, {spectra.shape[1]} columns",
            )
        if "sample_id" not in self.samples.columns:
            raise BadInput(
                "the samples table has no ids", column="sample_id", found=_few(self.samples.columns)
            )
        if self.quantity not in ("absorbance", "reflectance"):
            raise BadInput("unknown quantity", found=self.quantity, expected="absorbance or reflectance")
        if self.scale not in ("fraction", "percent") or (self.quantity, self.scale) == (
            "absorbance",
            "percent",
        ):
            raise BadInput(
                "unknown scale", found=f"{self.quantity} as {self.scale}", expected="fraction or percent"
            )
        if not isinstance(self.samples.index, pd.RangeIndex) or self.samples.index.start != 0:
            object.__setattr__(self, "samples", self.samples.reset_index(drop=True))

    def __len__(self) -> int:
        return int(self.spectra.shape[0])

    def __repr__(self) -> str:
        scale = "" if self.quantity == "absorbance" else f" ({self.scale})"
        return f"SpectralBatch({len(self)} scans, {self.quantity}{scale}, {self.axis.describe()})"

    @property
    def sample_ids(self) -> pd.Series[str]:
        """Column ``sample_id``."""
        return self.samples["sample_id"]

    def take(self, rows: npt.ArrayLike) -> SpectralBatch:
        """Return the scans that ``rows`` (boolean mask or positions) selects, in that order."""
        index = np.asarray(rows)
        if index.dtype == bool:
            index = np.flatnonzero(index)
        index = index.astype(np.intp)
        samples = self.samples.iloc[index].reset_index(drop=True)
        return replace(self, samples=samples, spectra=self.spectra[index])

    def with_samples(self, samples: pd.DataFrame) -> SpectralBatch:
        """Return the batch with another samples table of the same length."""
        return replace(self, samples=samples)

    def labelled(self, column: str, value: str) -> SpectralBatch:
        """Return the batch with ``value`` in ``column`` of every row (which batch a scan came from, say)."""
        return self.with_samples(self.samples.assign(**{column: value}))

    def property_values(self, name: str) -> npt.NDArray[np.float64]:
        """Return a property as float64, shape (n_scans,); all NaN when the batch does not carry it."""
        if name not in self.samples.columns:
            return np.full(len(self), np.nan)
        return np.asarray(pd.to_numeric(self.samples[name], errors="coerce"), dtype=np.float64)

    def groups(self, *columns: str) -> npt.NDArray[np.int64]:
        """Return an integer group per scan from the first of ``columns`` that is fully present.

        Defaults to site, then profile, then sample: replicates of a soil never part.
        """
        for column in columns or ("site", "profile", "sample_id"):
            if column in self.samples.columns and self.samples[column].notna().all():
                codes, _ = pd.factorize(self.samples[column])
                return codes.astype(np.int64)
        return np.arange(len(self), dtype=np.int64)

    def content_hash(self) -> str:
        """SHA-256 over axis, quantity, ids, every column and the spectra: equal content, equal hash."""
        digest = hashlib.sha256()
        digest.update(f"{self.axis.unit}|{self.quantity}|{self.scale}|{self.spectra.shape}".encode())
        digest.update(self.axis.values.tobytes())
        digest.update(self.spectra.tobytes())
        for column in sorted(map(str, self.samples.columns)):
            digest.update(column.encode())
            digest.update(_column_text(self.samples[column]).encode())
        return digest.hexdigest()


def concatenate(batches: list[SpectralBatch], origin: Mapping[str, Any] | None = None) -> SpectralBatch:
    """Stack batches that share axis, quantity and scale; columns are united, missing ones become NaN.

    Raises
    ------
    BadInput
        When there is nothing to stack or axes, quantities or scales differ (never resampled in silence).
    """
    if not batches:
        raise BadInput("no batch to concatenate")
    first = batches[0]
    for other in batches[1:]:
        if other.axis != first.axis or (other.quantity, other.scale) != (first.quantity, first.scale):
            raise BadInput(
                "batches on different axes or quantities cannot be stacked",
                found=repr(other),
                expected=repr(first),
                mend="harmonise them first (soil_assets.spectra.harmonise)",
            )
    samples = (
        pd.concat([b.samples for b in batches], ignore_index=True) if len(batches) > 1 else first.samples
    )
    spectra = np.concatenate([b.spectra for b in batches])
    return replace(first, samples=samples, spectra=spectra, origin=dict(origin or first.origin))


def _column_text(column: pd.Series[Any]) -> str:
    # repr of floats is exact and the same on every platform; missing values are all written alike.
    return "\x1f".join(
        "" if pd.isna(v) else repr(float(v)) if isinstance(v, float) else str(v) for v in column
    )


def _few(names: Any) -> str:
    listed = [str(n) for n in names]
    return ", ".join(listed[:6]) + (f" ... ({len(listed)} columns)" if len(listed) > 6 else "")
