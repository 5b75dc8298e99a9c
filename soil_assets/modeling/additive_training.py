"""Models released from stored statistics: what a retrain costs after the history was summed.

Belongs here: penalty, left-out errors, intervals, domain and importance, all from sums and the calibration sample.
Does not belong here: the statistics (``batch_statistics``), training on the samples themselves (``train``).

The validation is grouped: a model without fold k is solved from the total less that fold's sums. For every fold the
penalty is chosen by the squared errors of the other folds (all their samples, from sums), so that no left-out
prediction hangs on its own fold. Interval quantiles come from the calibration sample's left-out errors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.modeling import transforms
from soil_assets.modeling.additive import (
    CrossProducts,
    Decomposition,
    decomposed,
    pls,
    pls_path,
    ridge,
    ridge_path,
    total,
)
from soil_assets.modeling.additive_domain import domain_from_sums
from soil_assets.modeling.additive_features import AdditiveFeatures
from soil_assets.modeling.applicability import ApplicabilityDomain
from soil_assets.modeling.batch_statistics import BatchFacts, BatchStatistics
from soil_assets.modeling.calibration_sample import CalibrationSample
from soil_assets.modeling.intervals import calibrate
from soil_assets.modeling.kernels import PENALTIES
from soil_assets.modeling.metrics import group_codes, regression_metrics
from soil_assets.modeling.model import SoilModel
from soil_assets.modeling.pls import to_bands, vip
from soil_assets.modeling.property_sums import PropertySums
from soil_assets.modeling.selection import squared_errors
from soil_assets.modeling.train import kept_for_drift
from soil_assets.spectra.catalogue import Property

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_MIN_SAMPLES = 4
_VIP_COMPONENTS = 15


@dataclass(frozen=True)
class AdditiveRecipe:
    """What is chosen about additive models beside their features.

    Parameters
    ----------
    levels : tuple of float
        Nominal coverages of the intervals.
    domain_rate : float
        Share of new samples of the same kind that the domain's limits may flag.
    penalty : float or None
        Fixed; chosen by the folds when None.
    """

    levels: tuple[float, ...] = (0.68, 0.90, 0.95)
    domain_rate: float = 0.01
    penalty: float | None = None


def release(
    features: AdditiveFeatures,
    statistics: BatchStatistics,
    properties: Sequence[Property],
    recipe: AdditiveRecipe,
) -> dict[str, SoilModel]:
    """Solve models of several properties; what they share (decompositions, domain) is computed once.

    Parameters
    ----------
    features : AdditiveFeatures
        That the statistics are of.
    statistics : BatchStatistics
        Of every batch that is trained on.
    properties : sequence of Property
    recipe : AdditiveRecipe

    Returns
    -------
    dict of str to SoilModel
        With intervals, domain and importance, as ``train`` gives.

    Raises
    ------
    BadInput
        When the features are other ones, a property has fewer than four samples, a constant target, an impossible
        value, or samples in fewer than three folds.
    """
    if features.identity != statistics.features_id:
        raise BadInput(
            "the statistics belong to other features",
            found=statistics.features_id[:12],
            expected=features.identity[:12],
            mend="compute the statistics of every batch again with these features",
        )
    shared = _Shared.of(statistics)
    return {p.name: _release(features, statistics, p, recipe, shared) for p in properties}


@dataclass(frozen=True, eq=False)
class _Shared:
    """What properties measured on the same samples share: sums without each fold, decompositions, domains.

    Parameters
    ----------
    whole : PropertySums
    rests : tuple of PropertySums
        Without each fold.
    decompositions, domains : dict
        By identity of the matrices, filled as they are needed.
    """

    whole: PropertySums
    rests: tuple[PropertySums, ...]
    decompositions: dict[int, Decomposition] = field(default_factory=dict)
    domains: dict[tuple[int, ...], ApplicabilityDomain] = field(default_factory=dict)

    @classmethod
    def of(cls, statistics: BatchStatistics) -> _Shared:
        # Without a fold: the others added up. The total less the fold would keep the fold's rounding errors.
        parts = statistics.kernel
        return cls(
            reduce(add, parts), tuple(reduce(add, parts[:k] + parts[k + 1 :]) for k in range(len(parts)))
        )

    def path(self, prop: str, fold: int, penalties: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return ridge without a fold for all penalties."""
        sums = self.rests[fold].sums[prop]
        if id(sums.xx) not in self.decompositions:
            self.decompositions[id(sums.xx)] = decomposed(sums)
        return ridge_path(sums, penalties, self.decompositions[id(sums.xx)])


