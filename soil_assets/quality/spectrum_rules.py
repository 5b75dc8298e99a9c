"""The rules about spectra: expectations on quality figures, with the words a person reads.

Belongs here: what is expected of intensities, coverage, noise, bands, shift; limits that a person may set come from
the policy. Does not belong here: how figures are
computed (``quality.figures``, ``quality.features``) and rules about the samples table (``quality.rules``).
"""

from __future__ import annotations

from soil_assets.quality.expectations import Expectation, Severity
from soil_assets.quality_policy import QualityPolicy
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import Quantity

#: Landed bands may be this many times as far apart as the model's; beyond, a spline invents what lies
#: between.
MAX_STEP_RATIO = 8.0
#: A cubic spline goes through four points or more.
LEAST_BANDS = 4
#: No soil reflects 150 % over half of its range: such a median is a percentage called a fraction.
PERCENT_MEDIAN = 1.5
#: log10(100) = 2: absorbance computed from percent lies two units too low, so its median is far below zero.
_LOW_ABSORBANCE_MEDIAN = -0.5
#: Medians of one instrument's soils stay within a factor of 5; a slip of percent and fraction is a factor of
#: 100.
_SCALE_RATIO = 20.0

_SPECTRUM = "spectrum"
_REMEASURE = "measure the sample again, or leave the scan out"
#: Rules that, when they fail, explain whatever else is odd about a scan's intensities.
_EXPLAINS = ("scale", "scale_too_small", "quantity", "flat")


def spectrum_rules(axis: Axis, quantity: Quantity, policy: QualityPolicy) -> list[Expectation]:
    """Return the rules about quality figures, for scans of ``quantity`` as landed and a model on ``axis``."""
    return [*_units(quantity), *_whole(axis, policy), *_intensities(quantity, policy), *_bands(axis, policy)]


