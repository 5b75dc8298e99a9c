"""Every scan that was accepted before, searchable without loading its spectrum: for duplicates across batches."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import dagster as dg

from soil_assets.defs.codecs import ACCEPTED_FILE, KNOWN_FILE, accepted_from
from soil_assets.defs.io import has_value, load_file, load_value, partitions_kept
from soil_assets.defs.kept import kept
from soil_assets.defs.partitions import BATCH
from soil_assets.defs.resources import Soil

if TYPE_CHECKING:
    from soil_assets.quality.known import KnownSpectra

#: Indexes bound together.
_VOLUME = 32
_FROZEN = ("reference_spectra", "benchmark_spectra")


def known_scans(instance: dg.DagsterInstance, soil: Soil, batch: str) -> KnownSpectra | None:
    """Return the accepted scans of the frozen sets and of all batches but ``batch`` itself; None when there are none.

    Batches that a person withdrew are no batches to be a copy of.

    Of a batch only its index is read; spectra are fetched for the few candidates that the index finds.
    """
    from soil_assets.quality.known import KnownSpectra

    data = soil.data
    shelf = kept(("known scans", data.url), lambda: _Shelf(_frozen(soil)))
    shelf.take_out(batch)  # it is judged now; whoever comes next finds what it has then
    withdrawn = set(soil.withdrawn_batches())
    for name in withdrawn:
        shelf.take_out(name)
    batches = set(instance.get_dynamic_partitions(BATCH)) - {batch} - withdrawn
    for name in partitions_kept(data, "validated_batches"):  # one look, however many wait to be judged
        if name in batches and name not in shelf and has_value(data, "validated_batches", name):
            shelf.put(name, _index(soil, name))
    parts = shelf.parts()
    return KnownSpectra.joined(parts) if parts else None


class _Shelf:
    """The indexes of earlier batches, bound into volumes, so that a thousand of them are joined quickly."""

    def __init__(self, frozen: list[KnownSpectra]) -> None:
        self._volumes: list[tuple[set[str], KnownSpectra]] = [(set(), part) for part in frozen]
        self._loose: dict[str, KnownSpectra] = {}
        self._names: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def put(self, name: str, part: KnownSpectra | None) -> None:
        """Add a batch; one without an accepted scan has no index."""
        self._names.add(name)
        if part is not None:
            self._loose[name] = part
        if len(self._loose) == _VOLUME:
            from soil_assets.quality.known import KnownSpectra

            self._volumes.append((set(self._loose), KnownSpectra.joined(list(self._loose.values()))))
            self._loose = {}

    def take_out(self, name: str) -> None:
        """Remove a batch, wherever it is bound."""
        if name in self._names:
            self._names.discard(name)
            self._loose.pop(name, None)
            self._volumes = [
                (names - {name}, part.without_batch(name)) if name in names else (names, part)
                for names, part in self._volumes
            ]

    def parts(self) -> list[KnownSpectra]:
        """Return the indexes of all batches."""
        return [part for _, part in self._volumes] + list(self._loose.values())


def _frozen(soil: Soil) -> list[KnownSpectra]:
    from soil_assets.quality.known import KnownSpectra

    return [
        KnownSpectra.of(load_value(soil.data, asset).labelled("batch", asset))
        for asset in _FROZEN
        if has_value(soil.data, asset)
    ]


def _index(soil: Soil, name: str) -> KnownSpectra | None:
    import pandas as pd

    from soil_assets.quality.known import KnownSpectra

    content = load_file(soil.data, "validated_batches", name, KNOWN_FILE)
    if content is None:
        return None
    table = pd.read_parquet(io.BytesIO(content)).assign(batch=name)

    def spectra(rows: Any) -> Any:
        from soil_assets.spectra.harmonise import to_quantity

        # Scans of one field resemble one another: hundreds of batches may have a candidate. Their tables stay unread.
        scans = load_file(soil.data, "validated_batches", name, ACCEPTED_FILE)
        assert scans is not None  # noqa: S101  # every validated batch has it, with or without scans
        return to_quantity(accepted_from(scans).take(rows), "absorbance").spectra

    return KnownSpectra.from_table(table, soil.axis, spectra)
