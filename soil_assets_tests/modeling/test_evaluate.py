from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from soil_assets.errors import BadInput
from soil_assets.modeling.coverage import coverage_table
from soil_assets.modeling.evaluate import evaluate
from soil_assets.modeling.model import SoilModel
from soil_assets.modeling.plain import json_ready
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import BUILT_IN

Parts = tuple[SpectralBatch, SpectralBatch]
CLAY = BUILT_IN["clay"]


def test_counts_add_up(clay_model: SoilModel, parts: Parts) -> None:
    clay = parts[1].property_values("clay").copy()
    clay[:3] = np.nan
    spectra = parts[1].spectra.copy()
    spectra[5, 0] = np.nan
    batch = dataclasses.replace(parts[1].with_samples(parts[1].samples.assign(clay=clay)), spectra=spectra)
    found = evaluate(clay_model, batch, CLAY)
    assert (found.n, found.n_missing, found.n_refused) == (len(batch) - 4, 3, 1)
    assert not found.finite
    assert len(found.predictions) == len(batch)
    assert found.metrics["n"] == found.n


def test_json_ready_and_strict(clay_model: SoilModel, parts: Parts) -> None:
    raw = evaluate(clay_model, parts[1], CLAY).to_dict()
    again = json.loads(json.dumps(raw, allow_nan=False))
    assert again["metrics"]["n"] == len(parts[1])
    assert {row["level"] for row in again["coverage"]} == {0.68, 0.9, 0.95}
    assert json_ready({"a": (np.float64("nan"), np.int64(3), float("inf"))}) == {"a": [None, 3, None]}


def test_wrong_intervals_are_found(clay_model: SoilModel, parts: Parts) -> None:
    right = evaluate(clay_model, parts[1], CLAY)
    narrow = dataclasses.replace(
        clay_model, half_widths={k: v / 4 for k, v in clay_model.half_widths.items()}
    )
    found = evaluate(narrow, parts[1], CLAY)
    assert right.covered
    assert not found.covered
    assert found.coverage["winkler"].iloc[-1] > right.coverage["winkler"].iloc[-1]


def test_coverage_table_counts() -> None:
    table = pd.DataFrame({"observed": [1.0, 2.0, 3.0, 9.0], "lower_90": [0.0] * 4, "upper_90": [4.0] * 4})
    row = coverage_table(table, (0.9,), 100).iloc[0]
    assert (row["inside"], row["picp"], row["mean_width"]) == (3, 0.75, 4.0)
    assert row["winkler"] == pytest.approx(4.0 + 20 * 5.0 / 4)


def test_refusals(clay_model: SoilModel, parts: Parts) -> None:
    with pytest.raises(BadInput, match="another property"):
        evaluate(clay_model, parts[1], BUILT_IN["ph"])
    bare = parts[1].with_samples(parts[1].samples.drop(columns="clay"))
    with pytest.raises(BadInput, match="no sample of the batch can be judged"):
        evaluate(clay_model, bare, CLAY)
