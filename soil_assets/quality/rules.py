"""The rules of the gate: every :class:`Expectation` about samples and quality figures, with its words.

Belongs here: limits that physics and the practice of soil laboratories set, and what a person reads when one
fails. Does not belong here: how figures are computed (``quality.figures``), limits of a property
(``spectra.catalogue``), shares that refuse a whole batch (the policy).
"""

from __future__ import annotations

import math

from soil_assets.quality.expectations import Expectation
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import Quantity
from soil_assets.spectra.catalogue import Catalogue, Property
from soil_assets.spectra.lab import UNREAD

#: Intensities that are possible (critical) and usual (warning), as fraction: dark soils lie near 0, a rough
#: reference panel or strong specular reflection lifts reflectance above 1; absorbance of soil lies between 0
#: and 3.
INTENSITY_LIMITS: dict[Quantity, tuple[tuple[float, float], tuple[float, float]]] = {
    "reflectance": ((-0.1, 2.0), (-0.02, 1.2)),
    "absorbance": ((-1.0, 5.0), (-0.1, 3.5)),
}
#: No soil reflects 150 % over half of its range: such a median is a percentage called a fraction.
_PERCENT_MEDIAN = 1.5
#: log10(100) = 2: absorbance computed from percent lies two units too low, so its median is far below zero.
_LOW_ABSORBANCE_MEDIAN = -0.5
_SCALE_RATIO = 20.0

_SPECTRUM = "spectrum"
_REMEASURE = "measure the sample again, or leave the scan out"


def sample_rules() -> list[Expectation]:
    """Return the rules about ids and cells of the samples table."""
    return [
        Expectation(
            "id_missing", "schema", "critical", "samples", "sample_id", "not_null",
            expected="a sample id", found="no sample id",
            mend="write the sample's id into the table and hand the batch in again",
        ),
        Expectation(
            "id_unsafe", "schema", "critical", "samples", "sample_id", "not_matches",
            pattern=r"[\x00-\x1f\x7f/\\]|^\.\.?$",
            expected="an id without path separators and control characters", found="{value!r}",
            mend="replace the characters / and \\ and line breaks in the id",
        ),
        Expectation(
            "id_rounded", "schema", "warning", "samples", "sample_id", "matches",
            pattern=r"^(?!\s*[+-]?\d+(?:[.,]\d+)?[eE][+-]?\d+\s*$)",
            expected="the id as the laboratory wrote it", found="{value!r}",
            mend="a spreadsheet has rounded the id: format the column as text and fill it again",
        ),
        Expectation(
            "value_unread", "schema", "warning", "samples", UNREAD, "is_null",
            expected="a number, an empty cell, or < limit of detection", found="{value}",
            mend="write the number; write <0.05 for a value below a limit of 0.05", subject="(see found)",
        ),
    ]  # fmt: skip


def property_rules(catalogue: Catalogue) -> list[Expectation]:
    """Return hard and warning limits of every property; those that a batch does not carry are not applied."""
    rules = []
    for prop in catalogue.properties.values():
        hard, usual = prop.hard, prop.warning
        if not _open(hard):
            rules.append(
                _limits(prop, "impossible_value", hard, f"mend the value of {prop.name} or leave it empty")
            )
        if not _open(usual) and usual != hard:
            rules.append(
                _limits(prop, "unusual_value", usual, "check the value and its unit with the laboratory")
            )
    return rules


def spectrum_rules(axis: Axis, quantity: Quantity) -> list[Expectation]:
    """Return the rules about quality figures, for scans of ``quantity`` and a model on ``axis``."""
    (hard_low, hard_high), (low, high) = INTENSITY_LIMITS[quantity]
    model_range = f"{axis.low:g} to {axis.high:g} {axis.unit}"
    rules = [
        Expectation(
            "missing_bands", "spectral_quality", "critical", "figures", "missing_bands", "between",
            low=0, high=0,
            expected="a number at every band", found="{missing_bands} of {bands} bands hold no number",
            mend="export the scan again; " + _REMEASURE, subject=_SPECTRUM,
        ),
        Expectation(
            "covers_model_range", "spectral_quality", "critical", "figures", "uncovered", "between",
            low=0, high=axis.step * 1e-6, expected=f"{model_range} (spectra are never extrapolated)",
            found=f"{{covered_low:g}} to {{covered_high:g}} {axis.unit}", subject=_SPECTRUM,
            mend="measure the full range, or use a model trained on the range that was measured",
        ),
        Expectation(
            "flat", "spectral_quality", "critical", "figures", "contrast", "between", low=0.02,
            expected="a spectrum that varies by at least 2 % of its median",
            found="varies by {contrast:.2%} of its median", mend=_REMEASURE, subject=_SPECTRUM,
        ),
        _intensity(quantity, "critical", "minimum", hard_low, hard_high),
        _intensity(quantity, "critical", "maximum", hard_low, hard_high),
        _intensity(quantity, "warning", "minimum", low, high),
        _intensity(quantity, "warning", "maximum", low, high),
        Expectation(
            "clipped", "spectral_quality", "critical", "figures", "clipped_share", "between", high=0.10,
            expected="no plateau at the highest or lowest value over more than 10 % of the bands",
            found="{clipped_share:.0%} of the bands sit at one extreme value", subject=_SPECTRUM,
            masked_by=("flat",), mend="lower the detector's gain or the integration time and measure again",
        ),
        Expectation(
            "partly_clipped", "spectral_quality", "warning", "figures", "clipped_share", "between", high=0.02,
            expected="no plateau at the highest or lowest value over more than 2 % of the bands",
            found="{clipped_share:.1%} of the bands sit at one extreme value", subject=_SPECTRUM,
            masked_by=("flat", "clipped"),
            mend="look at the scan; lower the detector's gain if it is clipped",
        ),
        Expectation(
            "noise_far_above_batch", "spectral_quality", "critical", "figures", "noise_ratio", "between",
            high=20, expected="noise up to 20 times the batch's median",
            found="noise {noise_ratio:.0f} times the batch's median",
            mend=_REMEASURE, subject=_SPECTRUM, masked_by=("scale",),
        ),
        Expectation(
            "noise_above_batch", "spectral_quality", "warning", "figures", "noise_ratio", "between", high=5,
            expected="noise up to 5 times the batch's median",
            found="noise {noise_ratio:.1f} times the batch's median",
            mend="look at the scan; more co-added scans lower its noise", subject=_SPECTRUM,
            masked_by=("scale", "noise_far_above_batch"),
        ),
    ]  # fmt: skip
    return [*_scale(quantity), *rules]