def _units(quantity: Quantity) -> list[Expectation]:
    other = "reflectance" if quantity == "absorbance" else "absorbance"
    inverted = Expectation(
        "quantity", "units", "critical", "figures", "water_height", "between", low=-0.001,
        masked_by=("flat",),
        expected=f"{quantity}, in which water is a {'peak' if quantity == 'absorbance' else 'dip'}",
        found="every water band inverted (height {water_height:.3f} in absorbance at most)",
        subject=_SPECTRUM,
        mend=f"declare quantity: {other} if the values are that; else look at the scan: is it soil?",
    )  # fmt: skip
    if quantity == "absorbance":
        return [
            inverted,
            Expectation(
                "scale", "units", "critical", "figures", "median", "between", low=_LOW_ABSORBANCE_MEDIAN,
                expected="absorbance log10(1/R) of R as a fraction, zero or more",
                found="median absorbance {median:.2f}, as if R had been a percentage", subject=_SPECTRUM,
                mend="compute absorbance from reflectance as a fraction: add 2 to every value",
            ),
        ]  # fmt: skip
    return [
        inverted,
        Expectation(
            "scale", "units", "critical", "figures", "median", "between", high=PERCENT_MEDIAN,
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


def _whole(axis: Axis, policy: QualityPolicy) -> list[Expectation]:
    told, held = policy.clipped_share
    return [
        _rule("missing_bands", "critical", "missing_bands", 0, 0, "a number at every band",
              "{missing_bands} of {bands} bands hold no number", "export the scan again; " + _REMEASURE),
        _rule("covers_model_range", "critical", "uncovered", 0, axis.step * 1e-6,
              f"{axis.low:g} to {axis.high:g} {axis.unit} (spectra are never extrapolated)",
              f"{{covered_low:g}} to {{covered_high:g}} {axis.unit}",
              "measure the full range, or use a model trained on the range that was measured"),
        _rule("too_coarse", "critical", "band_step", None, MAX_STEP_RATIO * axis.step,
              f"a band at least every {MAX_STEP_RATIO * axis.step:g} {axis.unit}",
              f"a band every {{band_step:.3g}} {axis.unit}",
              "export the spectra at the resolution they were measured with"),
        _rule("too_coarse", "critical", "bands", LEAST_BANDS, None, f"at least {LEAST_BANDS} bands",
              "{bands} bands",
              "export the spectra at the resolution they were measured with"),
        _rule("flat", "critical", "contrast", 0.02, None,
        "a spectrum that varies by at least 2 % of its median",
              "varies by {contrast:.2%} of its median", _REMEASURE),
        _rule("clipped", "critical", "clipped_share", None, held,
              f"no plateau at the highest or lowest value over more than {held:.0%} of the bands",
              "{clipped_share:.0%} of the bands sit at one extreme value",
              "lower the detector's gain or the integration time and measure again", ("flat",)),
        _rule("partly_clipped", "warning", "clipped_share", None, told,
              f"no plateau at the highest or lowest value over more than {told:.0%} of the bands",
              "{clipped_share:.1%} of the bands sit at one extreme value",
              "look at the scan; lower the detector's gain if it is clipped", ("flat", "clipped")),
    ]  # fmt: skip


def _intensities(quantity: Quantity, policy: QualityPolicy) -> list[Expectation]:
    if quantity == "reflectance":
        limits = (policy.reflectance_possible, policy.reflectance_usual)
    else:
        limits = (policy.absorbance_possible, policy.absorbance_usual)
    rules = []
    severities: tuple[Severity, ...] = ("critical", "warning")
    for severity, (low, high) in zip(severities, limits, strict=True):
        rule = "intensity_impossible" if severity == "critical" else "intensity_unusual"
        masks = _EXPLAINS if severity == "critical" else (*_EXPLAINS, "intensity_impossible")
        rules += [
            _rule(rule, severity, column, low, high, f"{quantity} from {low:g} to {high:g}",
                  f"{column} {quantity} {{value:.4g}}",
                  f"check that the values are {quantity}, and the reference measurement; " + _REMEASURE,
                  masks)
            for column in ("minimum", "maximum")
        ]  # fmt: skip
    dark = _rule("no_logarithm", "warning", "dark_share", None, 0.0,
                 "reflectance above 0.0001, which has a logarithm",
                 "{dark_share:.1%} of the bands at or below 0.0001, taken as 0.0001",
                 "check the dark current; " + _REMEASURE, (*_EXPLAINS, "intensity_impossible"))  # fmt: skip
    negative = _rule("negative_absorbance", "warning", "minimum", 0.0, None, "absorbance of zero or more",
                     "minimum absorbance {value:.3g}", "check the reference measurement",
                     (*_EXPLAINS, "intensity_impossible", "intensity_unusual"))  # fmt: skip
    return [*rules, dark if quantity == "reflectance" else negative]


def _bands(axis: Axis, policy: QualityPolicy) -> list[Expectation]:
    (noise_told, noise_held), (step_told, step_held) = policy.noise_ratio, policy.join_step
    noise = "noise up to {:g} times the reference's median"
    spike_told, spike_held = policy.spike
    near, far = (steps * axis.step for steps in policy.shift_steps)
    lie = f"bands lie {{wavelength_shift:+.1f}} {axis.unit} from the reference's"
    times = "noise {noise_ratio:.1f} times the reference's median"
    return [
        _rule("noisy", "critical", "noise_ratio", None, noise_held, noise.format(noise_held), times,
              _REMEASURE, _EXPLAINS),
        _rule("noise_raised", "warning", "noise_ratio", None, noise_told, noise.format(noise_told), times,
              "look at the scan; more co-added scans lower its noise", (*_EXPLAINS, "noisy")),
        _rule("join_step", "critical", "join_step", None, step_held,
              f"detectors that meet within {step_held:.0%} of the signal",
              "a step of {join_step:.1%} between two detectors",
              "warm the instrument up, optimise it and measure again", _EXPLAINS),
        _rule("join_step_seen", "warning", "join_step", None, step_told,
              f"detectors that meet within {step_told:.0%} of the signal",
              "a step of {join_step:.1%} between two detectors", "apply the instrument's splice correction",
              (*_EXPLAINS, "join_step")),
        _rule("spike", "critical", "spike", None, spike_held,
              f"no band {spike_held:.0%} of the range off its neighbours",
              "a band {spike:.0%} of the scan's range off its two neighbours", _REMEASURE, (*_EXPLAINS, "noisy")),
        _rule("spike_seen", "warning", "spike", None, spike_told,
              f"no band {spike_told:.0%} of the range off its neighbours",
              "a band {spike:.0%} of the scan's range off its two neighbours", "look at the scan",
              (*_EXPLAINS, "noisy", "noise_raised", "spike")),
        _rule("wet", "warning", "water_excess", None, policy.water_spreads,
              f"a water band within {policy.water_spreads:g} spreads of the reference's median",
              "water band {water_excess:.0f} spreads above the reference's median",
              "dry the sample and measure again", _EXPLAINS),
        _rule("carbon_dioxide", "warning", "co2_height", -policy.co2_height, policy.co2_height,
              f"no more than {policy.co2_height:g} of CO2 absorbance near 2350 cm-1", "CO2 band of {co2_height:+.2f}",
              "purge the instrument, take the background again", _EXPLAINS),
        _rule("shifted", "critical", "wavelength_shift", -far, far, f"bands within {far:g} {axis.unit}", lie,
              "calibrate the instrument's wavelength axis and measure again", _EXPLAINS),
        _rule("shift_seen", "warning", "wavelength_shift", -near, near,
        f"bands within {near:g} {axis.unit}", lie,
              "check the instrument's wavelength calibration", (*_EXPLAINS, "shifted")),
    ]  # fmt: skip


def _rule(
    rule: str, severity: Severity, column: str, low: float | None, high: float | None, expected: str,
    found: str,
    mend: str, masked_by: tuple[str, ...] = (),
) -> Expectation:  # fmt: skip
    return Expectation(
        rule, "spectral_quality", severity, "figures", column, "between", low=low, high=high,
        expected=expected,
        found=found, mend=mend, subject=_SPECTRUM, masked_by=masked_by,
    )  # fmt: skip
