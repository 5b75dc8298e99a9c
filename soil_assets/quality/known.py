"""The library of scans that earlier batches brought, indexed for the search of near copies.

Belongs here: the index (signatures) and its forms. Does not belong here: searching it (``quality.duplicates``).

A signature is the projection of a scan's SNV absorbance on a few low-frequency cosines. The projection is
orthonormal, so it never lengthens a distance (|P x - P y| <= |x - y|): scans that are near stay near in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.errors import BadInput
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch, SpectraMatrix
from soil_assets.spectra.harmonise import to_quantity
from soil_assets.spectra.lab import normalise_id

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

#: Cosines of the projection: soil spectra are smooth, 16 of them hold nearly all of a distance.
_COSINES = 16
_SIGNATURE = "signature_"
_BLOCK_ROWS = 2048


@dataclass(frozen=True, eq=False)
class KnownSpectra:
    """Accepted scans of earlier batches, ready to be searched.

    Parameters
    ----------
    axis : Axis
        The model's axis.
    signatures : ndarray of float32, shape (n_scans, 16)
        Projections (:func:`signatures`), small enough to keep for a whole library.
    samples : DataFrame, n_scans rows
        ``sample_id``; ``batch`` where known, to say what was found; results, to tell an id that is used again.
    keys : ndarray of object, shape (n_scans,)
        The ids as they are matched (:func:`normalise_id`), None where there is none.
    spectra : callable
        Given rows, returns their harmonised absorbance spectra, shape (len(rows), n_bands): called for
        candidates only, so that the library itself may stay on disk.
    """

    axis: Axis
    signatures: npt.NDArray[np.float32]
    samples: pd.DataFrame
    keys: npt.NDArray[np.object_]
    spectra: Callable[[Rows], SpectraMatrix]

    def __len__(self) -> int:
        return int(self.signatures.shape[0])

    @classmethod
    def of(cls, batch: SpectralBatch) -> KnownSpectra:
        """Index harmonised scans that are held in memory."""
        return cls(
            batch.axis,
            signatures(batch),
            batch.samples,
            sample_keys(batch.samples),
            lambda rows: to_quantity(batch.take(rows), "absorbance").spectra,
        )

    def to_table(self) -> pd.DataFrame:
        """Return samples and signatures as one table to keep beside a batch: 64 bytes a scan and its results."""
        columns = {f"{_SIGNATURE}{k:02d}": column for k, column in enumerate(self.signatures.T)}
        return pd.concat([self.samples.reset_index(drop=True), pd.DataFrame(columns)], axis=1)

    @classmethod
    def from_table(
        cls, table: pd.DataFrame, axis: Axis, spectra: Callable[[Rows], SpectraMatrix]
    ) -> KnownSpectra:
        """Read what :meth:`to_table` returned; ``spectra`` fetches the scans of given rows when they are needed.

        Raises
        ------
        BadInput
            When the table holds no signatures.
        """
        names = [c for c in table.columns if str(c).startswith(_SIGNATURE)]
        if not names:
            raise BadInput(
                "a table without signatures", expected=f"columns {_SIGNATURE}00, {_SIGNATURE}01 ..."
            )
        kept = np.ascontiguousarray(table[names].to_numpy(dtype=np.float32))
        samples = table.drop(columns=names)
        return cls(axis, kept, samples, sample_keys(samples), spectra)

    @classmethod
    def joined(cls, parts: Sequence[KnownSpectra]) -> KnownSpectra:
        """Return the scans of several indexes as one; spectra stay where each index keeps them.

        Raises
        ------
        BadInput
            When there is no index, or they lie on different axes.
        """
        if not parts:
            raise BadInput("no index of known scans to join")
        for part in parts[1:]:
            if part.axis != parts[0].axis:
                raise BadInput(
                    "indexes of known scans lie on different axes",
                    found=part.axis.describe(),
                    expected=parts[0].axis.describe(),
                    mend="index the scans again on the model's axis",
                )
        starts = np.cumsum([0, *(len(p) for p in parts[:-1])])
        axis, fetchers = parts[0].axis, [p.spectra for p in parts]  # the parts themselves may go

        def fetch(rows: Rows) -> SpectraMatrix:
            owner = np.searchsorted(starts, rows, side="right") - 1
            out = np.empty((len(rows), len(axis)), dtype=np.float32)
            for k in np.unique(owner):
                mine = owner == k
                out[mine] = fetchers[k](rows[mine] - starts[k])
            return out

        return cls(
            axis,
            np.concatenate([p.signatures for p in parts]),
            pd.concat([p.samples for p in parts], ignore_index=True),
            np.concatenate([p.keys for p in parts]),
            fetch,
        )

    def without_batch(self, name: str) -> KnownSpectra:
        """Return the scans of all batches but one: a batch is never compared with its own older versions."""
        if "batch" not in self.samples.columns:
            return self
        keep = np.flatnonzero((self.samples["batch"] != name).to_numpy())
        samples, fetch = self.samples.iloc[keep].reset_index(drop=True), self.spectra  # this index may go
        return KnownSpectra(
            self.axis, self.signatures[keep], samples, self.keys[keep], lambda rows: fetch(keep[rows])
        )


def sample_keys(samples: pd.DataFrame) -> npt.NDArray[np.object_]:
    """Return the ids of a samples table as they are matched, None for a scan without id."""
    ids = samples["sample_id"]
    keys = [normalise_id(str(i)) if told else None for i, told in zip(ids, ids.notna(), strict=True)]
    return np.array(keys, dtype=object)


def signatures(batch: SpectralBatch) -> npt.NDArray[np.float32]:
    """Project SNV absorbance on low-frequency cosines, shape (n_scans, 16), in units of RMS over bands."""
    # The cosines are orthogonal to a constant, so that centring need not be done before projecting.
    basis = _cosines(batch.spectra.shape[1]).astype(np.float32)
    out = np.empty((len(batch), basis.shape[1]), dtype=np.float32)
    for start in range(0, len(batch), _BLOCK_ROWS):
        rows = slice(start, min(start + _BLOCK_ROWS, len(batch)))
        block = batch.spectra[rows]
        if batch.quantity != "absorbance":
            block = to_quantity(batch.take(np.arange(len(batch))[rows]), "absorbance").spectra
        block = block - block.mean(axis=1, dtype=np.float64, keepdims=True).astype(np.float32)
        deviation = np.sqrt(np.einsum("ij,ij->i", block, block) / block.shape[1])[:, None]
        out[rows] = (block @ basis) / np.where(deviation > 0, deviation, 1)
    return out


def _cosines(bands: int) -> Floats:
    """Return orthonormal rows of the discrete cosine transform (type II) without the constant, as columns.

    Scaled so that projected distances are root mean squares over bands.
    """
    frequency = np.arange(1, min(_COSINES, bands - 1) + 1)
    angle = np.pi / bands * (np.arange(bands) + 0.5)[:, None] * frequency[None, :]
    return np.asarray(np.cos(angle) * np.sqrt(2.0 / bands) / np.sqrt(bands))
