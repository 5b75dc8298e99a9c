from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soil_assets.errors import BadInput
from soil_assets.modeling.comparison import compare, first_version
from soil_assets.modeling.evaluate import evaluate
from soil_assets.modeling.model import SoilModel
from soil_assets.modeling.recipe import Recipe
from soil_assets.modeling.train import train
from soil_assets.modeling.verdict import holm, over_properties
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import BUILT_IN

RNG = np.random.default_rng(11)
OBSERVED = RNG.normal(20, 6, 120)
MAIN_ERROR = RNG.normal(0, 2, 120)
OTHER_ERROR = RNG.normal(0, 2, 120)
OTHER_ERROR *= np.sqrt((MAIN_ERROR**2).mean() / (OTHER_ERROR**2).mean())


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (0.5 * MAIN_ERROR, "better"),
        (1.02 * MAIN_ERROR, "not worse"),
        (2.0 * MAIN_ERROR, "worse"),
        (1.04 * OTHER_ERROR, "cannot tell"),
    ],
)
def test_verdicts(error: np.ndarray, verdict: str) -> None:
    found = compare(OBSERVED, OBSERVED + MAIN_ERROR, OBSERVED + error)
    assert found.verdict == verdict
    assert found.acceptable == (verdict in ("better", "not worse"))
    assert (found.more_samples is not None) == (verdict == "cannot tell")
    json.dumps(found.to_dict(), allow_nan=False)


def test_estimates_agree_with_the_measures() -> None:
    found = compare(OBSERVED, OBSERVED + MAIN_ERROR, OBSERVED + 1.3 * MAIN_ERROR + 0.5)
    assert found.main is not None
    assert found.rmse_difference is not None
    assert found.rmse_ratio is not None
    assert found.rmse_difference[0] == pytest.approx(found.candidate["rmse"] - found.main["rmse"])
    assert found.rmse_ratio[0] == pytest.approx(found.candidate["rmse"] / found.main["rmse"])
    assert found.rmse_difference[1] < found.rmse_difference[0] < found.rmse_difference[2]


def test_identical_models() -> None:
    found = compare(OBSERVED, OBSERVED + MAIN_ERROR, OBSERVED + MAIN_ERROR)
    assert found.verdict == "not worse"
    assert found.rmse_ratio == (1.0, 1.0, 1.0)


def test_false_alarms_are_rare() -> None:
    """Two equally good models with unrelated errors: 'better' or 'worse' at most at the stated rate."""
    rng = np.random.default_rng(0)
    called = 0
    for repeat in range(300):
        o = rng.normal(size=26)
        found = compare(o, o + rng.normal(size=26), o + rng.normal(size=26), n_boot=300, seed=repeat)
        called += found.verdict in ("better", "worse")
    assert called <= 26  # upper 99.9 % binomial bound of 5 % of 300


def test_groups_are_resampled_together() -> None:
    groups = np.repeat(np.arange(12), 10)
    shared = np.repeat(RNG.normal(0, 2, 12), 10)
    plain = compare(OBSERVED, OBSERVED + MAIN_ERROR, OBSERVED + shared)
    grouped = compare(OBSERVED, OBSERVED + MAIN_ERROR, OBSERVED + shared, groups=groups)
    assert grouped.n_groups == 12
    assert grouped.rmse_ratio is not None
    assert plain.rmse_ratio is not None
    assert grouped.rmse_ratio[2] / grouped.rmse_ratio[1] > 1.3 * plain.rmse_ratio[2] / plain.rmse_ratio[1]


