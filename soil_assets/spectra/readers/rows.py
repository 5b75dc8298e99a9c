"""The samples row of a file that holds one scan: what its name and header tell.

Belongs here: ids from file names, dates as text. Does not belong here: any one format.
"""

from __future__ import annotations

import re
from typing import Any

from soil_assets.spectra.readers.source import Source

#: Endings that say a format, not a sample; a number at the end is OPUS's repetition of a measurement.
_ENDINGS = (
    "asd", "sco", "spa", "spg", "spc", "sp", "dx", "jdx", "jcamp", "jcm", "csv", "txt", "tsv", "dpt", "sed",
    "xlsx", "gz", "parquet",
)  # fmt: skip


def names_of(source: Source) -> tuple[str, str | None]:
    """Return sample id and replicate of a file.

    >>> names_of(Source.of_bytes(b"", "run/BF_lo_01.2")), names_of(Source.of_bytes(b"", "soil 7.asd.sco"))
    (('BF_lo_01', '2'), ('soil 7', None))
    """
    name = source.basename
    number = re.fullmatch(r"(.+)\.(\d{1,4})", name)
    if number:
        return number[1], number[2]
    while "." in name and name.rsplit(".", 1)[1].lower() in _ENDINGS:
        name = name.rsplit(".", 1)[0]
    return name, None


def scan_row(source: Source, **facts: Any) -> dict[str, Any]:
    """Return the samples row of a file's only scan; facts that are empty are left out."""
    sample, replicate = names_of(source)
    row: dict[str, Any] = {"sample_id": sample, "scan_id": source.basename}
    if replicate is not None:
        row["replicate"] = replicate
    row |= {key: value for key, value in facts.items() if value not in (None, "")}
    return row | {"source_file": source.name, "source_row": 1}


def shared(row: dict[str, Any]) -> dict[str, str]:
    """Return what a row tells of the whole batch: instrument, operator, and the day of the scan."""
    told = {key: str(row[key]) for key in ("instrument", "operator") if key in row}
    return told | ({"date": str(row["scan_date"])[:10]} if "scan_date" in row else {})
