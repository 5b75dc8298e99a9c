"""How each type of asset value becomes files, and back. Nothing here is pickled.

Belongs here: one pair of functions a type, imported when a value of that type is stored or read.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def encode(value: Any) -> tuple[str, dict[str, bytes]]:
    """Return the kind of a value and its files.

    Raises
    ------
    TypeError
        For a type that no codec knows.
    """
    from soil_assets.modeling.model import SoilModel
    from soil_assets.spectra.batch import SpectralBatch

    if isinstance(value, SpectralBatch):
        return "batch", {"batch.parquet": _batch_bytes(value)}
    if isinstance(value, SoilModel):
        return "model", _model_files(value)
    if isinstance(value, Mapping):
        return "json", {"value.json": _json_bytes(dict(value))}
    kind = _kind_of(value)
    return kind, _ENCODERS[kind](value)


def decode(kind: str, files: Mapping[str, bytes]) -> Any:
    """Return the value that ``encode`` took apart."""
    if kind == "batch":
        return _batch_from(files["batch.parquet"])
    if kind == "json":
        return json.loads(files["value.json"])
    if kind == "model":
        return _model_from(files)
    return _DECODERS[kind](files)


def _kind_of(value: Any) -> str:
    name = type(value).__name__
    kinds = {
        "Landed": "landed",
        "QualityResult": "quality",
        "DecisionReport": "report",
        "AdditiveFeatures": "features",
        "BatchStatistics": "statistics",
    }
    if name not in kinds:
        raise TypeError(f"no codec stores a value of type {name}")
    return kinds[name]


def _json_bytes(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()


def _batch_bytes(batch: Any) -> bytes:
    from soil_assets.spectra.parquet import to_parquet

    buffer = io.BytesIO()
    to_parquet(batch, buffer)
    return buffer.getvalue()


def _batch_from(content: bytes) -> Any:
    from soil_assets.spectra.parquet import from_parquet

    return from_parquet(io.BytesIO(content))


def _table_bytes(table: Any) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def table_from(content: bytes) -> Any:
    """Return a table from its file."""
    import pandas as pd

    return pd.read_parquet(io.BytesIO(content))


def _model_files(model: Any) -> dict[str, bytes]:
    from soil_assets.modeling.artifact import save

    with tempfile.TemporaryDirectory() as folder:
        save(model, folder)
        return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


def _model_from(files: Mapping[str, bytes]) -> Any:
    from soil_assets.modeling.artifact import load

    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        return load(folder)


def _landed_files(landed: Any) -> dict[str, bytes]:
    facts = {
        "landed": landed.landed,
        "lab_rows": landed.lab_rows,
        "notes": list(landed.notes),
        "unreadable": [vars(u) if hasattr(u, "__dict__") else u._asdict() for u in landed.unreadable],
    }
    files = {"landed.json": _json_bytes(facts)}
    if landed.batch is not None:
        files["batch.parquet"] = _batch_bytes(landed.batch)
    return files


def _landed_from(files: Mapping[str, bytes]) -> Any:
    from soil_assets.spectra.landed import Landed, Unreadable

    facts = json.loads(files["landed.json"])
    return Landed(
        batch=_batch_from(files["batch.parquet"]) if "batch.parquet" in files else None,
        unreadable=tuple(Unreadable(**u) for u in facts["unreadable"]),
        landed=facts["landed"],
        lab_rows=facts["lab_rows"],
        notes=tuple(facts["notes"]),
    )


def _report_files(report: Any) -> dict[str, bytes]:
    return {
        "report.md": report.markdown.encode(),
        "report.json": _json_bytes(report.data),
        **dict(report.images),
    }


def _report_from(files: Mapping[str, bytes]) -> Any:
    images = {n: c for n, c in files.items() if n not in ("report.md", "report.json")}
    return {
        "markdown": files["report.md"].decode(),
        "data": json.loads(files["report.json"]),
        "images": images,
    }


def accepted_from(content: bytes) -> Any:
    """Return the accepted scans of a validated batch from its file ``ACCEPTED_FILE`` alone."""
    return _batch_from(content)


def _quality_files(result: Any) -> dict[str, bytes]:
    facts = {
        "counts": dict(result.counts),
        "notes": list(result.notes),
        "checks": {name: vars(check) for name, check in result.checks.items()},
    }
    files = {
        "quality.json": _json_bytes(facts),
        ACCEPTED_FILE: _batch_bytes(result.accepted),
        **{f"{name}.parquet": _table_bytes(getattr(result, name)) for name in _QUALITY_TABLES},
    }
    if len(result.accepted):
        files[KNOWN_FILE] = _table_bytes(_index_of(result.accepted))
    if result.quarantined_batch is not None:
        files["quarantined_spectra.parquet"] = _batch_bytes(result.quarantined_batch)
    return files


def _quality_from(files: Mapping[str, bytes]) -> Any:
    from soil_assets.quality.gate import QualityResult
    from soil_assets.quality.outcomes import CheckOutcome

    facts = json.loads(files["quality.json"])
    spectra = files.get("quarantined_spectra.parquet")
    return QualityResult(
        accepted=_batch_from(files[ACCEPTED_FILE]),
        quarantined_batch=None if spectra is None else _batch_from(spectra),
        counts=facts["counts"],
        notes=tuple(facts["notes"]),
        checks={name: CheckOutcome(**check) for name, check in facts["checks"].items()},
        **{name: table_from(files[f"{name}.parquet"]) for name in _QUALITY_TABLES},
    )


def _index_of(accepted: Any) -> Any:
    """Return what later batches need to find scans of this one again, and ids used again: no spectra."""
    from pandas.api.types import is_float_dtype

    from soil_assets.quality.known import KnownSpectra
    from soil_assets.spectra.batch import KEY_COLUMNS

    samples = accepted.samples
    results = [
        c
        for c in samples.columns
        if c not in KEY_COLUMNS and is_float_dtype(samples[c]) and samples[c].notna().any()
    ]
    return KnownSpectra.of(accepted.with_samples(samples[["sample_id", *results]])).to_table()


def _arrays_files(value: Any) -> dict[str, bytes]:
    return {"arrays.npz": value.to_bytes()}


def _features_from(files: Mapping[str, bytes]) -> Any:
    from soil_assets.modeling.additive_features import AdditiveFeatures

    return AdditiveFeatures.from_bytes(files["arrays.npz"])


def _statistics_from(files: Mapping[str, bytes]) -> Any:
    from soil_assets.modeling.batch_statistics import BatchStatistics

    return BatchStatistics.from_bytes(files["arrays.npz"])


KNOWN_FILE = "known.parquet"
#: The accepted scans of a validated batch.
ACCEPTED_FILE = "accepted.parquet"
_QUALITY_TABLES = ("quarantine", "findings", "figures")
_ENCODERS: dict[str, Any] = {
    "landed": _landed_files,
    "quality": _quality_files,
    "report": _report_files,
    "features": _arrays_files,
    "statistics": _arrays_files,
}
_DECODERS: dict[str, Any] = {
    "landed": _landed_from,
    "quality": _quality_from,
    "report": _report_from,
    "features": _features_from,
    "statistics": _statistics_from,
}
