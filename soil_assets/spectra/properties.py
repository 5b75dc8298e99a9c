"""The soil properties that the catalogue knows from the start, read from ``properties.csv`` beside this file.

Belongs here: what is known about one property, and the table. Does not belong here: what is done with it
(``spectra.catalogue``).

One line of the table is one property. Names come from the naming tables of the Open Soil Spectral Library
(OSSL v1.2, level 0 and level 1); ``ossl`` and ``aliases`` are separated by blanks, limits are ``low..high``.
Hard limits are what is physically or chemically possible: a share of mass lies in 0..100 %, no soil holds
more of an element than the element's richest common mineral (quartz: 46.8 % Si), carbonate determined by gas
volume may overshoot to 102 %. Warning limits are what soils of the OSSL hardly exceed. ``typical`` is where
the median of an ordinary batch lies, wide enough for desert and peat land; it serves only to suspect a wrong
unit.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

Transform = Literal["none", "log1p", "logit"]
Limits = tuple[float, float]
_UP = float("inf")


@dataclass(frozen=True)
class Property:
    """A soil property that a lab measures and a model predicts.

    Parameters
    ----------
    name : str
        Canonical name, also the column name in a batch and the suffix of the registered model
        (``soil-<name>``).
    label, unit, method : str
        For people; ``unit`` is the unit of every stored value.
    ossl : tuple of str
        Names of the Open Soil Spectral Library that mean this property; each ends in its own unit.
    hard, warning : (low, high)
        Outside ``hard`` a value is impossible, outside ``warning`` it is suspicious.
    transform : {"none", "log1p", "logit"}
        Scale on which a skewed property, or a percentage that comes near 0 or 100, is modelled.
    aliases : tuple of str
        Column names that labs use.
    typical : (low, high) or None
        Where the median of an ordinary batch lies; None where nothing can be said.
    element : str or None
        Symbol of the element measured, so that a column of its oxide is recognised.
    equivalent : float or None
        Grams per mole of charge of an exchangeable cation: mg/kg = cmolc/kg x 10 x ``equivalent``.
    zero : {"possible", "suspicious"}
        Whether exactly 0 is an ordinary result or more likely a missing or censored one.
    """

    name: str
    label: str
    unit: str
    method: str = ""
    ossl: tuple[str, ...] = ()
    hard: Limits = (0.0, _UP)
    warning: Limits = (0.0, _UP)
    transform: Transform = "none"
    aliases: tuple[str, ...] = ()
    typical: Limits | None = None
    element: str | None = None
    equivalent: float | None = None
    zero: Literal["possible", "suspicious"] = "possible"


@cache
def built_in() -> Mapping[str, Property]:
    """Return the built-in properties by canonical name, in the order of ``properties.csv``."""
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as stream:
        properties = [_property(row) for row in csv.DictReader(stream)]
    return {p.name: p for p in properties}


def _property(row: Mapping[str, str]) -> Property:
    return Property(
        name=row["name"],
        label=row["label"],
        unit=row["unit"],
        method=row["method"],
        ossl=tuple(row["ossl"].split()),
        hard=_limits(row["hard"]),
        warning=_limits(row["warning"]),
        transform="log1p" if row["transform"] == "log1p" else "none",
        aliases=tuple(row["aliases"].split()),
        typical=_limits(row["typical"]) if row["typical"] else None,
        element=row["element"] or None,
        equivalent=float(row["equivalent"]) if row["equivalent"] else None,
        zero="suspicious" if row["zero"] == "suspicious" else "possible",
    )


def _limits(text: str) -> Limits:
    low, high = text.split("..")
    return float(low or "-inf"), float(high or "inf")


BUILT_IN: Mapping[str, Property] = built_in()
