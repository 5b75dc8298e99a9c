"""Official benchmarks: a YAML definition with split, checksum, licence and where a user gets the data.

Belongs here: reading definitions, finding their files, refusing files that are not the ones that were frozen,
and the ledger of looks. Does not belong here: the data (never in the repository) and the learners.

Files are looked for below the folder that ``SOIL_BENCHMARK_DATA`` names, else below ``../shared``.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soil_assets.errors import BadInput

_SHIPPED = Path(__file__).parent / "definitions"
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class CheckedFile(BaseModel):
    """A file beside the spectra, with its checksum."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    sha256: Sha256
    what: str = ""


class OfficialBenchmark(BaseModel):
    """One definition; ``source`` is a path below the data folder, or ``limesoda:*`` for the installed package.

    A definition of one's own names a Parquet or CSV file with a row a sample, bands in columns named by their
    position, and the columns that ``targets``, ``fold``, ``group`` and ``sensors`` name. The value of a target is
    ``none``, ``log1p`` or ``logit`` (the scale on which errors are scored) or its unit. Rows whose fold is
    ``never_predicted`` only train. ``published`` is a CSV file with columns ``target`` and ``rmse``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    source: str
    sha256: Sha256 | None = None
    obtain: str
    licence: str
    citation: str
    split: str
    targets: dict[str, str] = Field(default_factory=dict)
    quantity: Literal["absorbance", "reflectance"] = "absorbance"
    fold: str | None = None
    never_predicted: str | None = None
    group: str | None = None
    sensors: tuple[str, ...] = ()
    laboratory: CheckedFile | None = None
    published: CheckedFile | None = None


def names() -> list[str]:
    """Return the names of the shipped definitions."""
    return sorted(p.stem for p in _SHIPPED.glob("*.yaml"))


def definition(name: str) -> OfficialBenchmark:
    """Return a shipped definition, or the one in the YAML file that ``name`` is the path of.

    Raises
    ------
    BadInput
        When there is none, or it is not valid.
    """
    import yaml

    file = Path(name) if name.endswith((".yaml", ".yml")) else _SHIPPED / f"{name}.yaml"
    if not file.is_file() or (file.parent == _SHIPPED and file.stem not in names()):
        raise BadInput("no such benchmark", found=name, expected=", ".join(names()))
    try:
        return OfficialBenchmark.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        raise BadInput("not a valid benchmark definition", file=str(file), found=str(error)) from None


def data_file(path: str, sha256: str | None) -> Path:
    """Return a benchmark's file, its content checked.

    Raises
    ------
    BadInput
        When the path leaves the data folder, the file is not there, or it is not the one that was frozen.
    """
    root = Path(os.environ.get("SOIL_BENCHMARK_DATA", "../shared"))
    file = root / path
    if not file.resolve().is_relative_to(root.resolve()):
        raise BadInput("a benchmark's file must lie inside the data folder", file=path)
    if not file.is_file():
        raise BadInput(
            "the benchmark's data are not here",
            file=str(file),
            mend="see 'obtain' in its definition, and point SOIL_BENCHMARK_DATA to the folder",
        )
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if sha256 is not None and found != sha256:
        raise BadInput("not the file that was frozen", file=str(file), found=found, expected=sha256)
    return file


def earlier_looks() -> list[dict[str, Any]]:
    """Return the variants that were scored on the benchmarks while the recipe was made, with what followed."""
    import yaml

    looks = yaml.safe_load((_SHIPPED.parent / "looks.yaml").read_text(encoding="utf-8"))
    return [dict(look) for look in looks]


@dataclass
class Ledger:
    """Every look at a benchmark's test samples in one run: what was scored, with which recipe, and why."""

    looks: list[dict[str, Any]] = field(default_factory=list)

    def look(self, benchmark: str, task: str, recipe: str, why: str) -> None:
        """Write one look down."""
        self.looks.append({"benchmark": benchmark, "task": task, "recipe": recipe, "why": why})

    def summary(self) -> list[dict[str, Any]]:
        """Return looks counted by benchmark, recipe and reason."""
        counted: dict[tuple[str, str, str], int] = {}
        for look in self.looks:
            key = (look["benchmark"], look["recipe"], look["why"])
            counted[key] = counted.get(key, 0) + 1
        return [{"benchmark": b, "recipe": r, "why": w, "looks": n} for (b, r, w), n in counted.items()]
