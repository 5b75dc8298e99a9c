"""How a figure is written: one rule for Markdown, HTML, plots and JSON, so that they agree to the digit.

Belongs here: rounding and the words for a figure that is missing. Does not belong here: computing figures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

#: What stands where a figure is missing or not finite. It never reads as a pass.
NOT_JUDGED = "not judged"
#: From here on a figure is written with an exponent: it is absurd anyway, and must not fill the page.
_PLAIN = 1e9


def finite(value: object) -> float | None:
    """Return ``value`` as float, or None when it is missing, not a number, NaN or infinite."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def decimals_for(values: Iterable[object], significant: int = 3) -> int:
    """Return the decimals that give the largest of ``values`` that many significant digits (0 to 6)."""
    sizes = [abs(v) for v in map(finite, values) if v]
    if not sizes:
        return 2
    return min(max(significant - 1 - math.floor(math.log10(max(sizes))), 0), 6)


def fixed(value: object, decimals: int, *, sign: bool = False) -> str:
    """Write ``value`` with fixed decimals; a rounded zero never carries a minus sign."""
    number = finite(value)
    if number is None:
        return NOT_JUDGED
    if abs(number) >= _PLAIN:
        return f"{number:+.3g}" if sign else f"{number:.3g}"
    text = f"{number:+.{decimals}f}" if sign else f"{number:.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text


def span(low: object, high: object, decimals: int, *, sign: bool = False) -> str:
    """Write an interval as ``low..high``."""
    if finite(low) is None or finite(high) is None:
        return NOT_JUDGED
    return f"{fixed(low, decimals, sign=sign)}..{fixed(high, decimals, sign=sign)}"


def percent(share: object, decimals: int = 0) -> str:
    """Write a share (0..1) in percent, without the sign's space being a line break."""
    number = finite(share)
    return NOT_JUDGED if number is None else f"{fixed(100 * number, decimals)} %"


def count(number: int, singular: str, plural: str | None = None) -> str:
    """Write ``1 scan``, ``2 scans``."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"
