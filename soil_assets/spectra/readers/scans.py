"""What a reader hands over, and how the scans of many files become batches.

Belongs here: the readers' common currency (:class:`Scans`), reading options and limits, grouping by axis.
Does not belong here: any file format, and guessing what a file does not tell (``readers.infer``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.errors import BadInput
from soil_assets.spectra.axis import Axis, AxisUnit
from soil_assets.spectra.batch import Quantity, Scale, SpectralBatch
from soil_assets.spectra.readers.infer import infer_quantity, infer_unit, percent_suspected

#: Axes that differ by less than this share of a step are one axis: float32 headers round differently.
_SAME_AXIS = 0.01


@dataclass(frozen=True)
class Limits:
    """Bounds on what is read, so that a hostile or broken archive cannot exhaust the machine.

    Parameters
    ----------
    file_bytes : int
        Largest single file that is taken into memory whole (tables are streamed and not bound by it).
    total_bytes : int
        Most bytes that one folder or archive may hold, unpacked.
    files : int
        Most files in one folder or archive.
    depth : int
        Deepest nesting of folders and of archives in archives.
    """

    file_bytes: int = 256 * 2**20
    total_bytes: int = 8 * 2**30
    files: int = 100_000
    depth: int = 8


@dataclass(frozen=True)
class ReadOptions:
    """What the caller knows better than the file.

    Parameters
    ----------
    quantity, scale, axis_unit : str or None
        Stated by the caller; a file that states something else is refused, a file that is silent takes them.
    id_column : str or None
        Column of a table that names the sample.
    spectra : str or None
        Which of several sets of spectra in one file: the prefix of a table's columns (``scan_mir``), a
        block of an OPUS file (``a``, ``r``).
    sheet : str or None
        Sheet of a workbook.
    limits : Limits
        Bounds on size, count and depth.
    """

    quantity: Quantity | None = None
    scale: Scale | None = None
    axis_unit: AxisUnit | None = None
    id_column: str | None = None
    spectra: str | None = None
    sheet: str | None = None
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, eq=False)
class Scans:
    """Scans of one file on one axis, before anything is guessed.

    Parameters
    ----------
    file : str
        The file's name as messages show it.
    samples : DataFrame or list of dict
        One row a scan, ``sample_id`` included.
    spectra : ndarray of float32, shape (n_scans, n_bands)
        Intensities.
    positions : ndarray of float64, shape (n_bands,)
        Band positions.
    axis_unit, quantity, scale : str or None
        What the file states; None where it is silent.
    origin : dict
        ``format`` and whatever else the file tells of the whole.
    said : tuple of str
        What the reader chose or converted, in words.
    """

    file: str
    samples: pd.DataFrame | list[dict[str, Any]]
    spectra: npt.NDArray[np.float32]
    positions: npt.NDArray[np.float64]
    axis_unit: AxisUnit | None = None
    quantity: Quantity | None = None
    scale: Scale | None = None
    origin: dict[str, str] = field(default_factory=dict)
    said: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.spectra.shape[0])


@dataclass(frozen=True, eq=False)
class Group:
    """Scans that share axis, quantity and scale, and the files they come from."""

    batch: SpectralBatch
    files: tuple[str, ...]


def assemble(parts: Sequence[Scans], options: ReadOptions) -> list[Group]:
    """Turn the scans of many files into one batch for each axis, quantity and scale, in order of appearance.

    What no file states is inferred over all silent scans of an axis together, by the majority, so that a
    single scan in percent among fractions stays visible as what it is.

    Raises
    ------
    BadInput
        When a file contradicts ``options``, or its positions are not an axis.
    """
    settled = [_settle_unit(part, options) for part in parts]
    silent: dict[Axis, list[Scans]] = {}
    for part, axis in settled:
        if _missing(part, options):
            silent.setdefault(axis, []).append(part)
    decided = {axis: _decide(group, axis, options) for axis, group in silent.items()}
    groups: dict[tuple[Axis, Quantity, Scale], list[Scans]] = {}
    for part, axis in settled:
        if _missing(part, options):
            quantity, scale, said = decided[axis]
            part = replace(part, said=part.said + said)
        else:
            quantity, scale = _stated(part, options)
        groups.setdefault((_same_axis(axis, groups), quantity, scale), []).append(part)
    return [
        Group(_stack(group, *key), tuple(dict.fromkeys(p.file for p in group)))
        for key, group in groups.items()
    ]


def _settle_unit(part: Scans, options: ReadOptions) -> tuple[Scans, Axis]:
    unit, said = part.axis_unit, part.said
    if unit is not None and options.axis_unit not in (None, unit):
        raise BadInput(
            "the file's axis unit is not the one that was stated",
            file=part.file,
            found=f"{unit} in the file",
            expected=f"{options.axis_unit} as stated",
            mend="remove axis_unit from the manifest or the options, or mend the file's header",
        )
    unit = unit or options.axis_unit
    if unit is None:
        unit, reason = infer_unit(part.positions)
        said = (*said, f"axis unit {unit} inferred ({reason})")
    try:
        axis = Axis(part.positions, unit)
    except BadInput as error:
        error.file = error.file or part.file
        raise BadInput(error.what, **{k: v for k, v in error.to_dict().items() if k != "what"}) from None  # type: ignore[arg-type]
    return replace(part, axis_unit=unit, said=said), axis


def _missing(part: Scans, options: ReadOptions) -> bool:
    quantity = part.quantity or options.quantity
    return quantity is None or (quantity == "reflectance" and (part.scale or options.scale) is None)


def _stated(part: Scans, options: ReadOptions) -> tuple[Quantity, Scale]:
    if part.quantity and options.quantity not in (None, part.quantity):
        raise BadInput(
            "the file's quantity is not the one that was stated",
            file=part.file,
            found=f"{part.quantity} in the file",
            expected=f"{options.quantity} as stated",
            mend="remove quantity from the manifest or the options, or export the other quantity",
        )
    quantity = part.quantity or options.quantity
    if quantity is None:
        raise BadInput("the quantity is not known", file=part.file)
    return quantity, "fraction" if quantity == "absorbance" else (part.scale or options.scale or "fraction")


def _decide(group: list[Scans], axis: Axis, options: ReadOptions) -> tuple[Quantity, Scale, tuple[str, ...]]:
    spectra = group[0].spectra if len(group) == 1 else np.concatenate([g.spectra for g in group])
    quantity = options.quantity or next((g.quantity for g in group if g.quantity), None)
    said: list[str] = []
    if quantity is None:
        quantity, reason = infer_quantity(spectra, axis)
        said.append(f"{quantity} inferred ({reason})")
    scale: Scale = "fraction"
    if quantity == "reflectance":
        percent, reason = percent_suspected(spectra)
        scale = options.scale or ("percent" if percent else "fraction")
        if options.scale is None:
            said.append(f"reflectance as {scale} inferred ({reason})")
    return quantity, scale, tuple(said)


def _same_axis(axis: Axis, groups: dict[tuple[Axis, Quantity, Scale], list[Scans]]) -> Axis:
    for known, _, _ in groups:
        if axis == known:
            return known
    for known, _, _ in groups:
        if (
            known.unit == axis.unit
            and len(known) == len(axis)
            and np.abs(known.values - axis.values).max() < _SAME_AXIS * known.step
        ):
            return known
    return axis


def _stack(group: list[Scans], axis: Axis, quantity: Quantity, scale: Scale) -> SpectralBatch:
    tables = [part.samples for part in group]
    if all(isinstance(t, list) for t in tables):
        samples = pd.DataFrame([row for table in tables for row in table])
    else:
        frames = [t if isinstance(t, pd.DataFrame) else pd.DataFrame(t) for t in tables]
        samples = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
    if "sample_id" not in samples.columns:
        samples.insert(0, "sample_id", pd.Series([None] * len(samples), dtype=object))
    spectra = group[0].spectra if len(group) == 1 else np.concatenate([part.spectra for part in group])
    return SpectralBatch(samples, spectra, axis, quantity, scale, _origin(group))


def _origin(group: list[Scans]) -> dict[str, str]:
    origin: dict[str, str] = {}
    for key in dict.fromkeys(k for part in group for k in part.origin):
        values = list(dict.fromkeys(part.origin[key] for part in group if key in part.origin))
        if len(values) == 1:
            origin[key] = values[0]
        elif key == "format":
            origin[key] = ", ".join(values)
        else:
            origin[key] = f"{len(values)} different"
    said = list(dict.fromkeys(line for part in group for line in part.said))
    if said:
        origin["inferred"] = "; ".join(said)
    return origin
