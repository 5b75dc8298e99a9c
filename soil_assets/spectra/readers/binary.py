"""Reading binary headers without ever reading past the end.

Belongs here: bounds, numbers and text at an offset. Does not belong here: any one format.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput


class Window:
    """The bytes of one file, read by offset; whatever lies outside is said to be cut off.

    Parameters
    ----------
    raw : bytes
        The whole file.
    file, kind : str
        Its name and format, for messages.
    """

    def __init__(self, raw: bytes, file: str, kind: str) -> None:
        self.raw, self.file, self.kind = raw, file, kind

    def __len__(self) -> int:
        return len(self.raw)

    def need(self, offset: int, count: int, what: str) -> None:
        """Make sure that ``count`` bytes lie at ``offset``.

        Raises
        ------
        BadInput
            When they do not: the file is cut off, or its header points nowhere.
        """
        if offset < 0 or count < 0 or offset + count > len(self.raw):
            raise BadInput(
                f"the {self.kind} file is cut off or damaged: {what} lies outside it",
                file=self.file,
                found=f"{len(self.raw)} bytes",
                expected=f"bytes {offset} to {offset + count}",
                mend="copy the file from the instrument again",
            )

    def unpack(self, form: str, offset: int, what: str) -> tuple[Any, ...]:
        """Return the values of a ``struct`` format."""
        self.need(offset, struct.calcsize(form), what)
        return struct.unpack_from(form, self.raw, offset)

    def array(self, dtype: str, count: int, offset: int, what: str) -> npt.NDArray[Any]:
        """Return ``count`` numbers."""
        self.need(offset, count * np.dtype(dtype).itemsize, what)
        return np.frombuffer(self.raw, dtype, count, offset)

    def text(self, offset: int, count: int) -> str:
        """Return text up to its terminating zero, blanks taken off; what lies outside the file is no text."""
        piece = self.raw[max(offset, 0) : max(offset + count, 0)].split(b"\0", 1)[0]
        return clean_text(piece.decode("latin-1"))

    def damaged(self, what: str, found: object, expected: str) -> BadInput:
        """Return the error for a header that cannot be true."""
        return BadInput(
            f"the {self.kind} file is damaged: {what}",
            file=self.file,
            found=str(found),
            expected=expected,
            mend="copy the file from the instrument again",
        )

    def even_axis(self, first: float, last: float, count: int) -> npt.NDArray[np.float64]:
        """Return evenly spaced positions.

        Raises
        ------
        BadInput
            When the ends are not finite numbers.
        """
        if not (np.isfinite(first) and np.isfinite(last)) or abs(first) > 1e9 or abs(last) > 1e9:
            raise self.damaged("its axis", f"{first:g} to {last:g}", "finite wavelengths or wavenumbers")
        return np.linspace(first, last, count)


def clean_text(text: str) -> str:
    """Return text without control characters and outer blanks."""
    return "".join(c for c in text if c.isprintable()).strip()
