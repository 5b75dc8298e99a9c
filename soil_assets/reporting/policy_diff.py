"""How two policies differ, and which way: a looser judge is told apart from a stricter one.

Belongs here: comparing policies key by key. Does not belong here: values or defaults (``config``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from soil_assets.config import Policy

Direction = Literal["looser", "stricter", "different"]


def _rising(before: Any, after: Any) -> Direction:
    return "looser" if after > before else "stricter"


def _falling(before: Any, after: Any) -> Direction:
    return "looser" if after < before else "stricter"


def _action(before: Any, after: Any) -> Direction:
    return "looser" if after == "warn" else "stricter"


def _neither(before: Any, after: Any) -> Direction:
    return "different"


# Fewer false alarms also means that more real drift goes by; a higher alpha makes intervals narrower, so that
# more comparisons 'can tell'. How often something is resampled, and from which seed, is neither.
_DIRECTIONS: Final[Mapping[str, Callable[[Any, Any], Direction]]] = {
    "quality.max_quarantined_share": _rising,
    "quality.min_accepted": _falling,
    "quality.clipped_share": _rising,
    "quality.noise_ratio": _rising,
    "quality.join_step": _rising,
    "quality.spike": _rising,
    "quality.shift_steps": _rising,
    "quality.water_spreads": _rising,
    "quality.co2_height": _rising,
    "quality.replicate_ratio": _rising,
    "quality.texture_sum_off": _rising,
    "quality.near_copy_distance": _falling,
    "drift.false_alarm_rate": _falling,
    "drift.min_samples": _rising,
    "drift.when_drift": _action,
    "drift.when_not_judged": _action,
    "drift.when_harmful": _action,
    "model.min_rpiq": _falling,
    "model.margin": _rising,
    "model.alpha": _rising,
    "model.when_cannot_tell": _action,
}


@dataclass(frozen=True)
class Difference:
    """One key whose value differs."""

    key: str
    before: Any
    after: Any
    direction: Direction

    def __str__(self) -> str:
        return f"{self.key}: {_shown(self.before)} -> {_shown(self.after)} ({self.direction})"


def policy_differences(before: Policy, after: Policy) -> tuple[Difference, ...]:
    """Return the keys whose values differ, in the policy's own order.

    Parameters
    ----------
    before, after : Policy
        Main's and the change's.

    Returns
    -------
    tuple of Difference
        ``direction`` says whether more would pass (``looser``) or less; ``different`` where neither is sure.
    """
    old, new = _flat(before), _flat(after)
    return tuple(
        Difference(key, old[key], new[key], _DIRECTIONS.get(key, _neither)(old[key], new[key]))
        for key in old
        if old[key] != new[key]
    )


def as_diff(differences: tuple[Difference, ...]) -> str:
    """Return the differences as the body of a ``diff`` block."""
    lines = []
    for d in differences:
        lines += [f"-{d.key}: {_shown(d.before)}", f"+{d.key}: {_shown(d.after)}  # {d.direction}"]
    return "\n".join(lines)


def _flat(policy: Policy) -> dict[str, Any]:
    sections = policy.model_dump()
    return {f"{name}.{key}": value for name, section in sections.items() for key, value in section.items()}


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
