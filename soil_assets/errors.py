"""The one error a person causes: bad input, said so that they can mend it.

Belongs here: the exception that every room raises for input it cannot use.
Does not belong here: failures of gates (those are results, not exceptions) and programming errors.
"""

from __future__ import annotations


class BadInput(ValueError):
    """Input that cannot be used, with what was found, what was expected and how to mend it.

    The command line prints it without a traceback and exits with code 2.

    Parameters
    ----------
    what : str
        One sentence naming the problem.
    file, row, column : str, int or None
        Where it was found (rows count from 1, the header not included).
    found, expected, mend : str or None
        What stands there, what should stand there, and what to do about it.
    """

    def __init__(
        self,
        what: str,
        *,
        file: str | None = None,
        row: int | str | None = None,
        column: str | None = None,
        found: str | None = None,
        expected: str | None = None,
        mend: str | None = None,
    ) -> None:
        self.what = what
        self.file = file
        self.row = row
        self.column = column
        self.found = found
        self.expected = expected
        self.mend = mend
        super().__init__(str(self))

    def __str__(self) -> str:
        place = ", ".join(
            f"{name} {value}"
            for name, value in (("file", self.file), ("row", self.row), ("column", self.column))
            if value is not None
        )
        parts = [f"{place}: {self.what}" if place else self.what]
        parts += [
            f"{name}: {value}"
            for name, value in (("found", self.found), ("expected", self.expected), ("mend", self.mend))
            if value is not None
        ]
        return "; ".join(parts)

    def to_dict(self) -> dict[str, str | int | None]:
        """Return the same facts for ``--json``."""
        names = ("what", "file", "row", "column", "found", "expected", "mend")
        return {name: getattr(self, name) for name in names}
