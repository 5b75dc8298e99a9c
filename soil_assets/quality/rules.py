"""The rules about samples: ids, limits of properties, copies and replicates, with the words a person reads.

Belongs here: expectations about the samples table and about scans as things that are counted.
Does not belong here: rules about spectra (``quality.spectrum_rules``) and between properties
(``quality.cross_rules``), limits of a property (``spectra.catalogue``), shares that refuse a batch (the
policy).
"""

from __future__ import annotations

import math
from collections.abc import Collection

from soil_assets.quality.expectations import Expectation
from soil_assets.quality_policy import QualityPolicy
from soil_assets.spectra.catalogue import Catalogue, Property
from soil_assets.spectra.lab import CONFLICTS, UNREAD

_SPECTRUM = "spectrum"


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
            pattern=r"[\x00-\x1f\x7f]|^\.\.?$",
            expected="an id of printable characters", found="{value!r}",
            mend="remove line breaks and control characters from the id",
        ),
        Expectation(
            "id_separator", "schema", "warning", "samples", "sample_id", "not_matches", pattern=r"[/\\]",
            expected="an id that can also be a file's name", found="{value!r}", masked_by=("id_unsafe",),
            mend="nothing, unless files are named after samples: then replace / and \\",
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


def property_rules(catalogue: Catalogue, set_aside: Collection[str] = ()) -> list[Expectation]:
    """Return hard and warning limits of every property; those that a batch does not carry are not applied.

    An impossible value of a property in ``set_aside`` is told and taken as missing; of any other, it quarantines.
    """
    rules = []
    for prop in catalogue.properties.values():
        hard, usual = prop.hard, prop.warning
        aside = prop.name in set_aside
        rule = "value_set_aside" if aside else "impossible_value"
        if not _open(hard):
            mend = "until then it is missing, and the scan goes on" if aside else "or leave it empty"
            rules.append(
                _limits(prop, rule, hard, f"mend the value of {prop.name}{'; ' if aside else ' '}{mend}")
            )
        if not _open(usual) and usual != hard:
            mend = "check the value and its unit with the laboratory"
            rules.append(_limits(prop, "unusual_value", usual, mend, () if _open(hard) else (rule,)))
    return rules


def duplicate_rules() -> list[Expectation]:
    """Return the rules about scans that are there twice."""
    return [
        Expectation(
            "repeated_scan", "duplicates", "critical", "figures", "copy_of", "is_null",
            expected="every scan once", found="{value}", subject=_SPECTRUM, masked_by=("flat",),
            mend="remove the copy; if the two are different samples, export their scans again",
        ),
        Expectation(
            "copied", "duplicates", "warning", "figures", "copied_as", "is_null",
            expected="every scan under one id", found="{value}", subject=_SPECTRUM, masked_by=("flat",
            "repeated_scan"),
            mend="tell which of the two ids the scan belongs to; this one was kept",
        ),
        Expectation(
            "landed_before", "duplicates", "critical", "figures", "landed_before", "is_null",
            expected="scans that no earlier batch brought", found="{value}", subject=_SPECTRUM,
            masked_by=("flat", "repeated_scan"), mend="remove the scan from this batch",
        ),
    ]  # fmt: skip


def replicate_rules(policy: QualityPolicy) -> list[Expectation]:
    """Return the rules about several scans, and several results, of one sample."""
    far = policy.replicate_ratio
    return [
        Expectation(
            "foreign_replicate", "replicates", "critical", "figures", "replicate_vs_soils", "between",
            high=1.0,
            expected="a scan nearer to its sample's others than soils of the batch are to each other",
            found="as far from its sample's others as another soil, {replicate_ratio:.1f} times the usual",
            subject=_SPECTRUM,
            mend="check the id of this scan and of its sample's others; measure the sample again",
        ),
        Expectation(
            "replicate_spread", "replicates", "warning", "figures", "replicate_ratio", "between",
            high=far,
            expected=f"a scan up to {far:g} times as far from its sample's others as is usual",
            found="{replicate_ratio:.1f} times as far as is usual", subject=_SPECTRUM,
            masked_by=("foreign_replicate",),
            mend="look at the sample's scans; measure the sample again",
        ),
        Expectation(
            "lab_rows_differ", "replicates", "warning", "samples", CONFLICTS, "is_null",
            expected="one row a sample in the lab's table", found="{value}; left missing", subject="(see found)",
            mend="tell which of the lab's rows is right",
        ),
        Expectation(
            "results_conflict", "replicates", "critical", "samples", "results_conflict", "is_null",
            expected="one result a sample", found="{value}", subject="(see found)",
            mend="tell which result is right, or give the two samples different ids",
        ),
        Expectation(
            "results_differ", "replicates", "warning", "samples", "results_differ", "is_null",
            expected="one result a sample", found="{value}", subject="(see found)",
            masked_by=("results_conflict",),
            mend="give the mean of the two results, or tell which is right",
        ),
    ]  # fmt: skip


def _limits(
    prop: Property, rule: str, limits: tuple[float, float], mend: str, masked_by: tuple[str, ...] = ()
) -> Expectation:
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
        expected=expected, found=f"{prop.name} {{value:.6g}}{unit}", mend=mend,
        masked_by=masked_by,
    )  # fmt: skip


def _open(limits: tuple[float, float]) -> bool:
    return math.isinf(limits[0]) and math.isinf(limits[1])
