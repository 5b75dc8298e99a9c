"""One landed batch: a folder of spectra, a lab table, a manifest; all of it is read or listed as unreadable.

Belongs here: the count of what landed, the majority's axis, the join of the lab's tables.
Does not belong here: formats (``readers``), the manifest's keys (``spectra.manifest``), ids and units
(``spectra.lab``), judging (``quality``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd

from soil_assets.errors import BadInput
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import Catalogue
from soil_assets.spectra.lab import JoinReport, join_lab, standardise
from soil_assets.spectra.manifest import MANIFEST_NAMES, Manifest, read_manifest
from soil_assets.spectra.read import read_source
from soil_assets.spectra.readers.assemble import Group, assemble, check
from soil_assets.spectra.readers.container import open_sources
from soil_assets.spectra.readers.scans import Limits, Scans
from soil_assets.spectra.readers.sniff import NotSpectraError
from soil_assets.spectra.readers.source import Source
from soil_assets.spectra.readers.table import PlainTable


@dataclass(frozen=True)
class Unreadable:
    """A file (or the scans of a file) that could not become part of the batch.

    Parameters
    ----------
    file : str
        Its name inside the batch.
    reason : str
        One sentence, with what was found.
    expected, mend : str or None
        What should have been there, and what to do.
    """

    file: str
    reason: str
    expected: str | None = None
    mend: str | None = None


@dataclass(frozen=True)
class Landed:
    """What one landed batch holds.

    Parameters
    ----------
    batch : SpectralBatch or None
        Every scan that could be read, on one axis; None when there is none.
    unreadable : tuple of Unreadable
        The rest, each with its reason.
    landed : int
        Scans: those of ``batch``, and one for each entry of ``unreadable``.
    lab_rows : int
        Rows of the lab's tables.
    notes : tuple of str
        What was inferred, converted, joined or passed over, in words.
    """

    batch: SpectralBatch | None
    unreadable: tuple[Unreadable, ...] = ()
    landed: int = 0
    lab_rows: int = 0
    notes: tuple[str, ...] = ()


def read_landed(folder: str | os.PathLike[str], catalogue: Catalogue) -> Landed:
    """Read a landed batch: a folder of spectra (or an archive, or one file), with lab table and manifest.

    Parameters
    ----------
    folder : path or URL
        The batch. A lab table is any table without spectra whose ids are those of scans; ``batch.yaml`` is
        the manifest.
    catalogue : Catalogue
        Names and units that property columns are brought to.

    Returns
    -------
    Landed
        Scans keep ``source_file`` and ``source_row``; a scan without id keeps a missing ``sample_id``. When
        the files lie on several axes, the axis of most scans is the batch and the others are unreadable,
        with both ranges named.

    Raises
    ------
    BadInput
        When the folder does not exist or its manifest cannot be understood; anything else is listed, not
        raised.
    """
    parts: list[Scans] = []
    tables: list[PlainTable] = []
    unreadable: list[Unreadable] = []
    notes: list[str] = []
    with open_sources(folder, Limits()) as found:
        manifest, rest = _take_manifest(found)
        for source in rest:
            try:
                for piece in read_source(source, manifest.options):
                    if isinstance(piece, PlainTable):
                        tables.append(piece)
                    else:
                        check(piece, manifest.options)
                        parts.append(piece)
            except NotSpectraError as error:
                notes.append(f"{source.name} is passed over: {error.what}; found {error.found}")
            except BadInput as error:
                unreadable.append(_unreadable(source.name, error))
    groups = sorted(assemble(parts, manifest.options), key=lambda g: -len(g.batch))
    batch = groups[0].batch if groups else None
    for group in groups[1:]:
        unreadable += _off_axis(group, groups[0])
    if batch is not None:
        batch, lab_rows, said = _complete(batch, tables, manifest, catalogue)
        notes += said
        notes = [batch.origin[key] for key in ("suspected", "inferred") if batch.origin.get(key)] + notes
    else:
        lab_rows = sum(len(t.frame) for t in tables)
    if batch is None and not unreadable:
        notes.append("the batch holds no spectra")
    landed = (0 if batch is None else len(batch)) + len(unreadable)
    return Landed(batch, tuple(unreadable), landed, lab_rows, tuple(notes))


def with_refused(landed: Landed, refused: Mapping[str, BadInput]) -> Landed:
    """Return a batch with entries of its folder that were not opened: each is one landed scan with its reason."""
    more = tuple(_unreadable(name, error) for name, error in sorted(refused.items()))
    return replace(landed, unreadable=landed.unreadable + more, landed=landed.landed + len(more))


def _take_manifest(found: list[Source]) -> tuple[Manifest, list[Source]]:
    named = [s for s in found if s.name in MANIFEST_NAMES]
    if len(named) > 1:
        raise BadInput(
            "two manifests in one batch", found=", ".join(s.name for s in named), mend="keep batch.yaml"
        )
    manifest = read_manifest(named[0]) if named else Manifest()
    return manifest, [s for s in found if s not in named and s.basename != "_SUCCESS"]


def _unreadable(file: str, error: BadInput) -> Unreadable:
    place = ", ".join(f"{n} {v}" for n, v in (("row", error.row), ("column", error.column)) if v is not None)
    reason = f"{error.what} ({place})" if place else error.what
    if error.found is not None:
        reason = f"{reason}; found {error.found}"
    return Unreadable(file, reason, error.expected, error.mend)


def _off_axis(group: Group, main: Group) -> list[Unreadable]:
    here, there = group.batch, main.batch
    # One entry a scan: every one of them landed.
    return [
        Unreadable(
            str(file),
            f"not on the axis and quantity of the batch's other scans; found {here.quantity} ({here.scale}), "
            f"{here.axis.describe()}",
            f"{there.quantity} ({there.scale}), {there.axis.describe()}, as in {len(there)} scans",
            "land scans of one instrument setting as one batch",
        )
        for file in here.samples["source_file"]
    ]


def _is_lab(file: str) -> bool:
    return file.replace("\\", "/").rsplit("/", 1)[-1].lower().startswith("lab")


def join_notes(file: str, report: JoinReport, scans: int) -> list[str]:
    """Say how a lab table was joined to ``scans`` scans: what matched, and what did not on either side."""
    notes = [f"{file}: {report.matched} of {scans} scans found their row among {report.lab_rows}"]
    notes += [f"{file}: {note}" for note in report.notes]
    for what, ids in (
        ("scans without a lab row", report.scans_without_lab),
        ("lab rows without a scan", report.lab_without_scans),
        ("ids with several lab rows", report.repeated),
    ):
        if ids:
            shown = ", ".join(ids[:5]) + (" ..." if len(ids) > 5 else "")
            notes.append(f"{file}: {len(ids)} {what} ({shown})")
    return notes


def _complete(
    batch: SpectralBatch, tables: list[PlainTable], manifest: Manifest, catalogue: Catalogue
) -> tuple[SpectralBatch, int, list[str]]:
    notes: list[str] = []
    # Properties that stand beside the spectra are brought to the catalogue's names and units like the lab's
    # own.
    try:
        standard, said = standardise(batch.samples, catalogue, manifest.units)
    except BadInput as error:
        notes.append(f"the columns beside the spectra are left as they are: {error}")
    else:
        batch = batch.with_samples(standard)
        notes += said
    lab_rows = 0
    # The lab's own table comes last: where two tables disagree, it has the last word.
    for table in sorted(tables, key=lambda t: _is_lab(t.file)):
        try:
            batch, report = join_lab(batch, table.frame, catalogue, manifest.units)
        except BadInput as error:
            notes.append(f"{table.file} is not joined: {error}")
            lab_rows += len(table.frame) if _is_lab(table.file) else 0
            continue
        lab_rows += len(table.frame)
        notes += join_notes(table.file, report, len(batch))
    samples = batch.samples.copy()
    for key in ("instrument", "operator", "lab", "site"):
        if key in manifest.facts and key not in samples.columns:
            samples[key] = pd.array([manifest.facts[key]] * len(samples), dtype=object)
    origin = {**batch.origin, **manifest.facts}
    return (
        SpectralBatch(samples, batch.spectra, batch.axis, batch.quantity, batch.scale, origin),
        lab_rows,
        notes,
    )
