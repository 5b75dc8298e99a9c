import numpy as np
import pandas as pd
import pytest

from soil_assets.quality.cross_rules import blank_zero_texture, cross_columns, cross_rules
from soil_assets.quality.expectations import evaluate
from soil_assets.quality.unit_suspicion import suspect_units
from soil_assets.quality_policy import QualityPolicy
from soil_assets.spectra.catalogue import built_in_catalogue
from soil_assets.spectra.embedded import limesoda
from soil_assets.spectra.lab import standardise
from soil_assets_tests.quality.batches import judge, real
from soil_assets_tests.shared import DATA, needs

CATALOGUE = built_in_catalogue()
OSSL = DATA / "ossl_layout/neospectra_tables/neospectra_soillab_v1.2.csv"


def told(**properties):
    samples = pd.DataFrame({k: np.atleast_1d(v) for k, v in properties.items()})
    samples, zero = blank_zero_texture(samples)
    table = pd.concat([samples, cross_columns(samples, CATALOGUE)], axis=1)
    table["zero_texture"] = pd.array(["zero" if z else None for z in zero], dtype=object)
    rules = cross_rules(QualityPolicy())
    failures = evaluate({"samples": table, "figures": table}, rules)
    return {rules[i].rule for i in failures["expectation"]}


@pytest.mark.parametrize(
    ("properties", "rules"),
    [
        ({"clay": 30.0, "silt": 40.0, "sand": 30.0}, set()),
        ({"clay": 30.0, "silt": 41.9, "sand": 30.0}, set()),
        ({"clay": 30.0, "silt": 45.0, "sand": 30.0}, {"texture_sum_off"}),
        ({"clay": 30.0, "silt": 80.0, "sand": 30.0}, {"texture_sum", "texture_sum_off"}),
        ({"clay": 30.0, "silt_usda": 40.0, "sand_usda": 29.0}, set()),
        ({"clay": 30.0, "silt_usda": 40.0, "sand_iso": 5.0}, set()),
        ({"clay": 30.0, "silt_iso": 20.0, "sand_iso": 30.0}, {"texture_sum", "texture_sum_off"}),
        ({"clay": 0.0, "silt": 0.0, "sand": 0.0}, {"texture_all_zero"}),
        ({"clay": 0.0, "silt": 10.0, "sand": 90.0}, {"zero_value"}),
        ({"ph_h2o": 6.0, "ph_cacl2": 6.4}, set()),
        ({"ph_h2o": 6.0, "ph_cacl2": 6.6}, {"ph_salt"}),
        ({"ph": 6.5, "ph_bacl2": 3.4}, {"ph_salt"}),
        ({"ph_h2o": 5.5, "caco3": 3.0}, {"carbonate_in_acid"}),
        ({"ph_h2o": 7.5, "caco3": 3.0}, set()),
        ({"ph_h2o": 5.5, "caco3": 1.0}, set()),
        ({"soc": 2.0, "n_tot": 0.2}, set()),
        ({"soc": 2.0, "n_tot": 2.0}, {"c_n_ratio"}),
        ({"soc": 20.0, "n_tot": 0.05}, {"c_n_ratio"}),
        ({"soc": 0.5, "n_tot": 0.001}, set()),
        ({"soc": 3.0, "c_tot": 2.0}, {"organic_over_total_carbon"}),
        ({"soc": 2.0, "c_tot": 2.1}, set()),
        ({"c_tot": 1.0, "caco3": 30.0}, {"carbonate_over_total_carbon"}),
        ({"wr_33kpa": 20.0, "wr_1500kpa": 30.0}, {"water_order"}),
        ({"wr_33kpa": 20.0, "wr_1500kpa": 10.0}, set()),
        (
            {"ph": 5.5, "cec": 10.0, "ca_exch": 9.0, "mg_exch": 5.0, "k_exch": 2.0, "na_exch": 0.1},
            {"bases_over_cec"},
        ),
        ({"ph": 5.5, "cec": 10.0, "ca_exch": 5.0, "mg_exch": 2.0, "k_exch": 0.3, "na_exch": 0.1}, set()),
        ({"ph": 7.9, "cec": 10.0, "ca_exch": 40.0, "mg_exch": 2.0, "k_exch": 0.3, "na_exch": 0.1}, set()),
        ({"soc": 0.0}, {"zero_value"}),
        ({"soc": np.nan, "n_tot": np.nan, "clay": np.nan, "silt": 3.0, "sand": 3.0}, set()),
    ],
)
def test_what_cannot_be_true_together_is_told(properties, rules):
    assert told(**properties) == rules


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("n.tot_usda.a623_w.pct", 41.9, "impossible_value"), ("silt.tot_usda.c62_w.pct", 256.0, "impossible_value"),
        ("cec_usda.a723_cmolc.kg", 585.0, "unusual_value"), ("caco3_usda.a54_w.pct", 101.4, "unusual_value"),
        ("bd_usda.a4_g.cm3", 8.1, "impossible_value"), ("wr.33kPa_usda.a415_w.pct", 2125.0, "impossible_value"),
        ("oc_usda.c729_w.pct", -0.028, "impossible_value"), ("ph.h2o_usda.a268_index", 0.7, "impossible_value"),
        ("clay.tot_usda.a334_w.pct", 93.0, "unusual_value"),
    ],
)  # fmt: skip
def test_the_known_impossible_rows_of_the_ossl_are_caught(column, value, rule):
    batch = real("NRW.62")
    values = np.full(62, np.nan)
    values[7] = value
    result = judge(batch.with_samples(batch.samples[["sample_id"]].assign(**{column: values})))
    assert list(result.findings["rule"]) == [rule]
    assert list(result.findings["row"]) == [8]
    assert result.counts["quarantined"] == (1 if rule == "impossible_value" else 0)


