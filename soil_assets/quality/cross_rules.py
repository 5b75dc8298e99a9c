"""Rules that combine properties of one sample: what cannot be true together, or hardly is.

Belongs here: derived columns of the samples table and the expectations about them.
Does not belong here: limits of a single property (``spectra.catalogue``) and suspicions about a whole batch's
unit (``quality.unit_suspicion``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.quality.expectations import Expectation, Severity
from soil_assets.quality_policy import QualityPolicy
from soil_assets.spectra.catalogue import Catalogue

Floats = npt.NDArray[np.float64]

#: Texture classes whose sum is judged: silt of one size limit is only ever added to sand of the same.
TEXTURE_SYSTEMS = {
    "": ("clay", "silt", "sand"),
    "_usda": ("clay", "silt_usda", "sand_usda"),
    "_iso": ("clay", "silt_iso", "sand_iso"),
}
#: pH in salt solutions, each compared with pH in water.
_SALTS = ("ph_cacl2", "ph_kcl", "ph_bacl2")
_BASES = ("ca_exch", "mg_exch", "k_exch", "na_exch")
#: Carbon in CaCO3 by mass: 12.011 / 100.087.
_CARBONATE_CARBON = 0.12001
#: Nitrogen below this (%) is near the limit of detection, and a ratio to it says nothing.
_LEAST_NITROGEN = 0.02


def blank_zero_texture(samples: pd.DataFrame) -> tuple[pd.DataFrame, npt.NDArray[np.bool_]]:
    """Make textures missing whose clay, silt and sand are all exactly 0: no soil is, so nothing was measured.

    Returns
    -------
    (DataFrame, ndarray of bool)
        The table, and the rows that were changed.
    """
    changed = np.zeros(len(samples), dtype=bool)
    out = samples
    for columns in TEXTURE_SYSTEMS.values():
        present = [c for c in columns if c in samples.columns]
        if len(present) < 2:
            continue
        values = np.stack([_numbers(samples, c) for c in present])
        zero = np.isfinite(values).any(axis=0) & (np.nan_to_num(values) == 0).all(axis=0)
        if zero.any():
            out = out.copy() if out is samples else out
            out.loc[zero, present] = np.nan
            changed |= zero
    return out, changed


def set_impossible_aside(
    samples: pd.DataFrame, catalogue: Catalogue, names: Collection[str]
) -> tuple[pd.DataFrame, str]:
    """Make values outside the hard limits of the properties ``names`` missing.

    Returns
    -------
    (DataFrame, str)
        The table, and how many values of what were set aside, in words; empty when there were none.
    """
    out, told = samples, []
    for name in (str(c) for c in samples.columns if str(c) in names):
        values, (low, high) = _numbers(samples, name), catalogue[name].hard
        off = (values < low) | (values > high)
        if off.any():
            out = out.copy() if out is samples else out
            out[name] = np.where(off, np.nan, values)
            told.append(f"{name}: {int(off.sum())}")
    words = "impossible values of properties that are not modelled are set aside as missing"
    return out, f"{words} ({', '.join(told)})" if told else ""


def cross_columns(samples: pd.DataFrame, catalogue: Catalogue) -> pd.DataFrame:
    """Return the derived columns that the batch's properties allow, one row a scan; NaN where missing."""
    out: dict[str, object] = {}
    for suffix, columns in TEXTURE_SYSTEMS.items():
        if all(c in samples.columns for c in columns):
            out[f"texture_sum{suffix}"] = sum(_numbers(samples, c) for c in columns)
    water = _first(samples, ("ph_h2o", "ph"))
    if water is not None:
        for salt in _SALTS:
            if salt in samples.columns:
                out[f"{salt}_below_water"] = water - _numbers(samples, salt)
        if "caco3" in samples.columns:
            acid = np.where(water < 6.0, _numbers(samples, "caco3"), np.nan)
            out["carbonate_in_acid"] = acid
    carbon = _first(samples, ("soc", "c_tot"))
    if carbon is not None and "n_tot" in samples.columns:
        nitrogen = _numbers(samples, "n_tot")
        with np.errstate(divide="ignore", invalid="ignore"):
            out["c_n_ratio"] = np.where(
                (nitrogen >= _LEAST_NITROGEN) & (carbon > 0), carbon / nitrogen, np.nan
            )
    if "c_tot" in samples.columns:
        total = _numbers(samples, "c_tot")
        if "soc" in samples.columns:
            out["organic_over_total_carbon"] = _numbers(samples, "soc") - 1.1 * total
        if "caco3" in samples.columns:
            out["carbonate_over_total_carbon"] = _CARBONATE_CARBON * _numbers(samples, "caco3") - 1.1 * total
    if water is not None and "cec" in samples.columns and all(c in samples.columns for c in _BASES):
        salty = (
            _numbers(samples, "ec") > 2.0 if "ec" in samples.columns else np.zeros(len(samples), dtype=bool)
        )
        cec = _numbers(samples, "cec")
        # Free carbonate and salts dissolve into the extract; without them bases fill the exchanger at most.
        judged = (water < 6.5) & ~salty & (cec > 2.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            bases = sum(_numbers(samples, c) for c in _BASES) / cec
        out["bases_over_cec"] = np.where(judged, bases, np.nan)
    for wet, dry in (("wr_10kpa", "wr_33kpa"), ("wr_33kpa", "wr_1500kpa")):
        if wet in samples.columns and dry in samples.columns:
            out[f"{dry}_over_{wet}"] = _numbers(samples, dry) - _numbers(samples, wet)
    out["zeros"] = pd.array(_zeros(samples, catalogue), dtype=object)
    return pd.DataFrame(out, index=pd.RangeIndex(len(samples)))


def cross_rules(policy: QualityPolicy) -> list[Expectation]:
    """Return the expectations about :func:`cross_columns`; those a batch does not allow are not applied."""
    told, held = policy.texture_sum_off
    return [
        *(_texture_sum(suffix, "critical", held) for suffix in TEXTURE_SYSTEMS),
        *(_texture_sum(suffix, "warning", told) for suffix in TEXTURE_SYSTEMS),
        *(
            _rule("ph_salt", "warning", f"{salt}_below_water", salt, -0.5, 2.0,
                  "pH in salt solution at most 0.5 above and 2 below pH in water",
                  "{value:.2f} below pH in water", "check that the two columns are what they are called")
            for salt in _SALTS
        ),
        _rule("carbonate_in_acid", "warning", "carbonate_in_acid", "caco3", None, 2.0,
              "at most 2 % CaCO3 where pH is below 6", "{value:.3g} % CaCO3", "check pH and carbonate"),
        _rule("c_n_ratio", "warning", "c_n_ratio", "n_tot", 3.0, 100.0, "carbon 3 to 100 times nitrogen",
              "C:N {value:.3g}", "check both values and their units"),
        _rule("organic_over_total_carbon", "warning", "organic_over_total_carbon", "soc", None, 0.2,
              "organic carbon within total carbon", "{value:.3g} % over 1.1 times total carbon",
              "check which column is organic and which is total carbon"),
        _rule("carbonate_over_total_carbon", "warning", "carbonate_over_total_carbon", "caco3", None, 0.2,
              "carbon of the carbonate within total carbon", "{value:.3g} % over 1.1 times total carbon",
              "check carbonate and total carbon"),
        _rule("bases_over_cec", "warning", "bases_over_cec", "cec", None, 1.5,
              "exchangeable bases up to 1.5 times the exchange capacity, in acid soil without salts",
              "bases {value:.2g} times the exchange capacity", "check the cations, the capacity and their units"),
        _rule("water_order", "warning", "wr_33kpa_over_wr_10kpa", "wr_33kpa", None, 2.0,
              "less water at 33 than at 10 kPa", "{value:.3g} % more", "check the two suctions"),
        _rule("water_order", "warning", "wr_1500kpa_over_wr_33kpa", "wr_1500kpa", None, 2.0,
              "less water at 1500 than at 33 kPa", "{value:.3g} % more", "check the two suctions"),
        Expectation("zero_value", "ranges", "warning", "samples", "zeros", "is_null",
                    expected="a value above 0, or < limit of detection", found="exactly 0: {value}",
                    mend="write <limit for a value below detection; leave the cell empty if not measured",
                    subject="(see found)"),
        Expectation("texture_all_zero", "ranges", "warning", "samples", "zero_texture", "is_null",
                    expected="a texture that was measured, or empty cells", found="{value}", subject="clay",
                    mend="leave the cells empty when the texture was not measured"),
    ]  # fmt: skip


def _texture_sum(suffix: str, severity: Severity, width: float) -> Expectation:
    named = ", ".join(TEXTURE_SYSTEMS[suffix])
    critical = severity == "critical"
    return _rule(
        "texture_sum" if critical else "texture_sum_off", severity, f"texture_sum{suffix}", named,
        100 - width,
        100 + width, f"{named} that add up to 100 ± {width:g} %", "{value:.1f} % in sum",
        "mend the three values; state whether silt ends at 50 (USDA) or 63 µm (ISO)",
        masked_by=() if critical else ("texture_sum",),
    )  # fmt: skip


def _rule(
    rule: str, severity: Severity, column: str, subject: str, low: float | None, high: float | None,
    expected: str,
    found: str, mend: str, masked_by: tuple[str, ...] = (),
) -> Expectation:  # fmt: skip
    return Expectation(
        rule, "ranges", severity, "samples", column, "between", low=low, high=high, expected=expected,
        found=found,
        mend=mend, subject=subject, masked_by=masked_by,
    )  # fmt: skip


def _zeros(samples: pd.DataFrame, catalogue: Catalogue) -> list[str | None]:
    suspects = [
        str(c) for c in samples.columns if str(c) in catalogue and catalogue[str(c)].zero == "suspicious"
    ]
    named: list[str | None] = [None] * len(samples)
    for name in suspects:
        for row in np.flatnonzero(_numbers(samples, name) == 0):
            named[row] = name if named[row] is None else f"{named[row]}, {name}"
    return named


def _first(samples: pd.DataFrame, names: Iterable[str]) -> Floats | None:
    found = [_numbers(samples, n) for n in names if n in samples.columns]
    if not found:
        return None
    values = found[0]
    for other in found[1:]:
        values = np.where(np.isfinite(values), values, other)
    return values


def _numbers(samples: pd.DataFrame, column: str) -> Floats:
    return samples[column].to_numpy(dtype=np.float64, na_value=np.nan)
