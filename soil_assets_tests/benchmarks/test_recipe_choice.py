"""The recipe for a set is chosen without it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from soil_assets.benchmarks.recipe_choice import (
    VARIANTS,
    Results,
    choose,
    inner_results,
    recipe_for,
    record,
    write,
)
from soil_assets.benchmarks.scored_sets import limesoda_set
from soil_assets.modeling.learners import TrainingData
from soil_assets.modeling.stack import StackBasis, better_of, repeated_folds, solve

pytestmark = pytest.mark.shared


def made_up() -> Results:
    """Variant b is better on sets 1 and 2, worse on 3."""
    return {
        "a": {"1": {"p": 1.0, "q": 1.0}, "2": {"p": 1.0}, "3": {"p": 1.0}},
        "b": {"1": {"p": 0.9, "q": 0.9}, "2": {"p": 0.9}, "3": {"p": 1.15}},
    }


def test_the_set_itself_has_no_say() -> None:
    results = made_up()
    assert choose(results, "3")[0] == "b"
    assert choose(results, "1")[0] == "a"
    results["b"]["3"]["p"] = 1e-9  # whatever it is on set 3, the choice for set 3 stays
    assert choose(results, "3")[0] == "b"
    results["b"]["3"]["p"] = 1e9
    assert choose(results, "3")[0] == "b"
    assert choose(results, "")[0] == "a"


def test_sets_weigh_the_same_whatever_their_number_of_properties() -> None:
    results = made_up()
    results["b"]["1"] = {str(i): 0.5 for i in range(50)}
    results["a"]["1"] = {str(i): 1.0 for i in range(50)}
    expected = np.mean([np.log(0.5), np.log(0.9), np.log(1.15)])
    assert choose(results, "")[1]["b"] == pytest.approx(expected)


def test_inner_results_are_those_of_the_recipe_and_know_no_official_fold() -> None:
    scored = limesoda_set("NRW.62")
    scored = replace(scored, targets={"clay": scored.targets["clay"]})
    found = inner_results(scored)
    again = inner_results(replace(scored, fold=scored.fold[::-1].copy()))
    assert found == again
    assert set(found) == set(VARIANTS)
    for name in ("plain", "all but joint", "all, 600 bands", "weighted"):
        recipe = VARIANTS[name].recipe()
        data = TrainingData(scored.spectra, scored.targets["clay"], scored.groups)
        basis = StackBasis.of(data, recipe.pretreatments, joint=recipe.joint)
        fitted = solve(basis, data.target[:, None], repeated_folds(data.groups, recipe), recipe)[0]
        rmse = np.sqrt(np.mean((fitted.held_out - data.target) ** 2))
        assert found[name]["NRW.62"]["clay"] == pytest.approx(rmse, rel=1e-9)


def test_many_samples_take_the_finer_pretreatments_fold_by_fold() -> None:
    """Each fold's choice is made by the others: a fold where the fine ones are perfect does not choose itself."""
    target = np.zeros(8)
    fold = np.repeat(np.arange(4), 2)
    usual, fine = np.ones(8), np.full(8, 1.2)
    fine[:2] = 0.0
    held_out, takes_fine = better_of(usual, fine, target, fold)
    assert (held_out[:2] == 1.0).all()
    assert not takes_fine
    fine[2:4] = 0.0
    held_out, takes_fine = better_of(usual, fine, target, fold)
    assert (held_out == fine).all()
    assert takes_fine


def test_the_record_is_of_these_variants_and_its_choices_follow_from_it(tmp_path: Path) -> None:
    found = record()
    assert found["fingerprints"] == {v: x.recipe().fingerprint() for v, x in VARIANTS.items()}
    for name, chosen in found["chosen_without_the_set"].items():
        assert chosen == choose(found["results"], name)[0]
        assert recipe_for(name) == VARIANTS[chosen].recipe()
    assert recipe_for("another") == VARIANTS[found["chosen_from_all"]].recipe()
    write(made_up(), tmp_path / "r.json")
    assert '"chosen_from_all": "b"' in (tmp_path / "r.json").read_text()
