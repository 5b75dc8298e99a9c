import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soil_assets.errors import BadInput
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import built_in_catalogue
from soil_assets.spectra.lab import join_lab, normalise_id, parse_numbers, standardise

CATALOGUE = built_in_catalogue()


def scans(*ids):
    samples = pd.DataFrame({"sample_id": pd.Series(ids, dtype=object)})
    return SpectralBatch(
        samples, np.ones((len(ids), 3), np.float32), Axis(np.array([1.0, 2, 3]), "nm"), "absorbance"
    )


def test_every_scan_of_a_sample_gets_its_values_and_both_sides_list_what_is_left():
    table = pd.DataFrame(
        {"sample_id": ["S-1", "S-3", "S-9"], "Clay (g/kg)": [250, 310, 90], "pH": [6.1, "7,2", ""]}
    )
    joined, report = join_lab(scans("s 1", "s 1", "S-2", "S-3", None), table, CATALOGUE, {})
    np.testing.assert_allclose(joined.property_values("clay"), [25, 25, np.nan, 31, np.nan])
    np.testing.assert_allclose(joined.property_values("ph"), [6.1, 6.1, np.nan, 7.2, np.nan])
    assert (report.matched, report.lab_rows) == (3, 3)
    assert report.scans_without_lab == ("S-2",)
    assert report.lab_without_scans == ("S-9",)
    assert report.normalised == (("S-1", "s_1"), ("s 1", "s_1"))
    assert any("g/kg" in n and "%" in n for n in report.notes)


def test_stated_units_win_over_the_catalogue():
    table = pd.DataFrame({"sample_id": ["a"], "soc": [18.5]})
    joined, _ = join_lab(scans("a"), table, CATALOGUE, {"soc": "g/kg"})
    np.testing.assert_allclose(joined.property_values("soc"), [1.85])
    joined, report = join_lab(scans("a"), table, CATALOGUE, {"soc": "furlong"})
    assert np.isnan(joined.property_values("soc")).all()
    assert list(joined.samples["soc (furlong)"]) == [18.5]
    assert any("furlong" in n and "left out" in n for n in report.notes)


def test_repeated_lab_rows_that_agree_are_merged_and_those_that_differ_are_left_missing():
    table = pd.DataFrame(
        {"sample_id": ["a", "a", "b", "b"], "clay": [10, 10, 20, 30], "soc": [1.0, None, 2, 2]}
    )
    joined, report = join_lab(scans("a", "b"), table, CATALOGUE, {})
    np.testing.assert_allclose(joined.property_values("clay"), [10, np.nan])
    np.testing.assert_allclose(joined.property_values("soc"), [1, 2])
    assert report.repeated == ("a", "b")
    assert list(joined.samples["lab_conflicts"].isna()) == [True, False]
    assert joined.samples["lab_conflicts"][1] == "clay 20 and 30"
    assert any("several different values" in n for n in report.notes)


def test_numeric_ids_match_text_ids():
    joined, report = join_lab(
        scans("17", "18"), pd.DataFrame({"ID": [17.0, np.nan], "clay": [5.0, 6.0]}), CATALOGUE, {}
    )
    np.testing.assert_allclose(joined.property_values("clay"), [5, np.nan])
    assert any("no id" in n for n in report.notes)


def test_a_table_without_ids_is_refused_with_its_columns():
    with pytest.raises(BadInput, match="sample_id") as caught:
        join_lab(scans("a"), pd.DataFrame({"clay": [1.0]}), CATALOGUE, {})
    assert "clay" in str(caught.value)


def test_below_detection_is_censored_not_zero():
    table, notes = standardise(pd.DataFrame({"SOC (g/kg)": ["<0.5", "12", "< 0,4", "<LOD"]}), CATALOGUE)
    np.testing.assert_allclose(table["soc"], [np.nan, 1.2, np.nan, np.nan])
    np.testing.assert_allclose(table["soc_below"], [0.05, np.nan, 0.04, np.nan])
    assert table["unread_values"].iloc[3] == "SOC (g/kg): '<LOD'"
    assert any("censored" in n for n in notes)


def test_grams_per_volume_need_the_bulk_density():
    table = pd.DataFrame({"SOC (g/dm3)": [20.0, 20.0], "bd": [1.0, 1.6]})
    alone, notes = standardise(table[["SOC (g/dm3)"]], CATALOGUE)
    assert "soc" not in alone
    assert any("bulk density" in n for n in notes)
    converted, notes = standardise(table, CATALOGUE)
    np.testing.assert_allclose(converted["soc"], [2.0, 1.25])
    assert any("bulk density" in n for n in notes)


