"""Frozen sets: the golden reference and the official benchmark, defined by a YAML file with a checksum.

Belongs here: finding a definition, reading its source, and refusing data that are not the ones that were frozen.
Does not belong here: the data themselves, which stay where the definition says they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soil_assets.errors import BadInput

if TYPE_CHECKING:  # a definition is read when the code location loads; spectra are not
    from soil_assets.spectra.batch import SpectralBatch

_SHIPPED = Path(__file__).parent / "frozen"


class FrozenSet(BaseModel):
    """One definition.

    ``source`` is ``limesoda:<set>`` or the path or URL of a Parquet batch, relative to the definition's folder.
    ``folds`` takes those folds of the source only. ``sha256`` is the content hash of the raw batch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Literal["reference", "benchmark"]
    title: str
    source: str
    folds: tuple[int, ...] = ()
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    samples: int
    instrument: str
    licence: str
    citation: str


def definition(name: str) -> FrozenSet:
    """Return the definition ``name`` (shipped), or the one in the YAML file that ``name`` is the path of.

    Raises
    ------
    BadInput
        When there is none, or it is not valid.
    """
    file = _file(name)
    import yaml

    try:
        return FrozenSet.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        raise BadInput("not a valid definition of a frozen set", file=str(file), found=str(error)) from None


def shipped() -> list[str]:
    """Return the names of the definitions that come with the package."""
    return sorted(p.stem for p in _SHIPPED.glob("*.yaml"))


def load_frozen(name: str) -> SpectralBatch:
    """Return the frozen set ``name`` as it was measured.

    Raises
    ------
    BadInput
        When the data behind the definition are not the ones that were frozen.
    """
    chosen = definition(name)
    batch = _read(chosen, _file(name).parent)
    found = batch.content_hash()
    if found != chosen.sha256:
        raise BadInput(
            f"the data behind the frozen set {chosen.name!r} are not the ones that were frozen",
            file=str(_file(name)),
            found=f"sha256 {found}",
            expected=f"sha256 {chosen.sha256}",
            mend="restore the source; to freeze other data, make a definition with another name",
        )
    return batch


def _read(chosen: FrozenSet, folder: Path) -> SpectralBatch:
    kind, _, rest = chosen.source.partition(":")
    if kind == "limesoda":
        from soil_assets.spectra.embedded import limesoda

        batch = limesoda(rest)
    else:
        from soil_assets.spectra.parquet import from_parquet

        source = chosen.source if "://" in chosen.source else str(folder / chosen.source)
        batch = from_parquet(source)
    if chosen.folds:
        batch = batch.take(batch.samples["fold"].isin(list(chosen.folds)).to_numpy())
    return batch


def _file(name: str) -> Path:
    file = Path(name) if name.endswith((".yaml", ".yml")) else _SHIPPED / f"{name}.yaml"
    if not file.is_file():
        known = ", ".join(shipped())
        raise BadInput("no such frozen set", found=name, expected=f"{known}, or the path of a definition")
    return file
