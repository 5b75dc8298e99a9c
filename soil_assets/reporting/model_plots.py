"""Pictures of one model: residuals, coverage, classes, how its complexity was chosen.

Belongs here: drawing what a model card shows beyond ``plots``. Does not belong here: computing any of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from soil_assets.reporting.canvas import BLUE, GREEN, GREY, INK, ORANGE, cut, drawable, in_unit, nothing, png
from soil_assets.reporting.numerals import count, finite

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def residuals(predictions: pd.DataFrame, unit: str, title: str = "Residuals") -> bytes:
    """Draw predicted - observed against the prediction; samples outside the applicability domain stand out.

    Parameters
    ----------
    predictions : DataFrame
        ``observed``, ``value``, and ``inside`` (bool) where the domain was judged.
    unit, title : str
        Unit of both; any title.
    """

    def draw(ax: Axes) -> None:
        observed, value = (
            pd.to_numeric(predictions[c], errors="coerce").to_numpy(dtype=np.float64)
            for c in ("observed", "value")
        )
        keep = drawable(observed) & drawable(value)
        if not keep.any():
            return nothing(ax, "no residuals to show")
        inside = np.ones(keep.size, dtype=bool)
        if "inside" in predictions.columns:
            inside = np.array([v is True or v is np.True_ for v in predictions["inside"]], dtype=bool)
        for mask, colour, style, words in (
            (keep & inside, BLUE, "o", "inside the applicability domain"),
            (keep & ~inside, ORANGE, "D", "outside it"),
        ):
            if mask.any():
                error = value[mask] - observed[mask]
                ax.plot(value[mask], error, style, color=colour, markersize=4, label=f"{words}: {mask.sum()}")
        ax.axhline(0, color=INK, linewidth=0.9)
        ax.legend(loc="best")
        ax.set_xlabel(f"predicted{in_unit(unit)}")
        ax.set_ylabel(f"predicted - observed{in_unit(unit)}")
        ax.set_title(cut(title))

    return png(draw)


def coverage(table: Sequence[Mapping[str, Any]], title: str = "Coverage of the intervals") -> bytes:
    """Draw the share of observed values inside each interval against its nominal level.

    Parameters
    ----------
    table : sequence of mappings
        ``level``, ``n``, ``picp`` and the counts ``low``, ``high`` that a right interval gives (grey bar).
    """

    def draw(ax: Axes) -> None:
        rows = [r for r in table if finite(r.get("level")) is not None and finite(r.get("picp")) is not None]
        if not rows:
            return nothing(ax, "coverage was not judged")
        for row in rows:
            level, n = float(row["level"]), finite(row.get("n")) or 0.0
            low, high = finite(row.get("low")), finite(row.get("high"))
            if n and low is not None and high is not None:
                ax.plot(
                    [level, level],
                    [low / n, high / n],
                    color=GREY,
                    linewidth=9,
                    alpha=0.5,
                    solid_capstyle="butt",
                )
            ax.plot(level, float(row["picp"]), "o" if row.get("covered") else "D", markersize=6,
                    color=BLUE if row.get("covered") else ORANGE)  # fmt: skip
        ends = [min(float(r["level"]) for r in rows) - 0.06, 1.0]
        ax.plot(ends, ends, color=INK, linewidth=0.9)
        ax.set_xlim(ends[0], 1.01)
        ax.set_xticks([float(r["level"]) for r in rows], [f"{100 * float(r['level']):g} %" for r in rows])
        ax.set_ylim(top=1.03)
        ax.set_xlabel("nominal level (grey: what a right interval gives, 99 %)")
        ax.set_ylabel("share inside")
        ax.set_title(cut(title))

    return png(draw)


def domain(
    predictions: pd.DataFrame, limits: Mapping[str, Any], title: str = "Applicability domain"
) -> bytes:
    """Draw every sample's distance from the model: T2 against Q, each as a share of its limit, on root scales.

    Parameters
    ----------
    predictions : DataFrame
        ``t2``, ``q``, ``distance`` and ``inside``.
    limits : mapping of str to float
        Joint limits of the three; a sample that only its distance puts outside is marked inside the square.
    """

    def draw(ax: Axes) -> None:
        shares = {
            m: pd.to_numeric(predictions[m], errors="coerce").to_numpy(dtype=np.float64)
            / (finite(limits[m]) or np.nan)
            for m in ("t2", "q", "distance")
        }
        x, y = np.sqrt(shares["t2"]), np.sqrt(shares["q"])
        keep = drawable(x) & drawable(y)
        if not keep.any():
            return nothing(ax, "the domain was not judged")
        far = keep & ((x > 1) | (y > 1))
        alone = keep & ~far & (shares["distance"] > 1)
        for mask, colour, style, words in (
            (keep & ~far & ~alone, BLUE, "o", "inside"),
            (far, ORANGE, "D", "outside by T2 or Q"),
            (alone, GREEN, "s", "outside: no similar spectrum"),
        ):
            if mask.any():
                ax.plot(x[mask], y[mask], style, color=colour, markersize=4, label=f"{words}: {mask.sum()}")
        ax.plot([0, 1, 1], [1, 1, 0], color=INK, linewidth=0.9)
        ax.set_xlim(0, max(1.15, 1.05 * float(x[keep].max())))
        ax.set_ylim(0, max(1.15, 1.05 * float(y[keep].max())))
        ax.legend(loc="best")
        ax.set_xlabel("root of T2 / limit")
        ax.set_ylabel("root of Q / limit")
        ax.set_title(cut(title))

    return png(draw)


def validation_curves(
    curves: Mapping[str, Sequence[float]],
    chosen: tuple[str, int] | None = None,
    title: str = "Cross-validation",
) -> bytes:
    """Draw the cross-validated RMSE of each pre-treatment over the number of components.

    Parameters
    ----------
    curves : mapping of str to sequence of float
        RMSE for 1, 2, ... components, on the modelling scale.
    chosen : (str, int) or None
        The pre-treatment and number of components that were taken.
    """

    from matplotlib.ticker import MaxNLocator

    def draw(ax: Axes) -> None:
        known = {name: [finite(v) for v in curve] for name, curve in curves.items()}
        best = {n: min((v for v in c if v is not None), default=np.inf) for n, c in known.items()}
        if not any(np.isfinite(v) for v in best.values()):
            return nothing(ax, "no curve to show")
        lowest, others = min(best.values()), len(known)
        for name, curve in known.items():
            values = np.array([np.nan if v is None else v for v in curve], dtype=np.float64)
            if chosen is None or name != chosen[0]:
                words = f"{others - (chosen is not None and chosen[0] in known)} other pre-treatments"
                ax.plot(np.arange(1, values.size + 1), values, color=GREY, linewidth=0.9, label=words)
                continue
            ax.plot(
                np.arange(1, values.size + 1),
                values,
                color=BLUE,
                linewidth=1.8,
                zorder=3,
                label=cut(name, 30),
            )
            if 1 <= chosen[1] <= values.size:
                ax.plot(chosen[1], values[chosen[1] - 1], "o", color=ORANGE, markersize=7, zorder=4,
                        label=f"taken: {count(chosen[1], 'component')}")  # fmt: skip
        # The first components are far off; what matters lies near the minimum.
        ax.set_ylim(0.9 * lowest, min(ax.get_ylim()[1], 3 * lowest) if lowest > 0 else None)
        handles, labels = ax.get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        if unique:
            ax.legend(unique.values(), unique.keys(), loc="upper right")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("components")
        ax.set_ylabel("cross-validated RMSE")
        ax.set_title(cut(title))

    return png(draw)


def confusion(labels: Sequence[str], counts: Sequence[Sequence[int]], title: str = "") -> bytes:
    """Draw observed (rows) against predicted (columns) classes, shaded by the share of the observed class.

    Parameters
    ----------
    labels : sequence of str
        Names of the classes.
    counts : sequence of sequence of int
        Samples by observed and predicted class.
    """

    def draw(ax: Axes) -> None:
        table = np.asarray(counts, dtype=np.float64).reshape(len(labels), len(labels))
        if not table.sum():
            return nothing(ax, "no samples to show")
        share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
        ax.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for row, column in zip(*np.nonzero(table), strict=True):
            dark = share[row, column] > 0.55
            ax.text(
                column, row, f"{table[row, column]:.0f}", ha="center", va="center", color="w" if dark else INK
            )
        names = [cut(label, 14) for label in labels]
        ax.set_xticks(range(len(names)), names, rotation=30 if len(names) > 4 else 0)
        ax.set_yticks(range(len(names)), names)
        ax.grid(visible=False)
        ax.set_xlabel("predicted class")
        ax.set_ylabel("observed class")
        agreed = f"{np.trace(table):.0f} of {table.sum():.0f} agree"
        ax.set_title(f"{cut(title)}: {agreed}" if title else agreed)

    return png(draw, height=4.0)
