"""The reference profile that batches are compared with: fitted once, kept by version, replaced by a person only.

Belongs here: where profiles and the record of each refresh are kept. Does not belong here: fitting (``drift.profile``).

``reference_profile/current.json`` names the profile in use with who fitted it, when and why; every record stays below
``reference_profile/records/``, every profile below ``reference_profile/profiles/``.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from soil_assets.defs.kept import kept
from soil_assets.defs.resources import Soil
from soil_assets.errors import BadInput

if TYPE_CHECKING:
    from soil_assets.drift.profile import ReferenceProfile
    from soil_assets.spectra.batch import SpectralBatch

_CURRENT = "reference_profile/current.json"
_PLATFORM = "the platform"
ASSET = "reference_profile"


def current_profile(
    soil: Soil, reference: SpectralBatch, instance: dg.DagsterInstance
) -> tuple[ReferenceProfile, list[str]]:
    """Return the profile in use and what a reader of its comparisons must know.

    The first call fits it. Later ones never do, whatever became of the golden reference: a yardstick that follows
    what it measures would hide every slow drift.

    Raises
    ------
    BadInput
        When the models' axis or quantity is no longer the profile's: nothing could be compared.
    """
    from soil_assets.drift.profile_file import loads

    record = current_record(soil)
    if record is None:
        record = refresh(soil, reference, who=_PLATFORM, why="the first profile of this platform")
        report_to_dagster(instance, record)
    key = f"reference_profile/profiles/{record['fingerprint']}.zip"
    profile = kept(
        ("profile", soil.data.where(key)), lambda: loads(soil.data.read(key), soil.data.where(key))
    )
    ours = (reference.axis, reference.quantity, reference.scale)
    if ours != (profile.axis, profile.quantity, profile.scale):
        raise BadInput(
            "the reference profile was fitted on another axis or quantity than the models see now",
            found=f"{profile.quantity}, {profile.axis.describe()}",
            expected=f"{reference.quantity}, {reference.axis.describe()}",
            mend='fit it again: soil reference update --why "..."',
        )
    notes = []
    if profile.reference_hash != reference.content_hash():
        notes.append(
            f"the golden reference is no longer the one behind profile {profile.fingerprint} of {record['when'][:10]}; "
            "a person refreshes it with: soil reference update --why"
        )
    missing = [p for p in soil.settings.properties if p not in profile.properties]
    if missing:
        notes.append(f"the profile does not know {', '.join(missing)}: not judged")
    return profile, notes


def current_record(soil: Soil) -> dict[str, Any] | None:
    """Return who fitted the profile in use, when and why; None before the first."""
    found: dict[str, Any] | None = soil.data.read_json(_CURRENT) if soil.data.exists(_CURRENT) else None
    return found


def records(soil: Soil) -> list[dict[str, Any]]:
    """Return the records of all refreshes, oldest first."""
    return [soil.data.read_json(key) for key in soil.data.files("reference_profile/records")]


def refresh(soil: Soil, reference: SpectralBatch, *, who: str, why: str) -> dict[str, Any]:
    """Fit the profile of the golden reference as it is now, keep it and use it from now on; return the record.

    Raises
    ------
    BadInput
        Without a reason, or when the reference is too small.
    """
    from soil_assets.drift.profile import fit_profile
    from soil_assets.drift.profile_file import dumps

    if not why.strip() or not who.strip():
        raise BadInput(
            "a refresh of the reference profile is recorded with a reason",
            column="why" if not why.strip() else "who",
            found="nothing",
            mend="give --why and --who",
        )
    settings = soil.settings
    kinds = [c for c in settings.categories if c in reference.samples]
    profile = fit_profile(
        reference, properties=settings.properties, categories=kinds, seed=settings.policy.drift.seed
    )
    before = current_record(soil)
    when = datetime.datetime.now(datetime.UTC)
    record = {
        "fingerprint": profile.fingerprint,
        "replaces": None if before is None else before["fingerprint"],
        "soils": profile.n,
        "scans": profile.n_scans,
        "properties": list(profile.properties),
        "categories": list(profile.categories),
        "reference_hash": profile.reference_hash,
        "reference": settings.reference,
        "who": who.strip(),
        "why": why.strip(),
        "when": when.isoformat(timespec="seconds"),
    }
    soil.data.write(f"reference_profile/profiles/{profile.fingerprint}.zip", dumps(profile))
    stamp = when.strftime("%Y%m%dT%H%M%S%f")
    soil.data.write_json(f"reference_profile/records/{stamp}-{profile.fingerprint}.json", record)
    soil.data.write_json(_CURRENT, record)
    return record


def report_to_dagster(instance: dg.DagsterInstance, record: dict[str, Any]) -> None:
    """Show a refresh in Dagster's catalogue, with who and why."""
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            ASSET,
            metadata={k: str(v) for k, v in record.items()},
            tags={"dagster/data_version": str(record["fingerprint"])},
        )
    )
