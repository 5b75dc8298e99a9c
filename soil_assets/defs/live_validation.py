"""The live model measured again: which version that is, its files as they were registered, its figures.

Belongs here: asking the registry, without importing mlflow. Does not belong here: measuring (``modeling.evaluate``)
and comparing (``modeling.as_registered``).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soil_assets.defs.io import load_value
from soil_assets.defs.resources import MAIN_ALIAS, Soil
from soil_assets.errors import BadInput

if TYPE_CHECKING:
    from soil_assets.adapters.registry_reader import FoundVersion, RegistryReader
    from soil_assets.modeling.model import SoilModel

#: The alias that answers users; where nothing was promoted yet, the one that was staged is looked at.
LIVE_ALIASES = ("production", MAIN_ALIAS)


@dataclass(frozen=True)
class Live:
    """The version that stands at an alias."""

    alias: str
    found: FoundVersion

    @property
    def title(self) -> str:
        """What people call it."""
        return f"{self.found.name} version {self.found.version} ({self.alias})"

    def benchmark(self) -> str:
        """Return the hash of the benchmark that it was registered with, or nothing where that was not kept."""
        try:
            return str(json.loads(self.found.tags["soil.evidence"])["data"]["benchmark_spectra"])
        except (KeyError, ValueError, TypeError):
            return ""


def reader(soil: Soil) -> RegistryReader | None:
    """Return the reader of the registry, or None while there surely is nothing in it."""
    from soil_assets.adapters.registry_reader import reader_of

    return None if soil.registry.empty else reader_of(soil.settings.url("mlflow_tracking"))


def versions(soil: Soil, prop: str) -> dict[str, Live]:
    """Return the version at each live alias of a property's model, by alias.

    Raises
    ------
    RegistryUnreachableError
    """
    registry, name = reader(soil), soil.settings.model_name(prop)
    found: dict[str, Live] = {}
    if registry is None:
        return found
    for alias in LIVE_ALIASES:
        number = registry.at_alias(name, alias)
        version = None if number is None else registry.version(name, number)
        if version is not None:
            found[alias] = Live(alias, version)
    return found


def live_version(soil: Soil, prop: str) -> Live | None:
    """Return the version that answers users, else the staged one, else None."""
    return next(iter(versions(soil, prop).values()), None)


def load_live(soil: Soil, live: Live) -> tuple[SoilModel | None, str]:
    """Return the live model from the registry's files, and what is wrong with them where they are others."""
    from soil_assets.serving.model_store import ModelStore

    registry = reader(soil)
    assert registry is not None  # noqa: S101  # it just told of this version
    with tempfile.TemporaryDirectory(prefix="soil-live-") as folder:
        try:
            # An empty folder: what is validated is what the registry holds, not what a service keeps of it.
            loaded = ModelStore(Path(folder), registry, lambda _: None).load(
                live.found.name, live.found.version
            )
        except BadInput as altered:
            return None, str(altered)
        return loaded.model, ""


def benchmark_hash(soil: Soil) -> str:
    """Return the hash of the benchmark as it is now, as registrations keep it."""
    return str(soil.data.read_json("assets/benchmark_spectra/current.json")["sha256"])


def benchmark_metrics(soil: Soil, prop: str) -> str:
    """Return every measure of the candidate on the benchmark as JSON: what a version is registered with."""
    metrics: Mapping[str, Any] = load_value(soil.data, "benchmark_evaluations", prop)["metrics"]
    return json.dumps(dict(metrics), sort_keys=True)
