"""The section ``policy.quality`` of ``soil.yaml``: the limits of the quality gate, each key explained.

Belongs here: keys, defaults, checks and descriptions. Does not belong here: rules (``quality``), limits of soil
properties (``spectra.properties``) and all other keys (``config``).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]


def _two_steps(pair: tuple[float, float]) -> tuple[float, float]:
    if not 0 < pair[0] <= pair[1]:
        raise ValueError("two positive numbers, the second not below the first: told from, quarantined from")
    return pair


def _range(pair: tuple[float, float]) -> tuple[float, float]:
    if not pair[0] < pair[1]:
        raise ValueError("a low and a high end")
    return pair


TWO_STEPS_TOLD = "Of two numbers, above the first a figure is told, above the second the scan is quarantined."
#: See :data:`TWO_STEPS_TOLD`.
TwoSteps = Annotated[tuple[float, float], AfterValidator(_two_steps)]
Range = Annotated[tuple[float, float], AfterValidator(_range)]
Positive = Annotated[float, Field(gt=0.0)]


class QualityPolicy(BaseModel):
    """When a batch as a whole is refused, and where the limits of a scan's quality figures lie.

    Limits of soil properties are facts of the catalogue, not of the policy.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Each key's description is also its comment in soil.yaml; a test keeps the two alike.
    max_quarantined_share: Share = Field(
        default=0.5, description="more than this of a batch in quarantine: the whole batch is held"
    )
    min_accepted: Annotated[int, Field(ge=1)] = Field(
        default=1, description="fewer accepted scans: the whole batch is held"
    )
    unused_impossible: Literal["set_aside", "quarantine"] = Field(
        default="set_aside",
        description="an impossible value of a property not modelled: set_aside (missing, told) | quarantine (the scan)",
    )
    reflectance_usual: Range = Field(
        default=(-0.02, 1.2),
        description="of a fraction; outside: told. Dark soils lie near 0, specular reflection lifts above 1",
    )
    reflectance_possible: Range = Field(default=(-0.1, 2.0), description="outside: the scan is quarantined")
    absorbance_usual: Range = Field(default=(-0.1, 3.5), description="log10(1/R); outside: told")
    absorbance_possible: Range = Field(default=(-1.0, 5.0), description="outside: the scan is quarantined")
    clipped_share: TwoSteps = Field(
        default=(0.02, 0.10), description="bands on a plateau at the highest or lowest value"
    )
    noise_ratio: TwoSteps = Field(default=(5.0, 20.0), description="noise over the reference's median noise")
    join_step: TwoSteps = Field(
        default=(0.02, 0.20), description="step where two detectors meet, as a share of the signal"
    )
    spike: TwoSteps = Field(
        default=(0.25, 1.0), description="a band off its two neighbours, as a share of the scan's range"
    )
    shift_steps: TwoSteps = Field(
        default=(0.75, 3.0), description="wavelength shift against the reference, in steps of the axis"
    )
    water_spreads: Positive = Field(
        default=10.0, description="water band above the reference's median, in its spreads: told"
    )
    co2_height: Positive = Field(
        default=0.15, description="absorbance of the CO2 band near 2350 cm-1, up or down: told"
    )
    replicate_ratio: Positive = Field(
        default=5.0, description="distance from the sample's other scans over the usual one: told"
    )
    texture_sum_off: TwoSteps = Field(
        default=(2.0, 10.0), description="clay, silt and sand off 100 %, in percent"
    )
    near_copy_distance: Annotated[float, Field(gt=0.0, le=0.002)] = Field(
        default=0.001,
        description="two scans nearer than this are one (of 3,700 real ones none came nearer than 0.0023)",
    )


def quality_section(policy: QualityPolicy) -> str:
    """Return the section ``policy.quality`` of ``soil.yaml``, each key explained."""
    lines = ["policy:", "  quality:", f"    # {TWO_STEPS_TOLD}"]
    for key, info in QualityPolicy.model_fields.items():
        value = getattr(policy, key)
        shown = f"{key}: {list(value) if isinstance(value, tuple) else value}"
        lines.append(f"    {shown:<38} # {info.description}")
    return "\n".join(lines) + "\n"
