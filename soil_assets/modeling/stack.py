"""A stack of kernel ridge members over several pre-treatments: the most accurate learner here on small sets.

Belongs here: which members there are, how their weights follow from left-out predictions, merging them.
Does not belong here: kernel algebra (``kernels``) and predicting (``predictors``).

Members are linear and Gaussian kernels on each pre-treatment, on bands as they are and divided by their
spread; with sensor columns, each also with a sensor kernel added. Every member's penalty is chosen by its
left-out error. The weights are the mean of two answers to the same question:

* prior x (left-out mean square)^(-n/20), a tempered Bayesian average: best where samples are few;
* the minimum of n/2 log(left-out mean square of the combination) + 10 KL(weights || prior), which rewards members
  that err differently: best where samples are many.

The prior gives every kind of member (linear, Gaussian, standardised or not ...) the same weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.modeling import pls
from soil_assets.modeling.kernels import PENALTIES, KernelRidge, squared_distances
from soil_assets.modeling.learners import Fitted, TrainingData
from soil_assets.modeling.predictors import RadialTerm, StackPart, StackPredictor
from soil_assets.modeling.pretreatment import Pretreatment, average, chain, savgol, snv
from soil_assets.modeling.splits import grouped_folds

if TYPE_CHECKING:
    from soil_assets.modeling.recipe import Recipe

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_BANDS = average(300)
#: What the stack combines unless a recipe says otherwise.
STACK_PRETREATMENTS: tuple[Pretreatment, ...] = (
    chain(_BANDS),
    chain(_BANDS, snv()),
    chain(_BANDS, savgol(11, 2, 1)),
    chain(_BANDS, snv(), savgol(11, 2, 1)),
    chain(_BANDS, snv(), savgol(15, 3, 2)),
    chain(_BANDS, snv(), savgol(7, 3, 2)),
)
_WIDTHS = (0.1, 0.5)  # of Gaussian kernels, in units of 1 / median squared distance
_SENSOR_WIDTH = 0.3
_SENSOR_WEIGHTS = (0.0, 0.3, 1.0, 3.0)  # of the sensor kernel beside a spectral kernel of mean square 1
_TEMPER = 0.05
_KL = 10.0
_MOST = 3000


@dataclass(frozen=True)
class Member:
    """One kernel: its place in the stack, its kind and the weight of the sensor kernel in it."""

    part: int
    standardised: bool
    gamma: float | None
    scale: float
    sensor_weight: float

    @property
    def kind(self) -> tuple[object, ...]:
        """Members of one kind share a prior weight."""
        return (self.part < 0, self.standardised, self.gamma is None, self.sensor_weight > 0.0)


@dataclass(frozen=True, eq=False)
class StackBasis:
    """Kernels of a training set, decomposed once: any number of targets can be fitted on it.

    Parameters
    ----------
    data : TrainingData
        ``target`` is not used.
    pretreatments : tuple of Pretreatment
    members : tuple of Member
    kernels : tuple of KernelRidge
    treated, spreads, centres : per pre-treatment
        Centred treated spectra, spread and centre of their bands.
    sensors : ndarray, shape (n, n_sensors)
        Standardised; no columns without sensors.
    """

    data: TrainingData
    pretreatments: tuple[Pretreatment, ...]
    members: tuple[Member, ...]
    kernels: tuple[KernelRidge, ...]
    treated: tuple[FloatArray, ...]
    centres: tuple[FloatArray, ...]
    spreads: tuple[FloatArray, ...]
    sensors: FloatArray
    sensor_centre: FloatArray
    sensor_spread: FloatArray
    sensor_gamma: float
    sensor_scale: float

    @classmethod
    def of(cls, data: TrainingData, pretreatments: Sequence[Pretreatment]) -> StackBasis:
        """Compute and decompose every member's kernel.

        Raises
        ------
        BadInput
            For more samples than exact kernels can hold, or a sensor value that is missing.
        """
        if len(data.spectra) > _MOST:
            raise BadInput(
                "too many samples for exact kernels",
                found=str(len(data.spectra)),
                expected=f"at most {_MOST}",
                mend="use the learner pls, or the additive statistics",
            )
        raw = np.empty((len(data.spectra), 0)) if data.sensors is None else data.sensors
        if not np.isfinite(raw).all():
            row = int(np.flatnonzero(~np.isfinite(raw).all(axis=1))[0])
            raise BadInput("a sensor value is missing", row=row + 1, mend="leave the row or the sensor out")
        sensor_centre, sensor_spread = raw.mean(axis=0), _spread(raw)
        sensors = (raw - sensor_centre) / sensor_spread
        sensor_linear, sensor_scale = _linear(sensors)
        sensor_radial, sensor_gamma = _radial(sensors, _SENSOR_WIDTH)
        weights = _SENSOR_WEIGHTS if sensors.shape[1] else (0.0,)
        members: list[Member] = []
        kernels: list[KernelRidge] = []
        treated, centres, spreads = [], [], []
        pretreatments = tuple(p.fitted(data.spectra) for p in pretreatments)
        for part, pretreatment in enumerate(pretreatments):
            x = pretreatment.apply(data.spectra)
            centre, spread = x.mean(axis=0), _spread(x)
            x = x - centre
            treated.append(x)
            centres.append(centre)
            spreads.append(spread)
            for standardised in (False, True):
                features = x / spread if standardised else x
                linear, scale = _linear(features)
                for weight in weights:
                    members.append(Member(part, standardised, None, scale, weight))
                    kernels.append(KernelRidge.of(linear + weight * sensor_linear))
                for width in _WIDTHS:
                    radial, gamma = _radial(features, width)
                    for weight in weights:
                        members.append(Member(part, standardised, gamma, 1.0, weight))
                        kernels.append(KernelRidge.of(radial + weight * sensor_radial))
        if sensors.shape[1]:
            members += [Member(-1, True, None, 1.0, 1.0), Member(-1, True, sensor_gamma, 1.0, 1.0)]
            kernels += [KernelRidge.of(sensor_linear), KernelRidge.of(sensor_radial)]
        return cls(
            data, pretreatments, tuple(members), tuple(kernels), tuple(treated), tuple(centres),
            tuple(spreads), sensors, sensor_centre, sensor_spread, sensor_gamma, sensor_scale,
        )  # fmt: skip

    def solve(
        self, target: FloatArray, folds: Sequence[IntArray]
    ) -> tuple[StackPredictor, FloatArray, FloatArray]:
        """Fit one target: the merged predictor, cross-fitted left-out predictions, and the members' weights."""
        left_out = np.array([k.left_out(target, folds) for k in self.kernels])  # members, penalties, n
        squared = (left_out - target) ** 2
        prior = self._prior()
        penalties = squared.mean(axis=2).argmin(axis=1)
        everyone = np.arange(len(self.members))
        weights = stack_weights(left_out[everyone, penalties], target, prior)
        # For every fold, penalties and weights once more from the other folds alone.
        held_out = np.empty_like(target)
        for k in range(int(folds[0].max()) + 1):
            out = folds[0] == k
            chosen = squared[:, :, ~out].mean(axis=2).argmin(axis=1)
            apart = stack_weights(left_out[everyone, chosen][:, ~out], target[~out], prior)
            held_out[out] = apart @ left_out[everyone, chosen][:, out]
        return self._merge(target, penalties, weights), held_out, weights

    def _prior(self) -> FloatArray:
        kinds = [m.kind for m in self.members]
        prior = np.array([1.0 / kinds.count(k) for k in kinds])
        return np.asarray(prior / prior.sum())

    def _merge(self, target: FloatArray, penalties: IntArray, weights: FloatArray) -> StackPredictor:
        """Add up members: linear ones into coefficients, Gaussian ones of one width into one dual vector."""
        n = target.size
        intercept = 0.0
        coefficients = [np.zeros(x.shape[1]) for x in self.treated]
        duals: list[dict[tuple[bool, float], FloatArray]] = [{} for _ in self.treated]
        sensor_coefficients, sensor_dual = np.zeros(self.sensors.shape[1]), np.zeros(n)
        for member, kernel, penalty, weight in zip(
            self.members, self.kernels, penalties, weights, strict=True
        ):
            dual, constant = kernel.dual(target, float(PENALTIES[penalty]))
            dual, intercept = weight * dual, intercept + weight * constant
            if member.part >= 0:
                x, spread = self.treated[member.part], self.spreads[member.part]
                if member.gamma is None:
                    divisor = member.scale * (spread**2 if member.standardised else 1.0)
                    coefficients[member.part] += (dual @ x) / divisor
                else:
                    key = (member.standardised, member.gamma)
                    terms = duals[member.part]
                    terms[key] = terms.get(key, np.zeros(n)) + dual
            if member.gamma is None:
                sensor_coefficients += member.sensor_weight * (dual @ self.sensors) / self.sensor_scale
            else:
                sensor_dual += member.sensor_weight * dual
        parts = tuple(
            StackPart(p, c, s, b, tuple(RadialTerm(k[0], k[1], a) for k, a in d.items()))
            for p, c, s, b, d in zip(
                self.pretreatments, self.centres, self.spreads, coefficients, duals, strict=True
            )
        )
        return StackPredictor(
            parts, self.data.spectra.astype(np.float32), intercept, self.sensor_centre, self.sensor_spread,
            sensor_coefficients, self.sensors, self.sensor_gamma, sensor_dual,
        )  # fmt: skip


