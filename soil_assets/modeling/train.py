"""Train a model of one property on one batch by a recipe.

Belongs here: which rows count, nested validation, and putting predictor, intervals and domain together.
Does not belong here: how a learner fits and chooses (``pls``), reading or registering anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.modeling import transforms
from soil_assets.modeling.applicability import fit_domain
from soil_assets.modeling.intervals import half_widths
from soil_assets.modeling.learners import TrainingData, learner
from soil_assets.modeling.metrics import group_codes, regression_metrics
from soil_assets.modeling.model import SoilModel, batch_sensors
from soil_assets.modeling.recipe import Recipe
from soil_assets.modeling.splits import grouped_folds
from soil_assets.modeling.threads import suited_threads
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import Property

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
#: Called as ``progress(what, done, total)``.
Progress = Callable[[str, int, int], None]


def train(
    batch: SpectralBatch,
    prop: Property,
    recipe: Recipe,
    *,
    groups: npt.ArrayLike | None = None,
    progress: Progress | None = None,
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
        return _train(batch, prop, recipe, groups, progress)


def _train(
    batch: SpectralBatch,
    prop: Property,
    recipe: Recipe,
    groups: npt.ArrayLike | None,
    progress: Progress | None,
) -> SoilModel:
    rows = _usable_rows(batch, prop, recipe)
    all_groups = np.asarray(batch.groups() if groups is None else groups)
    codes = group_codes(group_codes(all_groups, len(batch))[rows], rows.size)
    _check_groups(codes)
    observed = batch.property_values(prop.name)[rows]
    target = transforms.forward(observed, prop.transform)
    data = TrainingData(
        batch.spectra[rows].astype(np.float64), target, codes, batch_sensors(batch, recipe.sensors, rows)
    )
    report = progress or (lambda what, done, total: None)

    _check_treated(data.spectra, recipe)
    outer = grouped_folds(codes, recipe.folds, recipe.seed)
    fitted = learner(recipe.learner).fit(data, recipe)
    if recipe.nested or fitted.left_out is None:
        held_out, nested_choices = _nested(data, outer, recipe, report)
    else:
        held_out, nested_choices = fitted.left_out, []
    domain = fit_domain(data.spectra, codes, rate=recipe.domain_rate, folds=recipe.folds, seed=recipe.seed)
    report("train", 1, 1)

    held_out_unit = np.clip(transforms.backward(held_out, prop.transform), *prop.hard)
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
        **_kept_for_drift(held_out_unit, observed, codes, domain.held["distance"], recipe.seed),
        "recipe_fingerprint": recipe.fingerprint(),
        "ids_sha256": _ids_hash(batch, rows),
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
        half_widths=half_widths(np.abs(held_out - target), codes, recipe.levels),
        domain=domain,
        importance=fitted.importance,
        training=training,
        recipe=recipe.to_dict(),
        sensors=recipe.sensors,
    )


def _nested(
    data: TrainingData, outer: IntArray, recipe: Recipe, report: Progress
) -> tuple[FloatArray, list[dict[str, Any]]]:
    """Predict every outer fold by what the other folds alone chose and fitted."""
    held_out = np.empty(data.target.size)
    choices = []
    n_folds = int(outer.max()) + 1
    for k in range(n_folds):
        out = outer == k
        fitted = learner(recipe.learner).fit(data.take(~out), recipe)
        left = data.take(out)
        held_out[out] = fitted.predictor.predict(left.spectra, left.sensors)
        choices.append({**fitted.chosen, "sha256": fitted.digest()})
        report("nested cross-validation", k + 1, n_folds)
    return held_out, choices


def _usable_rows(batch: SpectralBatch, prop: Property, recipe: Recipe) -> IntArray:
    if batch.scale != "fraction":
        raise BadInput(
            "spectra are in percent", found=batch.scale, expected="fraction", mend="harmonise them first"
        )
    values = batch.property_values(prop.name)
    finite = np.isfinite(values)
    rows = np.flatnonzero(finite)
    if rows.size == 0:
        raise BadInput(
            f"no sample has a value of {prop.name}",
            column=prop.name,
            found=f"{len(batch)} rows, all missing",
            mend="add the laboratory's results, or leave the property out",
        )
    broken = rows[~np.isfinite(batch.spectra[rows]).all(axis=1)]
    if broken.size:
        raise BadInput(
            "a training spectrum has missing or infinite values",
            row=int(broken[0]) + 1,
            found=f"{broken.size} such spectra, first {batch.sample_ids.iloc[int(broken[0])]}",
            mend="quarantine those rows before training",
        )
    kept = values[rows]
    impossible = (kept < prop.hard[0]) | (kept > prop.hard[1])
    if impossible.any():
        first = int(rows[np.flatnonzero(impossible)[0]])
        raise BadInput(
            f"{int(impossible.sum())} values of {prop.name} are physically impossible",
            row=first + 1,
            column=prop.name,
            found=f"{values[first]:g}",
            expected=f"{prop.hard[0]:g} to {prop.hard[1]:g} {prop.unit}",
            mend="check the unit of the laboratory's column",
        )
    if rows.size < max(recipe.folds, 4):
        raise BadInput(
            "fewer samples than folds",
            column=prop.name,
            found=f"{rows.size} samples with {prop.name}",
            expected=f"at least {max(recipe.folds, 4)}",
            mend="add samples, or ask for fewer folds",
        )
    if np.ptp(kept) <= 1e-9 * max(1.0, float(np.abs(kept).max())):
        raise BadInput(f"{prop.name} is constant", column=prop.name, found=f"{kept[0]:g} in {rows.size} rows")
    return rows.astype(np.int64)


def _check_groups(codes: IntArray) -> None:
    n_groups = int(codes.max()) + 1
    if n_groups < 3:
        raise BadInput(
            "too few groups for a nested validation that splits none of them",
            found=f"{n_groups} group{'s' if n_groups > 1 else ''} in {codes.size} samples",
            expected="at least three",
            mend="add samples of other profiles or sites, or group by a finer column",
        )


def _check_treated(spectra: FloatArray, recipe: Recipe) -> None:
    for pretreatment in recipe.pretreatments:
        bad = np.flatnonzero(~np.isfinite(pretreatment.apply(spectra)).all(axis=1))
        if bad.size:
            raise BadInput(
                f"{bad.size} training spectra are flat: they have no {pretreatment.name}",
                row=int(bad[0]) + 1,
                mend="quarantine those rows before training",
            )


def _kept_for_drift(
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


def _ids_hash(batch: SpectralBatch, rows: IntArray) -> str:
    text = "\n".join(sorted(str(v) for v in batch.sample_ids.iloc[rows]))
    return hashlib.sha256(text.encode()).hexdigest()
