"""Units that do not fit the values, suspected aloud from the batch as a whole.

Belongs here: telling from a column's median, and from ratios between columns, that its unit is probably
another. Does not belong here: converting anything: a suspicion is told to a person, who states the unit.

A batch's median is compared with the range in which medians of ordinary batches lie (``Property.typical``),
and carbon with nitrogen by their ratio, which soils keep between about 5 and 50. A factor that is a usual
slip and would bring the column home is named; when none would, the column is only called unusual.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.spectra.catalogue import Catalogue, Property
from soil_assets.spectra.units import OXIDES, UNIT_FACTORS

Floats = npt.NDArray[np.float64]

#: Fewer values than this say nothing about a batch's unit.
MIN_VALUES = 5
_C_N_RANGE = (4.0, 60.0)
#: Slips that laboratories make, as the factor that mends the values.
_SLIPS = (10.0, 0.1, 100.0, 0.01, 1000.0, 1e-3, 1e4, 1e-4)


@dataclass(frozen=True)
class Suspicion:
    """A column whose unit does not seem to fit.

    Parameters
    ----------
    column : str
        Canonical name of the property.
    found, expected, mend : str
        In words.
    factor : float or None
        What would mend the values, where one slip explains them.
    """

    column: str
    found: str
    expected: str
    mend: str
    factor: float | None


def suspect_units(samples: pd.DataFrame, catalogue: Catalogue) -> list[Suspicion]:
    """Return suspicions about the properties of a batch, in the order of its columns.

    Parameters
    ----------
    samples : DataFrame
        Properties under canonical names in the catalogue's units.
    catalogue : Catalogue

    Returns
    -------
    list of Suspicion
    """
    values = {
        str(c): samples[c].to_numpy(dtype=np.float64, na_value=np.nan)
        for c in samples.columns
        if str(c) in catalogue
    }
    found = [s for name, column in values.items() if (s := _by_median(catalogue[name], column)) is not None]
    told = {s.column for s in found}
    ratio = _by_c_n(values, catalogue)
    if ratio is not None and ratio.column not in told:
        found.append(ratio)
    return found


def _by_median(prop: Property, values: Floats) -> Suspicion | None:
    known = values[np.isfinite(values)]
    known = known[known != 0]
    if known.size < MIN_VALUES or prop.typical is None:
        return None
    centre = float(np.median(known))
    low, high = prop.typical
    impossible = float(np.mean((known < prop.hard[0]) | (known > prop.hard[1])))
    if low <= centre <= high and impossible < 0.5:
        return None
    factor, advice = _home(prop, known, centre)
    share = f", {impossible:.0%} of the values impossible" if impossible else ""
    return Suspicion(
        prop.name,
        f"median {centre:.4g} {prop.unit} of {known.size} values{share}",
        f"a median from {low:g} to {high:g} {prop.unit}",
        advice,
        factor,
    )


def _home(prop: Property, known: Floats, centre: float) -> tuple[float | None, str]:
    """Return the factor that would bring a column home, and what to tell the person."""
    low, high = prop.typical or (0.0, np.inf)
    for oxide, (symbol, share) in OXIDES.items():
        if symbol == prop.element and centre > high and low <= centre * share <= high:
            return share, f"are these values {oxide}? if so, name the column {oxide}"
    if prop.unit == "index":
        return None, _advice(prop, None)
    if prop.equivalent is not None and centre > high and low <= centre / (10.0 * prop.equivalent) <= high:
        by_mass = f"the values look like mg/kg: then state units: {{{prop.name}: mg/kg}} in batch.yaml"
        return 1.0 / (10.0 * prop.equivalent), by_mass
    homes = [f for f in _SLIPS if low <= centre * f <= high and _possible(prop, known * f)]
    # Of several slips that fit, the one that leads to the middle of what is usual.
    middle = np.sqrt(low * high)
    factor = min(homes, key=lambda f: abs(np.log(centre * f / middle)), default=None)
    return factor, _advice(prop, factor)


def _by_c_n(values: dict[str, Floats], catalogue: Catalogue) -> Suspicion | None:
    carbon = next((values[c] for c in ("soc", "c_tot") if c in values), None)
    if carbon is None or "n_tot" not in values:
        return None
    both = np.isfinite(carbon) & (values["n_tot"] > 0) & (carbon > 0)
    if both.sum() < MIN_VALUES:
        return None
    ratio = float(np.median(carbon[both] / values["n_tot"][both]))
    low, high = _C_N_RANGE
    if low <= ratio <= high:
        return None
    factor = next((f for f in _SLIPS if low <= ratio / f <= high), None)
    advice = _advice(catalogue["n_tot"], factor)
    return Suspicion(
        "n_tot",
        f"median C:N {ratio:.3g} over {int(both.sum())} samples",
        f"a median C:N from {low:g} to {high:g}",
        f"{advice}; or mend carbon's unit",
        factor,
    )


def _possible(prop: Property, values: Floats) -> bool:
    return bool(np.mean((values >= prop.hard[0]) & (values <= prop.hard[1])) > 0.9)


def _advice(prop: Property, factor: float | None) -> str:
    if factor is None:
        return "check the column's unit with the laboratory and state it (units in batch.yaml)"
    times = f"{1 / factor:g} times too large" if factor < 1 else f"{factor:g} times too small"
    given = [u for (u, t), v in UNIT_FACTORS.items() if t == prop.unit and np.isclose(v, factor)]
    stated = [u for (u, t), v in UNIT_FACTORS.items() if t == prop.unit and np.isclose(v, 1 / factor)]
    ways = [f"given in {u} (then state units: {{{prop.name}: {u}}} in batch.yaml)" for u in given[:1]]
    ways += [f"given in {prop.unit} and stated as {u}" for u in stated[:1]]
    return f"the values look {times} for {prop.unit}" + (
        f"; perhaps they were {' or '.join(ways)}" if ways else ""
    )
