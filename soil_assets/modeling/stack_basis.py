"""The kernels that a stack combines, computed and decomposed once for any number of targets.

Belongs here: which members there are, their left-out predictions, merging them into one predictor.
Does not belong here: kernel algebra (``kernels``), weights (``stack_weights``) and the scales of a target (``stack``).

Members are linear and Gaussian kernels on each pre-treatment, on bands as they are and divided by their spread; with
sensor columns, each also with a sensor kernel added. A member is regularised by a ridge penalty or, where samples are
few, by the number of its principal components: the two are members of their own. Where the recipe says so, further
Gaussian kernels see all pre-treatments at once: their distance is the mean over the pre-treatments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.modeling.kernels import COMPONENTS, PENALTIES, KernelRidge, squared_distances
from soil_assets.modeling.learners import TrainingData
from soil_assets.modeling.predictors import JointTerm, RadialTerm, StackPart, StackPredictor
from soil_assets.modeling.pretreatment import Pretreatment, average, chain, reflectance, savgol, snv

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def stack_pretreatments(bands: int, *, with_reflectance: bool = True) -> tuple[Pretreatment, ...]:
    """Return pre-treatments of absorbance spectra at about that many bands; windows span the same range."""
    wider = max(1, round(bands / 300))
    few = average(bands)

    def window(taps: int) -> int:
        return wider * (taps - 1) + 1

    listed = [
        chain(few),
        chain(few, snv()),
        chain(few, savgol(window(11), 2, 1)),
        chain(few, snv(), savgol(window(11), 2, 1)),
        chain(few, snv(), savgol(window(15), 3, 2)),
        chain(few, snv(), savgol(7, 3, 2)),
    ]
    if with_reflectance:
        listed += [chain(reflectance(), few), chain(reflectance(), few, savgol(window(11), 2, 1))]
    return tuple(listed)


#: What the stack combines unless a recipe says otherwise.
STACK_PRETREATMENTS: tuple[Pretreatment, ...] = stack_pretreatments(300, with_reflectance=False)
_WIDTHS = (0.1, 0.5)  # of Gaussian kernels, in units of 1 / median squared distance
_JOINT_WIDTHS = (0.1, 0.3)
SENSORS, JOINT = -1, -2  # parts of members that belong to no pre-treatment
_SENSOR_WIDTH = 0.3
_SENSOR_WEIGHTS = (0.0, 0.3, 1.0, 3.0)  # of the sensor kernel beside a spectral kernel of mean square 1
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
        if self.part == JOINT:
            return ("joint",)
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
    joint_scale : ndarray, shape (n_pretreatments,)
        What each pre-treatment's squared distance is multiplied by in the mean distance over all of them.
    """

    OTHER_PARTS: ClassVar[dict[int, str]] = {SENSORS: "sensors alone", JOINT: "all together"}

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
    joint_scale: FloatArray

    @classmethod
    def of(
        cls, data: TrainingData, pretreatments: Sequence[Pretreatment], *, joint: bool = False
    ) -> StackBasis:
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
        treated, centres, spreads, typical = [], [], [], []
        together = np.zeros((len(raw), len(raw)))
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
                squared, middle = _distances(features)
                if standardised:
                    typical.append(middle)
                    together += squared / middle
                for width in _WIDTHS:
                    gamma = width / middle
                    radial = np.exp(-gamma * squared)
                    for weight in weights:
                        members.append(Member(part, standardised, gamma, 1.0, weight))
                        kernels.append(KernelRidge.of(radial + weight * sensor_radial))
        joint_scale = 1.0 / (len(pretreatments) * np.array(typical))
        for width in _JOINT_WIDTHS if joint else ():
            for weight in weights:
                members.append(Member(JOINT, True, width, 1.0, weight))
                kernels.append(
                    KernelRidge.of(np.exp(-width * together / len(pretreatments)) + weight * sensor_radial)
                )
        if sensors.shape[1]:
            members += [
                Member(SENSORS, True, None, 1.0, 1.0),
                Member(SENSORS, True, sensor_gamma, 1.0, 1.0),
            ]
            kernels += [KernelRidge.of(sensor_linear), KernelRidge.of(sensor_radial)]
        return cls(
            data, pretreatments, tuple(members), tuple(kernels), tuple(treated), tuple(centres),
            tuple(spreads), sensors, sensor_centre, sensor_spread, sensor_gamma, sensor_scale,
            joint_scale,
        )  # fmt: skip

    def left_out(self, targets: FloatArray, folds: Sequence[IntArray], *, components: int) -> LeftOut:
        """Predict every target, shape (n, n_targets), without each fold, by every member at every setting."""
        counts = COMPONENTS if len(targets) <= components else ()
        values = np.stack([k.left_out(targets, folds, counts) for k in self.kernels])
        return LeftOut(self, values, counts)

    def merge(
        self,
        target: FloatArray,
        picked: Sequence[tuple[int, int]],
        weights: FloatArray,
        counts: Sequence[int],
    ) -> StackPredictor:
        """Add up members: linear ones into coefficients, Gaussian ones of one width into one dual vector.

        Parameters
        ----------
        target : ndarray, shape (n,)
        picked : sequence of (member, setting)
        weights : ndarray, shape (n_picked,)
        counts : sequence of int
            Numbers of components that settings after the penalties mean.
        """
        n = target.size
        intercept = 0.0
        coefficients = [np.zeros(x.shape[1]) for x in self.treated]
        duals: list[dict[tuple[bool, float], FloatArray]] = [{} for _ in self.treated]
        joint: dict[float, FloatArray] = {}
        sensor_coefficients, sensor_dual = np.zeros(self.sensors.shape[1]), np.zeros(n)
        for (place, setting), weight in zip(picked, weights, strict=True):
            member = self.members[place]
            dual, constant = self.kernels[place].dual(target, setting, counts)
            dual, intercept = weight * dual, intercept + weight * constant
            if member.part == JOINT and member.gamma is not None:
                joint[member.gamma] = joint.get(member.gamma, np.zeros(n)) + dual
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
            self.joint_scale, tuple(JointTerm(g, d) for g, d in joint.items()),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Left-out predictions of every member, setting, sample and target.

    Parameters
    ----------
    basis : StackBasis
    values : ndarray, shape (n_members, n_settings, n, n_targets)
        Infinite where a setting is not possible.
    counts : tuple of int
        Numbers of components that settings after the penalties mean.
    """

    basis: StackBasis
    values: FloatArray
    counts: tuple[int, ...]

    def pick(self, column: int, target: FloatArray, rows: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
        """Return (member, setting) of least squared error on ``rows``: one by penalty, one by components."""
        n_penalties = len(PENALTIES)
        errors = ((self.values[:, :, rows, column] - target[rows]) ** 2).mean(axis=2)
        picked = []
        for family in (slice(0, n_penalties), slice(n_penalties, None)):
            if errors[:, family].shape[1]:
                best = errors[:, family].argmin(axis=1) + family.start
                picked += [(m, int(s)) for m, s in enumerate(best) if np.isfinite(errors[m, s])]
        return picked

    def prior(self, picked: Sequence[tuple[int, int]]) -> FloatArray:
        """Return the picked members' prior weights: every kind the same."""
        kinds = [(s < len(PENALTIES), *self.basis.members[m].kind) for m, s in picked]
        share = np.array([1.0 / kinds.count(k) for k in kinds])
        return np.asarray(share / share.sum())

    def only(self, parts: set[int], *, components: bool) -> LeftOut:
        """Return the left-out predictions of those members alone whose part is listed."""
        kept = [i for i, m in enumerate(self.basis.members) if m.part in parts]
        basis = replace(
            self.basis,
            members=tuple(self.basis.members[i] for i in kept),
            kernels=tuple(self.basis.kernels[i] for i in kept),
        )
        if components:
            return LeftOut(basis, self.values[kept], self.counts)
        return LeftOut(basis, self.values[kept, : len(PENALTIES)], ())

    def of(self, column: int, picked: Sequence[tuple[int, int]]) -> FloatArray:
        """Return the picked members' left-out predictions, shape (n_picked, n)."""
        members, settings = (np.array(v) for v in zip(*picked, strict=True))
        return np.asarray(self.values[members, settings, :, column])


def _spread(x: FloatArray) -> FloatArray:
    spread = x.std(axis=0)
    typical = float(spread.mean()) if spread.size else 0.0
    return np.asarray(np.maximum(spread, 1e-6 * typical if typical > 0 else 1.0))


def _linear(features: FloatArray) -> tuple[FloatArray, float]:
    kernel = features @ features.T
    scale = float(np.trace(kernel)) / len(kernel) or 1.0
    return kernel / scale, scale


def _radial(features: FloatArray, width: float) -> tuple[FloatArray, float]:
    squared, typical = _distances(features)
    gamma = width / typical
    return np.asarray(np.exp(-gamma * squared)), gamma


def _distances(features: FloatArray) -> tuple[FloatArray, float]:
    """Squared distances and their median."""
    squared = squared_distances(features, features)
    return squared, float(np.median(squared[np.triu_indices(len(squared), 1)])) or 1.0
