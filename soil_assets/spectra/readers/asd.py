"""ASD FieldSpec and LabSpec files (Malvern Panalytical), versions 1 to 8, splice-corrected ones included.

Belongs here: the indico header, the sample and white-reference spectra. Does not belong here: correcting
the steps at the detector joins; where they lie is told in ``origin["joins"]``.

Layout: ASD Document 600590 "FieldSpec file format" (revision 8): 484 bytes of header, the sample spectrum,
from version 2 on a reference header and the white reference, then blocks that are not needed here.
"""

from __future__ import annotations

import datetime

import numpy as np

from soil_assets.errors import BadInput
from soil_assets.spectra.readers.binary import Window
from soil_assets.spectra.readers.quantities import settle
from soil_assets.spectra.readers.rows import scan_row, shared
from soil_assets.spectra.readers.scans import ReadOptions, Scans
from soil_assets.spectra.readers.source import Source

_HEADER_BYTES = 484
_NUMBERS = {0: "<f4", 1: "<i4", 2: "<f8"}
_TYPES = {
    0: "raw counts", 1: "reflectance", 2: "radiance", 3: "no units", 4: "irradiance", 5: "quality index",
    6: "transmittance", 7: "unknown", 8: "absorbance",
}  # fmt: skip
_INSTRUMENTS = {
    1: "PSII", 2: "LabSpec VNIR", 3: "FieldSpec VNIR", 4: "FieldSpec FR", 5: "LabSpec 5000",
    6: "FieldSpec NIR", 7: "HandHeld", 10: "FieldSpec NIR",
}  # fmt: skip
#: A stored spectrum under this is a ratio already; raw counts of a detector run into thousands.
_LARGEST_RATIO = 50.0


def read_asd(source: Source, raw: bytes, options: ReadOptions) -> Scans:
    """Read the reflectance of an ASD file.

    The file stores what the detectors counted over the sample and over the white reference: reflectance is
    their ratio (both carry the same gain and integration time). Splice-corrected files store the ratio
    itself.

    Raises
    ------
    BadInput
        When the file is cut off or damaged, or there is no reflectance in it (radiance, counts without
        reference).
    """
    del options  # nothing about an ASD file needs to be stated
    window = Window(raw, source.name, "ASD")
    window.need(0, _HEADER_BYTES, "the header")
    version = 1 if raw[:3] == b"ASD" else int(raw[2:3])
    kind = _TYPES.get(raw[186], f"type {raw[186]}")
    first, step = window.unpack("<2f", 191, "the header")
    (channels,) = window.unpack("<H", 204, "the header")
    if raw[199] not in _NUMBERS or channels < 2:
        raise window.damaged(
            "its header", f"data format {raw[199]}, {channels} channels", "a format of 0 to 2"
        )
    if not (np.isfinite(first) and np.isfinite(step)) or step <= 0 or not 100 <= first <= 10_000:
        raise window.damaged("its axis", f"{first:g} nm in steps of {step:g}", "wavelengths in nm")
    dtype = _NUMBERS[raw[199]]
    sample = window.array(dtype, channels, _HEADER_BYTES, "the spectrum").astype(np.float64)
    reference = _reference(window, dtype, channels)
    values, said = _ratio(sample, reference, kind, window)
    spectra, quantity, scale, converted = settle(
        "reflectance" if said or kind in ("raw counts", "reflectance") else kind,
        values.astype(np.float32),
        source.name,
        percent=False,
    )
    joins = [f"{j:g}" for j in window.unpack("<2f", 444, "the header") if first < j < first + step * channels]
    row = scan_row(
        source,
        instrument=_INSTRUMENTS.get(raw[431], "ASD"),
        instrument_serial=str(window.unpack("<H", 400, "the header")[0] or ""),
        scan_date=_date(window),
        comment=window.text(3, 157),
    )
    origin = {"format": f"ASD version {version}", **shared(row)}
    if joins:
        origin["joins"] = ", ".join(joins) + " nm"
    positions = first + step * np.arange(channels, dtype=np.float64)
    return Scans(
        source.name, [row], spectra[None, :], positions, "nm", quantity, scale, origin, said + converted
    )


def _reference(window: Window, dtype: str, channels: int) -> np.ndarray | None:
    """Return the white reference, or None where the file ends before it (version 1, and exported ratios)."""
    at = _HEADER_BYTES + channels * np.dtype(dtype).itemsize
    if at == len(window):
        return None
    flag, _, _, length = window.unpack("<h2dh", at, "the reference header")
    if length < 0:
        raise window.damaged("its reference header", f"a description of {length} bytes", "a description")
    reference = window.array(dtype, channels, at + 20 + length, "the white reference").astype(np.float64)
    return reference if flag else None


def _ratio(
    sample: np.ndarray, reference: np.ndarray | None, kind: str, window: Window
) -> tuple[np.ndarray, tuple[str, ...]]:
    if kind not in ("raw counts", "reflectance"):
        return sample, ()
    with np.errstate(invalid="ignore", divide="ignore"):
        largest = float(np.nanquantile(np.abs(sample), 0.95)) if np.isfinite(sample).any() else np.nan
        if kind == "reflectance" and largest <= _LARGEST_RATIO:
            return sample, ()  # the ratio itself, as splice correction writes it
        if reference is None:
            raise BadInput(
                "the ASD file holds counts without a white reference, so there is no reflectance in it",
                file=window.file,
                found=f"{kind}, values to {largest:.4g}",
                expected="a white reference taken before the scan",
                mend="save the scan as reflectance, with its white reference",
            )
        ratio = np.where(reference > 0, sample / np.where(reference > 0, reference, 1.0), np.nan)
    return ratio, ("ASD counts divided by the file's white reference",)


def _date(window: Window) -> str | None:
    second, minute, hour, day, month, year = window.unpack("<6h", 160, "the header")
    try:
        # struct tm counts months from 0 and years from 1900.
        return datetime.datetime(year + 1900, month + 1, day, hour, minute, min(second, 59)).isoformat()
    except ValueError:
        return None
