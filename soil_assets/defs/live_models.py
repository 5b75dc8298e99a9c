"""What the models on main say about a batch: predictions, errors to expect and exceedances, for the drift gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from soil_assets.defs.resources import MainModel, Soil

if TYPE_CHECKING:
    from soil_assets.drift.views import LiveView, PropertyView


def look_at(soil: Soil, batch: Any) -> LiveView:
    """Let every model on main look at the batch, through its predict interface."""
    found = {p: soil.main_model(p) for p in soil.settings.properties} if len(batch) else {}
    return look_with({p: m for p, m in found.items() if m is not None}, batch)


def look_with(models: Mapping[str, MainModel], batch: Any) -> LiveView:
    """Let models, by property, look at a batch that is not empty.

    The applicability domain is taken from the first model: models of one training set share their spectra, and
    counting the same exceedance once a property would only dilute the test.
    """
    from soil_assets.drift.views import LiveView

    views: dict[str, PropertyView] = {}
    exceedances: dict[str, tuple[int, int]] = {}
    calibration_n = None
    for prop, main in models.items():
        views[prop] = _view(main, batch)
        if not exceedances:
            exceedances = main.model.domain.exceedances(batch.spectra)
            calibration_n = main.model.domain.calibration_n
    return LiveView(views, exceedances, calibration_n)


def _view(main: MainModel, batch: Any) -> PropertyView:
    import numpy as np

    from soil_assets.drift.views import PropertyView
    from soil_assets.modeling.intervals import level_name

    said = main.model.predict(batch)
    kept = main.model.training
    level = level_name(min(main.model.levels, key=lambda v: abs(v - 0.9)))
    width = said[f"upper_{level}"] - said[f"lower_{level}"]
    return PropertyView(
        version=f"{main.name} version {main.version}",
        predicted=said["value"].to_numpy(dtype=float),
        distances=said["distance"].to_numpy(dtype=float),
        half_widths=(width / 2).to_numpy(dtype=float),
        inside=said["inside"].to_numpy(dtype=bool),
        held_out=main.model.held_out_values,
        held_out_errors=np.asarray(kept.get("held_out_errors", ()), dtype=float),
        held_out_distances=np.asarray(kept.get("held_out_distances", ()), dtype=float),
        held_out_groups=np.asarray(kept.get("held_out_groups", ()), dtype=np.int64),
    )
