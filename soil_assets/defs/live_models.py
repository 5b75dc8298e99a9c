"""What the models on main say about a batch: predictions and exceedances, for the drift gate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from soil_assets.defs.resources import Soil


@dataclass(frozen=True)
class LiveView:
    """Predictions of the models on main, by property; empty while there is no model."""

    predictions: dict[str, Any] = field(default_factory=dict)
    reference_predictions: dict[str, Any] = field(default_factory=dict)
    exceedances: dict[str, tuple[int, int]] = field(default_factory=dict)
    exceedance_reference_n: int | None = None
    versions: dict[str, str] = field(default_factory=dict)


def look_at(soil: Soil, batch: Any) -> LiveView:
    """Let every model on main look at the batch.

    The applicability domain is taken from the first model: models of one training set share their spectra, and
    counting the same exceedance once a property would only dilute the test.
    """
    predictions, held_out, versions = {}, {}, {}
    exceedances: dict[str, tuple[int, int]] = {}
    calibration_n = None
    for prop in soil.settings.properties if len(batch) else ():
        main = soil.main_model(prop)
        if main is None:
            continue
        predictions[prop] = main.model.predict(batch)["value"].to_numpy()
        held_out[prop] = main.model.held_out_values
        versions[prop] = f"{main.name} version {main.version}"
        if not exceedances:
            exceedances = main.model.domain.exceedances(batch.spectra)
            calibration_n = main.model.domain.calibration_n
    return LiveView(predictions, held_out, exceedances, calibration_n, versions)
