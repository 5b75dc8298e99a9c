"""The MLflow pyfunc around a model file: logged as code ('models from code'), so that nothing is pickled.

MLflow runs this file when it logs or loads the model; the arrays come from the artifact beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext


class SoilPyfunc(PythonModel):  # type: ignore[misc]
    """Predicts from spectra that already lie on the model's axis, in its quantity."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the arrays and facts; a tampered file is refused."""
        from soil_assets.modeling.artifact import load

        self.model = load(Path(context.artifacts["soil_model"]))

    # MLflow takes this hint as 'no conversion'; without one it warns, with others it would convert band by band.
    def predict(
        self, context: PythonModelContext, model_input: np.ndarray, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return value, interval and applicability of spectra, shape (n_samples, n_bands)."""
        from soil_assets.spectra.batch import SpectralBatch

        spectra = np.atleast_2d(np.asarray(model_input, dtype=np.float32))
        ids = pd.DataFrame({"sample_id": [str(i + 1) for i in range(len(spectra))]})
        batch = SpectralBatch(ids, spectra, self.model.axis, self.model.quantity)
        return self.model.predict(batch)[["value", "lower_90", "upper_90", "inside"]]


mlflow.models.set_model(SoilPyfunc())
