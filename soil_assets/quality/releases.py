"""Releases: a person lets a quarantined scan go on, and the next run of the gate knows it.

Belongs here: recording a release and applying it to findings. Does not belong here: where releases are kept.

A release names a scan by its content (spectrum and sample id), what it may break, who released it and
why. The next run of the gate finds the scan again by that content; a rule that the release does not name
still holds it.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from soil_assets.errors import BadInput
from soil_assets.quality.duplicates import fingerprints
from soil_assets.quality.quarantine import show_quarantine
from soil_assets.spectra.batch import SpectralBatch

#: Rules that no release can lift: the scan could not be placed on the model's axis, or has no sample.
NEVER_RELEASED = frozenset(
    {"unreadable_file", "missing_bands", "covers_model_range", "id_missing", "id_unsafe"}
)


@dataclass(frozen=True)
class Release:
    """A person's decision to let a quarantined scan go on.

    Parameters
    ----------
    scan_key : str
        The scan's content (:func:`scan_keys`).
    sample_id : str
        Its sample, for people.
    faults : tuple of str
        What it may break: ``rule:column``, such as ``impossible_value:clay``.
    who, why : str
        Name and reason.
    when : str
        ISO 8601, UTC.
    """

    scan_key: str
    sample_id: str
    faults: tuple[str, ...]
    who: str
    why: str
    when: str


def scan_keys(batch: SpectralBatch) -> list[str]:
    """Return a key for each scan from its spectrum as landed and its sample id: equal content, equal key."""
    ids = batch.samples["sample_id"]
    texts = ["" if missing else str(i) for i, missing in zip(ids, ids.isna(), strict=True)]
    prints = fingerprints(batch.spectra)
    return [
        hashlib.blake2b(
            (spectrum or b"none") + text.encode("utf-8", "surrogatepass"), digest_size=12
        ).hexdigest()
        for spectrum, text in zip(prints, texts, strict=True)
    ]


def release(
    quarantine: pd.DataFrame, *, samples: Iterable[str], who: str, why: str, when: datetime.datetime
) -> list[Release]:
    """Record that scans of the given samples may go on.

    Parameters
    ----------
    quarantine : DataFrame
        Of the gate.
    samples : iterable of str
        Sample ids, all scans of each.
    who, why : str
        Name and reason; neither may be empty.
    when : datetime
        With a time zone.

    Raises
    ------
    BadInput
        When a name or reason is missing, a sample is not in the quarantine, or a rule cannot be released.
    """
    for name, text in (("who", who), ("why", why)):
        if not text.strip():
            raise BadInput(
                "a release is recorded with who and why", column=name, found="nothing", mend=f"give {name}"
            )
    if when.tzinfo is None:
        raise ValueError("a release is dated with a time zone")
    chosen = show_quarantine(quarantine, samples=samples)
    releases = []
    for _, row in chosen.iterrows():
        fixed = sorted(NEVER_RELEASED & set(str(row["rules"]).split("; ")))
        if fixed:
            raise BadInput(
                "this scan cannot be released",
                file=None if pd.isna(row["source_file"]) else str(row["source_file"]),
                row=None if pd.isna(row["row"]) else str(row["row"]),
                column=", ".join(fixed),
                found=str(row["found"]),
                expected=str(row["expected"]),
                mend=str(row["mend"]),
            )
        stamp = when.astimezone(datetime.UTC).isoformat(timespec="seconds")
        faults = tuple(str(row["faults"]).split("; "))
        key, sample = str(row["scan_key"]), str(row["sample_id"])
        releases.append(Release(key, sample, faults, who.strip(), why.strip(), stamp))
    return releases


def apply_releases(
    findings: pd.DataFrame, keys: Sequence[str], releases: Sequence[Release]
) -> tuple[pd.DataFrame, int]:
    """Turn critical findings that a person released into warnings that say so.

    Parameters
    ----------
    findings : DataFrame
        With ``position``.
    keys : sequence of str
        :func:`scan_keys` of the batch.
    releases : sequence of Release

    Returns
    -------
    (DataFrame, int)
        The findings, and how many scans they let go on.
    """
    if not releases:
        return findings, 0
    allowed = {(r.scan_key, fault): r for r in releases for fault in r.faults}
    out = findings.copy()
    severity, found = (findings[c].to_numpy(dtype=object, copy=True) for c in ("severity", "found"))
    let_go = set()
    for i in np.flatnonzero(((findings["severity"] == "critical") & (findings["position"] >= 0)).to_numpy()):
        position = int(findings["position"].iloc[int(i)])
        rule, column = (str(findings[c].iloc[int(i)]) for c in ("rule", "column"))
        granted = allowed.get((keys[position], f"{rule}:{column}"))
        if granted is not None and rule not in NEVER_RELEASED:
            severity[i] = "warning"
            found[i] = f"{found[i]} (released by {granted.who}: {granted.why})"
            let_go.add(position)
    out["severity"], out["found"] = severity, found
    held = out.loc[(out["severity"] == "critical") & (out["position"] >= 0), "position"]
    return out, len(let_go - set(held.astype(int)))
