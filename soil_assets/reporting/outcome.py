"""What one property's comparison says, believed only when its figures are there and its judge is ours.

Belongs here: reading a comparison's verdict with distrust. Does not belong here: what follows (``rules``).
"""

from __future__ import annotations

from soil_assets.config import ModelPolicy
from soil_assets.reporting.decision_inputs import PropertyResult
from soil_assets.reporting.numerals import NOT_JUDGED, finite


def outcome(result: PropertyResult, policy: ModelPolicy) -> str:
    """Say how the candidate of one property compares: the comparison's verdict, or ``not judged``.

    A verdict is not believed that stands without finite figures, or that was reached by another margin or
    another confidence than the policy's: a change cannot loosen its own judge.
    """
    comparison = result.comparison or {}
    if result.candidate is None:
        return "no candidate"
    if result.main is None and comparison.get("verdict") == "first version":
        return "first version"
    found = comparison.get("rmse_difference")
    if not isinstance(found, list) or len(found) != 3 or any(finite(v) is None for v in found):
        # With fewer than three groups nothing can be resampled: said as such, without an interval.
        return "cannot tell" if comparison.get("verdict") == "cannot tell" else NOT_JUDGED
    for key, wanted in (("margin", policy.margin), ("alpha", policy.alpha)):
        used = finite(comparison.get(key))
        if used is None or abs(used - wanted) > 1e-12:
            return NOT_JUDGED
    verdict = comparison.get("verdict")
    return verdict if verdict in ("better", "not worse", "worse", "cannot tell") else NOT_JUDGED
