"""Whether the structure of a Bruker OPUS file can be true, asked before its decoder sees it.

Belongs here: bounds of header, directory, blocks, parameters and point counts. Does not belong here: what
the blocks mean (``readers.opus``).

The package brukeropus, which decodes the blocks, believes what a file says of itself. In version 1.4 a parameter
of negative size sends it back and forth for ever, a damaged point count makes it ask for any amount of
memory, each block is copied however many there are of it, and every spectrum is compared with every header of its
kind. What passes these checks holds none of that.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from soil_assets.errors import BadInput
from soil_assets.spectra.readers.binary import Window

#: Room in a directory (OPUS writes 40 to 240 entries), result blocks in a file (rarely more than four), bytes in
#: a block of parameters (a few hundred): far beyond what OPUS writes, far below what takes long.
_MOST_ENTRIES, _MOST_USED, _MOST_PARAMETER_BYTES = 10_000, 64, 1 << 20
_INTEGER, _REAL = 0, 1
_LEAST_BYTES = {_INTEGER: 4, _REAL: 8}


class Entry(NamedTuple):
    """A block as the directory lists it: six numbers that say what it is, its bytes, its offset.

    The numbers are complex part, role (1 sample, 2 reference, 3 result), parameters (0: data), data, derivative and
    form.
    """

    type: tuple[int, int, int, int, int, int]
    size: int
    start: int

    @property
    def role(self) -> int:
        """Sample, reference or result."""
        return self.type[1]

    @property
    def parameters(self) -> int:
        """Kind of parameters; 0 when the block holds data."""
        return self.type[2]

    @property
    def data(self) -> int:
        """Kind of data held or described."""
        return self.type[3]

    @property
    def plain(self) -> bool:
        """Whether it is neither a derivative nor a series nor in compact form."""
        return self.type[4:] == (0, 0)


def directory(window: Window) -> list[Entry]:
    """Return the blocks of the file.

    Raises
    ------
    BadInput
        When header or directory lie outside the file or cannot be true.
    """
    from brukeropus.file import parse_directory, parse_header

    window.need(0, 24, "the header")
    _, start, room, count = parse_header(window.raw)
    if not 0 < count <= room <= _MOST_ENTRIES:
        raise window.damaged(
            "its directory", f"{count} of {room} entries", "a directory of the file's blocks"
        )
    window.need(start, 12 * count, "the directory")
    listed = parse_directory(window.raw[start : start + 12 * count])
    return [Entry(kind, size, at) for kind, size, at in listed]


def check_blocks(window: Window, entries: Iterable[Entry]) -> None:
    """Make sure that the blocks to be decoded lie in the file, are few, and do not share their bytes.

    Raises
    ------
    BadInput
        When they do not.
    """
    used = sorted(entries, key=lambda e: e.start)
    if len(used) > _MOST_USED:
        raise window.damaged("its directory", f"{len(used)} result blocks", f"at most {_MOST_USED}")
    end = 0
    for entry in used:
        window.need(entry.start, entry.size, "a parameter block" if entry.parameters else "a spectrum")
        if entry.start < end:
            raise window.damaged("its directory", f"two blocks at byte {entry.start}", "blocks side by side")
        end = entry.start + entry.size
        if entry.parameters:
            _check_parameters(window, entry)


def _check_parameters(window: Window, entry: Entry) -> None:
    if entry.size > _MOST_PARAMETER_BYTES:
        raise window.damaged("a parameter block", f"{entry.size} bytes", f"at most {_MOST_PARAMETER_BYTES}")
    at, end = entry.start, entry.start + entry.size
    while at < end:
        name = window.raw[at : at + 3]
        if name == b"END":
            return
        if at + 8 > end:
            raise window.damaged("a parameter block", "no END", "END after the last parameter")
        kind, words = struct.unpack_from("<2h", window.raw, at + 4)
        size, at = 2 * words, at + 8
        if not name.isascii() or size < _LEAST_BYTES.get(kind, 0) or at + size > end:
            raise window.damaged("a parameter", f"{name!r} of {size} bytes", "a parameter inside its block")
        at += size


def check_header(window: Window, entry: Entry, header: Mapping[str, Any], spectra: list[Entry]) -> None:
    """Make sure that a spectrum's header (its data status block) can belong to spectra of the file.

    Parameters
    ----------
    window : Window
        The file.
    entry : Entry
        The header's block.
    header : mapping
        Its parameters as brukeropus names them.
    spectra : list of Entry
        The blocks that it may belong to.

    Raises
    ------
    BadInput
        When the point count does not fit into any of them, or a number is missing or not finite.
    """
    count, form = header.get("npt"), header.get("dpf")
    reals = [value for key in ("fxv", "lxv", "csf") if isinstance(value := header.get(key), float)]
    if not isinstance(count, int) or len(reals) < 3:
        raise window.damaged(
            "a spectrum's header", "no point count, range or factor", "NPT, FXV, LXV and CSF"
        )
    room = max((spectrum.size // 4 for spectrum in spectra), default=0)
    if not 2 <= count <= room:
        raise window.damaged(
            "a spectrum's point count", count, f"2 to {room}, as the block at byte {entry.start} has room for"
        )
    if form not in (1, 2):
        raise window.damaged("a spectrum's number format", f"DPF {form}", "1 (float) or 2 (integer)")
    first, last = reals[:2]
    if not all(math.isfinite(end) and abs(end) <= 1e9 for end in (first, last)):
        raise window.damaged("its axis", f"{first:g} to {last:g}", "finite wavelengths or wavenumbers")
    if header.get("dxu", "WN") not in ("WN", "MI"):
        raise BadInput(
            "the OPUS spectrum's axis is neither wavenumber nor wavelength",
            file=window.file,
            found=str(header["dxu"]),
            expected="WN or MI",
        )
