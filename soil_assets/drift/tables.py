"""Any two tables: the drift gate for spectra or plain columns, without the rest of the project.

Belongs here: telling spectral columns from others, and the tests of plain tables. Does not belong here: reading
files and exit codes (``cli``). Tables with spectra go through ``compare``; plain tables get the same report.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.config import DriftPolicy
from soil_assets.drift.compare import compare
from soil_assets.drift.family import combine, tests_table
from soil_assets.drift.labellings import even_labellings
from soil_assets.drift.large_tables import analytic_tests
from soil_assets.drift.profile import MAX_SOILS, MIN_REFERENCE, fit_profile
from soil_assets.drift.report import CHECK_OF_FAMILY, TEST_COLUMNS, DriftCheck, DriftReport, Verdict
from soil_assets.drift.space import pooled_space
from soil_assets.drift.two_sample import Tested, chi_squared, energy, far_out, kolmogorov_smirnov, log_excess
from soil_assets.drift.words import category_in_words, shift_in_words
from soil_assets.errors import BadInput
from soil_assets.spectra.axis import Axis, AxisUnit
from soil_assets.spectra.batch import Quantity, SpectralBatch

FloatArray = npt.NDArray[np.float64]

_BAND = re.compile(
    r"(?:(?P<kind>scan_(?:mir|visnir|nir))[._]|X|w[ln][._]?)?(?P<at>\d+(?:\.\d+)?)(?:_(?P<q>abs|ref))?"
)
#: So many columns named by a number are a spectrum.
_FEWEST_BANDS = 20
#: No soil spectrum begins below this (nm or cm-1); columns 0, 1, 2 ... are no bands.
_LEAST_POSITION = 200.0
#: Text columns with more values than this are names, not categories.
_MOST_CATEGORIES = 30
#: Pools up to this many rows are judged by permutation, larger ones by asymptotic p-values.
_PERMUTED_UP_TO = 1200
_ID_COLUMNS = ("sample_id", "scan_id", "id", "id.layer_uuid_txt", "id.scan_local_c", "dataset.code_ascii_txt")


@dataclass(frozen=True, eq=False)
class _Columns:
    """Shared columns of both tables, by what they are."""

    numeric: dict[str, tuple[FloatArray, FloatArray]]
    categories: dict[str, tuple[npt.NDArray[np.str_], npt.NDArray[np.str_]]]
    notes: list[str]


def compare_tables(
    reference: pd.DataFrame, new: pd.DataFrame, *, policy: DriftPolicy | None = None
) -> DriftReport:
    """Judge a table against a reference table.

    Columns named by band positions (``scan_mir.600_abs``, ``600``, ``wl_600``) are taken as one spectrum; all other
    shared columns are compared one by one. Rows count as independent.

    Parameters
    ----------
    reference, new : DataFrame
        At least :data:`~soil_assets.drift.profile.MIN_REFERENCE` rows in the reference; any number in ``new``.
    policy : DriftPolicy, optional
        Defaults hold.

    Returns
    -------
    DriftReport

    Raises
    ------
    BadInput
        When no column is shared, the spectra lie on different axes, or the reference is too small.
    """
    policy = policy or DriftPolicy()
    reference, new = _plain(reference), _plain(new)
    if len(_bands(reference)) >= _FEWEST_BANDS:
        known, fresh = _as_spectra(reference), _as_spectra(new)
        shared = [c for c in known.samples.columns if c in fresh.samples.columns and c not in _ID_COLUMNS]
        numeric = [c for c in shared if pd.api.types.is_numeric_dtype(known.samples[c])]
        categories = [c for c in shared if c not in numeric and _is_category(known.samples[c])]
        profile = fit_profile(known, properties=numeric, categories=categories)
        return compare(profile, fresh, policy=policy)
    columns = _shared(reference, new)
    if len(reference) < MIN_REFERENCE:
        raise BadInput(
            "the reference table is too small to compare anything with",
            found=f"{len(reference)} rows",
            expected=f"at least {MIN_REFERENCE}",
        )
    if len(new) < policy.min_samples:
        reason = f"{len(new)} rows are too few to judge (at least {policy.min_samples} are needed)"
        return _report(reference, new, columns, policy, None, None, policy.permutations, reason)
    if not columns.numeric and not columns.categories:
        return _report(
            reference, new, columns, policy, None, None, policy.permutations, "no shared column can be judged"
        )
    if len(reference) + len(new) <= _PERMUTED_UP_TO:
        tests = _permuted(columns, len(reference), len(new), policy)
        family = combine(tests, policy.false_alarm_rate)
        table, p_value = tests_table(tests, family, policy.false_alarm_rate), family.p_value
    else:
        table, p_value = analytic_tests(columns.numeric, columns.categories, _joint(columns, policy), policy)
    return _report(reference, new, columns, policy, table, p_value, policy.permutations, None)


def _permuted(columns: _Columns, known: int, new: int, policy: DriftPolicy) -> list[Tested]:
    labels = even_labellings(known + new, new, policy.permutations, policy.seed)
    tests: list[Tested] = []
    complete = {n: np.concatenate(p) for n, p in columns.numeric.items() if _complete(p)}
    if complete:
        values = np.column_stack(list(complete.values()))
        tests += kolmogorov_smirnov("properties", list(complete), values, labels)
        space = pooled_space(_standardised(values)) if values.shape[1] > 1 else None
        if space is not None:
            tests.append(energy("spectra", "all columns together", space.distances, labels))
            tests.append(far_out("outliers", "distance from the centre", log_excess(space.t2), labels))
    for i, (name, (before, after)) in enumerate(columns.numeric.items()):
        if name in complete:
            continue
        missing = np.concatenate([np.isnan(before), np.isnan(after)]).astype(np.intp)
        tests.append(chi_squared("categories", f"{name} missing", missing, labels))
        before, after = before[np.isfinite(before)], after[np.isfinite(after)]
        if min(before.size, after.size) >= 5:
            own = even_labellings(
                before.size + after.size, after.size, policy.permutations, policy.seed + 1 + i
            )
            tests += kolmogorov_smirnov("properties", [name], np.concatenate([before, after])[:, None], own)
    for name, (left, right) in columns.categories.items():
        _, codes = np.unique(np.concatenate([left, right]), return_inverse=True)
        tests.append(chi_squared("categories", name, codes.astype(np.intp), labels))
    return tests


def _joint(columns: _Columns, policy: DriftPolicy) -> Tested | None:
    """Energy distance over all complete columns, on rows drawn from either side."""
    complete = [p for p in columns.numeric.values() if _complete(p)]
    if len(complete) < 2:
        return None
    generator = np.random.default_rng(policy.seed)
    sides = []
    for side in (0, 1):
        count = complete[0][side].size
        rows = np.sort(generator.choice(count, min(count, MAX_SOILS // 2), replace=False))
        sides.append(np.column_stack([p[side][rows] for p in complete]))
    space = pooled_space(_standardised(np.concatenate(sides)))
    if space is None:
        return None
    permutations = min(policy.permutations, 499)
    labels = even_labellings(len(space.scores), len(sides[1]), permutations, policy.seed)
    return energy("spectra", "all columns together", space.distances, labels)


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with text names and rows counted from 0, without copying one that has both."""
    if not all(isinstance(name, str) for name in table.columns):
        table = table.rename(columns=str)
    counted = isinstance(table.index, pd.RangeIndex) and table.index.start == 0 and table.index.step == 1
    return table if counted else table.reset_index(drop=True)