def test_more_samples_do_tell() -> None:
    rng = np.random.default_rng(3)

    def draw(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        o, e = rng.normal(size=n), rng.normal(size=n)
        return o, o + e, o + 0.85 * e + 0.5 * rng.normal(size=n)

    found = compare(*draw(40))
    assert found.verdict == "cannot tell"
    assert found.more_samples is not None
    assert compare(*draw(40 + 6 * found.more_samples)).verdict != "cannot tell"


def test_missing_observations_are_left_out() -> None:
    o = OBSERVED.copy()
    o[:20] = np.nan
    assert compare(o, OBSERVED + MAIN_ERROR, OBSERVED + OTHER_ERROR).n == 100


def test_too_few_groups_cannot_tell() -> None:
    found = compare([1.0, 2.0], [1.1, 2.2], [1.0, 2.1])
    assert found.verdict == "cannot tell"
    assert found.rmse_ratio is None


def test_refusals() -> None:
    frame = pd.DataFrame({"sample_id": ["a", "b", "c"], "value": [1.0, 2.0, 3.0]})
    with pytest.raises(BadInput, match="same samples"):
        compare([1, 2, 3], frame, frame.iloc[[1, 0, 2]])
    with pytest.raises(BadInput, match="same samples"):
        compare([1, 2, 3], frame, [1, 2])
    with pytest.raises(BadInput, match="not finite"):
        compare([1, 2, 3], frame, [1, 2, np.nan])
    with pytest.raises(BadInput, match="nothing can be compared"):
        compare([np.nan] * 3, frame, frame)
    with pytest.raises(BadInput, match="no column"):
        compare([1, 2, 3], frame.drop(columns="value"), frame)


def test_first_version(clay_model: SoilModel, parts: tuple[SpectralBatch, SpectralBatch]) -> None:
    found = first_version(evaluate(clay_model, parts[1], BUILT_IN["clay"]))
    assert found.verdict == "first version"
    assert found.acceptable
    assert json.loads(json.dumps(found.to_dict()))["main"] is None


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_properties(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(a >= q - 1e-15 for a, q in zip(adjusted, p, strict=True))
    assert all(a <= 1 for a in adjusted)
    order = np.argsort(p, kind="stable")
    assert np.all(np.diff(np.array(adjusted)[order]) >= -1e-15)


def test_holm_example() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    with pytest.raises(BadInput, match="p-value"):
        holm([1.2])


def fact(p_better: float, p_not_worse: float, p_worse: float, verdict: str = "better") -> dict[str, object]:
    return {
        "verdict": verdict, "alpha": 0.05, "p_better": p_better, "p_not_worse": p_not_worse, "p_worse": p_worse,
    }  # fmt: skip


def test_over_properties_a_single_lucky_claim_is_not_enough() -> None:
    """p = 0.02 holds for one property, and not as the best of four."""
    lucky = fact(0.02, 0.02, 0.98)
    assert over_properties({"clay": lucky})["clay"]["verdict"] == "better"
    nothing = fact(0.5, 0.5, 0.5, "cannot tell")
    four = over_properties({"clay": lucky, "ph": nothing, "soc": nothing, "cec": nothing})
    assert four["clay"]["verdict"] == "cannot tell"
    assert four["clay"]["alone"] == "better"
    assert four["clay"]["p_better"] == pytest.approx(0.08)
    sure = fact(0.0005, 0.0005, 1.0)
    assert over_properties({"a": sure, "b": sure, "c": lucky})["a"]["verdict"] == "better"


def test_over_properties_passes_through_what_has_no_p_values() -> None:
    first = {
        "verdict": "first version",
        "alpha": 0.05,
        "p_better": None,
        "p_not_worse": None,
        "p_worse": None,
    }
    found = over_properties({"clay": first, "ph": fact(0.9, 0.9, 0.001, "worse")})
    assert found["clay"]["verdict"] == "first version"
    assert found["ph"]["verdict"] == "worse"
    assert found["ph"]["n_properties"] == 1


def test_changed_intervals_show_in_the_coverage() -> None:
    """The same values with narrower intervals: RMSE sees nothing, the difference in coverage does."""

    def table(half: float) -> pd.DataFrame:
        value = OBSERVED + MAIN_ERROR
        return pd.DataFrame({"value": value, "lower_90": value - half, "upper_90": value + half})

    found = compare(OBSERVED, table(3.3), table(1.0))
    assert found.verdict == "not worse"
    estimate, low, high = found.coverage_differences["90"]
    inside = [(np.abs(MAIN_ERROR) <= half).mean() for half in (3.3, 1.0)]
    assert estimate == pytest.approx(inside[1] - inside[0])
    assert low < estimate < high < 0
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["coverage_differences"]["90"][0] < 0


def test_a_worse_recipe_and_a_noisier_one_on_real_spectra(field: SpectralBatch) -> None:
    """One component is too few for clay; choosing by three folds only is noisier, and 55 samples cannot tell more."""
    order = np.random.default_rng(1).permutation(len(field))
    learn, test = field.take(order[:60]), field.take(order[60:])

    def measured(recipe: Recipe) -> pd.DataFrame:
        return evaluate(train(learn, BUILT_IN["clay"], recipe), test, BUILT_IN["clay"]).predictions

    main = measured(Recipe())
    observed = main["observed"].to_numpy()
    worse = compare(observed, main, measured(Recipe(max_components=1)))
    assert worse.verdict == "worse"
    assert worse.p_worse is not None
    assert worse.p_worse < 0.025
    noisier = compare(observed, main, measured(Recipe(folds=3, seed=5)))
    assert noisier.verdict == "cannot tell"
    assert noisier.more_samples is not None
    assert noisier.more_samples > 0