def leave_one_batch_out(
    whole: CrossProducts, parts: Sequence[CrossProducts], penalty: float
) -> list[tuple[int, float]]:
    """Return (n, sum of squared errors) of every batch by the model of the other batches, from sums alone.

    Parameters
    ----------
    whole : CrossProducts
        Of all batches.
    parts : sequence of CrossProducts
        Of each.
    penalty : float
        Relative to the mean eigenvalue.
    """
    found = []
    for part in parts:
        coefficients, intercept = ridge(whole - part, penalty)
        errors = squared_errors(part, coefficients[None], np.array([intercept]))
        found.append((part.n, float(errors[0])))
    return found


def _release(
    features: AdditiveFeatures,
    statistics: BatchStatistics,
    prop: Property,
    recipe: AdditiveRecipe,
    shared: _Shared,
) -> SoilModel:
    kernel, bands = statistics.of_property(prop.name)
    everything = shared.whole.sums[prop.name]
    facts = [f for f in statistics.batches.values() if f.known.get(prop.name)]
    _check(prop, kernel, everything, facts)
    sample = statistics.sample.take(np.isfinite(statistics.sample.targets[prop.name]))
    target, codes = sample.targets[prop.name], group_codes(sample.group, len(sample))
    validation = _validate(kernel, shared, prop.name, sample, recipe.penalty)
    coefficients, intercept = ridge(everything, validation.penalty)
    key = tuple(id(part.xx) for part in bands)
    if key not in shared.domains:
        shared.domains[key] = domain_from_sums(
            bands, sample.bands, sample.fold, pretreatment=features.bands, rate=recipe.domain_rate,
            seed=features.seed,
        )  # fmt: skip
    domain = shared.domains[key]
    calibration = calibrate(validation.held_out, target, codes, sample.fold, domain.held, recipe.levels)
    held_out_unit = np.clip(transforms.backward(validation.held_out, prop.transform), *prop.hard)
    observed = transforms.backward(target, prop.transform)
    told = {
        "learner": "additive",
        "pretreatment": features.kernel.pretreatment.name,
        "landmarks": len(features.kernel.landmarks),
        "penalty": validation.penalty,
    }
    fingerprint = _fingerprint(features, recipe)
    training: dict[str, Any] = {
        "n": everything.n,
        "n_left_out": sum(f.n for f in statistics.batches.values()) - everything.n,
        "n_groups": len({g for f in facts for g in f.groups}),
        "n_batches": len(facts),
        "folds": sum(part.n > 0 for part in kernel),
        "seed": features.seed,
        "range": _span([f.ranges[prop.name] for f in facts]),
        "scaled_range": _span([f.scaled_ranges[prop.name] for f in facts]),
        "back_transform": transforms.STATEMENTS[prop.transform],
        "chosen": told,
        "validation": "grouped, from sums; the penalty of each fold from the others",
        "nested_choices": validation.choices,
        "cross_validation": regression_metrics(observed, held_out_unit),
        "cross_validation_rmse_scaled": validation.rmse,
        "calibration_groups": int(codes.max()) + 1,
        "random_validation": {
            "judged": False, "rmse": None, "gap": None, "n": everything.n,
            "why": "folds of additive statistics are by group alone",
        },
        **kept_for_drift(held_out_unit, observed, codes, domain.held["distance"], features.seed),
        "recipe_fingerprint": fingerprint,
        "ids_sha256": hashlib.sha256("".join(f.ids_sha256 for f in facts).encode()).hexdigest(),
        "batches": {name: f.n for name, f in sorted(statistics.batches.items())},
    }  # fmt: skip
    return SoilModel(
        property=prop.name,
        label=prop.label,
        unit=prop.unit,
        method=prop.method,
        transform=prop.transform,
        limits=prop.hard,
        axis=features.axis,
        quantity="absorbance" if features.quantity == "absorbance" else "reflectance",
        predictor=features.kernel.predictor(coefficients, intercept),
        half_widths=calibration.half_widths,
        domain=domain,
        importance=_importance(bands, len(features.axis)),
        training=training,
        recipe={
            **told,
            "levels": list(recipe.levels),
            "domain_rate": recipe.domain_rate,
            "seed": features.seed,
        },
        difficulty=calibration.difficulty,
    )


