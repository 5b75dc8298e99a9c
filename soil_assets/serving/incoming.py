"""What a request asks: spectra with their axis and quantity, for which properties and levels.

Belongs here: the request's JSON and query form, and their checks. Does not belong here: bytes, sizes and time
(``serving.body``), files (``serving.reading``).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import orjson
from pydantic import BaseModel, ConfigDict, Field, SkipValidation, ValidationError, model_validator

from soil_assets.errors import BadInput
from soil_assets.serving.body import SMALL
from soil_assets.serving.lists import (
    MOST_NUMBERS,
    Lists,
    check_kinds,
    checked_numbers,
    few_values,
    parsed,
    short,
)
from soil_assets.serving.refusals import too_large
from soil_assets.spectra.axis import Axis

Quantity = Literal["absorbance", "reflectance"]
Scale = Literal["fraction", "percent"]
Level = Annotated[float, Field(gt=0.0, lt=1.0)]
_LARGEST_ID = 200
_FEWEST_BANDS, _MOST_BANDS = 2, MOST_NUMBERS
#: Names in a list of properties or levels, keys of an object: more are refused before any is looked at.
_MOST_NAMES, _MOST_KEYS = 200, 20
#: Values of a request beside the lists of numbers, for each spectrum it may have.
_OTHERS_A_SPECTRUM, _OTHERS = 32, 1_000
#: What a request says beside its spectra is remembered up to this many bytes, an axis up to this many bands: clients
#: say the same again and again.
_KNOWN_BYTES, _KNOWN_BANDS = 2_000, 5_000


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class AxisIn(_Part):
    """Where the bands lie: every position, or the first and last of evenly spaced ones."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["values"]}, {"required": ["first", "last"]}]}
    )

    unit: Literal["cm-1", "nm"]
    values: (
        Annotated[list[float], Field(fail_fast=True, min_length=_FEWEST_BANDS, max_length=_MOST_BANDS)] | None
    ) = None
    first: Annotated[float, Field(gt=0)] | None = None
    last: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> AxisIn:
        ends = (self.first is not None) + (self.last is not None)
        if not (ends == 2 if self.values is None else ends == 0):
            raise ValueError("either values, or first and last")
        return self

    def axis(self, bands: int) -> Axis:
        """Return the axis of spectra with that many bands."""
        if self.values is not None:
            positions = struct.pack(f"{len(self.values)}d", *self.values)
            known = len(self.values) <= _KNOWN_BANDS
            return (_listed if known else _listed.__wrapped__)(positions, self.unit)
        known = bands <= _KNOWN_BANDS
        return (_even if known else _even.__wrapped__)(self.first or 0.0, self.last or 0.0, bands, self.unit)


@lru_cache(maxsize=32)
def _listed(positions: bytes, unit: Literal["cm-1", "nm"]) -> Axis:
    return Axis(np.frombuffer(positions), unit)


@lru_cache(maxsize=32)
def _even(first: float, last: float, bands: int, unit: Literal["cm-1", "nm"]) -> Axis:
    return Axis(np.linspace(first, last, bands), unit)


class SpectrumIn(_Part):
    """One spectrum; a missing intensity is null."""

    id: Annotated[str, Field(min_length=1, max_length=_LARGEST_ID)] | None = None
    intensities: Annotated[
        list[float | None], Field(fail_fast=True, min_length=_FEWEST_BANDS, max_length=_MOST_BANDS)
    ]


class Wanted(_Part):
    """What is wanted of the spectra."""

    properties: Annotated[list[str], Field(fail_fast=True, min_length=1, max_length=_MOST_NAMES)] | None = (
        Field(default=None, description="Properties to predict; all that the service has, when left out.")
    )
    levels: Annotated[list[Level], Field(fail_fast=True, min_length=1, max_length=_MOST_NAMES)] | None = (
        Field(
            default=None,
            description="Nominal coverages of the intervals; all that the models have, when left out.",
        )
    )
    versions: dict[str, int] | None = Field(
        default=None,
        description="Versions that the answer must come from, by property; another one is refused with 409.",
    )
    preview: bool = Field(
        default=False,
        description="Return the spectra as they were read too, thinned for drawing (200 spectra, 400 bands at most).",
    )


