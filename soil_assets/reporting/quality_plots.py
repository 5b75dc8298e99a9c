"""Pictures of the quality gate's figures.

Belongs here: drawing them. Does not belong here: computing them (``quality.figures``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.reporting.canvas import BLUE, ORANGE, cut, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DOTS = 2000


def quality_strips(
    figures: pd.DataFrame, quarantined: npt.ArrayLike, title: str = "Quality figures"
) -> bytes:
    """Draw each quality figure as a strip of dots, one a scan, scans in quarantine standing out.

    Parameters
    ----------
    figures : DataFrame, one row a scan
        Numeric columns; each gets its own strip and its own scale, from its lowest to its highest value.
    quarantined : array_like of bool, shape (n_scans,)
        Which scans are in quarantine.
    """

    def draw(ax: Axes) -> None:
        marked = np.asarray(quarantined, dtype=bool)
        for row, column in enumerate(reversed(list(figures.columns))):
            values = np.asarray(figures[column], dtype=np.float64)
            known = np.isfinite(values)
            if not known.any():
                continue
            low, high = float(values[known].min()), float(values[known].max())
            x = (values - low) / ((high - low) or 1.0)
            jitter = row + ((np.arange(x.size) * 0.6180339887) % 1 - 0.5) * 0.4
            for mask, colour, style, size in ((~marked, BLUE, "o", 2.6), (marked, ORANGE, "D", 4.5)):
                chosen = np.flatnonzero(mask & known)
                if chosen.size > _DOTS:
                    # The extremes stay; from the crowd between them a part is enough.
                    order = chosen[np.argsort(x[chosen])]
                    chosen = order[np.unique(np.linspace(0, order.size - 1, _DOTS).astype(int))]
                ax.plot(
                    x[chosen],
                    jitter[chosen],
                    style,
                    color=colour,
                    markersize=size,
                    alpha=0.7,
                    markeredgewidth=0,
                )
            ax.text(0, row + 0.28, f"{low:.3g}", ha="left", fontsize=8.5)
            ax.text(1, row + 0.28, f"{high:.3g}", ha="right", fontsize=8.5)
        names = [str(c).replace("_", " ") for c in reversed(list(figures.columns))]
        ax.set_yticks(range(len(names)), names)
        ax.set_xticks([])
        ax.set_ylim(-0.5, len(names) - 0.3)
        ax.grid(visible=False)
        ax.set_xlabel("lowest to highest; orange: in quarantine")
        ax.set_title(cut(title))

    return png(draw)
