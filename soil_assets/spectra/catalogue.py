"""The property catalogue: the one place that knows a soil property's name, unit and limits.

Belongs here: names (canonical and OSSL), units, conversions, hard and warning limits.
Does not belong here: rules that combine properties (``quality.cross_rules``) or thresholds of the policy.
Limits follow the ranges that are physically possible (hard) and that a soil laboratory sees (warning).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from soil_assets.errors import BadInput
from soil_assets.spectra.units import PER_VOLUME, UNIT_FACTORS, normalise_unit, ossl_unit, split_header

Transform = Literal["none", "log1p"]


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
        Names of the Open Soil Spectral Library that mean this property in this unit.
    hard, warning : (low, high)
        Outside ``hard`` a value is impossible, outside ``warning`` it is suspicious.
    transform : {"none", "log1p"}
        Scale on which a skewed property is modelled.
    aliases : tuple of str
        Column names that labs use.
    """

    name: str
    label: str
    unit: str
    method: str = ""
    ossl: tuple[str, ...] = ()
    hard: tuple[float, float] = (0.0, float("inf"))
    warning: tuple[float, float] = (0.0, float("inf"))
    transform: Transform = "none"
    aliases: tuple[str, ...] = ()


BUILT_IN: Mapping[str, Property] = {
    p.name: p
    for p in (
        Property(
            "clay", "Clay", "%", "< 2 µm", ("clay.tot_usda.a334_w.pct", "clay.tot_iso.11277_w.pct"),
            (0.0, 100.0), (0.0, 90.0), aliases=("clay_pct", "clay_target", "clay_content"),
        ),
        Property(
            "soc", "Soil organic carbon", "%", "dry combustion, inorganic carbon removed",
            ("oc_usda.c729_w.pct", "oc_usda.c1059_w.pct"), (0.0, 100.0), (0.0, 58.0), "log1p",
            ("oc", "organic_carbon", "toc", "soc_target"),
        ),
        Property(
            "ph", "pH", "index", "as the laboratory states it", (), (1.5, 12.0), (3.0, 10.5),
            aliases=("ph_target", "soil_ph"),
        ),
        Property(
            "ph_h2o", "pH (H2O)", "index", "1:1 or 1:5 in water",
            ("ph.h2o_usda.a268_index", "ph.h2o_iso.10390_index"),
            (1.5, 12.0), (3.0, 10.5), aliases=("ph_water",),
        ),
        Property(
            "ph_cacl2", "pH (CaCl2)", "index", "in 0.01 mol/l CaCl2",
            ("ph.cacl2_usda.a477_index", "ph.cacl2_iso.10390_index"), (1.5, 12.0), (3.0, 10.5),
        ),
        Property(
            "cec", "Cation exchange capacity", "cmolc/kg", "at pH 7", ("cec_usda.a723_cmolc.kg",),
            (0.0, 600.0), (0.0, 200.0), "log1p",
        ),
    )
}  # fmt: skip


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
        name = self._by_name.get(_key(bare)) or self._by_name.get(_key(column))
        return name, (unit or (ossl_unit(column) if name else None))

    @cached_property
    def _by_name(self) -> dict[str, str]:
        names: dict[str, str] = {}
        for prop in self.properties.values():
            for name in (prop.name, *prop.aliases, *prop.ossl):
                names.setdefault(_key(name), prop.name)
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
        try:
            return UNIT_FACTORS[(known, target)]
        except KeyError:
            pass
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
    """Return the built-in catalogue with ``extra`` properties added or replaced."""
    return Catalogue({**BUILT_IN, **(extra or {})})


def _key(name: str) -> str:
    # Labs write pH_H2O, 'pH H2O', 'ph.h2o': case, blanks, dots and dashes do not tell properties apart.
    return re.sub(r"[\s._\-]+", "_", name.strip().lower())
