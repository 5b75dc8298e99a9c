from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency, ks_2samp

from soil_assets.config import DriftPolicy
from soil_assets.drift.large_tables import analytic_tests, holm
from soil_assets.drift.tables import compare_tables
from soil_assets.errors import BadInput
from soil_assets.spectra.batch import SpectralBatch

POLICY = DriftPolicy(permutations=499)


def table(n: int, seed: int, shift: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "sample_id": [f"s{i}" for i in range(n)],
            "clay": rng.normal(20 + 3 * shift, 3, n),
            "ph": rng.normal(6, 0.4, n),
            "lab": rng.choice(["north", "south"], n),
        }
    )


@pytest.mark.parametrize(("known", "new"), [(200, 40), (3000, 900)])
def test_equal_populations_pass_and_shifted_ones_fail(known: int, new: int) -> None:
    reference = table(known, 1)
    assert compare_tables(reference, table(new, 2), policy=POLICY).verdict == "pass"
    report = compare_tables(reference, table(new, 3, shift=1.5), policy=POLICY)
    assert report.verdict == "fail"
    assert report.reasons[0].startswith("clay up")
    assert not set(report.tests.loc[report.tests["significant"], "name"]) & {"ph", "lab"}


def test_a_wrong_unit_and_a_new_category_are_named() -> None:
    new = table(40, 4).assign(clay=lambda t: t["clay"] * 10, lab="west")
    report = compare_tables(table(200, 1), new, policy=POLICY)
    words = " ".join(report.reasons)
    assert "factor 10" in words
    assert "west does not occur in the reference" in words


def test_identical_tables_pass() -> None:
    reference = table(100, 1)
    assert compare_tables(reference, reference, policy=POLICY).verdict == "pass"


def test_a_trivial_shift_in_a_huge_table_is_significant_and_not_a_failure() -> None:
    report = compare_tables(table(200_000, 1), table(200_000, 2, shift=0.05), policy=POLICY)
    clay = report.tests.set_index("name").loc["clay"]
    assert clay["p_adjusted"] < 1e-6
    assert clay["effect"] < 0.1
    assert report.verdict == "warn"


def test_bad_tables() -> None:
    reference = table(100, 1)
    with pytest.raises(BadInput, match="no column in common"):
        compare_tables(reference, pd.DataFrame({"other": [1.0, 2.0]}))
    with pytest.raises(BadInput, match="at least 20"):
        compare_tables(reference.head(5), reference)
    one = compare_tables(reference, reference.head(1))
    assert one.verdict == "not_judged"
    odd = reference.assign(constant=1.0, empty=np.nan, note=[f"text {i}" for i in range(100)])
    report = compare_tables(odd, odd.head(40), policy=POLICY)
    assert report.verdict == "pass"
    assert {note.split()[0] for note in report.notes} == {"constant", "empty", "note"}
    bare = compare_tables(odd[["constant"]], odd[["constant"]])
    assert bare.verdict == "not_judged"


def test_values_that_go_missing_are_noticed() -> None:
    new = table(60, 5)
    new.loc[:29, "ph"] = np.nan
    report = compare_tables(table(200, 1), new, policy=POLICY)
    assert report.verdict == "fail"
    assert any("ph missing" in reason for reason in report.reasons)
    assert compare_tables(table(3000, 1), pd.concat([new] * 10), policy=POLICY).verdict == "fail"


def test_tables_with_spectra_go_through_the_spectral_gate(
    field: SpectralBatch, other_field: SpectralBatch
) -> None:
    def wide(batch: SpectralBatch, prefix: str) -> pd.DataFrame:
        names = [f"{prefix}{v:g}" for v in batch.axis.values]
        return pd.concat([batch.samples, pd.DataFrame(batch.spectra, columns=names)], axis=1)

    order = np.random.default_rng(3).permutation(115)
    reference, new = wide(field.take(order[:70]), ""), wide(field.take(order[70:]), "")
    assert compare_tables(reference, new, policy=POLICY).verdict == "pass"
    report = compare_tables(reference, wide(other_field, ""), policy=POLICY)
    assert report.verdict == "fail"
    assert report.bands
    with pytest.raises(BadInput, match="the other has none"):
        compare_tables(reference, new[["clay", "ph"]])


def test_column_tests_of_large_tables_are_scipys() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=4000).round(1), rng.normal(0.1, 1, size=900).round(1)
    left, right = rng.choice(["x", "y", "z"], 4000), rng.choice(["x", "y"], 900)
    frame, smallest = analytic_tests({"v": (a, b)}, {"c": (left, right)}, None, DriftPolicy())
    frame = frame.set_index("name")
    expected = ks_2samp(a, b, method="asymp")
    assert frame.loc["v", "statistic"] == pytest.approx(expected.statistic)
    assert frame.loc["v", "p_value"] == pytest.approx(expected.pvalue, rel=0.2)
    counts = [[np.sum(side == level) for level in "xyz"] for side in (left, right)]
    assert frame.loc["c", "statistic"] == pytest.approx(chi2_contingency(counts, correction=False).statistic)
    assert smallest == pytest.approx(frame["p_adjusted"].min())


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