def _bands(table: pd.DataFrame) -> dict[str, re.Match[str]]:
    found = {c: m for c in table.columns if (m := _BAND.fullmatch(c))}
    return {c: m for c, m in found.items() if float(m["at"]) >= _LEAST_POSITION}


def _as_spectra(table: pd.DataFrame) -> SpectralBatch:
    matches = _bands(table)
    if len(matches) < _FEWEST_BANDS:
        raise BadInput(
            "one table has spectra and the other has none",
            found=f"{len(matches)} columns named by a band position",
        )
    positions = np.array([float(m["at"]) for m in matches.values()])
    kinds = {m["kind"] or "" for m in matches.values()}
    unit: AxisUnit = "nm"
    if kinds == {"scan_mir"} or any(c.lower().startswith("wn") for c in matches) or positions.max() > 2600:
        unit = "cm-1"
    spectra = table[list(matches)].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float32)
    marks = {m["q"] for m in matches.values()}
    finite = spectra[np.isfinite(spectra)]
    # Without a mark in the names: soil reflectance never exceeds 1, and soil absorbance mostly does in the MIR.
    reflectance = marks == {"ref"} or (
        marks == {None} and unit == "nm" and finite.size and finite.max() <= 1.0
    )
    quantity: Quantity = "reflectance" if reflectance else "absorbance"
    samples = table.drop(columns=list(matches))
    if "sample_id" not in samples.columns:
        samples.insert(0, "sample_id", [f"row {i + 1}" for i in range(len(table))])
    return SpectralBatch(samples, spectra, Axis(positions, unit), quantity)


