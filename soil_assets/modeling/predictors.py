"""What a fitted learner leaves behind: arrays that predict with numpy alone.

Belongs here: the prediction forms an artifact may hold. Does not belong here: fitting (``pls``, ``stack``) and
anything in the property's own unit (``model``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.modeling.kernels import squared_distances
from soil_assets.modeling.pretreatment import Pretreatment

FloatArray = npt.NDArray[np.float64]
Arrays = Mapping[str, npt.NDArray[Any]]
_CHUNK = 4_000_000  # cells of a kernel at a time: bounds the memory of a large batch


class Predictor(Protocol):
    """Predicts on the modelling scale."""

    def predict(self, spectra: FloatArray, sensors: FloatArray | None = None) -> FloatArray:
        """Return predictions, shape (n_samples,)."""
        ...

    def facts(self) -> dict[str, Any]:
        """Return JSON-ready facts; key ``kind`` says which class reads them back."""
        ...

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays beside the facts."""
        ...


@dataclass(frozen=True, eq=False)
class LinearPredictor:
    """Pre-treatment, then one coefficient a band.

    Parameters
    ----------
    pretreatment : Pretreatment
    coefficients : ndarray, shape (n_treated_bands,)
        On the modelling scale per unit of pre-treated intensity.
    intercept : float
    """

    pretreatment: Pretreatment
    coefficients: FloatArray
    intercept: float

    def predict(self, spectra: FloatArray, sensors: FloatArray | None = None) -> FloatArray:
        """Return predictions, shape (n_samples,); spectra alone count."""
        return np.asarray(self.pretreatment.apply(spectra) @ self.coefficients + self.intercept)

    def facts(self) -> dict[str, Any]:
        """JSON-ready facts."""
        return {"kind": "linear", "pretreatment": self.pretreatment.to_dict(), "intercept": self.intercept}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays of the artifact."""
        return {"coefficients": self.coefficients}

    @classmethod
    def from_parts(cls, facts: Mapping[str, Any], arrays: Arrays) -> LinearPredictor:
        """Build from facts and arrays."""
        return cls(
            Pretreatment.from_dict(facts["pretreatment"]), arrays["coefficients"], float(facts["intercept"])
        )


@dataclass(frozen=True, eq=False)
class RadialTerm:
    """One Gaussian kernel of a stack: sum over training samples of dual_i exp(-gamma d2(x, x_i)).

    Parameters
    ----------
    standardised : bool
        Whether distances are taken after division by the bands' training spread.
    gamma : float
    dual : ndarray, shape (n_training,)
    """

    standardised: bool
    gamma: float
    dual: FloatArray


@dataclass(frozen=True, eq=False)
class JointTerm:
    """One Gaussian kernel over all parts at once: sum of dual_i exp(-gamma sum_p scale_p d2_p(x, x_i)).

    Parameters
    ----------
    gamma : float
    dual : ndarray, shape (n_training,)
    """

    gamma: float
    dual: FloatArray


@dataclass(frozen=True, eq=False)
class StackPart:
    """All members of a stack that share one pre-treatment, merged.

    Parameters
    ----------
    pretreatment : Pretreatment
    centre, spread : ndarray, shape (n_treated_bands,)
        Of the training spectra.
    coefficients : ndarray, shape (n_treated_bands,)
        Of the linear members together, on centred pre-treated intensities.
    terms : tuple of RadialTerm
    """

    pretreatment: Pretreatment
    centre: FloatArray
    spread: FloatArray
    coefficients: FloatArray
    terms: tuple[RadialTerm, ...]


@dataclass(frozen=True, eq=False)
class StackPredictor:
    """A weighted sum of kernel ridge members: linear parts as coefficients, Gaussian parts over landmarks.

    Parameters
    ----------
    parts : tuple of StackPart
    landmarks : ndarray of float32, shape (n_training, n_bands)
        The training spectra, before any pre-treatment.
    intercept : float
    sensor_centre, sensor_spread : ndarray, shape (n_sensors,)
        Empty without sensor columns.
    sensor_coefficients : ndarray, shape (n_sensors,)
    sensor_landmarks : ndarray, shape (n_training, n_sensors)
        Standardised.
    sensor_gamma : float
    sensor_dual : ndarray, shape (n_training,)
    joint_scale : ndarray, shape (n_joint_parts,)
        Of the standardised squared distances of the first parts; those after them have weighted bands.
    joint_terms : tuple of JointTerm
    """

    parts: tuple[StackPart, ...]
    landmarks: npt.NDArray[np.float32]
    intercept: float
    sensor_centre: FloatArray
    sensor_spread: FloatArray
    sensor_coefficients: FloatArray
    sensor_landmarks: FloatArray
    sensor_gamma: float
    sensor_dual: FloatArray
    joint_scale: FloatArray = field(default_factory=lambda: np.empty(0))
    joint_terms: tuple[JointTerm, ...] = ()

    @cached_property
    def _treated_landmarks(self) -> list[FloatArray]:
        return [x - p.centre for x, p in zip(self._treated(self.landmarks), self.parts, strict=True)]

    def _treated(self, spectra: npt.NDArray[Any]) -> list[FloatArray]:
        """Treated spectra of every part; parts that share a pre-treatment share the result."""
        done: dict[Pretreatment, FloatArray] = {}
        for part in self.parts:
            if part.pretreatment not in done:
                done[part.pretreatment] = part.pretreatment.apply(spectra)
        return [done[part.pretreatment] for part in self.parts]

    def predict(self, spectra: FloatArray, sensors: FloatArray | None = None) -> FloatArray:
        """Return predictions, shape (n_samples,).

        Parameters
        ----------
        spectra : ndarray, shape (n_samples, n_bands)
        sensors : ndarray, shape (n_samples, n_sensors), optional
            In the order of training; needed when the stack was trained with sensor columns.
        """
        step = max(1, _CHUNK // max(1, len(self.landmarks)))
        starts = range(0, len(spectra), step)
        pieces = [
            self._predict(spectra[s : s + step], None if sensors is None else sensors[s : s + step])
            for s in starts
        ]
        return np.concatenate(pieces) if pieces else np.empty(0)

    def _predict(self, spectra: FloatArray, sensors: FloatArray | None) -> FloatArray:
        value = np.full(len(spectra), self.intercept)
        together = np.zeros((len(spectra), len(self.landmarks) if self.joint_terms else 0))
        seen = zip(self.parts, self._treated(spectra), self._treated_landmarks, strict=True)
        for place, (part, raw, landmarks) in enumerate(seen):
            treated = raw - part.centre
            value += treated @ part.coefficients
            for standardised in (False, True):
                terms = [t for t in part.terms if t.standardised == standardised]
                joint = standardised and bool(self.joint_terms) and place < self.joint_scale.size
                if terms or joint:
                    scale = part.spread if standardised else np.ones_like(part.spread)
                    squared = squared_distances(treated / scale, landmarks / scale)
                    if joint:
                        together += self.joint_scale[place] * squared
                    for term in terms:
                        value += np.exp(-term.gamma * squared) @ term.dual
        for one in self.joint_terms:
            value += np.exp(-one.gamma * together) @ one.dual
        if self.sensor_centre.size:
            if sensors is None:
                raise BadInput("the model needs sensor columns beside the spectra", found="none")
            scaled = (sensors - self.sensor_centre) / self.sensor_spread
            value += scaled @ self.sensor_coefficients
            value += np.exp(-self.sensor_gamma * squared_distances(scaled, self.sensor_landmarks)) @ (
                self.sensor_dual
            )
        return value

    def facts(self) -> dict[str, Any]:
        """JSON-ready facts."""
        return {
            "kind": "stack",
            "intercept": self.intercept,
            "sensor_gamma": self.sensor_gamma,
            "parts": [
                {
                    "pretreatment": p.pretreatment.to_dict(),
                    "terms": [{"standardised": t.standardised, "gamma": t.gamma} for t in p.terms],
                }
                for p in self.parts
            ],
            "joint": [t.gamma for t in self.joint_terms],
        }

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays of the artifact."""
        arrays: dict[str, npt.NDArray[Any]] = {name: getattr(self, name) for name in _STACK_ARRAYS}
        for i, part in enumerate(self.parts):
            for name in ("centre", "spread", "coefficients"):
                arrays[f"{i}/{name}"] = getattr(part, name)
            for j, term in enumerate(part.terms):
                arrays[f"{i}/dual/{j}"] = term.dual
        for j, one in enumerate(self.joint_terms):
            arrays[f"joint/{j}"] = one.dual
            arrays["joint_scale"] = self.joint_scale
        return arrays

    @classmethod
    def from_parts(cls, facts: Mapping[str, Any], arrays: Arrays) -> StackPredictor:
        """Build from facts and arrays."""
        parts = tuple(
            StackPart(
                Pretreatment.from_dict(raw["pretreatment"]),
                arrays[f"{i}/centre"],
                arrays[f"{i}/spread"],
                arrays[f"{i}/coefficients"],
                tuple(
                    RadialTerm(bool(t["standardised"]), float(t["gamma"]), arrays[f"{i}/dual/{j}"])
                    for j, t in enumerate(raw["terms"])
                ),
            )
            for i, raw in enumerate(facts["parts"])
        )
        return cls(
            parts=parts,
            intercept=float(facts["intercept"]),
            sensor_gamma=float(facts["sensor_gamma"]),
            joint_scale=arrays.get("joint_scale", np.empty(0)),
            joint_terms=tuple(
                JointTerm(float(g), arrays[f"joint/{j}"]) for j, g in enumerate(facts.get("joint", ()))
            ),
            **{name: arrays[name] for name in _STACK_ARRAYS},
        )


