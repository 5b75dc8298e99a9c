"""A recipe: everything that decides how a model is trained, as one frozen value with a fingerprint.

Belongs here: choices and their defaults. Does not belong here: how they are carried out (``train``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from soil_assets.errors import BadInput
from soil_assets.modeling.learners import learners
from soil_assets.modeling.pretreatment import DEFAULT_PRETREATMENTS, Pretreatment
from soil_assets.recipe_settings import RecipeSettings

if TYPE_CHECKING:
    from soil_assets.spectra.axis import Axis
    from soil_assets.spectra.batch import Quantity

#: Raised when the same recipe starts to give another model.
RECIPE_VERSION = 3


@dataclass(frozen=True)
class Recipe:
    """How to train a model.

    Parameters
    ----------
    learner : str
        ``pls``, or ``stack`` (kernel ridge members over all the pre-treatments; more accurate, slower),
        or ``selection`` (PLS against landmark kernels, from sums; for thousands of samples), or ``svr`` (support
        vector regression), or ``local`` (a ridge model of each sample's neighbours; for large, mixed libraries),
        or one that an installed package brings.
    pretreatments : tuple of Pretreatment
        What the learner may choose among or combine, inside the training folds.
    max_components : int
        Largest number of PLS components tried.
    parsimony : float
        Fewer components are taken when they cost at most this share of the best cross-validated RMSE.
    folds : int
        Folds of the grouped cross-validation.
    repeats : int
        How many assignments of groups to folds a stack averages over.
    nested : bool
        Whether every outer fold repeats the whole choice (the default); else the learner's own cross-fitted
        left-out predictions serve, ten times cheaper, where it has them.
    components : int
        Up to this many samples a stack also has members regularised by their number of principal components.
    second_scale : bool
        Whether a stack models a skewed target on a logarithmic scale, too.
    weighted_from : int
        Number of samples from which a stack also has kernels on bands weighted by what they tell of the target; 0 for
        never.
    fine : tuple of Pretreatment
        Finer pre-treatments that a stack tries by themselves, with joint kernels, beside ``pretreatments``; each
        target takes what its left-out predictions favour. None when empty.
    fine_from : int
        Number of samples from which they are tried: telling the two apart needs samples.
    joint : bool
        Whether a stack also has kernels that see all pre-treatments at once.
    sensors : tuple of str
        Columns of other sensors that a stack uses beside the spectra.
    levels : tuple of float
        Nominal coverages of the prediction intervals.
    domain_rate : float
        Share of new samples of the same kind that the applicability limits may flag.
    seed : int
        Seed of every random choice.
    """

    learner: str = "pls"
    pretreatments: tuple[Pretreatment, ...] = DEFAULT_PRETREATMENTS
    max_components: int = 20
    parsimony: float = 0.02
    folds: int = 10
    repeats: int = 2
    nested: bool = True
    components: int = 100
    second_scale: bool = True
    weighted_from: int = 50
    fine: tuple[Pretreatment, ...] = ()
    fine_from: int = 200
    joint: bool = False
    sensors: tuple[str, ...] = ()
    levels: tuple[float, ...] = (0.68, 0.90, 0.95)
    domain_rate: float = 0.01
    seed: int = 20260101

    def __post_init__(self) -> None:
        problems = {
            "learner": (self.learner in learners(), " or ".join(learners())),
            "pretreatments": (len(self.pretreatments) > 0, "at least one"),
            "max_components": (self.max_components >= 1, "at least 1"),
            "parsimony": (0.0 <= self.parsimony < 1.0, "0 <= parsimony < 1"),
            "folds": (self.folds >= 2, "at least 2"),
            "repeats": (self.repeats >= 1, "at least 1"),
            "components": (self.components >= 0, "a number of samples, 0 for none"),
            "weighted_from": (self.weighted_from >= 0, "a number of samples, 0 for never"),
            "sensors": (
                not self.sensors or self.learner == "stack",
                "none: only the learner stack uses sensors, the others use spectra alone",
            ),
            "nested": (
                self.nested or self.learner in ("stack", "selection"),
                "true: only the learners stack and selection have left-out predictions of their own",
            ),
            "levels": (all(0.0 < v < 1.0 for v in self.levels) and len(self.levels) > 0, "between 0 and 1"),
            "domain_rate": (0.0 < self.domain_rate < 0.5, "between 0 and 0.5"),
        }
        for name, (fine, expected) in problems.items():
            if not fine:
                raise BadInput(
                    "not a usable recipe", column=name, found=str(getattr(self, name)), expected=expected
                )

    @classmethod
    def stack(cls, **changes: Any) -> Recipe:
        """Return the stack's recipe, with ``changes`` to its fields."""
        from soil_assets.modeling.stack_basis import STACK_PRETREATMENTS

        return cls(**{"learner": "stack", "pretreatments": STACK_PRETREATMENTS, **changes})

    @classmethod
    def from_settings(
        cls,
        settings: RecipeSettings,
        axis: Axis | None = None,
        quantity: Quantity = "absorbance",
        *,
        levels: Sequence[float] = (0.68, 0.90, 0.95),
    ) -> Recipe:
        """Recipe that a ``recipe`` section of soil.yaml states.

        Parameters
        ----------
        settings : RecipeSettings
        axis, quantity
            Of the spectra, which masks and continuum removal need; may be left out when no pre-treatment is named.
        levels : sequence of float
            Nominal coverages that the policy checks.

        Raises
        ------
        BadInput
            For an unknown learner, or a pre-treatment that is misspelt or does not fit the axis.
        """
        start = cls.stack() if settings.learner == "stack" else cls(learner=settings.learner)
        pretreatments = start.pretreatments
        if settings.pretreatments:
            if axis is None:
                raise BadInput("pre-treatments by name need the axis of the spectra")
            from soil_assets.modeling.pretreatment_names import parse_all

            pretreatments = parse_all(settings.pretreatments, axis, quantity)
        return replace(
            start,
            pretreatments=pretreatments,
            max_components=settings.max_components,
            folds=settings.folds,
            levels=tuple(levels),
            seed=settings.seed,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        return {
            "version": RECIPE_VERSION,
            "learner": self.learner,
            "pretreatments": [p.to_dict() for p in self.pretreatments],
            "max_components": self.max_components,
            "parsimony": self.parsimony,
            "folds": self.folds,
            "repeats": self.repeats,
            "nested": self.nested,
            "components": self.components,
            "second_scale": self.second_scale,
            "weighted_from": self.weighted_from,
            "fine": [p.to_dict() for p in self.fine],
            "fine_from": self.fine_from,
            "joint": self.joint,
            "sensors": list(self.sensors),
            "levels": list(self.levels),
            "domain_rate": self.domain_rate,
            "seed": self.seed,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Recipe:
        """Read what :meth:`to_dict` wrote."""
        fields = {k: v for k, v in raw.items() if k != "version"}
        for later in ("second_scale", "joint"):  # recipes of version 1 had none of these three
            fields[later] = bool(fields.get(later, False))
        for later in ("components", "weighted_from"):  # the second came with version 3
            fields[later] = int(fields.get(later, 0))
        fields["pretreatments"] = tuple(Pretreatment.from_dict(p) for p in fields["pretreatments"])
        fields["fine"] = tuple(Pretreatment.from_dict(p) for p in fields.get("fine", ()))
        fields["sensors"] = tuple(str(v) for v in fields.get("sensors", ()))
        fields["levels"] = tuple(float(v) for v in fields["levels"])
        return cls(**fields)

    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON form: equal recipes, equal fingerprints."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()
