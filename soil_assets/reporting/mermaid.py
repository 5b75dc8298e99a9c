"""Charts as text, for a comment whose pictures have no host: GitHub draws Mermaid itself.

Belongs here: Mermaid's syntax. Does not belong here: pictures (``plots``), figures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from soil_assets.reporting.canvas import drawable

_BINS = 11


def error_chart(errors: Mapping[str, npt.ArrayLike], unit: str, title: str) -> str:
    """Return a chart of the errors' distribution: the candidate as bars, main as a line, in common bins.

    Parameters
    ----------
    errors : mapping of str to array_like
        By ``candidate`` and, where there is one, ``main``; values that are not finite are left out.
    unit, title : str
        Any text; all but letters, digits and harmless marks is dropped, since Mermaid has no escaping.

    Returns
    -------
    str
        Mermaid source, or an empty string without a finite error of the candidate.
    """
    kept = {name: _finite(values) for name, values in errors.items()}
    candidate = kept.get("candidate", np.empty(0))
    if not candidate.size:
        return ""
    everything = np.concatenate(list(kept.values()))
    # Symmetric about zero, so that a bias is seen as one.
    reach = float(np.abs(everything).max()) or 1.0
    edges = np.linspace(-reach, reach, _BINS + 1)
    middles = ", ".join(f'"{m:.2g}"' for m in (edges[:-1] + edges[1:]) / 2)
    main = kept.get("main", np.empty(0))
    words = f"{title} - bars candidate" + (", line main" if main.size else "")
    measured = "predicted - observed" + (f" in {_plain(unit)}" if unit and unit != "index" else "")
    lines = [
        "xychart-beta",
        f'    title "{_plain(words)}"',
        f'    x-axis "{measured}" [{middles}]',
        '    y-axis "share of samples in percent"',
        f"    bar [{_shares(candidate, edges)}]",
    ]
    if main.size:
        lines.append(f"    line [{_shares(main, edges)}]")
    return "\n".join(lines)


def _shares(values: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]) -> str:
    counts, _ = np.histogram(values, edges)
    return ", ".join(f"{100 * c / values.size:.1f}" for c in counts)


def _finite(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    array = np.ravel(np.asarray(values, dtype=np.float64))
    return array[drawable(array)]


def _plain(text: str) -> str:
    return re.sub(r"[^\w %.,()/-]", "", text)[:80]