class PredictRequest(Wanted):
    """Spectra on one axis, in one quantity."""

    spectra: SkipValidation[Annotated[list[SpectrumIn], Field(min_length=1)]]
    axis: AxisIn
    quantity: Quantity
    scale: Scale = Field(default="fraction", description="Of reflectance; absorbance is never in percent.")


@dataclass(frozen=True, eq=False)
class Asked:
    """Spectra and what is wanted of them, checked.

    Parameters
    ----------
    ids : list of str
    spectra : ndarray of float32, shape (n_samples, n_bands)
    axis : Axis
    quantity, scale : str
    wanted : Wanted
    notes : tuple of str
        What the reader of a file had to choose, in words.
    rows : list of dict, optional
        Where each spectrum of a file was found.
    """

    ids: list[str]
    spectra: npt.NDArray[np.float32]
    axis: Axis
    quantity: Quantity
    scale: Scale
    wanted: Wanted
    notes: tuple[str, ...] = ()
    rows: list[dict[str, Any]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.spectra)


def from_json(
    body: bytes | bytearray,
    most_spectra: int,
    most_values: int = 10_000_000,
    check: Callable[[], None] = lambda: None,
) -> Asked:
    """Read a JSON request.

    Parameters
    ----------
    body : bytes
    most_spectra, most_values : int
        More spectra, or more intensities in all, are refused before any of them is looked at.
    check : callable
        Called now and then; raises to stop.

    Raises
    ------
    Refused
        400 for what is no JSON, 413 for too many spectra or values.
    BadInput
        For JSON that is not a request, with the place.
    """
    lists = None
    if len(body) > SMALL:
        lists = Lists(body, most_values, _OTHERS_A_SPECTRUM * most_spectra + _OTHERS, check)
    raw = parsed(body if lists is None else lists.rest)
    spectra = raw.get("spectra") if isinstance(raw, dict) else None
    if isinstance(spectra, list) and len(spectra) > most_spectra:
        raise too_large("too many spectra in one request", f"{len(spectra)}", f"at most {most_spectra}")
    if isinstance(raw, dict):
        _few_keys(raw, "")
        if lists is not None:
            raw = {name: lists.listed(value) for name, value in raw.items()}
            if isinstance(raw.get("axis"), dict):
                _few_keys(raw["axis"], "axis")
                raw["axis"] = {name: lists.listed(value) for name, value in raw["axis"].items()}
    request, wanted = _beside(raw)
    if not isinstance(spectra, list) or not spectra:
        raise BadInput(
            "there are no spectra", column="spectra", found=short(spectra), expected="a list of at least one"
        )
    ids, matrix = _matrix(spectra, most_values, lists, check)
    if request.quantity == "absorbance" and request.scale == "percent":
        raise BadInput(
            "absorbance is not given in percent", column="scale", found="percent", expected="fraction"
        )
    axis = request.axis.axis(matrix.shape[1])
    if len(axis) != matrix.shape[1]:
        raise BadInput(
            "axis and spectra do not belong together",
            column="axis.values",
            found=f"{len(axis)} positions, {matrix.shape[1]} intensities",
            expected="as many positions as intensities",
        )
    return Asked(ids, matrix, axis, request.quantity, request.scale, wanted)


def _few_keys(part: Any, column: str) -> None:
    """Refuse an object of more keys than any request has: each would become an error of its own."""
    if isinstance(part, dict) and len(part) > _MOST_KEYS:
        raise BadInput(
            "not a valid request", column=column or "(whole)", found=f"{len(part)} keys",
            expected=f"at most {_MOST_KEYS}",
        )  # fmt: skip


def _beside(raw: Any) -> tuple[PredictRequest, Wanted]:
    """Return what a request says beside its spectra, checked, and of it what is wanted."""
    if isinstance(raw, dict) and isinstance(raw.get("spectra"), list):
        beside = orjson.dumps({n: v for n, v in raw.items() if n != "spectra"})
        if len(beside) <= _KNOWN_BYTES:
            return _known(beside)
    return _checked(raw)


