"""What a model card is written from: what a model says about itself, and what was measured on it.

Belongs here: the shape of those facts. Does not belong here: the card (``model_card``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from soil_assets.reporting.decision_inputs import BandImportance, Facts
from soil_assets.spectra.axis import Axis

#: What the difficulty of a sample is a function of, in the order of its slopes.
DIFFICULTY = ("value", "t2", "q", "distance")


class Difficulty(Protocol):
    """How widths differ between samples (``modeling.difficulty.Difficulty``)."""

    @property
    def slopes(self) -> Any:
        """Of ln difficulty, shape (4,)."""


class Domain(Protocol):
    """Where a model may be used (``modeling.applicability.ApplicabilityDomain``)."""

    def facts(self) -> Mapping[str, Any]:
        """JSON-ready limits, rate and size."""


class Model(Protocol):
    """What a trained model says about itself (``modeling.model.SoilModel``)."""

    @property
    def label(self) -> str:
        """For people."""

    @property
    def unit(self) -> str:
        """Of every value."""

    @property
    def method(self) -> str:
        """The laboratory's."""

    @property
    def axis(self) -> Axis:
        """The spectral axis that it sees."""

    @property
    def quantity(self) -> str:
        """Absorbance or reflectance."""

    @property
    def importance(self) -> Any:
        """VIP by band."""

    @property
    def training(self) -> Mapping[str, Any]:
        """Summary of the training."""

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The recipe as data."""

    @property
    def domain(self) -> Domain:
        """The applicability domain."""

    @property
    def transform(self) -> str:
        """Modelling scale."""

    @property
    def half_widths(self) -> Mapping[float, float]:
        """Of the intervals by level, on the modelling scale."""

    @property
    def difficulty(self) -> Difficulty:
        """By which they are scaled."""

    # Last, because it hides the decorator from what follows.
    @property
    def property(self) -> str:
        """Canonical name."""


class CardFacts(BaseModel):
    """Everything a card says; JSON-ready, so that a card can be written again without its model.

    Parameters
    ----------
    name, version : str
        Of the registered model.
    label, unit, method, spectra : str
        The property, and in words the spectra that the model sees.
    training, recipe, domain : dict
        As the model keeps them.
    intervals : dict
        ``half_widths`` by level and ``slopes`` of the difficulty, on ``scale``.
    evaluation : dict or None
        ``Evaluation.to_dict()`` on the benchmark.
    benchmark : str
        What the benchmark is, in words.
    data : tuple of str
        Sources of the training data, with licence and credit.
    caveats : tuple of str
        What a user must know besides what the figures say.
    importance : BandImportance or None
        VIP.
    versions, links : dict of str to str
        Code, data hashes; addresses by what they lead to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str = ""
    property: str
    label: str = ""
    unit: str = ""
    method: str = ""
    spectra: str = ""
    training: Facts = Field(default_factory=dict)
    recipe: Facts = Field(default_factory=dict)
    domain: Facts = Field(default_factory=dict)
    intervals: Facts = Field(default_factory=dict)
    evaluation: Facts | None = None
    benchmark: str = ""
    data: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    importance: BandImportance | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    links: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def of(cls, model: Model, name: str, **other: Any) -> CardFacts:
        """Take from a model what it knows of itself; ``other`` are the remaining fields."""
        importance = BandImportance(
            positions=tuple(model.axis.values.tolist()),
            unit=model.axis.unit,
            vip=tuple(float(v) for v in model.importance),
        )
        own: dict[str, Any] = {
            "name": name,
            "property": model.property,
            "label": model.label,
            "unit": model.unit,
            "method": model.method,
            "spectra": f"{model.quantity}, {model.axis.describe()}",
            "training": dict(model.training),
            "recipe": dict(model.recipe),
            "domain": dict(model.domain.facts()),
            "intervals": {
                "half_widths": {
                    f"{100 * level:g}": half for level, half in sorted(model.half_widths.items())
                },
                "slopes": dict(zip(DIFFICULTY, model.difficulty.slopes.tolist(), strict=True)),
                "scale": model.unit if model.transform == "none" else f"{model.transform}({model.unit})",
            },
            "importance": importance,
        }
        return cls(**(own | other))
