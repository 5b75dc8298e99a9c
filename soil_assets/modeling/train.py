"""Train a model of one property on one batch by a recipe.

Belongs here: which rows count, nested validation, and putting predictor, intervals and domain together.
Does not belong here: how a learner fits and chooses (``pls``), reading or registering anything.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.modeling import transforms
from soil_assets.modeling.applicability import fit_domain
from soil_assets.modeling.intervals import calibrate
from soil_assets.modeling.learners import TrainingData, learner
from soil_assets.modeling.metrics import group_codes, regression_metrics
from soil_assets.modeling.model import SoilModel, batch_sensors
from soil_assets.modeling.one_unit import check_one_unit
from soil_assets.modeling.recipe import Recipe
from soil_assets.modeling.splits import grouped_folds
from soil_assets.modeling.threads import suited_threads
from soil_assets.modeling.usable import check_groups, check_treated, usable_rows
from soil_assets.modeling.validation import Progress, against_other_splits, nested
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import Property

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def train(
    batch: SpectralBatch,
    prop: Property,
    recipe: Recipe,
    *,
    groups: npt.ArrayLike | None = None,
    progress: Progress | None = None,
    keep: str | Path | None = None,
) -> SoilModel:
    """Train a model with honest intervals.

    Validation is nested and grouped: for every outer fold the learner makes all its choices by inner folds of
    the other folds only, and the fold is predicted by what it chose. Those out-of-fold predictions give the
    cross-validated figures and the conformal intervals; the final model makes its choices on all rows.

    Parameters
    ----------
    batch : SpectralBatch
        Spectra on the model's axis with a column of the property in the catalogue's unit.
    prop : Property
        What to predict. Rows without it are left out and counted.
    recipe : Recipe
        How to train.
    groups : array_like, shape (n_scans,), optional
        Kept together in every split; ``batch.groups()`` (site, profile, sample) when left out.
    progress : callable, optional
        Called as ``progress(what, done, total)``.
    keep : path, optional
        Folder in which finished folds of the validation are kept, so that a cancelled training goes on from there.

    Returns
    -------
    SoilModel

    Raises
    ------
    BadInput
        For spectra that are not finite, a target that is missing throughout, constant or physically
        impossible, fewer samples than folds, or fewer than three groups.
    """
    with suited_threads(batch.spectra.size):
        return _train(batch, prop, recipe, groups, progress, keep)


def _train(
    batch: SpectralBatch,
    prop: Property,
    recipe: Recipe,
    groups: npt.ArrayLike | None,
    progress: Progress | None,
    keep: str | Path | None,
) -> SoilModel:
    rows = usable_rows(batch, prop, recipe)
    all_groups = np.asarray(batch.groups() if groups is None else groups)
    codes = group_codes(group_codes(all_groups, len(batch))[rows], rows.size)
    check_groups(codes)
    observed = batch.property_values(prop.name)[rows]
    check_one_unit(batch.spectra[rows].astype(np.float64), observed, prop.name, rows, recipe.seed)
    target = transforms.forward(observed, prop.transform)
    data = TrainingData(
        batch.spectra[rows].astype(np.float64), target, codes, batch_sensors(batch, recipe.sensors, rows)
    )
    report = progress or (lambda what, done, total: None)

    check_treated(data.spectra, recipe)
    outer = grouped_folds(codes, recipe.folds, recipe.seed)
    fitted = learner(recipe.learner).fit(data, recipe)
    if recipe.nested or fitted.left_out is None:
        held_out, nested_choices = nested(data, outer, recipe, report, keep)
    else:
        held_out, nested_choices = fitted.left_out, []
    domain = fit_domain(data.spectra, codes, rate=recipe.domain_rate, folds=recipe.folds, seed=recipe.seed)
    calibration = calibrate(held_out, target, codes, outer, domain.held, recipe.levels)

    def in_unit(scaled: FloatArray) -> FloatArray:
        return np.asarray(np.clip(transforms.backward(scaled, prop.transform), *prop.hard))

    against = against_other_splits(
        data, observed, held_out, recipe, in_unit, report=report, keep=keep, fitted=fitted
    )
    report("train", 1, 1)

    held_out_unit = in_unit(held_out)
    training: dict[str, Any] = {
        "n": int(rows.size),
        "n_left_out": int(len(batch) - rows.size),
        "n_groups": int(codes.max()) + 1,
        "folds": int(outer.max()) + 1,
        "seed": recipe.seed,
        "range": [float(observed.min()), float(observed.max())],
        "scaled_range": [float(target.min()), float(target.max())],
        "back_transform": transforms.STATEMENTS[prop.transform],
        "chosen": dict(fitted.chosen),
        **fitted.details,
        "validation": "nested" if nested_choices else "cross-fitted",
        "nested_choices": nested_choices,
        "cross_validation": regression_metrics(observed, held_out_unit),
        **against,
        **kept_for_drift(held_out_unit, observed, codes, domain.held["distance"], recipe.seed),
        "recipe_fingerprint": recipe.fingerprint(),
        "ids_sha256": _ids_hash(batch, rows),
        "batches": batch_counts(batch, rows),
    }
    return SoilModel(
        property=prop.name,
        label=prop.label,
        unit=prop.unit,
        method=prop.method,
        transform=prop.transform,
        limits=prop.hard,
        axis=batch.axis,
        quantity=batch.quantity,
        predictor=fitted.predictor,
        half_widths=calibration.half_widths,
        domain=domain,
        importance=fitted.importance,
        training=training,
        recipe=recipe.to_dict(),
        sensors=recipe.sensors,
        difficulty=calibration.difficulty,
    )


def kept_for_drift(
    predicted: FloatArray,
    observed: FloatArray,
    groups: IntArray,
    distances: FloatArray,
    seed: int,
    most: int = 2000,
) -> dict[str, list[float] | list[int]]:
    """Keep what new batches are compared with, of at most ``most`` training samples, all of the same rows.

    Out-of-fold predictions and their errors in the property's unit, the samples' groups, and how far each lay from
    the domain while it was held out.
    """
    rows = np.arange(predicted.size)
    if rows.size > most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    return {
        "held_out_values": [float(v) for v in predicted[rows]],
        "held_out_errors": [float(v) for v in (predicted - observed)[rows]],
        "held_out_distances": [float(v) for v in distances[rows]],
        "held_out_groups": [int(v) for v in groups[rows]],
    }


def batch_counts(batch: SpectralBatch, rows: IntArray) -> dict[str, int]:
    """Number of training samples by the batch they landed with; empty where samples do not say."""
    if "batch" not in batch.samples:
        return {}
    counts = batch.samples["batch"].iloc[rows].astype(str).value_counts()
    return {str(name): int(count) for name, count in sorted(counts.items())}


def _ids_hash(batch: SpectralBatch, rows: IntArray) -> str:
    text = "\n".join(sorted(str(v) for v in batch.sample_ids.iloc[rows]))
    return hashlib.sha256(text.encode()).hexdigest()
