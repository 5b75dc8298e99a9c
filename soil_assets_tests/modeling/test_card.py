from __future__ import annotations

import numpy as np

from soil_assets.modeling.card import model_card
from soil_assets.modeling.evaluate import evaluate
from soil_assets.modeling.model import SoilModel
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import BUILT_IN


def test_card_says_what_the_model_says(
    clay_model: SoilModel, parts: tuple[SpectralBatch, SpectralBatch]
) -> None:
    found = evaluate(clay_model, parts[1], BUILT_IN["clay"])
    card = model_card(clay_model, found)
    assert (
        f"| RMSE | {clay_model.training['cross_validation']['rmse']:.3g} | {found.metrics['rmse']:.3g} ("
        in card
    )
    assert f"{clay_model.training['n']} samples" in card
    for row in found.coverage.to_dict("records"):
        assert f"{row['inside']} of {row['n']} inside" in card
    best = clay_model.axis.values[int(np.argmax(clay_model.importance))]
    assert f"- {best:.0f} cm-1" in card


def test_card_without_a_benchmark_says_so(clay_model: SoilModel) -> None:
    assert "Not measured on a benchmark." in model_card(clay_model)
