import csv
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soil_assets.errors import BadInput
from soil_assets.spectra.catalogue import BUILT_IN, Property, built_in_catalogue
from soil_assets.spectra.units import UNIT_FACTORS, normalise_unit, ossl_unit, split_header
from soil_assets_tests.shared import DATA, needs

CATALOGUE = built_in_catalogue()
OSSL = DATA / "ossl_layout/ossl_level0_to_level1_soillab_harmonization.csv"


@pytest.mark.parametrize("prop", BUILT_IN.values(), ids=lambda p: p.name)
def test_every_property_is_consistent(prop):
    assert prop.hard[0] <= prop.warning[0] < prop.warning[1] <= prop.hard[1]
    if prop.typical:
        assert prop.warning[0] <= prop.typical[0] < prop.typical[1] <= prop.warning[1]
    assert normalise_unit(prop.unit) == prop.unit
    for name in prop.ossl:
        assert CATALOGUE.resolve(name) == (prop.name, ossl_unit(name))
        assert CATALOGUE.factor(prop.name, ossl_unit(name)) > 0


def test_no_name_means_two_properties():
    names = [n.lower() for p in BUILT_IN.values() for n in {p.name, *p.aliases, *p.ossl}]
    assert len(names) == len(set(names))


@pytest.mark.shared
@needs(OSSL)
def test_every_numeric_name_of_the_ossl_is_known():
    with OSSL.open() as stream:
        rows = [r for r in csv.DictReader(stream) if r["ossl_unit_level0"] not in ("txt", "class")]
    assert len(rows) > 60
    for row in rows:
        for column in ("ossl_name_level0", "ossl_name_level1"):
            name, unit = CATALOGUE.resolve(row[column])
            assert name is not None, row[column]
            assert CATALOGUE.factor(name, unit) == 1.0


def test_silt_of_different_limits_is_never_one_property():
    names = {
        CATALOGUE.canonical(n) for n in ("silt.tot_usda.c62_w.pct", "silt.tot_iso.11277_w.pct", "Silt (%)")
    }
    assert names == {"silt_usda", "silt_iso", "silt"}


@pytest.mark.parametrize(
    ("header", "name", "unit"),
    [
        ("SOC (g/kg)", "soc", "g/kg"), ("Clay [g kg-1]", "clay", "g/kg"), ("pH H2O", "ph_h2o", None),
        ("pH (CaCl2)", None, None), ("oc_usda.c729_w.pct", "soc", "%"), ("CEC (cmol(+)/kg)", "cec", "cmolc/kg"),
        ("N", "n_tot", None), ("n", None, None), ("Organic carbon (%)", "soc", "%"), ("weather", None, None),
    ],
)  # fmt: skip
def test_headers(header, name, unit):
    assert CATALOGUE.resolve(header) == (name, unit)


@pytest.mark.parametrize(
    ("name", "unit", "factor"),
    [
        ("soc", "g/kg", 0.1), ("soc", "mg/kg", 1e-4), ("n_tot", "g kg-1", 0.1), ("p_tot", "%", 1e4),
        ("cec", "meq/100g", 1.0), ("cec", "mmolc/kg", 0.1), ("ec", "µS/cm", 1e-3), ("bd", "kg/m3", 1e-3),
        ("k_exch", "mg/kg", 1 / 390.983), ("ca_exch", "g/kg", 1000 / 200.39), ("ph", "index", 1.0),
    ],
)  # fmt: skip
def test_conversions(name, unit, factor):
    assert CATALOGUE.factor(name, unit) == pytest.approx(factor, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "unit"), [("soc", "cmolc/kg"), ("cec", "%"), ("ph", "g/kg"), ("cec", "mg/kg"), ("soc", "g/dm3")]
)
def test_units_that_do_not_fit_are_refused(name, unit):
    with pytest.raises(BadInput):
        CATALOGUE.factor(name, unit)


def test_an_unknown_property_is_refused_with_the_names_there_are():
    with pytest.raises(BadInput, match="soc"):
        CATALOGUE["sock"]


@given(st.sampled_from(sorted(UNIT_FACTORS)))
def test_conversions_invert_and_compose(pair):
    here, there = pair
    assert UNIT_FACTORS[pair] * UNIT_FACTORS[(there, here)] == pytest.approx(1.0)
    for other in {b for a, b in UNIT_FACTORS if a == there and b != here}:
        assert UNIT_FACTORS[pair] * UNIT_FACTORS[(there, other)] == pytest.approx(UNIT_FACTORS[(here, other)])


@pytest.mark.parametrize(
    ("header", "name", "share"),
    [("K2O (%)", "k_tot", 0.8301), ("P2O5_olsen (mg/kg)", "p_olsen", 0.4364), ("SiO2", "si_tot", 0.4674)],
)
def test_oxides_are_told_from_their_elements(header, name, share):
    assert CATALOGUE.canonical(header) == name
    assert CATALOGUE.oxide(header)[1] == pytest.approx(share, abs=2e-4)
    assert CATALOGUE.oxide("K (tot)") is None


def test_a_user_adds_and_replaces_properties():
    own = Property("glomalin", "Glomalin", "mg/kg", aliases=("GRSP",), hard=(0.0, 100.0))
    catalogue = built_in_catalogue({"glomalin": own})
    assert catalogue.resolve("GRSP (g/kg)") == ("glomalin", "g/kg")
    assert catalogue.factor("glomalin", "g/kg") == pytest.approx(1000)
    assert "glomalin" not in CATALOGUE
    assert math.isinf(catalogue["glomalin"].warning[1])


@given(st.text(max_size=30))
def test_any_header_is_read_without_an_error(header):
    name, unit = split_header(header)
    assert unit is None or normalise_unit(unit) == unit
    assert isinstance(name, str)
    CATALOGUE.resolve(header)
    CATALOGUE.oxide(header)
