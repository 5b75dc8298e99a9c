"""What the findings mean for the batch as a whole: one outcome an asset check.

Belongs here: the policy's shares applied to findings. Does not belong here: judging single scans.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from soil_assets.quality.expectations import CHECKS, Check, Severity
from soil_assets.quality.findings import FILE, WHOLE_BATCH
from soil_assets.quality_policy import QualityPolicy


@dataclass(frozen=True)
class CheckOutcome:
    """Outcome of one check.

    Parameters
    ----------
    passed : bool
        Whether the check found nothing at all.
    severity : {"critical", "warning"}
        ``critical``: the batch as a whole is refused. ``warning``: it goes on without its quarantined scans.
    quarantined, warned : int
        Scans (or files) that the check quarantined, and that it only warned about.
    rules : int
        Rules that were evaluated; a check without any judged nothing and says so.
    summary : str
        One sentence.
    """

    passed: bool
    severity: Severity
    quarantined: int
    warned: int
    rules: int
    summary: str


def check_outcomes(
    findings: pd.DataFrame, counts: Mapping[str, int], policy: QualityPolicy, rules: Mapping[Check, int]
) -> dict[Check, CheckOutcome]:
    """Return an outcome for each of :data:`CHECKS`.

    A check that quarantined something is critical when it alone, or all checks together, quarantined more
    than ``policy.max_quarantined_share`` of what landed, or when fewer than ``policy.min_accepted`` scans are
    left.
    """
    landed = counts["landed"]
    too_many = landed > 0 and counts["quarantined"] > policy.max_quarantined_share * landed
    too_few = counts["accepted"] < policy.min_accepted
    outcomes: dict[Check, CheckOutcome] = {}
    for check in CHECKS:
        mine = findings[findings["check"] == check]
        critical = mine[mine["severity"] == "critical"]
        quarantined = _scans(critical)
        warned = _scans(mine) - quarantined
        refused = quarantined > 0 and (too_many or too_few)
        if check == "schema" and landed < policy.min_accepted:
            refused = True  # nothing landed, so no other check has anything to refuse
        outcomes[check] = CheckOutcome(
            passed=mine.empty and not refused,
            severity="critical" if refused else "warning",
            quarantined=quarantined,
            warned=warned,
            rules=rules.get(check, 0),
            summary=_summary(mine, quarantined, warned, counts, refused, rules.get(check, 0)),
        )
    return outcomes


def _scans(findings: pd.DataFrame) -> int:
    scans = findings.loc[findings["position"] >= 0, "position"]
    return int(np.unique(scans.to_numpy(dtype=np.int64)).size + (findings["position"] == FILE).sum())


def _summary(
    findings: pd.DataFrame,
    quarantined: int,
    warned: int,
    counts: Mapping[str, int],
    refused: bool,
    rules: int,
) -> str:
    landed = counts["landed"]
    if not landed:
        return "nothing landed" if refused else "not judged: nothing landed"
    if not rules and findings.empty:
        return "not judged: the batch carries nothing that this check looks at"
    if findings.empty:
        return f"all {landed} scans pass" if not refused else f"only {landed} scans landed"
    tally = findings["rule"].value_counts(sort=False)
    named = ", ".join(f"{rule} {count}" for rule, count in tally.items())
    parts = [f"{quarantined} of {landed} quarantined"] if quarantined else []
    if warned:
        parts.append(f"{warned} with warnings")
    if (findings["position"] == WHOLE_BATCH).any():
        parts.append("the batch as a whole in doubt")
    tail = f"; the batch is refused: {counts['accepted']} of {landed} scans are left" if refused else ""
    return f"{', '.join(parts)} ({named}){tail}"
