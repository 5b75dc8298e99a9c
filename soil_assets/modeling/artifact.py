"""A model as two files: ``model.json`` (facts, schema version, checksum) and ``arrays.npz`` (numbers).

Belongs here: writing and reading them. No code is stored and none is run: no pickle, no object arrays.
Does not belong here: registries (``adapters``).
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from soil_assets.errors import BadInput
from soil_assets.modeling.applicability import ApplicabilityDomain
from soil_assets.modeling.difficulty import Difficulty
from soil_assets.modeling.model import SoilModel
from soil_assets.modeling.predictors import predictor_from_parts
from soil_assets.spectra.axis import Axis

#: 2: intervals scaled by a difficulty; a model of schema 1 has the same width everywhere inside its domain.
SCHEMA_VERSION = 2
FACTS_FILE, ARRAYS_FILE = "model.json", "arrays.npz"
_EPOCH = (1980, 1, 1, 0, 0, 0)


def save(model: SoilModel, folder: str | Path) -> Path:
    """Write a model into ``folder``, each file to a temporary name first; equal models give equal bytes.

    Returns
    -------
    Path
        The folder.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    arrays = {
        "axis": model.axis.values,
        "importance": model.importance,
        **{f"predictor/{k}": v for k, v in model.predictor.arrays().items()},
        **{f"domain/{k}": v for k, v in model.domain.arrays().items()},
        **{f"difficulty/{k}": v for k, v in model.difficulty.arrays().items()},
    }
    packed = pack(arrays)
    facts = {
        "schema_version": SCHEMA_VERSION,
        "arrays_sha256": hashlib.sha256(packed).hexdigest(),
        "property": model.property,
        "label": model.label,
        "unit": model.unit,
        "method": model.method,
        "transform": model.transform,
        "limits": [_plain(v) for v in model.limits],
        "axis_unit": model.axis.unit,
        "quantity": model.quantity,
        "half_widths": [[level, _plain(model.half_widths[level])] for level in model.levels],
        "predictor": model.predictor.facts(),
        "domain": model.domain.facts(),
        "training": dict(model.training),
        "recipe": dict(model.recipe),
        "sensors": list(model.sensors),
    }
    facts["facts_sha256"] = _facts_digest(facts)
    text = json.dumps(facts, indent=1, sort_keys=True, allow_nan=False)
    _replace(target / ARRAYS_FILE, packed)
    _replace(target / FACTS_FILE, text.encode())
    return target


def load(folder: str | Path) -> SoilModel:
    """Read a model back; it predicts exactly what the saved one did.

    Raises
    ------
    BadInput
        When a file is missing, unreadable, altered, or of a newer schema.
    """
    source = Path(folder)
    facts = _read_facts(source / FACTS_FILE)
    file = source / ARRAYS_FILE
    try:
        packed = file.read_bytes()
    except OSError as error:
        raise BadInput("the model's arrays cannot be read", file=str(file), found=str(error)) from None
    if hashlib.sha256(packed).hexdigest() != facts["arrays_sha256"]:
        raise _tampered(file)
    try:
        with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        parts = {
            part: {k.split("/", 1)[1]: v for k, v in arrays.items() if k.startswith(part + "/")}
            for part in ("predictor", "domain", "difficulty")
        }
        return SoilModel(
            property=facts["property"],
            label=facts["label"],
            unit=facts["unit"],
            method=facts["method"],
            transform=facts["transform"],
            limits=(_number(facts["limits"][0]), _number(facts["limits"][1])),
            axis=Axis(arrays["axis"], facts["axis_unit"]),
            quantity=facts["quantity"],
            predictor=predictor_from_parts(facts["predictor"], parts["predictor"]),
            half_widths={float(level): _number(half) for level, half in facts["half_widths"]},
            domain=ApplicabilityDomain.from_parts(facts["domain"], parts["domain"]),
            importance=arrays["importance"],
            training=facts["training"],
            recipe=facts["recipe"],
            sensors=tuple(facts.get("sensors", ())),
            difficulty=Difficulty(**parts["difficulty"]) if parts["difficulty"] else Difficulty.constant(),
        )
    except (KeyError, TypeError, IndexError, zipfile.BadZipFile) as error:
        raise BadInput(
            "the model file is incomplete", file=str(source), found=f"{type(error).__name__}: {error}"
        ) from None


def _read_facts(file: Path) -> dict[str, Any]:
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput("the model file cannot be read", file=str(file), found=str(error)) from None
    except ValueError as error:
        raise BadInput("the model file is not valid JSON", file=str(file), found=str(error)) from None
    if not isinstance(facts, dict) or not isinstance(facts.get("schema_version"), int):
        raise BadInput("not a model file: it has no schema_version", file=str(file))
    version = facts["schema_version"]
    if version > SCHEMA_VERSION:
        raise BadInput(
            "the model file is of a newer schema",
            file=str(file),
            found=f"schema {version}",
            expected=f"at most {SCHEMA_VERSION}",
            mend="use a newer version of soil_assets, or train the model again",
        )
    claimed = facts.pop("facts_sha256", None)
    if claimed != _facts_digest(facts) or not isinstance(facts.get("arrays_sha256"), str):
        raise _tampered(file)
    return facts


def _tampered(file: Path) -> BadInput:
    return BadInput(
        "the model file was altered after it was written",
        file=str(file),
        expected="the checksum in model.json",
        mend="take the model from the registry again; do not edit its files",
    )


def _facts_digest(facts: dict[str, Any]) -> str:
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def pack(arrays: dict[str, Any], *, compressed: bool = True) -> bytes:
    """Write an npz whose bytes depend on the arrays alone (numpy's own writer stamps the time)."""
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(arrays[name], order="C"), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            info.compress_type = method
            archive.writestr(info, member.getvalue())
    return buffer.getvalue()


def _replace(file: Path, content: bytes) -> None:
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(file)


def _plain(value: float) -> float | str:
    """JSON has no infinity."""
    return value if math.isfinite(value) else ("inf" if value > 0 else "-inf")


def _number(value: float | str) -> float:
    return float(value)
