"""Does a model still do what it was registered with?

Belongs here: comparing figures measured today with those kept at registration. Does not belong here: measuring
(``evaluate``), and where the kept figures are (the registry).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

#: The same arrays through the same code differ by the order in which another BLAS adds up, and by no more than this.
TOLERANCE = 1e-4
#: What was kept as text for people has three significant digits.
TOLERANCE_OF_TEXT = 6e-3
#: Figures that are compared, in the property's unit but for ``n``.
FIGURES = ("n", "rmse", "me", "mae", "rpiq")


@dataclass(frozen=True)
class AsRegistered:
    """The figures of a registered version.

    Parameters
    ----------
    figures : mapping of str to float
        By measure; empty when none were kept.
    tolerance : float
        Share of a figure's size by which today's may differ.
    """

    figures: Mapping[str, float]
    tolerance: float = TOLERANCE


def kept_figures(tags: Mapping[str, str]) -> AsRegistered:
    """Read the figures out of a version's tags.

    Parameters
    ----------
    tags : mapping of str to str
        ``soil.benchmark_metrics`` (JSON, every measure), else ``soil.benchmark_rmse`` (such as ``4.32 % (n = 22)``),
        which older versions have alone. What cannot be read counts as not kept.
    """
    try:
        kept = json.loads(tags.get("soil.benchmark_metrics", "{}"))
        found = {k: float(v) for k, v in kept.items() if k in FIGURES and v is not None}
    except (ValueError, TypeError, AttributeError):
        found = {}
    if found:
        return AsRegistered(found)
    try:
        return AsRegistered(
            {"rmse": float(tags.get("soil.benchmark_rmse", "").split()[0])}, TOLERANCE_OF_TEXT
        )
    except (ValueError, IndexError):
        return AsRegistered({})


def differences(registered: AsRegistered, measured: Mapping[str, float]) -> list[str]:
    """Return in words every figure that is not what was registered.

    A mean error near zero is compared by the size of the RMSE: its own size does not tell how exactly it repeats.
    """
    scale = abs(registered.figures.get("rmse", 0.0))
    found = []
    for name in FIGURES:
        if name not in registered.figures:
            continue
        was, now = registered.figures[name], float(measured.get(name, math.nan))
        allowed = registered.tolerance * max(abs(was), scale if name == "me" else 0.0)
        if not abs(now - was) <= allowed:  # also where today's is not a number
            found.append(f"{name} is {now:.4g}, registered with {was:.4g}")
    return found
