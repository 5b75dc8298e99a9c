"""What changed between two versions of a batch: samples, spectra, lab values.

Belongs here: comparing two batches that bear one name. Does not belong here: drift (another population, not
another version) and duplicates (``quality``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from soil_assets.spectra.batch import SpectralBatch

_PLACES = frozenset({"sample_id", "scan_id", "source_file", "source_row"})


@dataclass(frozen=True)
class Difference:
    """The new version against the old one.

    Parameters
    ----------
    added, removed : tuple of str
        Sample ids that only the new, or only the old version has.
    changed_spectra : tuple of str
        Ids whose scans differ in number or in any band.
    changed_values : dict of str to tuple of str
        By column: ids whose values differ.
    axis : str
        Both axes when they differ, else empty.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed_spectra: tuple[str, ...]
    changed_values: dict[str, tuple[str, ...]]
    axis: str = ""

    @property
    def nothing(self) -> bool:
        """Whether the versions hold the same."""
        return not (self.added or self.removed or self.changed_spectra or self.changed_values or self.axis)

    def in_words(self) -> str:
        """Say it in one line."""
        if self.nothing:
            return "the same scans and values as before"
        parts = [self.axis] if self.axis else []
        for word, ids in (
            ("new", self.added),
            ("gone", self.removed),
            ("with other spectra", self.changed_spectra),
        ):
            if ids:
                parts.append(f"{len(ids)} samples {word} ({_few(ids)})")
        parts += [
            f"{column} of {len(ids)} samples ({_few(ids)})" for column, ids in self.changed_values.items()
        ]
        return "; ".join(parts)


def difference(old: SpectralBatch | None, new: SpectralBatch | None) -> Difference:
    """Compare two versions of a batch; either may hold no spectra at all.

    Samples are matched by ``sample_id``; a scan without one counts under the id ``(no id)``. Values are compared
    as they stand in both tables, missing equals missing.
    """
    before, after = _by_sample(old), _by_sample(new)
    axis = ""
    if old is not None and new is not None and old.axis != new.axis:
        axis = f"axis {old.axis.describe()} became {new.axis.describe()}"
    both = [sample for sample in after if sample in before]
    spectra, values = [], {}
    if old is not None and new is not None:
        if not axis:
            spectra = [s for s in both if not _same_scans(old.spectra[before[s]], new.spectra[after[s]])]
        shared = [c for c in new.samples.columns if c in old.samples.columns and str(c) not in _PLACES]
        for column in shared:
            was, now = old.samples[column], new.samples[column]
            ids = tuple(s for s in both if not _same_values(was.iloc[before[s]], now.iloc[after[s]]))
            if ids:
                values[str(column)] = ids
    return Difference(
        tuple(s for s in after if s not in before),
        tuple(s for s in before if s not in after),
        tuple(spectra),
        values,
        axis,
    )


def _by_sample(batch: SpectralBatch | None) -> dict[str, list[int]]:
    if batch is None:
        return {}
    rows: dict[str, list[int]] = {}
    for row, sample in enumerate(batch.sample_ids):
        rows.setdefault("(no id)" if pd.isna(sample) else str(sample), []).append(row)
    return rows


def _same_scans(old: np.ndarray, new: np.ndarray) -> bool:
    """Whether two sets of scans hold the same spectra, in whatever order they were exported."""
    return sorted(s.tobytes() for s in old) == sorted(s.tobytes() for s in new)


def _same_values(old: pd.Series, new: pd.Series) -> bool:
    def texts(values: pd.Series) -> list[str]:
        return sorted("" if pd.isna(v) else f"{v:.12g}" if isinstance(v, float) else str(v) for v in values)

    return texts(old) == texts(new)


def _few(ids: tuple[str, ...], most: int = 5) -> str:
    return ", ".join(ids[:most]) + (" ..." if len(ids) > most else "")
