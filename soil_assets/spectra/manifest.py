"""``batch.yaml``: what a laboratory states about a batch.

Belongs here: the manifest's keys and their checks. Does not belong here: reading the batch (``spectra.landed``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from soil_assets.errors import BadInput
from soil_assets.spectra.axis import AxisUnit
from soil_assets.spectra.batch import Quantity, Scale
from soil_assets.spectra.readers.names import Template
from soil_assets.spectra.readers.scans import ReadOptions
from soil_assets.spectra.readers.source import Source

#: Names of the manifest inside a batch's folder.
MANIFEST_NAMES = ("batch.yaml", "batch.yml")
#: What a manifest may state: how to read, and facts about the whole batch.
_READING_KEYS: Mapping[str, tuple[str, ...] | None] = {
    "quantity": get_args(Quantity),
    "scale": get_args(Scale),
    "axis_unit": get_args(AxisUnit),
    "id_column": None,
    "spectra": None,
    "sheet": None,
    "file_names": None,
}
_FACT_KEYS = ("instrument", "operator", "date", "lab", "site", "title", "source", "licence", "note")
#: A manifest is a page of text.
_LARGEST = 1 << 20


@dataclass(frozen=True)
class Manifest:
    """What ``batch.yaml`` states.

    Parameters
    ----------
    options : ReadOptions
        ``quantity``, ``scale``, ``axis_unit``, ``id_column``, ``spectra``, ``sheet``, ``file_names``.
    units : mapping of str to str
        Unit of a property's column.
    facts : mapping of str to str
        ``instrument``, ``operator``, ``date``, ``lab``, ``site`` and free text about the whole batch.
    """

    options: ReadOptions = field(default_factory=ReadOptions)
    units: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)


def read_manifest(source: Source) -> Manifest:
    """Read ``batch.yaml``.

    Raises
    ------
    BadInput
        Naming the key, what stands there and what may stand there.
    """
    import yaml

    try:
        raw = _load(source.read(_LARGEST).decode("utf-8-sig")) or {}
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput("not valid YAML", file=source.name, found=" ".join(str(error).split())[:200]) from None
    if not isinstance(raw, dict):
        raise BadInput("a manifest is a mapping of keys", file=source.name, found=type(raw).__name__)
    reading: dict[str, Any] = {}
    units: dict[str, str] = {}
    facts: dict[str, str] = {}
    for key, value in raw.items():
        if key == "units" and isinstance(value, dict):
            units = {str(k): str(v) for k, v in value.items()}
        elif key in _READING_KEYS:
            allowed = _READING_KEYS[key]
            if value is not None and allowed and value not in allowed:
                raise BadInput(
                    "not a value the manifest may state",
                    file=source.name, column=key, found=repr(value), expected=" or ".join(allowed),
                )  # fmt: skip
            reading[key] = value if value is None else str(value)
            if key == "file_names" and value is not None:
                Template.parse(str(value))
        elif key in _FACT_KEYS and not isinstance(value, (dict, list)):
            if value is not None:
                facts[key] = str(value)
        else:
            raise BadInput(
                "unknown or malformed key in the manifest",
                file=source.name,
                column=str(key),
                found=repr(value)[:80],
                expected="one of " + ", ".join([*_READING_KEYS, "units", *_FACT_KEYS]),
                mend="mend the spelling or remove the key",
            )
    return Manifest(ReadOptions(**reading), units, facts)


def _load(text: str) -> Any:
    """Load YAML without anchors: a page of them can stand for any amount of data."""
    import yaml

    class Plain(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("anchors and aliases are not read")
            return super().compose_node(parent, index)

    return yaml.load(text, Loader=Plain)  # noqa: S506  (a SafeLoader, and stricter)
