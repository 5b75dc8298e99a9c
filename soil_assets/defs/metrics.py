"""The platform in figures, for Prometheus: batches, gates, drift, models, runs.

Belongs here: which figures there are, and one look at all of them. Where each comes from is in ``metrics_batches``,
``metrics_models`` and ``metrics_platform``. Does not belong here: their text form (``adapters.prometheus``).

A look reads records and small files, never spectra. No label holds a batch, a sample or a run: the number of series
depends on what is configured, and on the instruments, of which the newest are told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg

from soil_assets.adapters.prometheus import Family
from soil_assets.config import Settings
from soil_assets.defs import metrics_batches, metrics_models, metrics_platform
from soil_assets.defs.build import assets_of
from soil_assets.defs.resources import Soil

#: Name, help and labels of every figure; each is told with its help even while it has no value.
FAMILIES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    **metrics_batches.FAMILIES,
    **metrics_models.FAMILIES,
    **metrics_platform.FAMILIES,
    "soil_export_seconds": ("Time that the last look at a part took.", ("part",)),
    "soil_export_failed": (
        "1 when a part could not be looked at, so that its figures are missing.",
        ("part",),
    ),
}


class Metrics:
    """Looks at one platform as often as it is asked.

    Parameters
    ----------
    instance : DagsterInstance
    settings : Settings
    tell : callable
        Gets one line for each part that could not be looked at.
    """

    def __init__(
        self, instance: dg.DagsterInstance, settings: Settings, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self.instance = instance
        self.soil = Soil.of(settings)
        self.assets = assets_of(settings)
        self._tell = tell

    def look(self) -> list[Family]:
        """Return every family as it is now.

        A part that cannot be looked at (a registry that does not answer, a store that is away) is left out and told;
        the others are there all the same: figures must not vanish when they are needed most.
        """
        found = {name: Family(name, said, labels) for name, (said, labels) in FAMILIES.items()}
        parts: dict[str, Callable[[Mapping[str, Family]], Any]] = {
            "batches": lambda f: metrics_batches.tell(f, self.instance, self.assets, self.soil),
            "gates": lambda f: metrics_batches.tell_gates(f, self.instance, self.assets),
            "drift": lambda f: metrics_models.tell_drift(f, self.soil),
            "models": lambda f: metrics_models.tell_models(f, self.soil),
            "ages": lambda f: metrics_platform.tell_ages(f, self.instance, self.assets),
            "runs": lambda f: metrics_platform.tell_runs(f, self.instance),
        }
        for part, look in parts.items():
            began = time.perf_counter()
            before = {name: len(family.samples) for name, family in found.items()}
            try:
                look(found)
                failed = 0.0
            except Exception as error:  # noqa: BLE001  # whatever a database or a store raises: the rest is told
                self._tell(f"{part}: {type(error).__name__}: {error}")
                failed = 1.0
                for name, family in found.items():
                    del family.samples[before[name] :]  # half a part would look like a fall in its figures
            found["soil_export_failed"].add(part, figure=failed)
            found["soil_export_seconds"].add(part, figure=time.perf_counter() - began)
        return list(found.values())
