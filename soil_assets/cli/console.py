"""What every command shares: where it prints, how it says what is wrong, which folders it works in.

Belongs here: output, exit codes, environment. Does not belong here: what a command does.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from soil_assets.errors import BadInput

GATE_FAILED = 1
BAD_INPUT = 2

AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output, for machines.")
]


class GateFailed(Exception):
    """A gate said no: exit code 1, after the result was printed."""


def say(text: str = "") -> None:
    """Print for a person, on standard error when standard output carries JSON."""
    print(text, file=sys.stderr)  # noqa: T201


def show(text: str = "") -> None:
    """Print a result for a person, on standard output."""
    print(text)  # noqa: T201


def show_json(value: Any) -> None:
    """Print the JSON object."""
    print(json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False))  # noqa: T201


def show_table(header: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None) -> None:
    """Print a table for a person; long words wrap instead of being cut."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", header_style="bold")
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    width = None if sys.stdout.isatty() else 160
    Console(width=width).print(table)


@contextmanager
def explained() -> Iterator[None]:
    """Turn what went wrong into a message and an exit code; a person never sees a traceback for their input."""
    try:
        yield
    except BadInput as error:
        _fail(error.to_dict() if _wants_json() else None, f"bad input: {error}", BAD_INPUT)
    except GateFailed as error:
        if str(error):
            say(f"gate failed: {error}")
        raise SystemExit(GATE_FAILED) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(0) from None
    except OSError as error:  # a file that is not there, a full disk, an address that does not answer
        what = error.strerror or str(error) or type(error).__name__
        said = {"what": what, "file": error.filename}
        place = f"{error.filename}: " if error.filename else ""
        _fail(said if _wants_json() else None, f"bad input: {place}{what}", BAD_INPUT)


def prepare_environment() -> None:
    """Settle the folders that dagster.yaml and soil.yaml refer to, so that ``soil`` works without exports."""
    warnings.filterwarnings("ignore")  # a person who runs a command cannot mend a library's deprecation
    warnings.filterwarnings("default", message=r".*move policy\.model", category=FutureWarning)
    home = Path(os.environ.setdefault("SOIL_HOME", str(Path(".soil").absolute()))).absolute()
    os.environ["SOIL_HOME"] = str(home)
    storage = Path(os.environ.setdefault("SOIL_DAGSTER_STORAGE", str(home / "dagster")))
    storage.mkdir(parents=True, exist_ok=True)
    if not os.environ.get("DAGSTER_HOME"):
        checkout = Path(__file__).resolve().parent.parent.parent
        here = [p for p in (Path.cwd(), checkout) if (p / "dagster.yaml").is_file()]
        os.environ["DAGSTER_HOME"] = str(here[0] if here else storage)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


def _wants_json() -> bool:
    return "--json" in sys.argv


def _fail(facts: dict[str, Any] | None, text: str, code: int) -> NoReturn:
    if facts is not None:
        show_json({"error": facts})
    say(text)
    raise SystemExit(code)


def _plain(value: Any) -> Any:
    """Return what JSON can hold; figures that are not finite become null."""
    import math

    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(v) for v in value]
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int, bool)):
        return value
    return None if str(value) in ("<NA>", "NaT", "nan") else str(value)
