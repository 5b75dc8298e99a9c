"""Long lists of numbers in a large JSON body: counted where they stand, and read one at a time.

Belongs here: finding them without reading them, and whether they hold numbers. Does not belong here: what they mean
(``serving.incoming``).

Read as a whole, numbers take twenty times the room of their shortest text, and nothing else runs in the process
meanwhile. So each list of numbers is replaced by a mark, what remains is read as JSON, and the lists after that, one
by one, into the matrix.
"""

from __future__ import annotations

import reprlib
import secrets
from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from soil_assets.errors import BadInput
from soil_assets.serving.refusals import Refused, too_large

#: Shorter lists stay where they are: a mark would be longer.
_SHORTEST = 64
#: Lists of more numbers are no spectra and no axes.
MOST_NUMBERS = 100_000
#: An id of 200 letters, each written as an escape, and room.
_LONGEST_TEXT = 4_096
_CHECK_EVERY = 1_000
_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxother = 3, 120, 120
_QUOTE, _SLASH = ord('"'), ord("\\")


class Lists:
    """A JSON body whose long lists of numbers are marks.

    Parameters
    ----------
    body : bytes
    most_values : int
        Most numbers in all lists together.
    most_others : int
        Most values that are not in such lists.
    check : callable
        Called now and then; raises to stop.

    Raises
    ------
    Refused
        413 for a body of more values, or of a text or list that is too long; nothing was read by then.
    """

    def __init__(
        self, body: bytes | bytearray, most_values: int, most_others: int, check: Callable[[], None]
    ) -> None:
        self._body = body
        # Nobody can send a mark: each body has its own.
        self._mark = f"list {secrets.token_hex(8)}:"
        self._starts, self._ends, self._lengths = array("Q"), array("Q"), array("L")
        self.rest = self._without_lists(most_values, most_others, check)

    def length(self, value: Any) -> int | None:
        """Return how many values a list has, be it a mark or a list; None for what is neither."""
        if isinstance(value, list):
            return len(value)
        number = self._number(value)
        return None if number is None else self._lengths[number]

    def listed(self, value: Any) -> Any:
        """Return the list that a mark stands for; anything else as it is.

        Raises
        ------
        Refused
            400 when it is no JSON.
        """
        number = self._number(value)
        if number is None:
            return value
        start, end = self._starts[number], self._ends[number]
        return parsed(memoryview(self._body)[start:end], start)

    def _number(self, value: Any) -> int | None:
        if isinstance(value, str) and value.startswith(self._mark):
            return int(value[len(self._mark) :])
        return None

    def _without_lists(self, most_values: int, most_others: int, check: Callable[[], None]) -> bytes:
        body, rest = self._body, bytearray()
        values = others = steps = 0
        copied = at = 0  # up to where the body is copied, and looked at
        quote, bracket, end = body.find(b'"'), body.find(b"["), body.find(b"]")
        while quote >= 0 or bracket >= 0:
            steps += 1
            if steps % _CHECK_EVERY == 0:
                check()
            here = quote if bracket < 0 or 0 <= quote < bracket else bracket
            others += 1 + body.count(b",", at, here) + body.count(b"{", at, here)
            if others > most_others:
                raise too_large(
                    "too many values in one request", f"over {most_others}", f"at most {most_others}"
                )
            if body[here] == _QUOTE:
                at = _end_of_text(body, here)
                if at < 0:
                    break  # it never ends: reading it says where
                quote = body.find(b'"', at)
                if 0 <= bracket < at:
                    bracket = body.find(b"[", at)
                continue
            at = here + 1
            if end < at:
                end = body.find(b"]", at)
            bracket = body.find(b"[", at)
            if end < 0:
                break
            if (
                end - here < _SHORTEST
                or 0 <= bracket < end
                or 0 <= quote < end
                or body.find(b"{", at, end) >= 0
            ):
                continue
            count = body.count(b",", at, end) + 1
            values += count
            if count > MOST_NUMBERS or values > most_values + MOST_NUMBERS:
                raise too_large(
                    "too many numbers in one request"
                    if count <= MOST_NUMBERS
                    else "too many numbers in one list",
                    f"{max(count, values)}",
                    f"at most {most_values if count <= MOST_NUMBERS else MOST_NUMBERS}",
                )
            rest += body[copied:here]
            rest += f'"{self._mark}{len(self._starts)}"'.encode()
            self._starts.append(here)
            self._ends.append(end + 1)
            self._lengths.append(count)
            copied = at = end + 1
        remaining = body.count(b",", at) + body.count(b"{", at) + body.count(b"[", at)
        if others + remaining > most_others:
            raise too_large("too many values in one request", f"over {most_others}", f"at most {most_others}")
        rest += body[copied:]
        return bytes(rest)


def _end_of_text(body: bytes | bytearray, start: int) -> int:
    """Return the place after the text that starts here; -1 when it does not end."""
    at = start + 1
    while True:
        quote = body.find(b'"', at, start + _LONGEST_TEXT)
        if quote < 0:
            if start + _LONGEST_TEXT >= len(body):
                return -1
            raise too_large(
                "a text that is too long", f"over {_LONGEST_TEXT} bytes", f"at most {_LONGEST_TEXT}"
            )
        slashes = quote
        while body[slashes - 1] == _SLASH:
            slashes -= 1
        if (quote - slashes) % 2 == 0:
            return quote + 1
        at = quote + 1


def parsed(text: bytes | bytearray | memoryview, start: int = 0) -> Any:
    """Return JSON, read.

    Raises
    ------
    Refused
        400.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        place = f" (in the list at byte {start})" if start else ""
        raise Refused(
            400,
            "the body is not JSON",
            found=f"{str(error)[:200]}{place}",
            mend="send JSON, or a file with its content type",
        ) from None


def few_values(spectra: int, bands: int, most: int) -> None:
    """Refuse more intensities than a request may have.

    Raises
    ------
    Refused
        413.
    """
    if spectra * bands > most:
        raise too_large(
            "too many intensities in one request",
            f"{spectra} spectra of {bands} bands",
            f"at most {most} intensities",
        )


def checked_numbers(i: int, row: list[Any]) -> npt.NDArray[np.float64]:
    """Return row ``i``, null as NaN; anything that is neither is refused with its place."""
    check_kinds(i, row)
    return np.array(row, dtype=np.float64)  # None becomes NaN


def check_kinds(i: int, row: list[Any]) -> None:
    """Refuse row ``i`` when it holds anything but numbers and null."""
    for kind in set(map(type, row)) - {float, int, type(None)}:
        j = next(j for j, v in enumerate(row) if type(v) is kind)
        raise BadInput(
            "not an intensity", row=i + 1, column=f"intensities.{j + 1}", found=short(row[j]),
            expected="a number, or null where it is missing",
        )  # fmt: skip


def short(value: Any) -> str:
    """Return a value's beginning, as errors show it."""
    text = _REPR.repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
