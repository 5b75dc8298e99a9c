"""Which columns of a table are spectral bands, what their names state, and which column names the sample.

Belongs here: column names. Does not belong here: cells (``readers.table``), properties
(``spectra.catalogue``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.spectra.axis import AxisUnit
from soil_assets.spectra.batch import Quantity, Scale

_BAND = re.compile(
    r"(?P<prefix>[^\d].*?|)(?P<number>\d{2,5}(?:[.,]\d+)?)"
    r"(?P<suffix>[ _.]?(?:nm|cm-1|cm\^-1|cm⁻¹|1/cm)?(?:_[a-z]+)?)",
    re.IGNORECASE,
)
#: Fewer columns than this are properties with numbers in their names, not a spectrum.
_FEWEST_BANDS = 20
#: Wavelengths and wavenumbers of soil spectra lie inside, with room to spare.
_POSITIONS = (150.0, 30_000.0)

_UNIT_OF_NAME: tuple[tuple[str, AxisUnit], ...] = (
    (r"(^|[ _.(/:])(wl|nm|wavelengths?|lambda|visnir|vnir|nir)($|[ _.)/:,])", "nm"),
    (r"(^|[ _.(/:])(wn|cm-1|cm\^-1|cm⁻¹|1/cm|wavenumbers?|mir|ftir)($|[ _.)/:,])", "cm-1"),
)
_QUANTITY_OF_NAME: tuple[tuple[str, Quantity], ...] = (
    (r"(^|[ _.(/:])(abs|absorbance|a\.u|log\(?1/r\)?)($|[ _.)/:])", "absorbance"),
    (r"(^|[ _.(/:])(ref|refl|reflectance|reflect)($|[ _.)/:%])", "reflectance"),
)

#: Names of the column that identifies the soil, best first (lower case, without separators).
_SAMPLE_NAMES = (
    "sampleid", "idsamplelocalc", "idlayeruuidtxt", "idlayerlocalc", "sampleno", "samplenumber", "samplename",
    "soilid", "layerid", "labid", "labno", "labnumber", "idscanlocalc", "id", "sample", "name", "label",
    "corelabel", "probe", "probennummer", "echantillon", "muestra", "amostra",
)  # fmt: skip
#: Columns with a place of their own in a batch (lower case, without separators).
KNOWN_COLUMNS = {
    "scanid": "scan_id",
    "idscanlocalc": "scan_id",
    "spectrumid": "scan_id",
    "replicate": "replicate",
    "rep": "replicate",
    "repetition": "replicate",
    "profile": "profile",
    "profileid": "profile",
    "idprofilelocalc": "profile",
    "site": "site",
    "siteid": "site",
    "idsitelocalc": "site",
    "instrument": "instrument",
    "operator": "operator",
    "iddatasetsiteasciitxt": "site",
    # What the Open Soil Spectral Library calls the instrument and the day of the scan, for each kind of scan.
    **{f"scan{kind}modelnameutf8txt": "instrument" for kind in ("mir", "visnir", "nir")},
    **{f"scan{kind}datebeginiso8601yyyymmdd": "scan_date" for kind in ("mir", "visnir", "nir")},
}


@dataclass(frozen=True, eq=False)
class BandColumns:
    """One run of spectral columns in a table.

    Parameters
    ----------
    label : str
        What distinguishes the run from others, such as ``scan_mir``; empty for plain numbers.
    indices : ndarray of int, shape (n_bands,)
        Their places in the header.
    positions : ndarray of float64, shape (n_bands,)
        Band positions in the header's order.
    axis_unit, quantity, scale : str or None
        What the names state.
    """

    label: str
    indices: npt.NDArray[np.intp]
    positions: npt.NDArray[np.float64]
    axis_unit: AxisUnit | None
    quantity: Quantity | None
    scale: Scale | None


def squeeze(name: str) -> str:
    """Return a column name in lower case without separators: how names are compared."""
    return re.sub(r"[\s_.\-#]+", "", name.strip().lower())


def band_runs(header: Sequence[str]) -> list[BandColumns]:
    """Return every run of spectral columns in ``header``, longest first."""
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for index, name in enumerate(header):
        match = _BAND.fullmatch(name.strip().strip("'\""))
        if match:
            position = float(match["number"].replace(",", "."))
            found.setdefault((match["prefix"], match["suffix"]), []).append((index, position))
    runs = []
    for (prefix, suffix), members in found.items():
        positions = np.array([p for _, p in members])
        steps = np.diff(positions)
        if len(members) < _FEWEST_BANDS or positions.min() < _POSITIONS[0] or positions.max() > _POSITIONS[1]:
            continue
        # Numbered properties count up by one from anywhere; a spectrum may turn (a bad axis is said later),
        # but nearly all of its steps have one sign.
        if max((steps > 0).mean(), (steps < 0).mean()) < 0.8:
            continue
        words = f"{prefix}|{suffix}".replace("|", " ")
        scale: Scale | None = "percent" if "%" in words or "pct" in words.lower() else None
        runs.append(
            BandColumns(
                prefix.strip(" _."),
                np.array([i for i, _ in members], dtype=np.intp),
                positions,
                unit_in(words),
                quantity_in(words) or _quantity_of_letter(prefix),
                scale,
            )
        )
    return sorted(runs, key=lambda run: -run.indices.size)


def choose_run(header: Sequence[str], file: str, wanted: str | None) -> BandColumns | None:
    """Return the run of spectral columns to read, or None when the table has none.

    Raises
    ------
    BadInput
        When there are several and ``wanted`` does not say which.
    """
    runs = band_runs(header)
    if wanted is not None:
        runs = [run for run in runs if run.label == wanted] or _no_such_run(runs, file, wanted)
    if len(runs) > 1 and runs[1].indices.size * 4 >= runs[0].indices.size:
        raise BadInput(
            "the table holds several sets of spectra",
            file=file,
            found=_list_runs(runs),
            expected="one set, or a statement which",
            mend=f"state it, for example spectra: {runs[0].label or runs[1].label}",
        )
    return runs[0] if runs else None


def _no_such_run(runs: list[BandColumns], file: str, wanted: str) -> list[BandColumns]:
    if not runs:
        return []
    raise BadInput("no such set of spectra in the table", file=file, found=_list_runs(runs), expected=wanted)


def _list_runs(runs: list[BandColumns]) -> str:
    return ", ".join(f"{run.label or '(plain numbers)'} with {run.indices.size} bands" for run in runs)


def unit_in(text: str) -> AxisUnit | None:
    """Return the axis unit that words such as ``wavelength (nm)`` or ``scan_mir`` state."""
    found = {unit for pattern, unit in _UNIT_OF_NAME if re.search(pattern, text, re.IGNORECASE)}
    return found.pop() if len(found) == 1 else None


def quantity_in(text: str) -> Quantity | None:
    """Return the quantity that words such as ``absorbance (a.u.)`` or ``_ref`` state."""
    found = {quantity for pattern, quantity in _QUANTITY_OF_NAME if re.search(pattern, text, re.IGNORECASE)}
    return found.pop() if len(found) == 1 else None


def _quantity_of_letter(prefix: str) -> Quantity | None:
    # Headers such as R0350 and A0350, in capitals, are common; lower case letters mean too many other things.
    return {"R": "reflectance", "A": "absorbance"}.get(prefix)  # type: ignore[return-value]


def sample_column(header: Sequence[str], candidates: Sequence[int], text: Sequence[bool]) -> int | None:
    """Return which of ``candidates`` (indices into ``header``) names the sample.

    Parameters
    ----------
    text : sequence of bool
        For each candidate, whether it holds text; the first such column is the last resort.
    """
    squeezed = {squeeze(header[i]): i for i in reversed(candidates)}
    for name in _SAMPLE_NAMES:
        if name in squeezed:
            return squeezed[name]
    return next((i for i, is_text in zip(candidates, text, strict=True) if is_text), None)
