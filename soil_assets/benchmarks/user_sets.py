"""A benchmark of one's own: a YAML definition and one file, read into a set that can be scored.

Belongs here: columns, folds and groups that a definition names, and what is wrong with them. Does not belong here: the
shipped benchmarks, whose files have layouts of their own (``scored_sets``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.benchmarks.official import OfficialBenchmark, data_file
from soil_assets.benchmarks.scored_sets import ScoredSet, bands_of
from soil_assets.errors import BadInput
from soil_assets.modeling import transforms

FloatArray = npt.NDArray[np.float64]


def user_set(frozen: OfficialBenchmark) -> tuple[ScoredSet, dict[str, float]]:
    """Return the set and the published RMSE by target, where the definition has some.

    Raises
    ------
    BadInput
        When a column is missing, spectra are not finite, or there is only one fold to predict from.
    """
    if not frozen.targets or frozen.fold is None:
        raise BadInput(
            "a benchmark needs targets and the column of its folds",
            file=frozen.name,
            found=f"targets {sorted(frozen.targets)}, fold {frozen.fold}",
            mend="state them in the definition",
        )
    file = data_file(frozen.source, frozen.sha256)
    table = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)
    named = [*frozen.targets, frozen.fold, *frozen.sensors, *([frozen.group] if frozen.group else [])]
    missing = [c for c in named if c not in table.columns]
    if missing:
        raise BadInput(
            "a column that the benchmark's definition names is not in its file",
            file=str(file),
            column=missing[0],
            mend="correct the name in the definition",
        )
    spectra = bands_of(table)
    if spectra.shape[1] < 2 or not np.isfinite(spectra).all():
        rows = np.flatnonzero(~np.isfinite(spectra).all(axis=1))
        raise BadInput(
            "spectra need two or more columns named by their band, without gaps",
            file=str(file),
            row=int(rows[0]) + 2 if rows.size else None,
            found=f"{spectra.shape[1]} bands, {rows.size} rows with gaps",
        )
    if frozen.quantity == "reflectance":
        if spectra.min() <= 0.0:
            raise BadInput("reflectance must be positive", file=str(file), found=f"{spectra.min():g}")
        spectra = -np.log10(spectra)
    targets = {t: _target(table, t, scale, str(file)) for t, scale in frozen.targets.items()}
    labels = table[frozen.fold].astype(str)
    fold = pd.factorize(labels)[0].astype(np.int64)
    if frozen.never_predicted is not None:
        fold[(labels == frozen.never_predicted).to_numpy()] = -1
    if len(set(fold.tolist())) < 2:
        raise BadInput("nothing to train on: all samples are in one fold", file=str(file), column=frozen.fold)
    groups = pd.factorize(table[frozen.group])[0] if frozen.group else np.arange(len(table))
    sensors = table[list(frozen.sensors)].to_numpy(dtype=np.float64) if frozen.sensors else None
    scored = ScoredSet(frozen.name, spectra, targets, fold, groups.astype(np.int64), sensors)
    return scored, _published(frozen)


def _target(table: pd.DataFrame, name: str, scale: str, file: str) -> FloatArray:
    values = pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64)
    if np.isfinite(values).sum() < 4:
        raise BadInput(
            "fewer than four values of a target", file=file, column=name, found=str(np.isfinite(values).sum())
        )
    if scale not in transforms.STATEMENTS:
        return values
    known = np.isfinite(values)
    values[known] = transforms.forward(values[known], scale)
    return values


def _published(frozen: OfficialBenchmark) -> dict[str, float]:
    if frozen.published is None:
        return {}
    file = data_file(frozen.published.path, frozen.published.sha256)
    table = pd.read_csv(file)
    if not {"target", "rmse"} <= set(table.columns):
        raise BadInput(
            "published results need columns target and rmse",
            file=str(file),
            found=", ".join(map(str, table.columns)),
        )
    best = table.groupby("target")["rmse"].min()
    return {str(t): float(v) for t, v in best.items()}
