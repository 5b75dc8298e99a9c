"""An average hides no harm: parts of the benchmark measured and compared by themselves."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from soil_assets.config import ModelPolicy, StrataPolicy
from soil_assets.errors import BadInput
from soil_assets.modeling.judge import check_same_task, judge, judge_strata
from soil_assets.modeling.model import SoilModel
from soil_assets.modeling.strata import compare_strata, evaluate_strata, strata_in_words, strata_of
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch

RNG = np.random.default_rng(5)
N = 120
OBSERVED = RNG.normal(20, 6, N)
ERROR = RNG.normal(0, 2, N)
ALONE = np.arange(N)
HOW: dict[str, Any] = {"min_samples": 15, "margin": 0.1, "alpha": 0.05, "n_boot": 400, "seed": 1}


def table(value: np.ndarray, half: float = 4.0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "sample_id": [str(i) for i in range(N)],
            "observed": OBSERVED,
            "value": value,
            "lower_90": value - half,
            "upper_90": value + half,
        }
    )


def masks(*ends: int) -> dict[str, np.ndarray]:
    return {f"first {end}": np.arange(N) < end for end in ends}


def test_strata_of_a_real_field(field: SpectralBatch) -> None:
    found = strata_of(field, StrataPolicy(soc_below=1.6))
    soc = field.property_values("soc")
    assert set(found) == {
        "SOC < 1.6 %",
        "SOC >= 1.6 %",
    }  # all of it is mineral: that stratum would be the whole
    assert int(found["SOC < 1.6 %"].sum()) == int((soc < 1.6).sum()) > 0


def test_categories_become_strata_and_missing_ones_belong_to_none(field: SpectralBatch) -> None:
    samples = field.samples.copy()
    samples["instrument"] = ["A"] * 50 + ["B"] * 40 + [None] * (len(field) - 90)
    samples["site"] = "one"
    found = strata_of(field.with_samples(samples), StrataPolicy(soc_below=1.6))
    assert {k: int(v.sum()) for k, v in found.items() if not k.startswith("SOC")} == {
        "instrument A": 50,
        "instrument B": 40,
    }


def test_missing_carbon_belongs_to_no_stratum(field: SpectralBatch) -> None:
    samples = field.samples.copy()
    samples.loc[:9, "soc"] = np.nan
    found = strata_of(field.with_samples(samples), StrataPolicy(soc_below=1.6))
    assert sum(int(v.sum()) for v in found.values()) == len(field) - 10


def test_a_loss_in_one_part_is_seen_though_the_whole_improves() -> None:
    harmed = np.arange(N) < 30
    candidate = OBSERVED + np.where(harmed, 2.5 * ERROR, 0.2 * ERROR)
    policy = ModelPolicy(bootstrap=400)
    facts = {"predictions": table(candidate).to_dict("records"), "n": N, "metrics": {}}
    main = table(OBSERVED + 1.5 * ERROR)
    assert judge(main, facts, policy, groups=ALONE).verdict == "better"
    [harm, rest] = judge_strata(main, facts, {"harmed": harmed, "rest": ~harmed}, policy, groups=ALONE)
    assert (harm["verdict"], rest["verdict"]) == ("worse", "better")
    assert harm["low"] > 0
    assert harm["candidate"] - harm["main"] == pytest.approx(harm["difference"])
    assert "worse in harmed (n 30)" in strata_in_words([harm, rest])
    json.dumps([harm, rest], allow_nan=False)


def test_small_strata_are_not_judged_and_say_so() -> None:
    rows = compare_strata(table(OBSERVED + ERROR), table(OBSERVED + ERROR), masks(14, 60), ALONE, **HOW)
    assert [r["verdict"] for r in rows] == ["not judged", "not worse"]
    assert "14 samples" in rows[0]["reason"]
    assert rows[0]["low"] is None
    assert strata_in_words(rows) == "no stratum got worse (1 of 2 strata judged)"


def test_many_samples_of_few_groups_are_not_judged() -> None:
    rows = compare_strata(table(OBSERVED + ERROR), table(OBSERVED + 2 * ERROR), masks(60), ALONE // 20, **HOW)
    assert rows[0]["verdict"] == "not judged"
    assert rows[0]["n_groups"] == 3


def test_more_strata_need_more_evidence() -> None:
    """Bonferroni: the interval of one stratum is wider when others are judged too."""
    main, candidate = table(OBSERVED + ERROR), table(OBSERVED + 1.2 * ERROR + RNG.normal(0, 1, N))
    [alone] = compare_strata(main, candidate, masks(60), ALONE, **HOW)
    among = compare_strata(main, candidate, masks(60, 70, 80, 90), ALONE, **HOW)[0]
    assert among["high"] > alone["high"]
    assert among["low"] < alone["low"]


def test_figures_by_stratum() -> None:
    found = evaluate_strata(
        table(OBSERVED + ERROR), masks(10, 60), ALONE, min_samples=15, levels=(0.9,), calibration_n=100
    )
    assert [(r["n"], r["judged"]) for r in found] == [(10, False), (60, True)]
    assert found[0]["metrics"] is None
    assert found[1]["metrics"]["rmse"] == pytest.approx(np.sqrt((ERROR[:60] ** 2).mean()))
    [row] = found[1]["coverage"]
    assert row["inside"] == int((np.abs(ERROR[:60]) <= 4).sum())
    assert row["low"] <= 54 <= row["high"]


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("spectral axis", {"axis": Axis.regular(3796.0, 600.0, 4.0, "cm-1")}),
        ("property", {"property": "soc"}),
        ("quantity", {"quantity": "reflectance"}),
        ("unit", {"unit": "g/kg"}),
    ],
)
def test_models_of_different_tasks_are_not_compared(
    clay_model: SoilModel, what: str, change: dict[str, Any]
) -> None:
    from dataclasses import replace

    check_same_task(clay_model, clay_model)
    with pytest.raises(BadInput, match=f"differ in {what}") as refusal:
        check_same_task(clay_model, replace(clay_model, **change))
    assert refusal.value.found != refusal.value.expected
    assert refusal.value.mend
