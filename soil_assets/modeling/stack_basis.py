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
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.modeling.kernels import (
    COMPONENTS,
    KernelRidge,
    band_spread,
    linear_kernel,
    typical_distances,
)
from soil_assets.modeling.learners import TrainingData
from soil_assets.modeling.left_out import LeftOut
from soil_assets.modeling.predictors import JointTerm, RadialTerm, StackPart, StackPredictor
from soil_assets.modeling.pretreatment import Pretreatment, average, chain, reflectance, savgol, snv
from soil_assets.modeling.weighted_kernels import (
    WeightedMember,
    fit_weighted,
    left_out_predictions,
    weighted_members,
)

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
        sensor_centre, sensor_spread = raw.mean(axis=0), band_spread(raw)
        sensors = (raw - sensor_centre) / sensor_spread
        sensor_linear, sensor_scale = linear_kernel(sensors)
        sensor_radial, sensor_gamma = _radial(sensors, _SENSOR_WIDTH)
        weights = _SENSOR_WEIGHTS if sensors.shape[1] else (0.0,)
        members: list[Member] = []
        kernels: list[KernelRidge] = []
        treated, centres, spreads, typical = [], [], [], []
        together = np.zeros((len(raw), len(raw)))
        pretreatments = tuple(p.fitted(data.spectra) for p in pretreatments)
        for part, pretreatment in enumerate(pretreatments):
            x = pretreatment.apply(data.spectra)
            centre, spread = x.mean(axis=0), band_spread(x)
            x = x - centre
            treated.append(x)
            centres.append(centre)
            spreads.append(spread)
            for standardised in (False, True):
                features = x / spread if standardised else x
                linear, scale = linear_kernel(features)
                for weight in weights:
                    members.append(Member(part, standardised, None, scale, weight))
                    kernels.append(KernelRidge.of(linear + weight * sensor_linear))
                squared, middle = typical_distances(features)
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

    def left_out(
        self,
        targets: FloatArray,
        folds: Sequence[IntArray],
        *,
        components: int,
        weighted_from: int = 0,
        seed: int = 0,
    ) -> LeftOut:
        """Predict every target, shape (n, n_targets), without each fold, by every member at every setting.

        Up to ``components`` samples there are members by number of components, and from ``weighted_from`` (0: never)
        members with weighted bands, which are the targets' own.
        """
        n = len(targets)
        counts = COMPONENTS if n <= components else ()
        values = np.stack([k.left_out(targets, folds, counts) for k in self.kernels])
        if not 0 < weighted_from <= n:
            return LeftOut(self, values, counts)
        weighted = weighted_members(len(self.treated), n)
        own = left_out_predictions(self.treated, targets, self.data.groups, folds, weighted, seed)
        padded = np.full((len(weighted), *values.shape[1:]), np.inf)
        padded[:, : own.shape[1]] = own
        return LeftOut(self, np.concatenate([values, padded]), counts, weighted)

    def merge(
        self,
        target: FloatArray,
        picked: Sequence[tuple[int, int]],
        weights: FloatArray,
        counts: Sequence[int],
        weighted: Sequence[WeightedMember] = (),
    ) -> StackPredictor:
        """Add up members: linear ones into coefficients, Gaussian ones of one width into one dual vector.

        Gaussian members with weighted bands become parts of their own, whose spread is divided by the weights.

        Parameters
        ----------
        target : ndarray, shape (n,)
        picked : sequence of (member, setting)
        weights : ndarray, shape (n_picked,)
        counts : sequence of int
            Numbers of components that settings after the penalties mean.
        weighted : sequence of WeightedMember
            Members that follow those of the basis.
        """
        n = target.size
        own: dict[tuple[int, str], tuple[FloatArray, list[RadialTerm]]] = {}
        intercept = 0.0
        coefficients = [np.zeros(x.shape[1]) for x in self.treated]
        duals: list[dict[tuple[bool, float], FloatArray]] = [{} for _ in self.treated]
        joint: dict[float, FloatArray] = {}
        sensor_coefficients, sensor_dual = np.zeros(self.sensors.shape[1]), np.zeros(n)
        for (place, setting), weight in zip(picked, weights, strict=True):
            if place >= len(self.members):
                mine = weighted[place - len(self.members)]
                x, spread = self.treated[mine.part], self.spreads[mine.part]
                found = fit_weighted(mine, x, spread, target, setting)
                intercept += weight * found.intercept
                if found.gamma is None:
                    coefficients[mine.part] += weight * found.coefficients(spread)
                else:
                    term = RadialTerm(True, found.gamma, weight * found.dual)
                    own.setdefault((mine.part, mine.weighting), (spread / found.weights, []))[1].append(term)
                continue
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
        parts += tuple(
            StackPart(self.pretreatments[p], self.centres[p], spread, np.zeros_like(spread), tuple(terms))
            for (p, _), (spread, terms) in own.items()
        )
        return StackPredictor(
            parts, self.data.spectra.astype(np.float32), intercept, self.sensor_centre, self.sensor_spread,
            sensor_coefficients, self.sensors, self.sensor_gamma, sensor_dual,
            self.joint_scale, tuple(JointTerm(g, d) for g, d in joint.items()),
        )  # fmt: skip


def _radial(features: FloatArray, width: float) -> tuple[FloatArray, float]:
    squared, typical = typical_distances(features)
    gamma = width / typical
    return np.asarray(np.exp(-gamma * squared)), gamma
