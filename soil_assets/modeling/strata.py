"""Parts of a benchmark that an average may hide: little carbon, organic soils, one instrument, one site.

Belongs here: which samples belong to which stratum, and both models' figures there.
Does not belong here: the limits themselves (the policy) and the statistics of the whole (``comparison``).

Every stratum that is large enough is compared like the whole, but with intervals of confidence 1 - alpha / k for k
judged strata (Bonferroni), so that looking at many parts does not invent losses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.config import StrataPolicy
from soil_assets.modeling.comparison import compare
from soil_assets.modeling.coverage import coverage_table
from soil_assets.modeling.metrics import group_codes, regression_metrics
from soil_assets.modeling.plain import json_ready
from soil_assets.spectra.batch import SpectralBatch

Mask = npt.NDArray[np.bool_]
_MIN_GROUPS = 3


def strata_of(batch: SpectralBatch, policy: StrataPolicy) -> dict[str, Mask]:
    """Return the samples of every stratum, by its name.

    Parameters
    ----------
    batch : SpectralBatch
        Strata by carbon need a column ``soc`` in %; those by category need the policy's columns.
    policy : StrataPolicy

    Returns
    -------
    dict of str to ndarray of bool, shape (n_scans,)
        A cut with all known samples on one side is left out: it says nothing that the whole does not.
    """
    found: dict[str, Mask] = {}
    if "soc" in batch.samples.columns:
        soc = batch.property_values("soc")
        little, organic = f"{policy.soc_below:g} %", f"{policy.organic_from:g} %"
        with np.errstate(invalid="ignore"):
            cuts = [
                {f"SOC < {little}": soc < policy.soc_below, f"SOC >= {little}": soc >= policy.soc_below},
                {
                    f"mineral (SOC < {organic})": soc < policy.organic_from,
                    f"organic (SOC >= {organic})": soc >= policy.organic_from,
                },
            ]
        for cut in cuts:
            if all(mask.any() for mask in cut.values()):
                found |= cut
    for column in policy.columns:
        if column in batch.samples.columns:
            values = batch.samples[column]
            names = sorted(values.dropna().astype(str).unique())
            if len(names) > 1:
                text = values.astype(str).to_numpy()
                found |= {f"{column} {n}": (text == n) & values.notna().to_numpy() for n in names}
    return found


def evaluate_strata(
    predictions: pd.DataFrame,
    strata: Mapping[str, Mask],
    groups: npt.ArrayLike,
    *,
    min_samples: int,
    levels: tuple[float, ...],
    calibration_n: int,
) -> list[dict[str, Any]]:
    """Measure one model in every stratum.

    Parameters
    ----------
    predictions : DataFrame
        ``SoilModel.predict`` with ``observed``, every row of the batch.
    strata : mapping of str to ndarray of bool
        Over the rows of ``predictions``.
    groups : array_like, shape (n,)
    min_samples : int
        Below this a stratum is not judged.
    levels, calibration_n
        As of :func:`~soil_assets.modeling.coverage.coverage_table`.

    Returns
    -------
    list of dict
        ``name``, ``n``, ``n_groups``, ``judged``, ``metrics`` and ``coverage`` (None and [] where not judged).
    """
    codes = np.asarray(groups)
    usable = _usable(predictions)
    rows: list[dict[str, Any]] = []
    for name, mask in strata.items():
        kept = mask & usable
        n_groups = int(np.unique(codes[kept]).size)
        judged = _enough(int(kept.sum()), n_groups, min_samples)
        part = predictions[kept]
        metrics, coverage = None, []
        if judged:
            metrics = regression_metrics(part["observed"], part["value"])
            coverage = coverage_table(part, levels, calibration_n).to_dict("records")
        row = {
            "name": name, "n": int(kept.sum()), "n_groups": n_groups, "judged": judged, "metrics": metrics,
            "coverage": coverage,
        }  # fmt: skip
        rows.append(json_ready(row))
    return rows


def compare_strata(
    main: pd.DataFrame,
    candidate: pd.DataFrame,
    strata: Mapping[str, Mask],
    groups: npt.ArrayLike,
    *,
    min_samples: int,
    margin: float,
    alpha: float,
    n_boot: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Compare both models in every stratum.

    Parameters
    ----------
    main, candidate : DataFrame
        Predictions of the same samples in the same order, the candidate's with ``observed``.
    strata, groups, min_samples
        As of :func:`evaluate_strata`.
    margin, alpha, n_boot, seed
        As of :func:`~soil_assets.modeling.comparison.compare`; ``alpha`` is shared among the judged strata.

    Returns
    -------
    list of dict
        ``name``, ``n``, ``n_groups``, ``verdict`` (of the whole's verdicts, or ``not judged``), ``reason``, and RMSE of
        ``main`` and ``candidate`` with ``difference``, ``low`` and ``high`` in the property's unit.
    """
    codes = np.asarray(groups)
    usable = _usable(candidate) & np.isfinite(main["value"].to_numpy(dtype=np.float64))
    sizes = {
        name: (int((mask & usable).sum()), int(np.unique(codes[mask & usable]).size))
        for name, mask in strata.items()
    }
    judged = [name for name, (n, n_groups) in sizes.items() if _enough(n, n_groups, min_samples)]
    rows: list[dict[str, Any]] = []
    for name, mask in strata.items():
        n, n_groups = sizes[name]
        row: dict[str, Any] = {
            "name": name, "n": n, "n_groups": n_groups, "verdict": "not judged",
            "reason": f"{n} samples in {n_groups} groups: fewer than {min_samples}", "main": None, "candidate": None,
            "difference": None, "low": None, "high": None,
        }  # fmt: skip
        if name in judged:
            kept = mask & usable
            found = compare(
                candidate["observed"].to_numpy(dtype=np.float64)[kept],
                main[kept],
                candidate[kept],
                groups=group_codes(codes[kept], n),
                margin=margin,
                alpha=alpha / len(judged),
                n_boot=n_boot,
                seed=seed,
            )
            difference, low, high = found.rmse_difference or (None, None, None)
            row |= {
                "verdict": found.verdict,
                "reason": found.reason,
                "main": None if found.main is None else found.main["rmse"],
                "candidate": found.candidate["rmse"],
                "difference": difference,
                "low": low,
                "high": high,
            }
        rows.append(json_ready(row))
    return rows


def strata_in_words(rows: list[dict[str, Any]]) -> str:
    """Say in one sentence which strata got worse, how many were judged and how many were not."""
    worse = [f"{r['name']} (n {r['n']}): {r['reason']}" for r in rows if r["verdict"] == "worse"]
    judged = sum(r["verdict"] != "not judged" for r in rows)
    counted = f"{judged} of {len(rows)} strata judged"
    if not rows:
        return "not judged: the benchmark has no strata"
    return f"worse in {'; '.join(worse)} ({counted})" if worse else f"no stratum got worse ({counted})"


def _usable(predictions: pd.DataFrame) -> Mask:
    values = predictions[["observed", "value"]].to_numpy(dtype=np.float64)
    return np.asarray(np.isfinite(values).all(axis=1))


def _enough(n: int, n_groups: int, min_samples: int) -> bool:
    return n >= min_samples and n_groups >= max(_MIN_GROUPS, min(min_samples, 5))
