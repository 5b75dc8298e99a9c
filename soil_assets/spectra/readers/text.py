"""Bytes that are text: encoding, byte-order mark, separator, decimal comma, header.

Belongs here: what makes a text table readable at all. Does not belong here: what its columns mean.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass

from soil_assets.errors import BadInput

#: Cells that stand for 'not measured'.
MISSING_WORDS = (
    "", "NA", "N/A", "#N/A", "NaN", "nan", "NAN", "null", "NULL", "None", "-", "--", ".", "n.d.", "nd",
    "missing", "masked",
)  # fmt: skip
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_SEPARATORS = (",", ";", "\t", "|")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Dialect:
    """How a text table is written.

    Parameters
    ----------
    encoding : str
        ``utf-8``, ``utf-16-le``, ``utf-16-be`` or ``cp1252``.
    mark : int
        Bytes of a byte-order mark to skip.
    separator, decimal : str
        Between cells, and inside numbers.
    skipped : int
        Lines (comments, blanks) before the header or first row.
    comments : tuple of str
        Those lines, without their marks.
    """

    encoding: str
    mark: int
    separator: str
    decimal: str
    skipped: int
    comments: tuple[str, ...] = ()


def encoding_of(head: bytes) -> tuple[str, int]:
    """Return the encoding that the first bytes of a text show, and the length of the byte-order mark."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, False)
    except UnicodeDecodeError:
        return "cp1252", 0
    return "utf-8", 0


def decode(raw: bytes) -> tuple[str, str]:
    """Return the whole text and its encoding; bytes that Windows-1252 leaves undefined become U+FFFD."""
    encoding, mark = encoding_of(raw)
    if encoding == "utf-8":
        try:
            return raw[mark:].decode("utf-8"), "utf-8"
        except UnicodeDecodeError:
            encoding = "cp1252"
    return raw[mark:].decode(encoding, errors="replace"), encoding


def dialect_of(head: bytes, file: str) -> Dialect:
    """Return how the table that starts with ``head`` is written.

    Raises
    ------
    BadInput
        When the text has no line to judge by.
    """
    encoding, mark = encoding_of(head)
    lines = lines_of(head[mark:].decode(encoding, errors="replace"))
    skipped, comments = 0, []
    while skipped < len(lines) and (
        not lines[skipped].strip(" \t,;") or lines[skipped].lstrip().startswith(("#", "//"))
    ):
        if lines[skipped].strip():
            comments.append(lines[skipped].strip(" \t#/"))
        skipped += 1
    body = [line for line in lines[skipped:] if line.strip()][:20]
    if not body:
        raise BadInput("the file holds no table", file=file, found=f"{skipped} blank or comment lines")
    separator = _separator(body)
    return Dialect(encoding, mark, separator, _decimal(body, separator), skipped, tuple(comments))


def _separator(lines: list[str]) -> str:
    """Return the separator that splits the lines most evenly, quoted text left out."""
    bare = [re.sub(r'"[^"]*"', '""', line) for line in lines]
    sample = bare[:-1] if len(bare) > 2 else bare  # the last line may be cut by the end of the sample
    scores = {}
    for separator in _SEPARATORS:
        counts = [line.count(separator) for line in sample]
        scores[separator] = (min(counts), -(max(counts) - min(counts)))
    # Semicolons and tabs win over commas, which may be decimal commas.
    for separator in (";", "\t", "|"):
        if scores[separator][0] > 0 and scores[separator][0] * 2 >= scores[","][0]:
            return separator
    if scores[","][0] > 0 or any("," in line for line in sample):
        return ","
    return " " if all(re.search(r"\S[ ]+\S", line) for line in sample) else ","


def _decimal(lines: list[str], separator: str) -> str:
    cells = [cell for line in lines[1:] or lines for cell in split_line(line, separator)]
    numbers = [cell for cell in cells if _NUMBER.fullmatch(cell)]
    return "," if sum("," in n for n in numbers) > sum("." in n for n in numbers) else "."


def lines_of(text: str) -> list[str]:
    """Return a text's lines, however they end."""
    return re.split(r"\r\n|\n|\r", text)


def split_line(line: str, separator: str) -> list[str]:
    """Return one line's cells, quotes taken off."""
    if separator == " ":
        return line.split()
    return [cell.strip() for cell in next(csv.reader(io.StringIO(line), delimiter=separator), [])]


def is_number(cell: str) -> bool:
    """Whether a cell is written as a number, with point or comma."""
    return bool(_NUMBER.fullmatch(cell.strip()))


def first_rows(head: bytes, dialect: Dialect, count: int = 40) -> tuple[list[str] | None, list[list[str]]]:
    """Return the header, when there is one, and the cells of the first whole rows."""
    lines = lines_of(head[dialect.mark :].decode(dialect.encoding, errors="replace"))[dialect.skipped :]
    if len(lines) > 1 and len(head) > 1 and not head.endswith(b"\n"):
        lines = lines[:-1]  # perhaps cut by the end of the sample
    rows = [split_line(line, dialect.separator) for line in lines[: count + 1] if line.strip()]
    if rows and not all(is_number(cell) for cell in rows[0] if cell.strip()):
        return rows[0], rows[1 : count + 1]
    return None, rows[:count]
