"""The compressed ordinates of JCAMP-DX: AFFN, PAC, SQZ, DIF and DUP.

Belongs here: the ASCII squeezed difference form, with the format's own checks.
Does not belong here: labels and units (``readers.jcamp``).

Format: McDonald & Wilks 1988, Applied Spectroscopy 42, 151-162, sections 5.8 and 5.9. In SQZ a letter
stands for the sign and first digit; in DIF for those of the difference to the ordinate before; DUP counts
repetitions. A line that ends in DIF form repeats its last ordinate at the start of the next line (the
ordinate check), and every line starts with its abscissa (the abscissa check).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput

_SQZ = {c: str(i) for i, c in enumerate("@ABCDEFGHI")} | {
    c: f"-{i}" for i, c in enumerate("abcdefghi", start=1)
}
_DIF = {c: str(i) for i, c in enumerate("%JKLMNOPQR")} | {
    c: f"-{i}" for i, c in enumerate("jklmnopqr", start=1)
}
_DUP = {c: str(i) for i, c in enumerate("STUVWXYZ", start=1)} | {"s": "9"}
#: Letters that only the compressed forms use. An E alone may be an exponent, but not two in one number, nor one
#: without a digit before it: that is a 5 of the compressed forms.
_COMPRESSED = re.compile(r"[@A-DF-Ia-df-i%J-Rj-rS-Zs]|[eE]\d+[eE]|[\s,][eE]\d")
_EXPONENT = re.compile(r"\d[eE][+-]?\d")
_ASDF_TOKEN = re.compile(r"\?|([@A-Ia-i%J-Rj-rS-Zs+-]?)(\d*\.?\d*)")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
#: A point count that no table may exceed: a DUP of a damaged file could ask for any number.
_MOST_POINTS = 4_000_000


@dataclass(frozen=True, eq=False)
class Table:
    """A decoded table.

    Parameters
    ----------
    ordinates : ndarray of float64
        As stored, before YFACTOR; NaN where the file says ``?``.
    starts : list of (int, float)
        For each line, the index of its first ordinate and the abscissa that the line states.
    """

    ordinates: npt.NDArray[np.float64]
    starts: list[tuple[int, float]]

    def check_abscissae(self, expected: npt.NDArray[np.float64], file: str) -> None:
        """Compare each line's stated abscissa with where its points lie.

        Raises
        ------
        BadInput
            When one is off by a point or more: a line is missing or doubled.
        """
        if expected.size < 2 or not self.starts:
            return
        step = abs(expected[1] - expected[0])
        for index, stated in self.starts:
            # Writers round abscissae to whole numbers, hence the floor of half a unit on top of one point.
            if index < expected.size and abs(stated - expected[index]) > 1.01 * step + 0.51:
                raise BadInput(
                    "the JCAMP-DX file is damaged: the abscissa check fails",
                    file=file,
                    row=index + 1,
                    found=f"{stated:g}",
                    expected=f"{expected[index]:g}",
                    mend="export or copy the file again",
                )


def decode_table(lines: Sequence[str], file: str) -> Table:
    """Decode the lines of an ``(X++(Y..Y))`` table.

    Raises
    ------
    BadInput
        When a character is not of the format or the ordinate check fails.
    """
    compressed = any(_COMPRESSED.search(line) for line in lines) or not any(
        _EXPONENT.search(line) for line in lines
    )
    ordinates: list[float] = []
    starts: list[tuple[int, float]] = []
    in_difference = False
    for number, line in enumerate(lines, start=1):
        head = _NUMBER.match(line) if not compressed else re.match(r"[+-]?(?:\d+\.?\d*|\.\d+)", line)
        if head is None:
            raise _strange(line, number, file)
        rest = line[head.end() :]
        values, ends_in_difference = (
            _decode_line(rest, ordinates, number, file) if compressed else (_plain(rest, number, file), False)
        )
        if in_difference and len(values) == 1 and number == len(lines):
            break  # a last line with nothing but the check; some writers leave a zero there
        if in_difference and values:
            if ordinates and abs(values[0] - ordinates[-1]) > 0.5:
                raise BadInput(
                    "the JCAMP-DX file is damaged: the ordinate check fails",
                    file=file,
                    row=number,
                    found=f"{values[0]:g}",
                    expected=f"{ordinates[-1]:g}, the last ordinate of the line before",
                    mend="export or copy the file again",
                )
            starts.append((len(ordinates) - 1, float(head[0])))
            values = values[1:]
        else:
            starts.append((len(ordinates), float(head[0])))
        ordinates += values
        in_difference = ends_in_difference
        if len(ordinates) > _MOST_POINTS:
            raise BadInput(
                "the JCAMP-DX table is longer than any spectrum",
                file=file,
                found=f"over {_MOST_POINTS} points",
            )
    return Table(np.array(ordinates, dtype=np.float64), starts)


def decode_pairs(lines: Sequence[str], file: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Decode the lines of an ``(XY..XY)`` table: plain numbers divided by blanks, commas or semicolons."""
    text = re.sub(r"[;,\s]+", " ", " ".join(lines)).strip()
    try:
        numbers = np.array(text.split(" ") if text else [], dtype=np.float64)
    except ValueError:
        raise BadInput(
            "the JCAMP-DX file holds points that are not numbers", file=file, found=text[:60]
        ) from None
    if numbers.size % 2:
        raise BadInput("the JCAMP-DX file is cut off: its last point has no ordinate", file=file)
    return numbers[0::2], numbers[1::2]


def _plain(text: str, number: int, file: str) -> list[float]:
    cells = re.sub(r"(?<![eE])([+-])", r" \1", text.replace(",", " ")).split()
    try:
        return [np.nan if cell == "?" else float(cell) for cell in cells]
    except ValueError:
        raise _strange(text, number, file) from None


def _decode_line(text: str, before: list[float], number: int, file: str) -> tuple[list[float], bool]:
    """Return a line's ordinates and whether its last one was written as a difference."""
    values: list[float] = []
    step: float | None = None
    at = 0
    while at < len(text):
        if text[at] in " \t,":
            at += 1
            continue
        match = _ASDF_TOKEN.match(text, at)
        if match is None or match.end() == at:
            raise _strange(text[at:], number, file)
        at = match.end()
        if match[0] == "?":
            values.append(np.nan)
            step = None
            continue
        code, digits = match[1], match[2]
        if code in _DUP:
            count = int(float(_DUP[code] + digits)) - 1
            if len(values) + count > _MOST_POINTS or not values:
                raise _strange(match[0], number, file)
            if step is None:
                values += [values[-1]] * count
            else:
                values += [values[-1] + step * k for k in range(1, count + 1)]
        elif code in _DIF:
            step = float(_DIF[code] + digits)
            if not values and not before:
                raise _strange(match[0], number, file)
            values.append((values[-1] if values else before[-1]) + step)
        else:
            body = _SQZ.get(code, code) + digits
            if not any(c.isdigit() for c in body):
                raise _strange(match[0], number, file)
            values.append(float(body))
            step = None
    return values, step is not None


def _strange(text: str, number: int, file: str) -> BadInput:
    return BadInput(
        "the JCAMP-DX file holds characters that are no numbers of the format",
        file=file,
        row=number,
        found=repr(text[:20]),
        mend="export or copy the file again",
    )
