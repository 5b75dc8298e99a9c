"""What the service says of each sample: value, unit, intervals, applicability, and which version said so.

Belongs here: the answer's form and how columns of numbers become it. Does not belong here: the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from pydantic import BaseModel, Field

from soil_assets.errors import BadInput
from soil_assets.modeling.intervals import level_name
from soil_assets.modeling.transforms import STATEMENTS
from soil_assets.serving.refusals import Refused, too_large

if TYPE_CHECKING:
    from soil_assets.config import QualityPolicy
    from soil_assets.serving.incoming import Asked
    from soil_assets.serving.model_store import LoadedModel


_PREVIEW_SPECTRA, _PREVIEW_BANDS = 200, 400
#: Samples that are objects at a time while an answer is written.
_PIECE = 256
#: Intensities looked at together for what cannot be.
_VALUES = 1_000_000


class Interval(BaseModel):
    """A prediction interval."""

    level: float = Field(description="Nominal coverage.")
    lower: float | None = Field(description="Null where the spectrum cannot be used.")
    upper: float | None = Field(
        description="Null where the spectrum cannot be used, or nothing bounds the value."
    )


class Prediction(BaseModel):
    """One property of one sample."""

    value: float | None = Field(description="Null where the spectrum cannot be used.")
    unit: str
    intervals: list[Interval]
    inside: bool = Field(description="Whether the sample lies inside what the model knows.")
    reason: str = Field(description="Why it does not; empty when inside.")
    model: str
    version: int


class Sample(BaseModel):
    """What is said of one spectrum."""

    id: str
    predictions: dict[str, Prediction]
    warnings: list[str]
    file: str | None = Field(default=None, description="File of an archive that the spectrum is from.")
    row: int | None = Field(default=None, description="Row of the file.")


class Preview(BaseModel):
    """The first spectra as they were read, thinned for drawing."""

    unit: str
    positions: list[float]
    quantity: str
    scale: str
    intensities: list[list[float | None]]


class PredictResponse(BaseModel):
    """Predictions, in the order of the spectra."""

    request_id: str
    n: int
    outside: dict[str, int] = Field(
        description="By property, how many samples lie outside what the model knows."
    )
    samples: list[Sample]
    notes: list[str] = Field(description="What had to be chosen to read a file, in words.")
    preview: Preview | None = None


class ModelFacts(BaseModel):
    """A model that answers now."""

    property: str
    label: str
    unit: str
    method: str = Field(description="Laboratory method that the training values are from.")
    model: str
    version: int
    alias: str | None = Field(description="The alias that the service follows; null for a pinned version.")
    digest: str = Field(description="SHA-256 of the model.")
    run_id: str
    quantity: str
    axis: dict[str, Any]
    levels: list[float]
    range: list[float] = Field(description="Smallest and largest value that it was trained on.")
    trained_on: int = Field(description="Number of training samples.")
    scale: str = Field(description="The scale it was modelled on, in words.")


class ModelsResponse(BaseModel):
    """The models that answer now."""

    models: list[ModelFacts]


class Problem(BaseModel):
    """What is wrong, where, and how to mend it."""

    what: str
    file: str | None = None
    row: int | str | None = None
    column: str | None = None
    found: str | None = None
    expected: str | None = None
    mend: str | None = None


class ErrorResponse(BaseModel):
    """A request that was not answered."""

    error: Problem
    request_id: str


def model_facts(loaded: LoadedModel) -> dict[str, Any]:
    """Return what a model says of itself, as :class:`ModelFacts` has it."""
    model = loaded.model
    axis = model.axis
    return {
        "property": model.property,
        "label": model.label,
        "unit": model.unit,
        "method": model.method,
        "model": loaded.name,
        "version": loaded.version,
        "alias": loaded.alias,
        "digest": loaded.digest,
        "run_id": loaded.run_id,
        "quantity": model.quantity,
        "axis": {"unit": axis.unit, "first": axis.values[0], "last": axis.values[-1], "bands": len(axis)},
        "levels": list(model.levels),
        "range": [float(v) for v in model.training["range"]],
        "trained_on": int(model.training["n"]),
        "scale": STATEMENTS[model.transform],
    }


def choose(asked: Asked, models: Mapping[str, LoadedModel]) -> tuple[list[str], list[float] | None]:
    """Return the properties and levels that are asked for, in the order asked.

    Raises
    ------
    BadInput
        For a property or level that the service does not have.
    Refused
        409 when another version answers than the one that is asked for.
    """
    wanted = asked.wanted
    properties = list(dict.fromkeys(wanted.properties or models))
    for name in (*properties, *(wanted.versions or ())):
        if name not in models:
            raise BadInput(
                "the service does not predict this property",
                column="properties" if name in properties else "versions",
                found=name[:200],
                expected=", ".join(models),
            )
    for name, version in (wanted.versions or {}).items():
        if models[name].version != version:
            raise Refused(
                409,
                f"another version of {models[name].name} answers",
                column=f"versions.{name}",
                found=f"version {models[name].version}",
                expected=f"version {version}",
                mend="leave the version out, or ask a service that runs it",
            )
    for name in properties:
        missing = set(wanted.levels or ()) - set(models[name].model.levels)
        if missing:
            raise BadInput(
                f"the model of {name} has no interval of this level",
                column="levels",
                found=f"{min(missing):g}",
                expected=", ".join(f"{v:g}" for v in models[name].model.levels),
            )
    return properties, list(dict.fromkeys(wanted.levels)) if wanted.levels else None


def doubts(asked: Asked, policy: QualityPolicy, columns: Mapping[str, dict[str, Any]]) -> list[list[str]]:
    """Say of each spectrum what makes its quantity or scale doubtful; one that cannot be is marked as outside.

    A model that standardises every spectrum cannot see that one was given in percent; the quality gate's limits of
    possible intensities can, and a batch's scan beyond them would have been quarantined.

    Parameters
    ----------
    asked : Asked
    policy : QualityPolicy
    columns : mapping of str to dict
        By property; ``inside`` and ``reason`` are changed in place.
    """
    spectra = asked.spectra
    divisor = np.float32(100.0 if asked.scale == "percent" else 1.0)
    low, high = policy.absorbance_possible if asked.quantity == "absorbance" else policy.reflectance_possible
    least, most = np.minimum.reduce(spectra, axis=None), np.maximum.reduce(spectra, axis=None)
    said: list[list[str]] = [[] for _ in range(len(spectra))]
    if (
        low * divisor <= least and most <= high * divisor
    ):  # as nearly always; a missing value compares as false
        return said
    missing, beyond = np.zeros(len(spectra), dtype=int), np.zeros(len(spectra), dtype=int)
    step = max(1, _VALUES // spectra.shape[1])
    for start in range(0, len(spectra), step):
        some = slice(start, start + step)
        missing[some] = np.isnan(spectra[some]).sum(axis=1)
        with np.errstate(invalid="ignore"):
            beyond[some] = ((spectra[some] < low * divisor) | (spectra[some] > high * divisor)).sum(axis=1)
    for row in np.flatnonzero(missing):
        said[row].append(f"{missing[row]} of {spectra.shape[1]} intensities are missing")
    for row in np.flatnonzero(beyond):
        worst = float(np.nanmax(np.abs(spectra[row])))
        said[row].append(
            f"{beyond[row]} intensities cannot be {asked.quantity} as a {asked.scale} (up to {worst:.3g}; possible "
            f"is {low * divisor:g} to {high * divisor:g}): check quantity and scale"
        )
        for of in columns.values():
            of["inside"][row] = False
            of["reason"][row] = "; ".join(filter(None, ("impossible intensities", of["reason"][row])))
    return said


def answer(
    request_id: str,
    asked: Asked,
    columns: Mapping[str, Mapping[str, Any]],
    models: Mapping[str, LoadedModel],
    levels: Sequence[float] | None,
    warnings: Sequence[list[str]],
    *,
    most_mb: int = 64,
    check: Callable[[], None] = lambda: None,
) -> tuple[bytes, dict[str, int]]:
    """Return the answer as JSON of the form of :class:`PredictResponse`, and by property how many lie outside.

    It is written some samples at a time: all of them as objects would take many times the room of the text. What is
    not finite becomes null.

    Parameters
    ----------
    request_id, asked, columns, models, levels, warnings
        What is said, and of which samples.
    most_mb : int
        A larger answer is refused.
    check : callable
        Called now and then; raises to stop.

    Raises
    ------
    Refused
        413.
    """
    outside = {p: len(of["inside"]) - int(sum(plain(of["inside"]))) for p, of in columns.items()}
    head = {"request_id": request_id, "n": len(asked), "outside": outside}
    drawn = {"preview": preview(asked)} if asked.wanted.preview else {}
    tail = {"notes": list(asked.notes), **drawn}
    text = bytearray(orjson.dumps(head)[:-1] + b',"samples":[')
    for start in range(0, len(asked), _PIECE):
        check()
        samples = _samples(
            range(start, min(start + _PIECE, len(asked))), asked, columns, models, levels, warnings
        )
        text += (b"," if start else b"") + orjson.dumps(samples)[1:-1]
        if len(text) > most_mb << 20:
            raise too_large("the answer is too large", f"over {most_mb} MB", f"at most {most_mb} MB")
    text += b"]," + orjson.dumps(tail)[1:]
    return bytes(text), outside


def _samples(
    rows: range,
    asked: Asked,
    columns: Mapping[str, Mapping[str, Any]],
    models: Mapping[str, LoadedModel],
    levels: Sequence[float] | None,
    warnings: Sequence[list[str]],
) -> list[dict[str, Any]]:
    samples: list[dict[str, Any]] = [
        {"id": asked.ids[row], "predictions": {}, "warnings": warnings[row]} for row in rows
    ]
    some = slice(rows.start, rows.stop)
    for sample, place in zip(samples, asked.rows[some], strict=False):
        sample |= place
    for prop, of in columns.items():
        loaded = models[prop]
        unit, name, version = loaded.model.unit, loaded.name, loaded.version
        values, inside, reasons = plain(of["value"][some]), plain(of["inside"][some]), of["reason"][some]
        chosen = [float(v) for v in levels or loaded.model.levels]
        lowers = [plain(of[_ends(v)[0]][some]) for v in chosen]
        uppers = [plain(of[_ends(v)[1]][some]) for v in chosen]
        for i, sample in enumerate(samples):
            sample["predictions"][prop] = {
                "value": values[i],
                "unit": unit,
                "intervals": [
                    {"level": v, "lower": low[i], "upper": up[i]}
                    for v, low, up in zip(chosen, lowers, uppers, strict=True)
                ],
                "inside": inside[i],
                "reason": reasons[i],
                "model": name,
                "version": version,
            }
    return samples


@lru_cache(maxsize=64)
def _ends(level: float) -> tuple[str, str]:
    """Return the names of an interval's columns."""
    return f"lower_{level_name(level)}", f"upper_{level_name(level)}"


def plain(column: Any) -> list[Any]:
    """Return a column as a list; the columns of one spectrum are lists already."""
    return column if isinstance(column, list) else list(column.tolist())


def preview(asked: Asked) -> dict[str, Any]:
    """Return the first spectra as :class:`Preview` has them."""
    every = -(-len(asked.axis) // _PREVIEW_BANDS)
    return {
        "unit": asked.axis.unit,
        "positions": asked.axis.values[::every].tolist(),
        "quantity": asked.quantity,
        "scale": asked.scale,
        "intensities": asked.spectra[:_PREVIEW_SPECTRA, ::every].tolist(),
    }
