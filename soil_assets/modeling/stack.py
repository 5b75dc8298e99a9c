"""A stack of kernel members over several pre-treatments and two scales: the most accurate learner here on small sets.

Belongs here: fitting targets on a basis of kernels, on the target's own scale and, where it is skewed, on a
logarithmic one beside it; honest left-out predictions. Does not belong here: members (``stack_basis``), their weights
(``stack_weights``), predicting (``predictors``, ``blend``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from soil_assets.modeling import pls
from soil_assets.modeling.blend import BlendPredictor
from soil_assets.modeling.learners import Fitted, TrainingData
from soil_assets.modeling.left_out import LeftOut
from soil_assets.modeling.predictors import StackPredictor
from soil_assets.modeling.pretreatment import chain, snv
from soil_assets.modeling.scales import ShiftedLog, thinned
from soil_assets.modeling.splits import grouped_folds
from soil_assets.modeling.stack_basis import STACK_PRETREATMENTS, StackBasis
from soil_assets.modeling.stack_weights import stack_weights

if TYPE_CHECKING:
    from soil_assets.modeling.recipe import Recipe

__all__ = ["STACK_PRETREATMENTS", "StackBasis", "StackFit", "fit", "repeated_folds", "solve", "stack_weights"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Rows = npt.NDArray[np.bool_]
_BOTH = np.array([0.5, 0.5])  # prior weights of the two scales


@dataclass(frozen=True, eq=False)
class StackFit:
    """One target's stack.

    Parameters
    ----------
    predictor : StackPredictor or BlendPredictor
    held_out : ndarray, shape (n,)
        Left-out predictions; settings, weights and scale of each fold were chosen without it.
    shares : dict of str to float
        Weight of every pre-treatment, of sensors alone, and of the second scale.
    members : int
        Number of kernels.
    fine : bool
        Whether the recipe's finer pre-treatments were taken.
    """

    predictor: StackPredictor | BlendPredictor
    held_out: FloatArray
    shares: dict[str, float]
    members: int
    fine: bool = False


def fit(data: TrainingData, recipe: Recipe) -> Fitted:
    """Fit the stack; settings and weights come from grouped, repeated left-out predictions."""
    found = fit_targets(data, data.target[:, None], recipe)[0]
    # Bands have no single coefficient in a stack: their importance is that of a PLS model of the same data.
    plain = replace(recipe, learner="pls", pretreatments=(chain(snv()),), nested=True, sensors=())
    simple = pls.fit(replace(data, sensors=None), plain)
    chosen = {"learner": "stack", "members": found.members, "fine": found.fine}
    return Fitted(found.predictor, simple.importance, chosen, {"weights": found.shares}, found.held_out)


def fit_targets(data: TrainingData, targets: FloatArray, recipe: Recipe) -> list[StackFit]:
    """Fit several targets, shape (n, n_targets), of the same samples; ``data.target`` is not used.

    From ``recipe.fine_from`` samples every target takes the finer pre-treatments where its left-out predictions are
    better by them; those of each fold are taken from what the other folds favour.
    """
    folds = repeated_folds(data.groups, recipe)
    usual = solve(StackBasis.of(data, recipe.pretreatments, joint=recipe.joint), targets, folds, recipe)
    if not recipe.fine or len(targets) < recipe.fine_from:
        return usual
    plain = replace(recipe, weighted_from=0)  # the joint kernels of many fine bands are what is tried
    fine = solve(StackBasis.of(data, recipe.fine, joint=True), targets, folds, plain)
    return [_better(a, b, t, folds[0]) for a, b, t in zip(usual, fine, targets.T, strict=True)]


def _better(usual: StackFit, fine: StackFit, target: FloatArray, fold: IntArray) -> StackFit:
    held_out, takes_fine = better_of(usual.held_out, fine.held_out, target, fold)
    return replace(fine if takes_fine else usual, held_out=held_out, fine=takes_fine)


def better_of(
    usual: FloatArray, fine: FloatArray, target: FloatArray, fold: IntArray
) -> tuple[FloatArray, bool]:
    """Return left-out predictions, each fold's of the one that is better on the other folds, and which is on all."""
    gain = (usual - target) ** 2 - (fine - target) ** 2
    held_out = usual.copy()
    for k in range(int(fold.max()) + 1):
        out = fold == k
        if gain[~out].sum() > 0.0:
            held_out[out] = fine[out]
    return held_out, bool(gain.sum() > 0.0)


def repeated_folds(groups: IntArray, recipe: Recipe) -> list[IntArray]:
    """Return ``recipe.repeats`` assignments of groups to folds."""
    return [grouped_folds(groups, recipe.folds, recipe.seed + r) for r in range(recipe.repeats)]


