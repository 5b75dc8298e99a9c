"""What the models of the registry say about a batch, as the drift gate needs it.

Belongs here: those values. Does not belong here: asking a model or a registry (``defs.live_models``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PropertyView:
    """One model and one batch.

    Parameters
    ----------
    version : str
        Name and version of the model.
    predicted, distances, half_widths : ndarray, shape (n_scans,)
        Predictions, distances from the model's domain and half-widths of the 90 % intervals, by the model's own
        predict interface; NaN where it refused.
    inside : ndarray of bool, shape (n_scans,)
        Whether each scan lies within the model's domain.
    held_out : ndarray, shape (m,)
        Out-of-fold predictions of the model's training samples.
    held_out_errors, held_out_distances : ndarray, shape (m,) or (0,)
        Their errors (predicted less observed) and distances, of the same samples; none for a model that kept none.
    held_out_groups : ndarray of int, shape (m,) or (0,)
        Site or profile of each.
    """

    version: str
    predicted: FloatArray
    distances: FloatArray
    half_widths: FloatArray
    inside: npt.NDArray[np.bool_]
    held_out: FloatArray
    held_out_errors: FloatArray
    held_out_distances: FloatArray
    held_out_groups: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LiveView:
    """All models on main and one batch; empty while there is no model.

    Parameters
    ----------
    properties : mapping of str to PropertyView
        By property.
    exceedances : mapping of str to (count, n)
        Samples beyond each limit of the applicability domain.
    exceedance_reference_n : int or None
        Held-out samples behind those limits.
    """

    properties: Mapping[str, PropertyView] = field(default_factory=dict)
    exceedances: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    exceedance_reference_n: int | None = None

    @property
    def versions(self) -> dict[str, str]:
        """Model versions by property."""
        return {name: view.version for name, view in self.properties.items()}

    @property
    def predictions(self) -> dict[str, FloatArray]:
        """Predictions for the batch by property."""
        return {name: view.predicted for name, view in self.properties.items()}

    @property
    def reference_predictions(self) -> dict[str, FloatArray]:
        """Out-of-fold predictions by property."""
        return {name: view.held_out for name, view in self.properties.items()}

    @property
    def reference_prediction_groups(self) -> dict[str, npt.NDArray[np.int64]]:
        """Groups of those, for models that kept them."""
        return {
            name: view.held_out_groups
            for name, view in self.properties.items()
            if view.held_out_groups.size == view.held_out.size
        }