def test_a_texture_of_zeros_becomes_missing_in_what_is_accepted():
    batch = real("NRW.62")
    samples = batch.samples.assign(silt=20.0, sand=80.0 - batch.samples["clay"])
    samples.loc[5, ["clay", "silt", "sand"]] = 0.0
    result = judge(batch.with_samples(samples))
    assert result.counts["accepted"] == 62
    assert np.isnan(result.accepted.property_values("clay")[5])
    assert np.isnan(result.accepted.property_values("sand")[5])
    assert list(result.findings.loc[result.findings["row"] == 6, "rule"]) == ["texture_all_zero"]


def suspected(**columns):
    return {s.column: s for s in suspect_units(pd.DataFrame(columns), CATALOGUE)}


@pytest.mark.parametrize(
    ("name", "values", "factor"),
    [
        ("clay", [250.0, 310, 180, 420, 95, 230], 0.1),
        ("soc", [14.5, 18.0, 9.9, 22.0, 16.0], 0.1),
        ("soc", [0.014, 0.02, 0.01, 0.03, 0.016], 100.0),
        ("mn_tot", [2.2e5, 1.6e5, 3.6e5, 1.1e6, 2.0e5], 1e-3),
        ("n_tot", [1.2, 2.0, 0.9, 1.5, 1.1], 0.1),
        ("bd", [1300.0, 1450, 1200, 1390, 1500], 1e-3),
        ("p_tot", [0.05, 0.06, 0.04, 0.07, 0.05], 1e4),
    ],
)
def test_a_unit_that_does_not_fit_is_suspected_with_its_factor(name, values, factor):
    assert suspected(**{name: values})[name].factor == factor


def test_an_oxide_is_suspected_where_no_element_can_be_so_much():
    found = suspected(si_tot=[560.0, 610.0, 540.0, 480.0, 600.0])["si_tot"]
    assert found.factor == pytest.approx(0.4674, abs=1e-3)
    assert "SiO2" in found.mend


def test_carbon_and_nitrogen_in_different_units_are_suspected():
    carbon = np.array([1.2, 1.5, 0.9, 2.0, 1.8])
    assert suspected(soc=carbon, n_tot=carbon / 12) == {}
    assert suspected(soc=carbon, n_tot=carbon / 120)["n_tot"].factor == 10.0
    assert "C:N" in suspected(soc=carbon / 4, n_tot=carbon / 4.8)["n_tot"].found


def test_a_few_values_are_no_suspicion():
    assert suspected(clay=[250.0, 310.0, 180.0]) == {}
    assert suspected(clay=[np.nan] * 20) == {}
    assert suspected(ph=[45.0] * 10)["ph"].factor is None


