"""Bruker OPUS files, decoded by the package brukeropus.

Belongs here: which block is taken, and what the header tells of the scan. Does not belong here: whether the
file's structure can be true (``readers.opus_structure``, asked first), conversions between quantities
(``readers.quantities``, ``spectra.harmonise``).

Only the blocks that are needed are decoded: results with their headers, instrument and origin. Series, reports and
interferograms are left alone. brukeropus reads files by path; here its blocks are made from bytes, which may
have come from an archive or a URL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.spectra.readers.binary import Window, clean_text
from soil_assets.spectra.readers.opus_structure import Entry, check_blocks, check_header, directory
from soil_assets.spectra.readers.quantities import settle
from soil_assets.spectra.readers.rows import scan_row, shared
from soil_assets.spectra.readers.scans import ReadOptions, Scans
from soil_assets.spectra.readers.source import Source

MAGIC = b"\n\n\xfe\xfe"
#: Result blocks that hold a spectrum, best first: key as brukeropus and OPUS users call it, and what it is.
_SPECTRA = {
    4: ("a", "absorbance"),
    15: ("logr", "absorbance"),
    12: ("r", "reflectance"),
    6: ("km", "kubelka-munk"),
    5: ("t", "transmittance"),
    16: ("atr", "ATR"),
    10: ("ra", "Raman"),
    11: ("e", "emission"),
    17: ("pas", "photoacoustic"),
}
_STATUS, _INSTRUMENT, _ORIGIN = 1, 2, 10
_RESULT, _REFERENCE = 3, 2


@dataclass(frozen=True, eq=False)
class _Spectrum:
    key: str
    what: str
    start: int
    values: npt.NDArray[np.float32]
    positions: npt.NDArray[np.float64]
    header: Mapping[str, Any]


def read_opus(source: Source, raw: bytes, options: ReadOptions) -> Scans:
    """Read the result spectrum of an OPUS file.

    Absorbance is taken before reflectance; of two absorbance blocks the one written last, which is the
    atmosphere-compensated one. ``options.spectra`` names another block (``a``, ``a_2``, ``r`` ...). A file
    with reflectance only stays reflectance, and that is said.

    Raises
    ------
    BadInput
        When the file is cut off or damaged, or holds no result spectrum.
    """
    window = Window(raw, source.name, "OPUS")
    entries = directory(window)
    results = [e for e in entries if e.role == _RESULT and e.data in _SPECTRA and e.plain]
    results = [e for e in results if e.parameters in (0, _STATUS)]
    facts_of = [e for e in entries if e.parameters in (_INSTRUMENT, _ORIGIN) and e.role != _REFERENCE]
    check_blocks(window, results + facts_of)
    chosen, said = _choose(_spectra(window, results), window, options.spectra, entries)
    facts = _parameters(window, facts_of)
    values, quantity, scale, converted = settle(chosen.what, chosen.values, source.name, percent=False)
    row = scan_row(
        source,
        sample_name=facts.get("snm"),
        instrument=facts.get("ins"),
        instrument_serial=facts.get("srn"),
        operator=facts.get("cnm"),
        scan_date=_date(chosen.header),
    )
    microns = chosen.header.get("dxu") == "MI"
    return Scans(
        source.name,
        [row],
        values[None, :],
        chosen.positions * 1000.0 if microns else chosen.positions,
        "nm" if microns else "cm-1",
        quantity,
        scale,
        {"format": "Bruker OPUS", "block": chosen.key, **shared(row)},
        said + converted,
    )


def _decoded(window: Window, entry: Entry) -> Any:
    """Return a block of brukeropus with its parameters or numbers."""
    from brukeropus.file import FileBlock

    block = FileBlock(window.raw, entry.type, entry.size, entry.start)
    block.parse()
    if block.parse_error:
        raise window.damaged("a block", str(block.parse_error), "a block as OPUS writes it")
    return block


def _parameters(window: Window, entries: list[Entry]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in entries:
        for key, value in _decoded(window, entry).data.items():
            found[key] = clean_text(value) if isinstance(value, str) else value
    return found


def _spectra(window: Window, results: list[Entry]) -> list[_Spectrum]:
    """Return the result spectra, the one written last first."""
    from brukeropus.file import Data, pair_data_and_status_blocks

    held = [e for e in results if e.parameters == 0]
    headers: dict[int, dict[str, Any]] = {}
    described, data = [], []
    for entry in (e for e in results if e.parameters == _STATUS):
        same = [e for e in held if e.data == entry.data]
        if same:
            block = _decoded(window, entry)
            check_header(window, entry, block.data, same)
            headers[entry.start] = block.data
            described.append(block)
    for entry in held:
        of_kind = [headers[b.start] for b in described if b.type[3] == entry.data]
        data.append(_numbers(window, entry, {header["dpf"] for header in of_kind}))
    pairs = pair_data_and_status_blocks(described + data)
    pairs += _left_over(window, data, described, {block.start for block, _ in pairs})
    spectra: list[_Spectrum] = []
    for block, status in sorted(pairs, key=lambda pair: -pair[0].start):
        key, what = _SPECTRA[block.type[3]]
        number = sum(s.key.split("_")[0] == key for s in spectra)
        key = key if number == 0 else f"{key}_{number + 1}"
        status.data = headers[status.start]  # which Data takes away
        decoded = Data(block, status, key, vel=0)
        values = np.asarray(decoded.y, np.float32)
        spectra.append(_Spectrum(key, what, block.start, values, decoded.x, headers[status.start]))
    return spectra


def _numbers(window: Window, entry: Entry, formats: set[int]) -> Any:
    """Return a data block of brukeropus, which by itself takes all numbers for float."""
    from brukeropus.file import parse_data

    block = _decoded(window, entry)
    if len(formats) > 1:
        raise window.damaged("its spectra", "float and integer headers of one kind", "one number format")
    if formats == {2}:
        block.data = parse_data(window.raw[entry.start : entry.start + entry.size], dpf=2)
    return block


def _left_over(window: Window, data: list[Any], described: list[Any], paired: set[int]) -> list[Any]:
    """Return pairs that brukeropus leaves open, since two blocks have the same smallest and largest value.

    Compensation for water vapour and CO2 need not touch either. Where all headers in question say the same of
    points, range and factor, it does not matter which one is taken.
    """
    pairs = []
    for block in (b for b in data if b.start not in paired):
        fitting = [
            h for h in described if h.type == _header_of(block.type) and h.data["npt"] <= len(block.data)
        ]
        if len({tuple(h.data.get(key) for key in ("npt", "fxv", "lxv", "csf", "dxu")) for h in fitting}) > 1:
            raise window.damaged(
                "its result blocks",
                f"{len(fitting)} headers for the block at byte {block.start}",
                "one header each",
            )
        pairs += [(block, header) for header in fitting[:1]]
    return pairs


def _header_of(kind: tuple[int, ...]) -> tuple[int, ...]:
    return (*kind[:2], _STATUS, *kind[3:])


def _choose(
    spectra: list[_Spectrum], window: Window, wanted: str | None, blocks: list[Entry]
) -> tuple[_Spectrum, tuple[str, ...]]:
    if not spectra:
        raise BadInput(
            "the OPUS file holds no result spectrum",
            file=window.file,
            found=_contents(blocks),
            expected="an absorbance or reflectance block",
            mend="in OPUS, compute and save the absorbance (AB) or reflectance (REFL) spectrum",
        )
    if wanted is not None:
        for spectrum in spectra:
            if spectrum.key == wanted:
                return spectrum, ()
        raise BadInput(
            "no such block in the OPUS file",
            file=window.file,
            found=", ".join(s.key for s in spectra),
            expected=wanted,
        )
    order = list(dict.fromkeys(key for key, _ in _SPECTRA.values()))
    chosen = min(spectra, key=lambda s: (order.index(s.key.split("_")[0]), -s.start))
    same = [s.key for s in spectra if s.what == chosen.what and s is not chosen]
    said: list[str] = []
    if same:
        said.append(f"of several {chosen.what} blocks the one written last (atmosphere-compensated) is taken")
    if chosen.what == "reflectance":
        said.append(
            "the OPUS file holds reflectance and no absorbance; A = log10(1/R) where absorbance is needed"
        )
    return chosen, tuple(said)


def _contents(blocks: list[Entry]) -> str:
    """Name the data blocks there are, for the message that none of them can be used."""
    roles = {1: "sample", 2: "reference", 3: "result"}
    kinds = {1: "spectrum", 2: "interferogram", 3: "phase", 7: "trace", 8: "interferograms", 9: "spectra"}
    kinds |= {code: what for code, (_, what) in _SPECTRA.items()} | {19: "result of arithmetics"}
    forms = {2: " series", 4: " (compact form)"}
    names = [
        f"{roles.get(b.role, '')} {kinds.get(b.data, f'block of kind {b.data}')}{forms.get(b.type[5], '')}".strip()
        for b in blocks
        if b.parameters == 0 and b.data not in (0, 13)
    ]
    return ", ".join(dict.fromkeys(names)) or "no data"


def _date(header: Mapping[str, Any]) -> str | None:
    date, time = str(header.get("dat", "")), str(header.get("tim", ""))
    day = re.fullmatch(r"(\d{2})/(\d{2})/(\d{4})", date) or re.fullmatch(r"(\d{4})/(\d{2})/(\d{2})", date)
    if day is None:
        return None
    parts = day.groups() if len(day[1]) == 4 else day.groups()[::-1]
    clock = re.match(r"(\d{2}:\d{2}:\d{2})(?:\.\d+)?(?:\s*\(GMT([+-]\d{1,2})\))?", time)
    if clock is None:
        return "-".join(parts)
    zone = f"{int(clock[2]):+03d}:00" if clock[2] else ""
    return f"{'-'.join(parts)}T{clock[1]}{zone}"