def test_oxides_become_their_element_and_it_is_said():
    table, notes = standardise(pd.DataFrame({"K2O (%)": [1.0]}), CATALOGUE)
    np.testing.assert_allclose(table["k_tot"], [8.3015], rtol=1e-4)
    assert any("K2O" in n for n in notes)


def test_exchangeable_cations_by_mass_become_charges():
    table, _ = standardise(pd.DataFrame({"ex_K": [390.983]}), CATALOGUE, {"ex_K": "mg/kg"})
    np.testing.assert_allclose(table["k_exch"], [1.0])


@pytest.mark.parametrize(
    ("cell", "value"),
    [("1,5", 1.5), (" 1.5 ", 1.5), ("−2", -2.0), ("1e2", 100.0), ("n.d.", np.nan), ("", np.nan), (".5", 0.5)],
)
def test_numbers_as_laboratories_write_them(cell, value):
    values, below, bad = parse_numbers(pd.Series([cell], dtype=object))
    np.testing.assert_array_equal(values, [value])
    assert np.isnan(below).all()
    assert not bad


@pytest.mark.parametrize("cell", ["1.2.3", "abc", "1,234,5", "inf", "0x10", "1_000", "12 mg", "١٢"])
def test_what_is_no_number_is_named(cell):
    values, _, bad = parse_numbers(pd.Series(["3", cell], dtype=object))
    assert bad == {1: cell}
    np.testing.assert_array_equal(values, [3.0, np.nan])


def test_infinite_numbers_are_no_values():
    values, _, bad = parse_numbers(pd.Series([1.0, np.inf]))
    np.testing.assert_array_equal(values, [1.0, np.nan])
    assert list(bad) == [1]


def test_standardising_twice_changes_nothing():
    table = pd.DataFrame({"Clay (g/kg)": ["100", "x"], "oc_usda.c729_w.pct": [1.0, 2.0], "note": ["a", "b"]})
    once, _ = standardise(table, CATALOGUE)
    twice, notes = standardise(once, CATALOGUE)
    pd.testing.assert_frame_equal(once, twice)
    assert notes == []


@pytest.mark.parametrize(("a", "b"), [("Léo 01", "léo_01"), ("A–7", "a-7"), ("ＡＢ", "ab")])
def test_spellings_of_one_id_meet(a, b):
    assert normalise_id(a) == normalise_id(b)


ids = st.one_of(st.none(), st.text(max_size=6), st.sampled_from(["a", "A ", "b-1", "b 1", "7", "7.0"]))
anything = st.one_of(
    st.none(),
    st.text(max_size=6),
    st.floats(),
    st.integers(),
    st.sampled_from(["<0.1", "1,5", "n.d.", "<LOD"]),
)


@given(st.lists(ids, max_size=6), st.lists(st.tuples(ids, anything, anything), max_size=6))
@settings(max_examples=200, deadline=None)
def test_any_join_keeps_every_scan_in_its_place_and_accounts_for_every_id(scan_ids, rows):
    table = pd.DataFrame(rows, columns=["sample_id", "Clay (g/kg)", "note"]).astype(object)
    batch = scans(*scan_ids)
    joined, report = join_lab(batch, table, CATALOGUE, {})
    assert list(joined.samples["sample_id"]) == list(batch.samples["sample_id"])
    assert report.lab_rows == len(rows)
    named = [i for i in scan_ids if i is not None and normalise_id(i) is not None]
    lab = {normalise_id(i) for i, _, _ in rows if i is not None}
    assert report.matched == sum(normalise_id(i) in lab for i in named)
    assert {normalise_id(i) for i in report.scans_without_lab} == {normalise_id(i) for i in named} - lab
    assert {normalise_id(i) for i in report.lab_without_scans} == lab - {normalise_id(i) for i in named} - {
        None
    }


@given(st.lists(anything, max_size=8))
def test_any_cell_is_a_number_a_limit_missing_or_named(values):
    column = pd.Series(values, dtype=object)
    numbers, below, bad = parse_numbers(column)
    assert len(numbers) == len(below) == len(values)
    assert not np.isinf(numbers).any()
    assert not (np.isfinite(numbers) & np.isfinite(below)).any()
    for row in bad:
        assert np.isnan(numbers[row])
        assert np.isnan(below[row])