def fit(data: TrainingData, recipe: Recipe) -> Fitted:
    """Fit the stack; penalties and weights come from grouped, repeated left-out predictions."""
    basis = StackBasis.of(data, recipe.pretreatments)
    folds = repeated_folds(data.groups, recipe)
    predictor, held_out, weights = basis.solve(data.target, folds)
    shares = {
        p.name: float(sum(w for m, w in zip(basis.members, weights, strict=True) if m.part == i))
        for i, p in enumerate(recipe.pretreatments)
    }
    if basis.sensors.shape[1]:
        shares["sensors alone"] = float(
            sum(w for m, w in zip(basis.members, weights, strict=True) if m.part < 0)
        )
    # Bands have no single coefficient in a stack: their importance is that of a PLS model of the same data.
    plain = replace(recipe, learner="pls", pretreatments=(chain(snv()),), nested=True, sensors=())
    simple = pls.fit(replace(data, sensors=None), plain)
    chosen = {"learner": "stack", "members": len(basis.members)}
    return Fitted(predictor, simple.importance, chosen, {"weights": shares}, held_out)


def repeated_folds(groups: IntArray, recipe: Recipe) -> list[IntArray]:
    """Return ``recipe.repeats`` assignments of groups to folds."""
    return [grouped_folds(groups, recipe.folds, recipe.seed + r) for r in range(recipe.repeats)]


