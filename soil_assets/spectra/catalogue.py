"""The property catalogue: the one place that knows a soil property's name, unit and limits.

Belongs here: finding a property by any of its names, conversion to its stored unit.
Does not belong here: the properties themselves (``spectra.properties``), rules that combine properties
(``quality.cross_rules``) or thresholds of the policy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from soil_assets.errors import BadInput
from soil_assets.spectra.properties import BUILT_IN, Property, Transform
from soil_assets.spectra.units import (
    OXIDES,
    PER_VOLUME,
    UNIT_FACTORS,
    normalise_unit,
    ossl_unit,
    split_header,
)

__all__ = ["BUILT_IN", "Catalogue", "Property", "Transform", "built_in_catalogue"]


@dataclass(frozen=True)
class Catalogue:
    """Properties by canonical name; ``soil.yaml`` may add to the built-in ones."""

    properties: Mapping[str, Property]

    def __getitem__(self, name: str) -> Property:
        try:
            return self.properties[name]
        except KeyError:
            raise BadInput(
                f"unknown property {name!r}",
                expected=", ".join(sorted(self.properties)),
                mend="use a name of the catalogue, or add the property to soil.yaml",
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self.properties

    def canonical(self, column: str) -> str | None:
        """Return the canonical name that a lab's or OSSL column name means, or None."""
        return self.resolve(column)[0]

    def resolve(self, column: str) -> tuple[str | None, str | None]:
        """Return canonical name and unit that a column's header tells, each None when it does not.

        ``SOC (g/kg)`` gives ``("soc", "g/kg")``; an OSSL name carries its unit at its end.
        """
        bare, unit = split_header(column)
        found = self._by_name.get(_key(bare)) or self._by_name.get(_key(column))
        return (found[0], unit or ossl_unit(column)) if found else (None, unit)

    def oxide(self, column: str) -> tuple[str, float] | None:
        """Return oxide and mass share of the element in it when a column names an oxide, else None.

        ``K2O (mg/kg)`` gives ``("K2O", 0.8302)``: values are multiplied by it to become the element's.
        """
        bare, _ = split_header(column)
        found = self._by_name.get(_key(bare)) or self._by_name.get(_key(column))
        return (found[1], OXIDES[found[1]][1]) if found and found[1] else None

    @cached_property
    def _by_name(self) -> dict[str, tuple[str, str | None]]:
        names: dict[str, tuple[str, str | None]] = {}
        for prop in self.properties.values():
            for name in (prop.name, *prop.aliases, *prop.ossl):
                names.setdefault(_key(name), (prop.name, None))
        for prop in self.properties.values():
            for name, oxide in _oxide_names(prop):
                names.setdefault(_key(name), (prop.name, oxide))
        return names

    def factor(self, name: str, unit: str) -> float:
        """Return what to multiply values in ``unit`` by to get the catalogue's unit.

        Raises
        ------
        BadInput
            When no conversion is known; g/dm3 is refused here because it needs each sample's bulk density.
        """
        target = self[name].unit
        known = normalise_unit(unit) or unit
        if known == target:
            return 1.0
        if (known, target) in UNIT_FACTORS:
            return UNIT_FACTORS[(known, target)]
        equivalent = self[name].equivalent
        if equivalent is not None and target == "cmolc/kg" and known in ("mg/kg", "g/kg", "%"):
            return UNIT_FACTORS.get((known, "mg/kg"), 1.0) / (10.0 * equivalent)
        if known == PER_VOLUME:
            raise BadInput(
                f"{name} per volume cannot become {target} by a factor",
                column=name,
                found=unit,
                expected=target,
                mend="add each sample's bulk density (column bd, g/cm3), or give the values by mass",
            )
        choices = sorted({f for f, t in UNIT_FACTORS if t == target} | {target})
        raise BadInput(
            f"no conversion of {name} to its stored unit",
            column=name,
            found=unit,
            expected=" or ".join(choices),
            mend="state the unit in the batch's manifest (batch.yaml, units)",
        )


def built_in_catalogue(extra: Mapping[str, Property] | None = None) -> Catalogue:
    """Return the built-in catalogue with ``extra`` properties added or replaced.

    Raises
    ------
    BadInput
        When an added property claims a name that means another one.
    """
    catalogue = Catalogue({**BUILT_IN, **(extra or {})})
    for prop in (extra or {}).values():
        for name in (*prop.aliases, *prop.ossl):
            owner = catalogue.canonical(name)
            if owner != prop.name:
                raise BadInput(
                    "a name that means another property",
                    column=f"catalogue.{prop.name}.{'aliases' if name in prop.aliases else 'ossl'}",
                    found=name,
                    expected=f"a name that {owner} does not have",
                    mend=f"leave it out, or state {owner} under catalogue without it",
                )
    return catalogue


def _key(name: str) -> str:
    # Labs write pH_H2O, 'pH H2O', 'ph.h2o': case, blanks, dots and dashes do not tell properties apart; but N
    # is nitrogen and n is a count.
    if len(name.strip()) == 1:
        return name.strip()
    return re.sub(r"[\s._\-]+", "_", name.strip().lower())


def _oxide_names(prop: Property) -> Iterator[tuple[str, str]]:
    for oxide, (symbol, _) in OXIDES.items():
        if prop.element == symbol and prop.name.startswith(symbol):
            suffix = prop.name.removeprefix(symbol)
            yield oxide + suffix, oxide
            if suffix == "_tot":
                yield oxide, oxide