def _shared(reference: pd.DataFrame, new: pd.DataFrame) -> _Columns:
    shared = [c for c in reference.columns if c in new.columns]
    if not shared:
        raise BadInput(
            "the two tables have no column in common",
            found=", ".join(map(str, list(new.columns)[:6])),
            expected=", ".join(map(str, list(reference.columns)[:6])),
        )
    found = _Columns({}, {}, [])
    for name in shared:
        before, after = reference[name], new[name]
        if name in _ID_COLUMNS:
            continue
        if pd.api.types.is_numeric_dtype(before) and pd.api.types.is_numeric_dtype(after):
            left, right = (np.asarray(c, dtype=np.float64) for c in (before, after))
            known = [c[np.isfinite(c)] if not np.isfinite(c.sum()) else c for c in (left, right)]
            if not known[0].size or not known[1].size:
                found.notes.append(f"{name} is not judged: all values are missing on one side")
            elif known[0].min() == known[0].max() == known[1].min() == known[1].max():
                found.notes.append(f"{name} is not judged: it is constant")
            else:
                found.numeric[name] = (left, right)
        elif before.isna().all() or after.isna().all():
            found.notes.append(f"{name} is not judged: all values are missing on one side")
        elif _is_category(before) and _is_category(after):
            texts = [c.astype("string").fillna("").to_numpy(dtype=np.str_) for c in (before, after)]
            if np.unique(np.concatenate(texts)).size > 1:
                found.categories[name] = (texts[0], texts[1])
            else:
                found.notes.append(f"{name} is not judged: it has one value only")
        else:
            found.notes.append(f"{name} is not judged: it is neither numeric nor a category")
    return found


def _report(
    reference: pd.DataFrame,
    new: pd.DataFrame,
    columns: _Columns,
    policy: DriftPolicy,
    table: pd.DataFrame | None,
    p_value: float | None,
    permutations: int,
    not_judged: str | None,
) -> DriftReport:
    verdict: Verdict = "not_judged"
    reasons = [not_judged or ""]
    checks: dict[str, DriftCheck] = {
        name: DriftCheck(True, False, f"not judged: {not_judged or 'a table has none'}")
        for name in sorted(set(CHECK_OF_FAMILY.values()))
    }
    if table is not None and p_value is not None:
        found = table[table["significant"]]
        verdict = "fail" if len(found) else ("warn" if p_value <= policy.false_alarm_rate else "pass")
        reasons = _reasons(found, columns) if len(found) else [
            f"no difference that matters at a family-wise false-alarm rate of {policy.false_alarm_rate:g} "
            f"(smallest adjusted p {p_value:.2g}, {len(table)} tests, {len(new)} rows against {len(reference)})"
        ]  # fmt: skip
        checks["batch_drift"] = DriftCheck(verdict != "fail", True, reasons[0])
    return DriftReport(
        verdict=verdict,
        blocks=(verdict == "fail" and policy.when_drift == "hold")
        or (verdict == "not_judged" and policy.when_not_judged == "hold"),
        n=len(new),
        reference_n=len(reference),
        n_scans=len(new),
        n_left_out=0,
        n_groups=len(new),
        family_p=p_value,
        false_alarm_rate=policy.false_alarm_rate,
        reasons=tuple(reasons),
        cause=None,
        bands=(),
        samples=(),
        tests=table if table is not None else pd.DataFrame({c: [] for c in TEST_COLUMNS}),
        checks=checks,
        notes=tuple(columns.notes),
        profile=_fingerprint(reference),
        permutations=permutations,
        seed=policy.seed,
    )


def _reasons(found: pd.DataFrame, columns: _Columns) -> list[str]:
    reasons = []
    strongest = found.sort_values(["p_adjusted", "effect"], ascending=[True, False], kind="stable")
    for family, name in zip(strongest["family"], strongest["name"], strict=True):
        if family == "properties":
            before, after = columns.numeric[name]
            reasons.append(shift_in_words(name, before[np.isfinite(before)], after[np.isfinite(after)]))
        elif family == "categories" and name in columns.categories:
            reasons.append(category_in_words(name, *columns.categories[name]))
        elif family == "categories":
            reasons.append(f"the share of {name} values changed")
        elif family == "outliers":
            reasons.append("several rows lie far outside what the reference shows")
        else:
            reasons.append("the columns taken together differ from the reference's")
    return reasons


def _is_category(column: pd.Series[Any]) -> bool:
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return False
    return int(column.astype("string").nunique()) <= _MOST_CATEGORIES


def _complete(pair: tuple[FloatArray, FloatArray]) -> bool:
    return bool(np.isfinite(pair[0]).all() and np.isfinite(pair[1]).all())


def _standardised(values: FloatArray) -> FloatArray:
    return np.asarray((values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-300))


def _fingerprint(table: pd.DataFrame) -> str:
    hashed = pd.util.hash_pandas_object(table, index=False).to_numpy()
    return hashlib.sha256(hashed.tobytes() + ",".join(table.columns).encode()).hexdigest()[:12]