@pytest.mark.parametrize("name", ["NRW.115", "NRW.62", "CV.98", "H.138", "SSP.460", "RP.62", "SL.125"])
def test_real_sets_in_the_right_units_are_not_suspected(name):
    assert suspect_units(limesoda(name).samples, CATALOGUE) == []


def test_soc_in_g_kg_called_percent_is_suspected_on_a_real_set():
    batch = real("NRW.42")
    wrong = batch.samples.assign(soc=batch.samples["soc"] * 10)
    result = judge(batch.with_samples(wrong))
    finding = result.findings.iloc[0]
    assert (finding["check"], finding["rule"], finding["severity"]) == ("units", "unit_suspected", "warning")
    assert "g/kg" in finding["mend"]
    assert not result.checks["units"].passed
    assert result.checks["units"].severity == "warning"
    assert result.counts["quarantined"] == 0


def test_a_unit_that_cannot_be_converted_is_told_and_the_column_left_out():
    batch = real("NRW.62")
    result = judge(batch.with_samples(batch.samples.assign(**{"CEC (%)": 3.0, "SOC (g/dm3)": 20.0})))
    refused = result.findings[result.findings["rule"] == "unit_refused"]
    assert list(refused["column"]) == ["cec", "soc"]
    assert "bulk density" in refused["mend"].iloc[1]
    assert "cec" not in result.accepted.samples
    assert not result.checks["units"].passed
    assert result.counts["accepted"] == 62


def test_clay_in_g_kg_is_mended_by_its_unit_and_not_value_by_value():
    batch = real("NRW.62")
    result = judge(batch.with_samples(batch.samples.assign(clay=batch.samples["clay"] * 10)))
    assert result.counts["quarantined"] == 62
    assert result.quarantine["mend"].str.contains("g/kg").all()
    assert result.checks["ranges"].severity == "critical"
    assert "unit_suspected" in set(result.findings["rule"])
    assert "unusual_value" not in set(result.findings["rule"])


def test_two_spellings_of_one_id_are_doubted():
    batch = real("NRW.62")
    samples = batch.samples.astype({"sample_id": object})
    samples.loc[:2, "sample_id"] = ["A 1", "a-1", "B2"]
    finding = judge(batch.with_samples(samples)).findings.iloc[0]
    assert (finding["check"], finding["rule"]) == ("schema", "id_spelling")
    assert finding["found"] == "1 ids in several spellings: 'A 1' and 'a-1'"


@pytest.mark.shared
@needs(OSSL)
def test_ossl_rows_are_judged_by_their_own_units():
    table = pd.read_csv(OSSL)
    standard, _ = standardise(table, CATALOGUE)
    assert suspect_units(standard, CATALOGUE) == []
    judged = pd.concat([standard, cross_columns(standard, CATALOGUE)], axis=1)
    failures = evaluate({"samples": judged, "figures": judged}, cross_rules(QualityPolicy()))
    assert len(failures) < 0.1 * len(table)  # real soils hardly break what cannot be true together
    hard = CATALOGUE["soc"].hard
    assert (
        ((standard["soc"] < hard[0]) | (standard["soc"] > hard[1])).sum()
        == (table["oc_usda.c729_w.pct"] < 0).sum()
        > 0
    )
    broken = table.assign(
        **{"silt.tot_usda.c62_w.pct": table["silt.tot_usda.c62_w.pct"].where(table.index != 7, 256.0)}
    )
    bad, _ = standardise(broken, CATALOGUE)
    assert bad["silt_usda"].iloc[7] == 256.0
    assert (bad["silt_usda"] > CATALOGUE["silt_usda"].hard[1]).sum() == 1


def test_exchangeable_cations_by_mass_are_suspected_by_their_equivalent():
    found = suspected(ca_exch=[656.0, 488.0, 720.0, 300.0, 910.0])["ca_exch"]
    assert found.factor == pytest.approx(1 / 200.39)
    assert "ca_exch: mg/kg" in found.mend
    assert suspected(ca_exch=[3.3, 2.4, 3.6, 1.5, 4.6], k_exch=[0.3, 0.2, 0.1, 0.4, 0.2]) == {}