@dataclass(frozen=True, eq=False)
class Prepared:
    """Left-out predictions of several targets on both scales, the costly part of a fit.

    Parameters
    ----------
    left_out : LeftOut
        Columns are the targets, then the logarithms of those that have one.
    targets : ndarray, shape (n, n_targets)
    columns : ndarray, shape (n, n_columns)
    logs : tuple of ShiftedLog or None
        By target.
    """

    left_out: LeftOut
    targets: FloatArray
    columns: FloatArray
    logs: tuple[ShiftedLog | None, ...]

    def scales(self, target: int, *, second_scale: bool) -> list[_Scale]:
        """Return the scales of one target."""
        found = [_Scale(self.left_out, target, self.targets[:, target], None)]
        log = self.logs[target]
        if log is not None and second_scale:
            place = self.targets.shape[1] + sum(other is not None for other in self.logs[:target])
            found.append(_Scale(self.left_out, place, self.columns[:, place], log))
        return found


def prepare(
    basis: StackBasis,
    targets: FloatArray,
    folds: Sequence[IntArray],
    *,
    components: int,
    second_scale: bool,
    weighted_from: int,
    seed: int,
) -> Prepared:
    """Predict several targets, shape (n, n_targets), without each fold; kernels are worked through once."""
    logs = tuple(ShiftedLog.fit(t) if second_scale else None for t in targets.T)
    second = [log.forward(t) for t, log in zip(targets.T, logs, strict=True) if log is not None]
    columns = np.column_stack([targets, *second])
    left_out = basis.left_out(columns, folds, components=components, weighted_from=weighted_from, seed=seed)
    return Prepared(left_out, targets, columns, logs)


def solve(
    basis: StackBasis, targets: FloatArray, folds: Sequence[IntArray], recipe: Recipe
) -> list[StackFit]:
    """Fit several targets, shape (n, n_targets), of the same samples."""
    prepared = prepare(
        basis, targets, folds, components=recipe.components, second_scale=recipe.second_scale,
        weighted_from=recipe.weighted_from, seed=recipe.seed,
    )  # fmt: skip
    return [
        _fit_scales(prepared.scales(t, second_scale=True), targets[:, t], folds[0])
        for t in range(targets.shape[1])
    ]


@dataclass(frozen=True, eq=False)
class _Scale:
    """A target on one scale, with its members' left-out predictions."""

    left_out: LeftOut
    column: int
    target: FloatArray
    log: ShiftedLog | None

    def combined(self, rows: Rows) -> tuple[FloatArray, list[tuple[int, int]], FloatArray, FloatArray]:
        """Settings and weights from ``rows``: predictions of all samples in the unit, picks, weights, residuals."""
        picked = self.left_out.pick(self.column, self.target, rows)
        members = self.left_out.of(self.column, picked)
        weights = stack_weights(members[:, rows], self.target[rows], self.left_out.prior(picked))
        value = weights @ members
        residuals = thinned((self.target - value)[rows])
        in_unit = value if self.log is None else self.log.backward(value, residuals)
        return in_unit, picked, weights, residuals

    def predictor(self, picked: list[tuple[int, int]], weights: FloatArray) -> StackPredictor:
        left_out = self.left_out
        return left_out.basis.merge(self.target, picked, weights, left_out.counts, left_out.weighted)


def _blend(scales: list[_Scale], target: FloatArray, rows: Rows) -> tuple[FloatArray, FloatArray]:
    """Predictions of all samples and the scales' weights, everything chosen on ``rows``."""
    values = np.array([s.combined(rows)[0] for s in scales])
    if len(scales) == 1:
        return values[0], np.ones(1)
    weights = stack_weights(values[:, rows], target[rows], _BOTH)
    return weights @ values, weights


def cross_fitted(scales: list[_Scale], target: FloatArray, fold: IntArray) -> FloatArray:
    """Return left-out predictions, shape (n,); settings, weights and scale of each fold are chosen without it."""
    held_out = np.empty_like(target)
    for k in range(int(fold.max()) + 1):
        out = fold == k
        held_out[out] = _blend(scales, target, ~out)[0][out]
    return held_out


def _fit_scales(scales: list[_Scale], target: FloatArray, fold: IntArray) -> StackFit:
    held_out = cross_fitted(scales, target, fold)
    everyone = np.ones(target.size, dtype=bool)
    _, blend = _blend(scales, target, everyone)
    shares: dict[str, float] = {}
    predictors, residuals = [], []
    basis, members = scales[0].left_out.basis, scales[0].left_out.members
    for scale, share in zip(scales, blend, strict=True):
        _, picked, weights, left = scale.combined(everyone)
        predictors.append(scale.predictor(picked, weights))
        residuals.append(left)
        for (member, _), weight in zip(picked, weights, strict=True):
            part = members[member].part
            name = basis.pretreatments[part].name if part >= 0 else basis.OTHER_PARTS[part]
            shares[name] = shares.get(name, 0.0) + float(share * weight)
    log = scales[-1].log
    if log is None:
        return StackFit(predictors[0], held_out, shares, len(members))
    shares["logarithmic scale"] = float(blend[1])
    blended = BlendPredictor(predictors[0], predictors[1], float(blend[1]), log, residuals[1])
    return StackFit(blended, held_out, shares, len(members))
