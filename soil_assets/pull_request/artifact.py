"""Artifact that the validating job leaves for the job that decides: written by code of the change, read with distrust.

The deciding job has a token that writes; the change's own run, which may be a fork's, has none. Of an artifact three
things are read: the pull request and the base commit that it claims (``pull_request.json``), the facts of its report
(``report.json``), and the arrays of its models (``models/<property>/``). Nothing that run rendered is used, and nothing
in an artifact is executed.

Belongs here: writing the folder, and reading it back within limits. Does not belong here: judging, posting.
"""

from __future__ import annotations

import json
import re
import stat
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soil_assets.errors import BadInput
from soil_assets.reporting.decision_inputs import DecisionInputs
from soil_assets.storage import Store

if TYPE_CHECKING:
    from soil_assets.modeling.model import SoilModel
    from soil_assets.reporting.decision import DecisionReport

REPORT, CLAIM, MODELS = "report.json", "pull_request.json", "models"
#: A report of ten properties on thousands of benchmark samples stays far below this; its tables are bounded.
MAX_BYTES = 20_000_000
#: Of one file of a model, packed and unpacked.
MAX_MODEL_BYTES = 400_000_000
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Claim:
    """Pull request that a run says it is of, and the commit that it says it was compared with."""

    number: int
    base: str


def write_claim(out: Path, claim: Claim) -> None:
    """Write ``pull_request.json``; the first file of an artifact, so that a broken run still names its pull request."""
    Store(str(out)).write_json(CLAIM, {"number": claim.number, "base": claim.base})


def write_report(report: DecisionReport, out: Path, models: Mapping[str, SoilModel] | None = None) -> None:
    """Write a report with its plots into a folder, and the models that it is about."""
    from soil_assets.modeling.artifact import save

    store = Store(str(out))
    for name, content in report.images.items():
        store.write(name, content)
    store.write("report.md", report.markdown.encode())
    store.write("report.html", report.html.encode())
    store.write_json(REPORT, report.data)
    for prop, model in (models or {}).items():
        save(model, out / MODELS / prop)


def read_claim(place: Path) -> Claim:
    """Read the claim of an artifact: a folder, or a ZIP file that is never unpacked.

    Raises
    ------
    BadInput
        When the file is missing, a link, too large, not JSON, or names no pull request and commit.
    """
    raw = _object(place, CLAIM)
    number, base = raw.get("number"), raw.get("base")
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 2**31:
        raise BadInput(
            "not the number of a pull request",
            file=f"{place}/{CLAIM}",
            column="number",
            found=repr(number)[:80],
            expected="a whole number from 1",
        )
    if not isinstance(base, str) or not _COMMIT.fullmatch(base):
        raise BadInput(
            "not the commit that was compared with",
            file=f"{place}/{CLAIM}",
            column="base",
            found=repr(base)[:80],
            expected="40 hexadecimal digits, as soil change writes them",
        )
    return Claim(number, base)


def read_facts(place: Path) -> DecisionInputs:
    """Read the facts of an artifact's report.

    Raises
    ------
    BadInput
        When they are missing, too large, not JSON, or not the facts of a report.
    """
    facts = _object(place, REPORT).get("inputs")
    if not isinstance(facts, dict):
        raise BadInput("a report without the facts behind it", file=f"{place}/{REPORT}", column="inputs")
    return DecisionInputs.from_json(json.dumps(facts), f"{place}/{REPORT}")


def read_models(place: Path, properties: Iterable[str]) -> tuple[dict[str, SoilModel], dict[str, str]]:
    """Read the models of some properties: arrays and facts, no code.

    Returns
    -------
    models : dict of str to SoilModel
    reasons : dict of str to str
        By property without a readable model: why there is none.
    """
    from soil_assets.modeling.artifact import ARRAYS_FILE, FACTS_FILE, load

    models, reasons = {}, {}
    for prop in properties:
        try:
            with tempfile.TemporaryDirectory() as folder:
                for name, limit in ((FACTS_FILE, MAX_BYTES), (ARRAYS_FILE, MAX_MODEL_BYTES)):
                    content = _content(place, f"{MODELS}/{prop}/{name}", limit)
                    (Path(folder) / name).write_bytes(content)
                _within_when_unpacked(Path(folder) / ARRAYS_FILE)
                model = load(folder)
            if model.property != prop:
                raise BadInput("a model of another property", found=model.property, expected=prop)
        except BadInput as error:
            reasons[prop] = str(error)
        except Exception as error:  # noqa: BLE001  # arrays written by a stranger may break numpy anywhere
            reasons[prop] = f"its arrays cannot be read ({type(error).__name__})"
        else:
            models[prop] = model
    return models, reasons


def _within_when_unpacked(file: Path) -> None:
    """Refuse an archive that is larger unpacked than a model may be; numpy would read it whole."""
    try:
        with zipfile.ZipFile(file) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise BadInput("not the arrays of a model", file=file.name, found=str(error)[:120]) from None
    if size > MAX_MODEL_BYTES:
        raise BadInput(
            "a model too large to be one", found=f"{size:,} bytes", expected=f"at most {MAX_MODEL_BYTES:,}"
        )


def _object(place: Path, name: str) -> dict[str, Any]:
    content = _content(place, name, MAX_BYTES)
    try:
        # NaN and Infinity are no JSON: Python would read them.
        value = json.loads(content, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadInput("not JSON", file=f"{place}/{name}", found=str(error)[:120]) from None
    if not isinstance(value, dict):
        raise BadInput("not a JSON object", file=f"{place}/{name}", found=type(value).__name__)
    return value


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")


def _content(place: Path, name: str, limit: int) -> bytes:
    return _from_zip(place, name, limit) if place.is_file() else _from_folder(place, name, limit)


def _from_folder(place: Path, name: str, limit: int) -> bytes:
    file = place / name
    try:
        status = file.lstat()
    except OSError:
        raise _missing(place, name) from None
    links = [p for p in file.relative_to(place).parents if (place / p).is_symlink() and str(p) != "."]
    if not stat.S_ISREG(status.st_mode) or links:
        raise BadInput("not a plain file", file=str(file), mend="an artifact holds files, no links")
    _within(status.st_size, file, limit)
    return file.read_bytes()


def _from_zip(place: Path, name: str, limit: int) -> bytes:
    try:
        with zipfile.ZipFile(place) as archive, archive.open(name) as stream:
            # Read by counting, whatever the archive claims about itself.
            content = stream.read(limit + 1)
    except KeyError:
        raise _missing(place, name) from None
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
        raise BadInput(
            "not a ZIP archive that can be read", file=str(place), found=str(error)[:120]
        ) from None
    except Exception as error:  # noqa: BLE001  # decompressors raise their own kinds
        raise BadInput("a damaged archive", file=str(place), found=str(error)[:120]) from None
    _within(len(content), place, limit)
    return content


def _within(size: int, file: Path, limit: int) -> None:
    if size > limit:
        raise BadInput(
            "a file too large to be read from an artifact",
            file=str(file),
            found=f"{size:,} bytes",
            expected=f"at most {limit:,}",
        )


def _missing(place: Path, name: str) -> BadInput:
    return BadInput(
        "the artifact lacks a file",
        file=f"{place}/{name}",
        expected=f"{CLAIM} of soil change, {REPORT} and {MODELS}/ of soil report",
        mend="look at the run that should have written it",
    )
