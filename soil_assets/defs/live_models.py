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
    versions: dict[str, str] = field(default_factory=dict)


def look_at(soil: Soil, batch: Any, reference: Any) -> LiveView:
    """Let every model on main look at the batch."""
    view = LiveView()
    if not len(batch):
        return view
    for prop in soil.settings.properties:
        main = soil.main_model(prop)
        if main is None:
            continue
        view.predictions[prop] = main.model.predict(batch)["value"].to_numpy()
        view.reference_predictions[prop] = main.model.reference_predictions(reference)
        for measure, counted in main.model.domain.exceedances(batch.spectra).items():
            view.exceedances[f"{prop}: {measure}"] = counted
        view.versions[prop] = f"{main.name} version {main.version}"
    return view
