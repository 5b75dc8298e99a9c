"""Replicates: several scans of one sample, how far they lie apart, and their mean.

Belongs here: the spread of replicates, results that contradict each other under one id, averaging.
Does not belong here: copies of a scan (``quality.duplicates``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.spectra.batch import KEY_COLUMNS, SpectralBatch
from soil_assets.spectra.catalogue import Catalogue
from soil_assets.spectra.harmonise import to_quantity

Floats = npt.NDArray[np.float64]

#: A batch with fewer replicated samples than this does not tell how far its replicates usually lie apart.
MIN_REPLICATED = 5
#: Values of one sample that differ by more than this share of their mean contradict each other.
_CONFLICT = 0.5


@dataclass(frozen=True)
class ReplicateSummary:
    """How well a batch repeats itself.

    Parameters
    ----------
    samples, replicated : int
        Distinct samples, and those with at least two usable scans.
    scans_per_sample : mapping of int to int
        How many samples have how many scans.
    within : float
        Median distance of a replicate from its sample's others (RMS of SNV absorbance); NaN without
        replicates.
    between : float
        Median distance of a sample from the mean of all samples, the same measure.
    """

    samples: int
    replicated: int
    scans_per_sample: dict[int, int]
    within: float
    between: float

    def describe(self) -> str | None:
        """Say it in one sentence, or None without replicates."""
        if not self.replicated:
            return None
        counts = ", ".join(f"{n} with {k}" for k, n in sorted(self.scans_per_sample.items()))
        return (
            f"replicates: {self.samples} samples ({counts} scans); a replicate lies {self.within:.3f} from "
            f"its sample's others, a sample {self.between:.3f} from the batch's mean (RMS of SNV absorbance)"
        )


def replicate_figures(
    harmonised: SpectralBatch, rows: npt.NDArray[np.intp], count: int, far_ratio: float
) -> tuple[pd.DataFrame, ReplicateSummary]:
    """Measure how far each scan lies from the other scans of its sample.

    A scan ``far_ratio`` times as far from its siblings as is usual in the batch is also compared with other soils.

    The distance of scan i from the mean of its m - 1 siblings is scaled by sqrt((m - 1) / m), so that two and
    six replicates of the same spread give the same figure.

    Returns
    -------
    (DataFrame, ReplicateSummary)
        ``replicate_distance`` (RMS of SNV absorbance), ``replicate_ratio`` (against the batch's median) and
        ``replicate_vs_soils`` (of scans unusually far off: against the median distance of samples from the
        batch's mean), one row a landed scan; NaN for scans without siblings, and for the ratios in batches
        with few replicated samples.
    """
    columns = {
        n: np.full(count, np.nan) for n in ("replicate_distance", "replicate_ratio", "replicate_vs_soils")
    }
    ids = harmonised.samples["sample_id"]
    codes, uniques = pd.factorize(ids.where(ids.notna()))
    known = codes >= 0
    sizes = np.bincount(codes[known], minlength=len(uniques))
    sizes_of = np.where(known, sizes[codes] if len(uniques) else 0, 0)
    counts, samples = np.unique(sizes[sizes > 0], return_counts=True)
    per_sample = {int(k): int(n) for k, n in zip(counts, samples, strict=True)}
    replicated = int((sizes > 1).sum())
    if not replicated:
        summary = ReplicateSummary(int((sizes > 0).sum()), 0, per_sample, np.nan, np.nan)
        return pd.DataFrame(columns), summary
    spectra = snv(to_quantity(harmonised, "absorbance").spectra)
    # Sums by sample, one addition a scan: spectra are sorted by sample once, not looped over by band.
    order = np.argsort(codes[known], kind="stable")
    sorted_rows = np.flatnonzero(known)[order]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    sums = np.add.reduceat(spectra[sorted_rows], starts, axis=0)
    means = sums / sizes[:, None]
    between = float(np.median(_rms(means - means.mean(axis=0))))
    siblings = np.flatnonzero(sizes_of > 1)
    m = sizes_of[siblings]
    # x - mean of the others = (x - mean of all) * m / (m - 1)
    away = _rms(spectra[siblings] - means[codes[siblings]]) * m / (m - 1)
    distance = away * np.sqrt((m - 1) / m)
    within = float(np.median(distance))
    place = rows[siblings]
    columns["replicate_distance"][place] = distance
    if replicated >= MIN_REPLICATED and within > 0:
        columns["replicate_ratio"][place] = distance / within
        if between > 0:
            far = distance > far_ratio * within
            columns["replicate_vs_soils"][place] = np.where(far, distance / between, np.nan)
    summary = ReplicateSummary(int((sizes > 0).sum()), replicated, per_sample, within, between)
    return pd.DataFrame(columns), summary


def contradicting_results(samples: pd.DataFrame, catalogue: Catalogue) -> pd.DataFrame:
    """Say for each scan whether its sample carries several values of one property.

    Returns
    -------
    DataFrame
        ``results_differ`` and ``results_conflict`` (text or None): the second when values differ by more than
        half of their mean. No columns when no id comes twice: then there is nothing to judge.
    """
    texts: dict[str, list[str | None]] = {
        "results_differ": [None] * len(samples),
        "results_conflict": [None] * len(samples),
    }
    names = [str(c) for c in samples.columns if str(c) in catalogue]
    ids = samples["sample_id"]
    if not names or not ids[ids.notna()].duplicated().any():
        return pd.DataFrame(index=pd.RangeIndex(len(samples)))
    grouped = samples[names].astype(np.float64).groupby(ids.to_numpy())
    low, high = (grouped.transform(how).to_numpy(dtype=np.float64) for how in ("min", "max"))
    scale = (np.abs(low) + np.abs(high)) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.nan_to_num((high - low) / scale)
    for column, limit_low, limit_high in (
        ("results_differ", 1e-6, _CONFLICT),
        ("results_conflict", _CONFLICT, np.inf),
    ):
        hit = (spread > limit_low) & (spread <= limit_high)
        for row in np.flatnonzero(hit.any(axis=1)):
            torn = [f"{names[k]} from {low[row, k]:g} to {high[row, k]:g}" for k in np.flatnonzero(hit[row])]
            texts[column][row] = "; ".join(torn)
    return pd.DataFrame(texts, dtype=object)


def average_replicates(batch: SpectralBatch) -> SpectralBatch:
    """Return one scan a sample: the mean spectrum, the mean of numbers, the first of texts.

    Scans without id are kept as they are. ``n_scans`` counts the scans behind each row; ``scan_id`` and
    ``replicate`` go, since they name single scans.
    """
    ids = batch.samples["sample_id"]
    keys = ids.where(ids.notna(), "\0row " + pd.Series(np.arange(len(batch)).astype(str), index=ids.index))
    codes, _ = pd.factorize(keys)
    count = int(codes.max()) + 1 if len(codes) else 0
    if count == len(batch):
        return batch.with_samples(batch.samples.assign(n_scans=1))
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes, minlength=count)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    spectra = np.add.reduceat(batch.spectra[order].astype(np.float64), starts, axis=0) / sizes[:, None]
    samples = batch.samples.drop(columns=[c for c in ("scan_id", "replicate") if c in batch.samples.columns])
    numbers = [c for c in samples.columns if c not in KEY_COLUMNS and samples[c].dtype.kind == "f"]
    how = {c: "mean" if c in numbers else "first" for c in samples.columns}
    table = samples.groupby(codes, sort=True).agg(how).reset_index(drop=True)
    return replace(batch, samples=table.assign(n_scans=sizes), spectra=spectra.astype(np.float32))


def snv(spectra: npt.NDArray[np.float32]) -> Floats:
    """Return standard normal variates, as float64: each spectrum centred and scaled to unit deviation."""
    centred = spectra.astype(np.float64)
    centred -= centred.mean(axis=1, keepdims=True)
    deviation = centred.std(axis=1, keepdims=True)
    centred /= np.where(deviation > 0, deviation, 1.0)
    return centred


def _rms(rows: Floats) -> Floats:
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", rows, rows) / rows.shape[1]))
