"""What one job leaves for the job that posts: written by code of the change, read as if by an enemy.

The posting job has a token that writes; the change's own run, which may be a fork's, has none. So nothing that run
rendered is used: of its artifact only two JSON files are read, and report, plots and badges are made again from the
facts in them by main's code.

Belongs here: writing the folder, and reading it back with distrust. Does not belong here: judging, posting.
"""

from __future__ import annotations

import json
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soil_assets.errors import BadInput
from soil_assets.reporting.decision_inputs import DecisionInputs
from soil_assets.storage import Store

if TYPE_CHECKING:
    from soil_assets.reporting.decision import DecisionReport

REPORT, NUMBER = "report.json", "pull_request.json"
#: A report of ten properties on thousands of benchmark samples stays far below this.
MAX_BYTES = 20_000_000


@dataclass(frozen=True)
class Artifact:
    """What an artifact says: the facts of a report, and the pull request it claims to belong to."""

    facts: DecisionInputs
    number: int


def write_report(made: DecisionReport, out: Path, number: int | None = None) -> None:
    """Write a report with its plots into a folder, and the number of its pull request where there is one."""
    store = Store(str(out))
    for name, content in made.images.items():
        store.write(name, content)
    store.write("report.md", made.markdown.encode())
    store.write("report.html", made.html.encode())
    store.write_json(REPORT, made.data)
    if number is not None:
        store.write_json(NUMBER, {"number": number})


def read_artifact(place: Path) -> Artifact:
    """Read the artifact of another run: a folder, or a ZIP file that is never unpacked.

    Raises
    ------
    BadInput
        When a file is missing, a link, too large, not JSON, or does not hold the facts of a report.
    """
    report = _object(place, REPORT)
    number = _object(place, NUMBER).get("number")
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 2**31:
        raise BadInput(
            "not the number of a pull request",
            file=f"{place}/{NUMBER}",
            column="number",
            found=repr(number)[:80],
            expected="a whole number from 1",
        )
    facts = report.get("inputs")
    if not isinstance(facts, dict):
        raise BadInput("a report without the facts behind it", file=f"{place}/{REPORT}", column="inputs")
    return Artifact(DecisionInputs.from_json(json.dumps(facts), f"{place}/{REPORT}"), number)


def _object(place: Path, name: str) -> dict[str, Any]:
    content = _from_zip(place, name) if place.is_file() else _from_folder(place, name)
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadInput("not JSON", file=f"{place}/{name}", found=str(error)[:120]) from None
    if not isinstance(found, dict):
        raise BadInput("not a JSON object", file=f"{place}/{name}", found=type(found).__name__)
    return found


def _from_folder(place: Path, name: str) -> bytes:
    file = place / name
    try:
        status = file.lstat()
    except OSError:
        raise _missing(place, name) from None
    if not stat.S_ISREG(status.st_mode):
        raise BadInput("not a plain file", file=str(file), mend="an artifact holds files, no links")
    _within(status.st_size, file)
    return file.read_bytes()


def _from_zip(place: Path, name: str) -> bytes:
    try:
        with zipfile.ZipFile(place) as archive, archive.open(name) as stream:
            # Read by counting, whatever the archive claims about itself.
            content = stream.read(MAX_BYTES + 1)
    except KeyError:
        raise _missing(place, name) from None
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
        raise BadInput(
            "not a ZIP archive that can be read", file=str(place), found=str(error)[:120]
        ) from None
    except Exception as error:  # noqa: BLE001  # decompressors raise their own kinds
        raise BadInput("a damaged archive", file=str(place), found=str(error)[:120]) from None
    _within(len(content), place)
    return content


def _within(size: int, file: Path) -> None:
    if size > MAX_BYTES:
        raise BadInput(
            "a report too large to be one",
            file=str(file),
            found=f"{size:,} bytes",
            expected=f"at most {MAX_BYTES:,}",
        )


def _missing(place: Path, name: str) -> BadInput:
    return BadInput(
        "the artifact lacks a file",
        file=f"{place}/{name}",
        expected=f"{REPORT} and {NUMBER}, as soil report --pull-request writes them",
        mend="look at the run that should have written it",
    )
