"""The scans of many files become batches: one for each axis, quantity and scale.

Belongs here: settling what files do not state, grouping, stacking. Does not belong here: any file format,
and the guesses themselves (``readers.infer``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from soil_assets.errors import BadInput
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import Quantity, Scale, SpectralBatch, concatenate
from soil_assets.spectra.harmonise import to_fraction, to_quantity
from soil_assets.spectra.readers.infer import infer_quantity, infer_unit, percent_suspected, suspicions
from soil_assets.spectra.readers.scans import ReadOptions, Scans

#: Axes that differ by less than this share of a step are one axis: float32 headers round differently.
_SAME_AXIS = 0.01


@dataclass(frozen=True, eq=False)
class Group:
    """Scans that share axis, quantity and scale, and the files they come from."""

    batch: SpectralBatch
    files: tuple[str, ...]


@np.errstate(all="ignore")
def assemble(parts: Sequence[Scans], options: ReadOptions) -> list[Group]:
    """Turn the scans of many files into one batch for each axis, quantity and scale, largest first.

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
        known = _same_axis(axis, groups)
        if known != axis:
            part = replace(
                part, said=(*part.said, "an axis that differs by rounding alone is taken as the others'")
            )
        groups.setdefault((known, quantity, scale), []).append(part)
    stacked = [
        (Group(_stack(group, *key), _files(group)), all(p.quantity is not None for p in group))
        for key, group in groups.items()
    ]
    return _unite(stacked)


@np.errstate(all="ignore")
def check(part: Scans, options: ReadOptions) -> None:
    """Make sure that one file alone can become a batch: what it states fits the options, its axis is one.

    Raises
    ------
    BadInput
        When it cannot.
    """
    settled, axis = _settle_unit(part, options)
    if _missing(settled, options):
        _decide([settled], axis, options)
    else:
        _stated(settled, options)


def _unite(stacked: list[tuple[Group, bool]]) -> list[Group]:
    """Bring groups on one axis to one quantity where their files state theirs, and say so."""
    united: list[Group] = []
    for group, stated in sorted(stacked, key=lambda s: -len(s[0].batch)):
        at = next((i for i, g in enumerate(united) if g.batch.axis == group.batch.axis), None)
        if at is None or not stated:
            united.append(group)
            continue
        main, other = to_fraction(united[at].batch), to_quantity(group.batch, united[at].batch.quantity)
        said = (
            f"{len(other)} scans of {group.files[0]}{' and others' if len(group.files) > 1 else ''} "
            f"({group.batch.quantity} as {group.batch.scale}) converted to {main.quantity} as fraction"
        )
        origin = {**other.origin, **main.origin}
        told = [origin.get("inferred"), other.origin.get("inferred"), said]
        origin["inferred"] = "; ".join(dict.fromkeys(t for t in told if t))
        united[at] = Group(concatenate([main, other], origin), (*united[at].files, *group.files))
    return united


def _files(group: list[Scans]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.file for part in group))


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
        raise _in_file(error, part.file) from None
    return replace(part, axis_unit=unit, said=said), axis


def _in_file(error: BadInput, file: str) -> BadInput:
    return BadInput(
        error.what,
        file=error.file or file,
        column=error.column,
        found=error.found,
        expected=error.expected,
        mend=error.mend,
    )


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
        try:
            quantity, reason = infer_quantity(spectra, axis)
        except BadInput as error:
            raise _in_file(error, group[0].file) from None
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
    for column in samples.columns:
        if samples[column].dtype == object:
            samples[column] = _one_type(samples[column])
    spectra = group[0].spectra if len(group) == 1 else np.concatenate([part.spectra for part in group])
    origin = _origin(group)
    doubts = suspicions(
        spectra, axis, quantity, scale, not any("axis unit" in line for p in group for line in p.said)
    )
    if doubts:
        origin["suspected"] = "; ".join(doubts)
    return SpectralBatch(samples, spectra, axis, quantity, scale, origin)


def _one_type(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column as text where files disagree whether it holds text or numbers."""
    kinds = {type(v) for v in column if v is not None and v == v}
    if len(kinds) < 2 or kinds <= {int, float}:
        return column
    return column.map(lambda v: None if v is None or v != v else str(v))


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
    said = _said(group)
    if said:
        origin["inferred"] = "; ".join(said)
    return origin


def _said(group: list[Scans]) -> list[str]:
    """Return what the readers said, each sentence once, with the files it is about when it is not about all."""
    about: dict[str, list[str]] = {}
    for part in group:
        for line in dict.fromkeys(part.said):
            about.setdefault(line, []).append(part.file)
    everything = len({part.file for part in group})
    lines = []
    for line, files in about.items():
        names = list(dict.fromkeys(files))
        if len(names) == everything or line.startswith(names[0]):
            lines.append(line)
        elif len(names) == 1:
            lines.append(f"{names[0]}: {line}")
        else:
            lines.append(f"{len(names)} files, {names[0]} the first: {line}")
    return lines
