"""A float32 matrix that grows by rows.

Belongs here: room, growth, rows to be written. Does not belong here: where rows come from.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


class GrowingMatrix:
    """Rows of a float32 matrix whose number is not known; growing remaps pages where the system can."""

    def __init__(self, bands: int) -> None:
        self._bands, self.rows = bands, 0
        self._buffer = np.empty((0, bands), np.float32)

    @property
    def room(self) -> int:
        """Rows that fit without growing."""
        return len(self._buffer) - self.rows

    def grow(self, more: int, expected: int = 0) -> None:
        """Make room for ``more`` rows, or for all that are ``expected``; unused pages cost no memory."""
        if not self.rows:
            self._buffer = np.empty((max(more, expected), self._bands), np.float32)
        else:
            rows = max(self.rows + more, int(len(self._buffer) * 1.25))
            self._buffer.resize((rows, self._bands), refcheck=False)

    def take(self, count: int) -> npt.NDArray[np.float32]:
        """Return the next ``count`` rows, to be written."""
        rows = self._buffer[self.rows : self.rows + count]
        self.rows += count
        return rows

    def append(self, row: npt.NDArray[np.float32]) -> None:
        """Add one row."""
        if not self.room:
            self.grow(1)
        self.take(1)[0] = row

    def matrix(self) -> npt.NDArray[np.float32]:
        """Return the rows, without the room left over."""
        self._buffer.resize((self.rows, self._bands), refcheck=False)
        return self._buffer
