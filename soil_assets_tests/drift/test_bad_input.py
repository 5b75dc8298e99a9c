"""Every kind of bad input to the drift gate: refused, or not judged, or judged, and always said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from soil_assets.config import DriftPolicy
from soil_assets.drift.compare import compare
from soil_assets.drift.profile import ReferenceProfile, fit_profile
from soil_assets.drift.tables import compare_tables
from soil_assets.errors import BadInput
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch

Split = tuple[SpectralBatch, SpectralBatch]
POLICY = DriftPolicy(permutations=499)


def test_no_shared_columns() -> None:
    with pytest.raises(BadInput, match="no column in common") as error:
        compare_tables(pd.DataFrame({"a": np.arange(30.0)}), pd.DataFrame({"b": np.arange(30.0)}))
    assert "a" in str(error.value)
    assert "b" in str(error.value)


def test_constant_columns_and_a_column_without_values_are_told_and_not_judged() -> None:
    known = pd.DataFrame({"same": 1.0, "none": np.nan, "x": np.random.default_rng(1).normal(size=100)})
    report = compare_tables(known, known.sample(40, random_state=1), policy=POLICY)
    assert any("same is not judged: it is constant" in n for n in report.notes)
    assert any("none is not judged: all values are missing" in n for n in report.notes)
    assert set(report.tests["name"]) == {"x"}
    moved = compare_tables(known, known.head(40).assign(same=2.0), policy=POLICY)
    assert moved.verdict == "fail", "constant on either side, but not the same constant"


def test_an_all_missing_property_is_not_judged_and_the_spectra_are(
    split: Split, profile: ReferenceProfile
) -> None:
    bare = split[1].with_samples(split[1].samples.assign(clay=np.nan))
    report = compare(profile, bare, policy=POLICY)
    assert any(n.startswith("clay is not judged") for n in report.notes)
    assert not ((report.tests["family"] == "properties") & (report.tests["name"] == "clay")).any()
    assert report.verdict == "pass"


def test_one_category_has_nothing_to_compare(split: Split) -> None:
    known = split[0].with_samples(split[0].samples.assign(lab="one"))
    new = split[1].with_samples(split[1].samples.assign(lab="one"))
    profile = fit_profile(known, properties=(), categories=("lab",))
    assert "categories" not in set(compare(profile, new, policy=POLICY).tests["family"])
    other = new.with_samples(new.samples.assign(lab="two"))
    assert any("two does not occur" in r for r in compare(profile, other, policy=POLICY).reasons)


def test_a_reference_below_the_minimum(split: Split) -> None:
    with pytest.raises(BadInput, match="too small to compare"):
        fit_profile(split[0].take(np.arange(19)), properties=())


@pytest.mark.parametrize("what", ["axis", "order", "quantity", "scale"])
def test_another_axis_or_quantity_is_refused_never_resampled(
    what: str, split: Split, profile: ReferenceProfile
) -> None:
    batch = split[1]
    other = {
        "axis": lambda: replace(batch, axis=Axis(batch.axis.values + 0.5, batch.axis.unit)),
        "order": lambda: SpectralBatch(
            batch.samples,
            batch.spectra[:, ::-1],
            Axis(batch.axis.values[::-1], batch.axis.unit),
            batch.quantity,
        ),
        "quantity": lambda: replace(batch, quantity="reflectance"),
        "scale": lambda: replace(batch, quantity="reflectance", scale="percent"),
    }[what]()
    with pytest.raises(BadInput, match="cannot be compared") as error:
        compare(profile, other, policy=POLICY)
    assert error.value.to_dict()["mend"]


def test_rows_of_nan_are_left_out_and_counted(split: Split, profile: ReferenceProfile) -> None:
    spectra = split[1].spectra.copy()
    spectra[:3] = np.nan
    spectra[3, 7] = np.inf
    report = compare(profile, replace(split[1], spectra=spectra), policy=POLICY)
    assert (report.n_scans, report.n_left_out, report.n) == (20, 4, 16)
    everything = replace(split[1], spectra=np.full_like(spectra, np.nan))
    none = compare(profile, everything, policy=POLICY)
    assert (none.verdict, none.n, none.n_left_out) == ("not_judged", 0, 20)


def test_one_row_is_an_outlier_question(split: Split, profile: ReferenceProfile) -> None:
    report = compare(profile, split[1].take([0]), policy=POLICY)
    assert report.verdict == "not_judged"
    assert all(not c.judged for c in report.checks.values())
    assert (
        compare_tables(pd.DataFrame({"x": np.arange(30.0)}), pd.DataFrame({"x": [1.0]})).verdict
        == "not_judged"
    )


def test_identical_tables_pass(split: Split, profile: ReferenceProfile) -> None:
    report = compare(profile, split[0], policy=POLICY)
    assert report.verdict == "pass"
    assert report.family_p is not None
    assert report.family_p > 0.5
    plain = split[0].samples[["clay", "ph"]]
    assert compare_tables(plain, plain, policy=POLICY).verdict == "pass"


def test_a_million_rows() -> None:
    rng = np.random.default_rng(2)
    known = pd.DataFrame({"x": rng.normal(size=1_000_000), "kind": rng.choice(["a", "b"], 1_000_000)})
    again = compare_tables(known, known.sample(frac=1.0, random_state=1), policy=POLICY)
    assert (again.verdict, again.n) == ("pass", 1_000_000)
    moved = compare_tables(known, known.assign(x=known["x"] + 0.4), policy=POLICY)
    assert moved.verdict == "fail"
    assert any(r.startswith("x ") for r in moved.reasons)