@dataclass(frozen=True, eq=False)
class _Validation:
    """Left-out predictions of the sample, the final penalty, every fold's own, and the RMSE over all samples."""

    held_out: FloatArray
    penalty: float
    choices: list[dict[str, Any]]
    rmse: float


def _validate(
    kernel: Sequence[CrossProducts],
    shared: _Shared,
    prop: str,
    sample: CalibrationSample,
    fixed: float | None,
) -> _Validation:
    penalties = PENALTIES if fixed is None else np.array([fixed])
    folds = [k for k, part in enumerate(kernel) if part.n > 0]
    paths = {k: shared.path(prop, k, penalties) for k in folds}
    errors = {k: squared_errors(kernel[k], *paths[k]) for k in folds}
    whole = np.sum([errors[k] for k in folds], axis=0)
    held_out = np.empty(len(sample))
    choices, squared = [], 0.0
    for k in folds:
        chosen = int(np.argmin(whole - errors[k]))
        coefficients, intercepts = paths[k]
        out = sample.fold == k
        held_out[out] = sample.kernel[out] @ coefficients[chosen] + intercepts[chosen]
        digest = hashlib.sha256(coefficients[chosen].tobytes()).hexdigest()
        choices.append({"fold": k, "penalty": float(penalties[chosen]), "sha256": digest})
        squared += float(errors[k][chosen])
    if not np.isfinite(held_out).all():
        raise BadInput("left-out predictions are not finite", found=f"{len(sample)} samples")
    best = float(penalties[int(np.argmin(whole))])
    return _Validation(held_out, best, choices, float(np.sqrt(squared / sum(p.n for p in kernel))))


def _importance(bands: Sequence[CrossProducts], n_bands: int) -> FloatArray:
    """VIP of PLS on averaged bands, its number of components by the folds; all from sums."""
    everything = total(bands)
    most = max(1, min(_VIP_COMPONENTS, everything.n // 3, everything.sum_x.size))
    folds = [part for part in bands if part.n]
    errors = np.sum([squared_errors(part, *pls_path(everything - part, most)) for part in folds], axis=0)
    path = pls(everything, int(np.argmin(errors)) + 1)
    return to_bands(vip(path.directions.T, path.explained), n_bands)


def _check(
    prop: Property, kernel: Sequence[CrossProducts], everything: CrossProducts, facts: Sequence[BatchFacts]
) -> None:
    if everything.n < _MIN_SAMPLES:
        raise BadInput(
            f"too few samples with {prop.name}", column=prop.name, found=str(everything.n),
            expected=f"at least {_MIN_SAMPLES}", mend="add the laboratory's results, or leave the property out",
        )  # fmt: skip
    low, high = _span([f.ranges[prop.name] for f in facts])
    if low < prop.hard[0] or high > prop.hard[1]:
        raise BadInput(
            f"a value of {prop.name} is physically impossible", column=prop.name, found=f"{low:g} to {high:g}",
            expected=f"{prop.hard[0]:g} to {prop.hard[1]:g} {prop.unit}",
            mend="check the unit of the laboratory's column",
        )  # fmt: skip
    if high - low <= 1e-9 * max(1.0, abs(high)):
        raise BadInput(f"{prop.name} is constant", column=prop.name, found=f"{low:g}")
    if sum(part.n > 0 for part in kernel) < 3:
        raise BadInput(
            "too few groups for a validation that splits none of them",
            found=f"samples in {sum(part.n > 0 for part in kernel)} of {len(kernel)} folds",
            expected="at least three",
            mend="add samples of other profiles or sites",
        )


def _span(pairs: Sequence[tuple[float, float]]) -> list[float]:
    return [float(min(p[0] for p in pairs)), float(max(p[1] for p in pairs))]


def _fingerprint(features: AdditiveFeatures, recipe: AdditiveRecipe) -> str:
    text = json.dumps({"features": features.identity, **vars(recipe)}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