def duplicate_rules() -> list[Expectation]:
    """Return the rules about repeated scans."""
    return [
        Expectation(
            "repeated_scan", "duplicates", "critical", "figures", "repeats", "is_null",
            expected="every scan once", found="{value}", subject=_SPECTRUM,
            mend="remove the copy; if the two are different samples, export their scans again",
        ),
        Expectation(
            "landed_before", "duplicates", "critical", "figures", "landed_before", "is_null",
            expected="scans that no earlier batch brought", found="{value}", subject=_SPECTRUM,
            mend="remove the scan from this batch", masked_by=("repeated_scan",),
        ),
    ]  # fmt: skip


def _scale(quantity: Quantity) -> list[Expectation]:
    if quantity == "absorbance":
        return [
            Expectation(
                "scale", "units", "critical", "figures", "median", "between", low=_LOW_ABSORBANCE_MEDIAN,
                expected="absorbance log10(1/R) of R as a fraction, zero or more",
                found="median absorbance {median:.2f}, as if R had been a percentage", subject=_SPECTRUM,
                mend="compute absorbance from reflectance as a fraction: add 2 to every value",
            )
        ]  # fmt: skip
    return [
        Expectation(
            "scale", "units", "critical", "figures", "median", "between", high=_PERCENT_MEDIAN,
            expected="reflectance as a fraction (0 to 1), as declared",
            found="median reflectance {median:.4g}, as if in percent", subject=_SPECTRUM,
            mend="divide the scan by 100; if the whole batch is in percent, declare scale: percent",
        ),
        Expectation(
            "scale_too_small", "units", "critical", "figures", "scale_ratio", "between", low=1 / _SCALE_RATIO,
            expected=f"a median reflectance of at least 1/{_SCALE_RATIO:g} of the batch's",
            found="median reflectance {median:.2g}, {scale_ratio:.2g} times the batch's", subject=_SPECTRUM,
            masked_by=("flat",),
            mend="multiply the scan by 100 if it is a fraction among percentages; " + _REMEASURE,
        ),
    ]  # fmt: skip


def _intensity(quantity: Quantity, severity: str, column: str, low: float, high: float) -> Expectation:
    critical = severity == "critical"
    rule = "intensity_impossible" if critical else "intensity_unusual"
    masks = ("scale", "scale_too_small") if critical else ("scale", "scale_too_small", "intensity_impossible")
    return Expectation(
        rule, "spectral_quality", "critical" if critical else "warning", "figures", column, "between",
        low=low, high=high, expected=f"{quantity} from {low:g} to {high:g}",
        found=f"{column} {quantity} {{value:.4g}}", subject=_SPECTRUM, masked_by=masks,
        mend=f"check that the values are {quantity}, and the reference measurement; " + _REMEASURE,
    )  # fmt: skip


def _limits(prop: Property, rule: str, limits: tuple[float, float], mend: str) -> Expectation:
    low, high = limits
    unit = "" if prop.unit == "index" else f" {prop.unit}"
    if math.isinf(high):
        expected = f"{prop.label} of at least {low:g}{unit}"
    elif math.isinf(low):
        expected = f"{prop.label} of at most {high:g}{unit}"
    else:
        expected = f"{prop.label} from {low:g} to {high:g}{unit}"
    return Expectation(
        rule, "ranges", "critical" if rule == "impossible_value" else "warning",
        "samples", prop.name, "between",
        low=None if math.isinf(low) else low, high=None if math.isinf(high) else high,
        expected=expected, found=f"{{value:.6g}}{unit}", mend=mend,
        masked_by=() if rule == "impossible_value" else ("impossible_value",),
    )  # fmt: skip


def _open(limits: tuple[float, float]) -> bool:
    return math.isinf(limits[0]) and math.isinf(limits[1])
