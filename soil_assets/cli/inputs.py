"""What a command is given: a file, a folder, a URL, a frozen set's name, a model's address."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soil_assets.config import Settings
from soil_assets.errors import BadInput

if TYPE_CHECKING:
    from soil_assets.defs.resources import Soil
    from soil_assets.modeling.model import SoilModel
    from soil_assets.spectra.batch import SpectralBatch


def soil_of(settings: Settings) -> Soil:
    """Return the settings' stores, catalogue and registry."""
    from soil_assets.defs.resources import Soil

    return Soil.of(settings)


def units_from(stated: list[str] | None) -> dict[str, str]:
    """Return units stated as ``column=unit``.

    Raises
    ------
    BadInput
        When one is not of that form.
    """
    units = {}
    for text in stated or []:
        column, found, unit = text.partition("=")
        if not (column.strip() and found and unit.strip()):
            raise BadInput("not a stated unit", found=text, expected="column=unit, such as C=g/kg")
        units[column.strip()] = unit.strip()
    return units


def landed_from(
    data: str, settings: Settings, lab: str | None = None, units: dict[str, str] | None = None
) -> Any:
    """Read a batch as the landing zone would: a folder with its lab table and manifest, or one file.

    Raises
    ------
    BadInput
        When there is nothing to read.
    """
    from soil_assets.spectra.landed import join_notes, read_landed

    catalogue = catalogue_of(settings)
    landed = read_landed(data, catalogue)
    if lab is not None and landed.batch is not None:
        from soil_assets.spectra.lab import join_lab

        table = lab_table(lab)
        joined, report = join_lab(landed.batch, table, catalogue, units or {})
        notes = join_notes(Path(lab).name, report, len(joined))
        landed = replace(landed, batch=joined, lab_rows=len(table), notes=(*landed.notes, *notes))
    return landed


def lab_table(file: str) -> Any:
    """Return the one table of lab values that a file holds.

    Raises
    ------
    BadInput
        When it holds none, or several.
    """
    from soil_assets.spectra.read import read_source
    from soil_assets.spectra.readers.container import open_sources
    from soil_assets.spectra.readers.scans import Limits, ReadOptions
    from soil_assets.spectra.readers.table import PlainTable

    options = ReadOptions()
    with open_sources(file, Limits()) as found:
        tables = [p.frame for s in found for p in read_source(s, options) if isinstance(p, PlainTable)]
    if len(tables) != 1:
        raise BadInput(
            "not one lab table",
            file=file,
            found=f"{len(tables)} tables without spectra",
            expected="one table with sample ids and lab values",
        )
    return tables[0]


def batch_from(data: str, settings: Settings) -> SpectralBatch:
    """Return spectra on the models' axis: of a frozen set's name, a file, a folder or a URL.

    Raises
    ------
    BadInput
        When nothing can be read, or the range does not cover the models' axis.
    """
    from soil_assets.spectra.harmonise import harmonise

    if (name := _frozen_name(data)) is not None:
        from soil_assets.benchmarks.frozen_sets import load_frozen

        batch = load_frozen(name)
    else:
        landed = landed_from(data, settings)
        if landed.batch is None:
            reasons = "; ".join(f"{u.file}: {u.reason}" for u in landed.unreadable)
            raise BadInput("no scan can be read", file=data, found=reasons or "no spectra")
        batch = landed.batch
    return harmonise(batch, soil_of(settings).axis, settings.axis.quantity)


def two_sides(reference: str, data: str, settings: Settings) -> tuple[Any, Any]:
    """Return what a drift comparison compares: two batches, or two tables without spectra."""
    if _frozen_name(reference) is not None:
        return batch_from(reference, settings), batch_from(data, settings)
    return _batch_or_table(reference), _batch_or_table(data)


def _batch_or_table(data: str) -> Any:
    from soil_assets.spectra.harmonise import to_fraction
    from soil_assets.spectra.read import read

    try:
        return to_fraction(read(data))
    except BadInput as error:
        if "spectra" not in error.what:
            raise
        return lab_table(data)


def reference_figures_of(settings: Settings) -> Any:
    """Return what the golden reference's spectra look like, or None where it does not cover the models' axis."""
    from soil_assets.quality.reference_figures import ReferenceFigures

    try:
        return ReferenceFigures.of(batch_from(settings.reference, settings))
    except BadInput:
        return None


def model_from(address: str, settings: Settings) -> tuple[SoilModel, str]:
    """Return a model by registry address or folder, and what it is called."""
    if address.startswith("models:/"):
        model, version = soil_of(settings).registry.load(address)
        return model, f"{version.name} version {version.version}"
    from soil_assets.modeling.artifact import load

    if not Path(address).is_dir():
        raise BadInput(
            "no such model",
            found=address,
            expected="models:/<name>@<alias>, or the folder of a trained model",
        )
    return load(address), address


def catalogue_of(settings: Settings) -> Any:
    """Return the property catalogue with the additions of ``soil.yaml``."""
    return soil_of(settings).catalogue


def _frozen_name(data: str) -> str | None:
    from soil_assets.benchmarks.frozen_sets import shipped

    if data in shipped() and not Path(data).exists():
        return data
    return data if data.endswith((".yaml", ".yml")) else None