@lru_cache(maxsize=256)
def _known(beside: bytes) -> tuple[PredictRequest, Wanted]:
    return _checked({**orjson.loads(beside), "spectra": []})


def _checked(raw: Any) -> tuple[PredictRequest, Wanted]:
    if isinstance(raw, dict):
        _few_keys(raw.get("axis"), "axis")
        _few_keys(raw.get("versions"), "versions")
    request: PredictRequest = validated(PredictRequest, raw)
    names = Wanted.model_fields
    return request, Wanted.model_construct(**{name: getattr(request, name) for name in names})


def validated(model: type[Any], raw: Any) -> Any:
    """Return ``model`` read from ``raw``; the first thing that is wrong is said as bad input.

    Raises
    ------
    BadInput
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(p) for p in first["loc"] if p not in ("function-wrap", "list[float]"))
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise BadInput(
            f"not a valid request{more}",
            column=place or "(whole)",
            found=short(first.get("input")),
            expected=str(first["msg"]).removeprefix("Value error, "),
        ) from None


def _matrix(
    spectra: list[Any], most_values: int, lists: Lists | None, check: Callable[[], None]
) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Return ids and one matrix; numbers that float32 cannot hold become missing, as a detector's overflow is."""
    ids: list[str] = []
    rows: list[Any] = []
    bands = 0
    for i, one in enumerate(spectra):
        row = one.get("intensities") if isinstance(one, dict) else None
        length = lists.length(row) if lists is not None else (len(row) if isinstance(row, list) else None)
        if length is None or len(one) != (2 if "id" in one else 1):
            raise _not_a_spectrum(i, one)
        ids.append(_id(i, one.get("id"), lists))
        rows.append(row)
        bands = bands or length
        if length != bands:
            raise BadInput(
                "the spectra have different numbers of intensities",
                row=i + 1,
                column="intensities",
                found=str(length),
                expected=f"{bands}, as in row 1",
            )
    if not _FEWEST_BANDS <= bands <= _MOST_BANDS:
        raise BadInput(
            "not a spectrum", row=1, column="intensities", found=f"{bands} intensities",
            expected=f"{_FEWEST_BANDS} to {_MOST_BANDS}",
        )  # fmt: skip
    few_values(len(rows), bands, most_values)
    matrix = np.empty((len(rows), bands), dtype=np.float32)
    numbers = struct.Struct(f"{bands}d")  # a third of the time numpy needs to find out what a list holds
    with np.errstate(over="ignore"):
        for i, given in enumerate(rows):
            check()
            row = given if lists is None else lists.listed(given)
            if len(row) != bands:  # a list of nothing but spaces
                raise _not_a_spectrum(i, {"intensities": row})
            try:
                exact = np.frombuffer(numbers.pack(*row))
            except (struct.error, TypeError, OverflowError):
                exact = checked_numbers(i, row)
            else:  # booleans hide among numbers: true is taken for 1
                if ((exact == 1.0) | (exact == 0.0)).any():
                    check_kinds(i, row)
            matrix[i] = exact
            if not np.isfinite(matrix[i]).all():
                matrix[i][~np.isfinite(matrix[i])] = np.nan
    return ids, matrix


def _id(i: int, name: Any, lists: Lists | None) -> str:
    if name is None:
        return str(i + 1)
    if lists is not None:
        name = lists.listed(name)
    if not (isinstance(name, str) and 0 < len(name) <= _LARGEST_ID):
        raise BadInput(
            "not an id",
            row=i + 1,
            column="id",
            found=short(name),
            expected=f"1 to {_LARGEST_ID} letters",
        )
    return name


def _not_a_spectrum(i: int, one: Any) -> BadInput:
    try:
        _few_keys(one, "")
        validated(SpectrumIn, one)
    except BadInput as error:
        return BadInput(
            "not a spectrum", row=i + 1, column=error.column, found=error.found, expected=error.expected
        )
    return BadInput(
        "not a spectrum", row=i + 1, column="spectra", found=short(one), expected="id and intensities"
    )
