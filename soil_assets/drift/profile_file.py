"""A reference profile as bytes: one zip of facts and arrays.

Belongs here: writing and reading it. Does not belong here: what a profile is (``profile``).
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from soil_assets.drift.features import Features
from soil_assets.drift.profile import SCHEMA_VERSION, ReferenceProfile
from soil_assets.errors import BadInput
from soil_assets.spectra.axis import Axis, AxisUnit


def dumps(profile: ReferenceProfile) -> bytes:
    """Return a profile as a zip of ``profile.json`` and numpy arrays; equal profiles give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        members = {"profile.json": json.dumps(profile.facts(), indent=1, sort_keys=True).encode()}
        for name, array in profile.arrays().items():
            stream = io.BytesIO()
            np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
            members[f"{name}.npy"] = stream.getvalue()
        for name in sorted(members):  # a fixed date and order keep the bytes reproducible
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, members[name])
    return buffer.getvalue()


def save(profile: ReferenceProfile, file: str | Path) -> Path:
    """Write a profile so that a reader sees all of it or nothing."""
    target = Path(file)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(target.name + ".part")
    temporary.write_bytes(dumps(profile))
    temporary.replace(target)
    return target


def load(file: str | Path) -> ReferenceProfile:
    """Read a profile that :func:`save` wrote.

    Raises
    ------
    BadInput
        When there is no such file, it is no profile, or it is of another schema.
    """
    source = Path(file)
    try:
        content = source.read_bytes()
    except FileNotFoundError:
        raise BadInput("no such reference profile", file=str(source), mend="fit and save one first") from None
    return loads(content, str(source))


def loads(content: bytes, file: str = "profile") -> ReferenceProfile:
    """Read a profile from bytes; nothing in them is ever executed.

    Raises
    ------
    BadInput
        When they are no profile, or one of another schema; ``file`` is named in the message.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            facts = json.loads(archive.read("profile.json"))
            _check_schema(facts, file)
            arrays = {
                name.removesuffix(".npy"): np.lib.format.read_array(
                    io.BytesIO(archive.read(name)), allow_pickle=False
                )
                for name in archive.namelist()
                if name.endswith(".npy")
            }
        return _profile(facts, arrays)
    except BadInput:
        raise
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, OSError, EOFError) as error:
        raise BadInput("not a reference profile", file=file, found=str(error)[:200]) from None


def _profile(facts: dict[str, Any], arrays: dict[str, Any]) -> ReferenceProfile:
    unit: AxisUnit = facts["axis_unit"]
    return ReferenceProfile(
        axis=Axis(arrays["axis"], unit),
        quantity=facts["quantity"],
        scale=facts["scale"],
        features=Features(arrays["raw"], arrays["broad"], arrays["sharp"], arrays["summaries"]),
        properties={name: arrays[f"property_{i}"] for i, name in enumerate(facts["properties"])},
        categories={name: arrays[f"category_{i}"] for i, name in enumerate(facts["categories"])},
        rows=arrays["rows"],
        groups=arrays["groups"],
        group_column=str(facts["group_column"]),
        envelope=arrays["envelope"],
        mean=arrays["mean"],
        loadings=arrays["loadings"],
        scales=arrays["scales"],
        n=int(facts["n"]),
        n_scans=int(facts["n_scans"]),
        n_left_out=int(facts["n_left_out"]),
        seed=int(facts["seed"]),
        reference_hash=str(facts["reference_hash"]),
    )


def _check_schema(facts: Any, file: str) -> None:
    version = facts.get("schema_version") if isinstance(facts, dict) else None
    if not isinstance(version, int) or "drift reference profile" not in str(facts.get("kind", "")):
        raise BadInput("not a reference profile", file=file, found=f"schema version {version!r}")
    if version > SCHEMA_VERSION:
        raise BadInput(
            "the reference profile was written by a newer version",
            file=file,
            found=f"schema version {version}",
            expected=f"at most {SCHEMA_VERSION}",
            mend="update soil_assets",
        )
    if version < SCHEMA_VERSION:
        raise BadInput(
            "the reference profile was fitted by an older version, whose features were others",
            file=file,
            found=f"schema version {version}",
            expected=f"schema version {SCHEMA_VERSION}",
            mend="fit it again: soil reference update --why ...",
        )
