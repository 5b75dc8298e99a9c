"""The models that answered a day's traffic, looking at it again: for the drift report on production.

Belongs here: finding those versions. Does not belong here: the models on main (``defs.live_models``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from soil_assets.defs.live_models import look_with
from soil_assets.defs.resources import MainModel, Soil
from soil_assets.errors import BadInput

if TYPE_CHECKING:
    from soil_assets.drift.views import LiveView


def look_as_served(soil: Soil, batch: Any) -> LiveView:
    """Let the version of each property that answered most of the day look at all of its spectra.

    A day on which versions changed is judged by one model: a mixture of two models' predictions has no reference
    distribution. A version that the registry no longer has is left out; its predictions are then not judged.
    """
    from soil_assets.drift.views import LiveView

    models = {}
    for prop in soil.settings.properties:
        column = f"version_{prop}"
        if column not in batch.samples.columns or batch.samples[column].isna().all():
            continue
        version = int(batch.samples[column].mode().iloc[-1])
        name = soil.settings.model_name(prop)
        try:
            model, found = soil.registry.load(f"models:/{name}/{version}")
        except BadInput:
            continue
        models[prop] = MainModel(model, found.version, name)
    return look_with(models, batch) if models else LiveView()
