import re

import pytest

from soil_assets.quality.expectations import CHECKS, Expectation
from soil_assets.quality.rulebook import all_rules, rulebook
from soil_assets.quality_policy import QualityPolicy
from soil_assets.spectra.catalogue import built_in_catalogue
from soil_assets_tests.quality.batches import AXIS

RULES = [
    (quantity, rule)
    for quantity in ("reflectance", "absorbance")
    for rule in all_rules(AXIS, quantity, built_in_catalogue(), QualityPolicy())
]


@pytest.mark.parametrize("quantity", ["reflectance", "absorbance"])
def test_every_check_has_rules_that_can_quarantine(quantity):
    book = rulebook(AXIS, quantity, built_in_catalogue(), QualityPolicy())
    assert set(book.loc[book["does"] == "quarantines", "check"]) == set(CHECKS)
    assert not book.isna().any().any()
    assert (book["mend"].str.len() > 10).all()


def test_rules_are_named_alike_and_masked_by_rules_that_exist():
    names = {rule.rule for _, rule in RULES}
    for _, rule in RULES:
        assert re.fullmatch(r"[a-z][a-z0-9_]+", rule.rule)
        assert set(rule.masked_by) <= names
        assert rule.rule not in rule.masked_by


def test_a_rule_has_one_check_and_one_severity():
    seen = {}
    for _, rule in RULES:
        assert seen.setdefault(rule.rule, (rule.check, rule.severity)) == (rule.check, rule.severity)


def test_expectations_that_could_not_fail_are_refused():
    with pytest.raises(ValueError, match="limit"):
        Expectation("r", "units", "critical", "figures", "x", "between", "e", "m")
    with pytest.raises(ValueError, match="pattern"):
        Expectation("r", "units", "critical", "samples", "x", "matches", "e", "m")
