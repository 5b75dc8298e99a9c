"""Small models on made-up spectra, kept as files: what was saved once must load and predict the same for ever.

``python -m soil_assets_tests.modeling.golden_models`` writes them anew, for a kind that is added. A model that is there
already must not be written again to make a test pass: its users have it in their registries.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from soil_assets.modeling.artifact import save
from soil_assets.modeling.model import SoilModel
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import BUILT_IN

FOLDER = Path(__file__).parent / "golden"
COLUMNS = (
    "value",
    "lower_68",
    "upper_68",
    "lower_90",
    "upper_90",
    "lower_95",
    "upper_95",
    "t2",
    "q",
    "distance",
)


def made_up(n: int, seed: int) -> SpectralBatch:
    """Return spectra of three overlapping bands whose heights make up clay; exact in float32 on any machine."""
    rng = np.random.default_rng(seed)
    places = np.linspace(0.0, 1.0, 60)
    bands = np.stack([np.exp(-((places - c) ** 2) / 0.02) for c in (0.2, 0.5, 0.8)])
    heights = rng.uniform(0.2, 1.0, (n, 3))
    spectra = 0.3 + 0.2 * places + heights @ bands + rng.normal(0, 0.002, (n, 60))
    clay = np.round(10 + 25 * heights[:, 0] - 8 * heights[:, 2] + rng.normal(0, 0.8, n), 2)
    samples = pd.DataFrame({"sample_id": [f"m{i}" for i in range(n)], "clay": clay})
    # Rounded, so that another build of exp or of the generator's normal does not reach the last digits.
    return SpectralBatch(
        samples,
        np.round(spectra, 4).astype(np.float32),
        Axis(1000.0 + 10.0 * np.arange(60), "nm"),
        "absorbance",
    )


def candidates() -> dict[str, SoilModel]:
    """Train one model of every kind of predictor that is kept."""
    from soil_assets.modeling.additive_features import AdditiveFeatures
    from soil_assets.modeling.additive_training import AdditiveRecipe, release
    from soil_assets.modeling.batch_statistics import BatchStatistics
    from soil_assets.modeling.recipe import Recipe
    from soil_assets.modeling.train import train

    batch, clay = made_up(50, 1), BUILT_IN["clay"]
    features = AdditiveFeatures.fit(batch, landmarks=15, folds=5)
    sums = BatchStatistics.of(features, batch, [clay], "made up")
    return {
        "linear": train(batch, clay, Recipe(folds=5, max_components=5, repeats=1)),
        "landmarks": release(features, sums, [clay], AdditiveRecipe())["clay"],
    }


def write() -> None:
    """Write the models that are not there yet, with what they predict."""
    fresh = made_up(12, 2)
    for name, model in candidates().items():
        folder = FOLDER / name
        if not folder.exists():
            save(model, folder)
            told = model.predict(fresh)
            expected = {c: told[c].tolist() for c in COLUMNS} | {"inside": told["inside"].tolist()}
            (folder / "expected.json").write_text(json.dumps(expected, indent=1), encoding="utf-8")


if __name__ == "__main__":
    write()