_STACK_ARRAYS = (
    "landmarks", "sensor_centre", "sensor_spread", "sensor_coefficients", "sensor_landmarks", "sensor_dual",
)  # fmt: skip


def _landmarks(facts: Mapping[str, Any], arrays: Arrays) -> Predictor:
    from soil_assets.modeling.nystrom import LandmarkPredictor

    return LandmarkPredictor.from_parts(facts, arrays)


def _blend(facts: Mapping[str, Any], arrays: Arrays) -> Predictor:
    from soil_assets.modeling.blend import predictor_from_parts as read

    return read(facts, arrays)


_KINDS: dict[str, Callable[[Mapping[str, Any], Arrays], Predictor]] = {
    "linear": LinearPredictor.from_parts,
    "blend": _blend,
    "landmarks": _landmarks,
    "stack": StackPredictor.from_parts,
}


def predictor_from_parts(facts: Mapping[str, Any], arrays: Arrays) -> Predictor:
    """Read any predictor back.

    Raises
    ------
    BadInput
        For a kind that this version does not know.
    """
    from soil_assets.modeling.learners import learner, learners

    kind = str(facts.get("kind"))
    if kind in _KINDS:
        return _KINDS[kind](facts, arrays)
    # A learner in a file of its own brings its prediction form along.
    reader = getattr(learner(kind), "predictor_from_parts", None) if kind in learners() else None
    if reader is None:
        raise BadInput(
            "the model file holds a predictor that this version does not know",
            found=kind,
            expected=", ".join((*_KINDS, *learners())),
            mend="use a newer version of soil_assets, or install the package that brings the learner",
        )
    found: Predictor = reader(facts, arrays)
    return found
