"""Units of laboratory values: how people write them, and the factors between them.

Belongs here: spellings, dimensional factors, the unit that an OSSL name ends in, the unit in a column's
header. Does not belong here: which unit a property is stored in (``spectra.catalogue``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

#: Factors to the unit on the right: ``value_in_unit = value * UNIT_FACTORS[(from, to)]``. Mass fractions
#: convert among themselves, charges among themselves; g/dm3 is per volume and needs the bulk density
#: (:func:`per_volume`).
_MASS = {"fraction": 1.0, "%": 1e-2, "g/kg": 1e-3, "mg/kg": 1e-6, "µg/kg": 1e-9}
_CHARGE = {"cmolc/kg": 1.0, "meq/100 g": 1.0, "mmolc/kg": 0.1}
_DENSITY = {"g/cm3": 1.0, "kg/m3": 1e-3, "Mg/m3": 1.0}
_CONDUCTIVITY = {"dS/m": 1.0, "mS/cm": 1.0, "mS/m": 1e-2, "µS/cm": 1e-3}
_FAMILIES = (_MASS, _CHARGE, _DENSITY, _CONDUCTIVITY)
UNIT_FACTORS: Mapping[tuple[str, str], float] = {
    (a, b): family[a] / family[b] for family in _FAMILIES for a in family for b in family if a != b
}

#: Mass per volume of soil; ``% = g/dm3 / (10 * bulk density in g/cm3)``, as 1 dm3 of soil weighs 1000 x
#: density grams.
PER_VOLUME = "g/dm3"

#: Oxides that laboratories report: element and its mass share, from IUPAC standard atomic weights (2021).
OXIDES: Mapping[str, tuple[str, float]] = {
    "P2O5": ("p", 0.43642), "K2O": ("k", 0.83015), "CaO": ("ca", 0.71470), "MgO": ("mg", 0.60304),
    "Na2O": ("na", 0.74186), "Al2O3": ("al", 0.52925), "Fe2O3": ("fe", 0.69943), "SiO2": ("si", 0.46743),
    "MnO": ("mn", 0.77446),
}  # fmt: skip

_SPELLINGS = {
    "%": ("percent", "pct", "wt%", "w%", "% w/w", "w.pct", "g/100g", "g/100 g", "dag/kg", "mass %", "prc"),
    "g/kg": ("g kg-1", "gkg-1", "g.kg-1", "g.kg", "w.permille", "permille", "‰", "mg/g", "mg g-1"),
    "mg/kg": ("mg kg-1", "mgkg-1", "mg.kg-1", "mg.kg", "ppm", "µg/g", "ug/g"),
    "µg/kg": ("ug/kg", "ppb", "ug kg-1", "ug.kg"),
    "fraction": ("w.frac", "kg/kg", "g/g", "kg kg-1", "a.frac"),
    "cmolc/kg": ("cmolc.kg", "cmol/kg", "cmol(+)/kg", "cmol+/kg", "cmolc kg-1", "cmol kg-1", "cmol(+) kg-1"),
    "meq/100 g": ("meq/100g", "meq 100g-1", "me/100g", "me/100 g", "meq/100 g soil"),
    "mmolc/kg": ("mmolc.kg", "mmol(+)/kg", "mmolc kg-1", "mmol/kg"),
    "g/dm3": ("g dm-3", "g/l", "g/dm^3", "g/dm³", "g.dm3"),
    "g/cm3": ("g cm-3", "g.cm3", "g/cm^3", "g/cm³", "kg/dm3", "t/m3", "g/cc"),
    "kg/m3": ("kg m-3", "kg.m3", "kg/m³"),
    "Mg/m3": ("mg m-3 (megagram)",),
    "dS/m": ("ds.m", "ds m-1", "mmho/cm", "mmhos/cm"),
    "mS/cm": ("ms cm-1",),
    "mS/m": ("ms m-1", "ms.m"),
    "µS/cm": ("us/cm", "us cm-1", "µs cm-1"),
    "index": ("ph", "-", "unitless", "none", "ratio"),
}
_BY_SPELLING = {s.lower(): unit for unit, spellings in _SPELLINGS.items() for s in (unit, *spellings)}
_HEADER_UNIT = re.compile(
    r"^(?P<name>.*?)\s*[\(\[]\s*(?P<unit>[^\(\)\[\]]*(?:\([^\(\)]*\)[^\(\)\[\]]*)?)\s*[\)\]]\s*$"
)
_OSSL_NAME = re.compile(r"^[a-z0-9.]+_[a-z0-9.]+_(?P<unit>[a-z0-9.]+)$", re.IGNORECASE)


def normalise_unit(text: str) -> str | None:
    """Return the one spelling of a unit that the catalogue uses, or None when it is not known.

    >>> normalise_unit("cmol(+) kg-1"), normalise_unit("pct"), normalise_unit("furlong")
    ('cmolc/kg', '%', None)
    """
    cleaned = re.sub(
        r"\s+", " ", text.strip().lower().replace("μ", "µ").replace("^-1", "-1").replace("⁻¹", "-1")
    )
    return _BY_SPELLING.get(cleaned)


def split_header(column: str) -> tuple[str, str | None]:
    """Split ``SOC (g/kg)`` into the name and the normalised unit; brackets without a unit belong to the name.

    >>> split_header("SOC [g kg-1]"), split_header("pH (CaCl2)")
    (('SOC', 'g/kg'), ('pH (CaCl2)', None))
    """
    match = _HEADER_UNIT.match(column.strip())
    unit = normalise_unit(match["unit"]) if match else None
    return (match["name"], unit) if match and unit else (column.strip(), None)


def ossl_unit(column: str) -> str | None:
    """Return the unit that an OSSL name (``<property>_<method>_<unit>``) ends in, or None.

    >>> ossl_unit("cec_usda.a723_cmolc.kg")
    'cmolc/kg'
    """
    match = _OSSL_NAME.match(column.strip())
    return normalise_unit(match["unit"]) if match else None