def stack_weights(left_out: FloatArray, target: FloatArray, prior: FloatArray) -> FloatArray:
    """Return the members' weights, shape (n_members,), not negative, summing to 1.

    Parameters
    ----------
    left_out : ndarray, shape (n_members, n)
        Predictions of samples by members that did not see them.
    target : ndarray, shape (n,)
    prior : ndarray, shape (n_members,)
    """
    n = target.size
    errors = left_out - target
    products = errors @ errors.T
    squares = np.maximum(np.diag(products), 1e-300)
    log_prior = np.log(prior)
    tempered = _normalised(log_prior - _TEMPER * n * np.log(squares))
    weights = prior.copy()
    # Damped fixed point of the stationarity condition log w = log prior - gradient / KL + constant.
    for step in range(200):
        images = products @ weights
        aim = _normalised(log_prior - n * images / max(float(weights @ images), 1e-300) / _KL)
        damping = 0.3 if step < 20 else 2.0 / (step + 3.0)
        weights = _normalised((1.0 - damping) * _log(weights) + damping * _log(aim))
    return (tempered + weights) / 2.0


def _normalised(logs: FloatArray) -> FloatArray:
    values = np.exp(logs - logs.max())
    return np.asarray(values / values.sum())


def _log(values: FloatArray) -> FloatArray:
    return np.asarray(np.log(values + 1e-300))


def _spread(x: FloatArray) -> FloatArray:
    spread = x.std(axis=0)
    typical = float(spread.mean()) if spread.size else 0.0
    return np.asarray(np.maximum(spread, 1e-6 * typical if typical > 0 else 1.0))


def _linear(features: FloatArray) -> tuple[FloatArray, float]:
    kernel = features @ features.T
    scale = float(np.trace(kernel)) / len(kernel) or 1.0
    return kernel / scale, scale


def _radial(features: FloatArray, width: float) -> tuple[FloatArray, float]:
    squared = squared_distances(features, features)
    typical = float(np.median(squared[np.triu_indices(len(squared), 1)])) or 1.0
    gamma = width / typical
    return np.asarray(np.exp(-gamma * squared)), gamma
