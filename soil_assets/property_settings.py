"""A soil property as a person states it in ``soil.yaml``: everything that the built-in catalogue can say.

Belongs here: its keys, their defaults and checks. Does not belong here: what is done with a property
(``spectra.catalogue``) and all other keys (``config``).
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from soil_assets.spectra.units import OXIDES, normalise_unit

_OPEN = (float("-inf"), float("inf"))
_ELEMENTS = tuple(dict.fromkeys(symbol for symbol, _ in OXIDES.values()))


def _open_ends(pair: Any) -> Any:
    # JSON, through which settings travel to other processes, has no infinity: an end that is open is null there.
    if isinstance(pair, (list, tuple)) and len(pair) == 2:
        return tuple(end if given is None else given for given, end in zip(pair, _OPEN, strict=True))
    return pair


def _limits(pair: tuple[float, float]) -> tuple[float, float]:
    if not pair[0] < pair[1]:
        raise ValueError("a low and a high end, the low one first; null where there is none")
    return pair


def _typical(pair: tuple[float, float] | None) -> tuple[float, float] | None:
    if pair is not None and not 0 < pair[0] < pair[1] < float("inf"):
        raise ValueError("two positive numbers, the lower first, between which a batch's median lies")
    return pair


def _unit(text: str) -> str:
    return normalise_unit(text) or text.strip()


def _element(symbol: str | None) -> str | None:
    if symbol is None:
        return None
    if symbol.lower() not in _ELEMENTS:
        known = ", ".join(s.capitalize() for s in _ELEMENTS)
        raise ValueError(f"an element that laboratories also report as its oxide: {known}")
    return symbol.lower()


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,60}", text):
        raise ValueError("a name of letters, digits and _, a letter first: it names columns and models")
    return text


PropertyName = Annotated[str, AfterValidator(_name)]
Limits = Annotated[tuple[float, float], BeforeValidator(_open_ends), AfterValidator(_limits)]


class PropertySettings(BaseModel):
    """A property that the catalogue does not know yet, or states otherwise.

    The keys mean what those of :class:`soil_assets.spectra.properties.Property` mean.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: Annotated[str, Field(min_length=1)]
    unit: Annotated[str, Field(min_length=1), AfterValidator(_unit)]
    method: str = ""
    ossl: tuple[str, ...] = ()
    hard: Limits = (0.0, float("inf"))
    warning: Limits = (0.0, float("inf"))
    transform: Literal["none", "log1p", "logit"] = "none"
    aliases: tuple[str, ...] = ()
    typical: Annotated[tuple[float, float] | None, AfterValidator(_typical)] = None
    element: Annotated[str | None, AfterValidator(_element)] = None
    equivalent: Annotated[float, Field(gt=0.0)] | None = None
    zero: Literal["possible", "suspicious"] = "possible"

    @model_validator(mode="after")
    def _fits_its_unit(self) -> PropertySettings:
        if self.equivalent is not None and self.unit != "cmolc/kg":
            raise ValueError(
                f"unit: cmolc/kg beside equivalent (grams per mole of charge of a cation); found unit {self.unit}"
            )
        return self
