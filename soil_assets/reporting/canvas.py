"""The canvas that every picture of the reports is drawn on: size, colours, letters, encoding.

Belongs here: how a picture is made. Does not belong here: what it shows (``plots``, ``drift_plots``).

Colours are the Okabe-Ito palette (Okabe & Ito 2008, Color Universal Design). Figures are drawn on the Agg
canvas, never through pyplot: the same data give the same bytes.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from soil_assets.reporting.escaping import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, GREY, INK = "#0072B2", "#D55E00", "#009E73", "#8c959e", "#1c2126"
#: 780 x 450 pixels: letters stay about 10 pixels high when a phone shows the picture 360 pixels wide.
SIZE, DPI = (5.2, 3.0), 150
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "axes.titlesize": 11,
    "axes.labelsize": 10.5,
    "axes.edgecolor": "#5a6672",
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "axes.grid": True,
    "grid.color": "#e3e8ec",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    # Names come from files: a dollar sign in one is a dollar sign, never mathematics.
    "text.parse_math": False,
}
_DRAWING = threading.Lock()


def png(draw: Callable[[Axes], object], height: float = SIZE[1]) -> bytes:
    """Draw one picture.

    Parameters
    ----------
    draw : callable
        Draws on the axes it is given.
    height : float
        In inches of :data:`DPI` pixels; the width is always the same.

    Returns
    -------
    bytes
        PNG of at most 64 colours, without a time stamp.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # rc_context and catch_warnings swap global settings for a moment: one thread at a time.
    with _DRAWING, rc_context(_STYLE), warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box; the words beside the picture hold it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        figure = Figure(figsize=(SIZE[0], height), dpi=DPI, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        draw(figure.add_subplot())
        return _encode(canvas)


def _encode(canvas: Any) -> bytes:
    from PIL import Image

    canvas.draw()
    image = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba())
    out = io.BytesIO()
    # 64 colours are plenty for lines and bands and make the file a third as large.
    flat = image.convert("RGB").quantize(64, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    flat.save(out, format="PNG", compress_level=6)
    return out.getvalue()


def drawable(values: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Tell which values can be drawn: finite, and not so large that their squares are not."""
    array = np.asarray(values, dtype=np.float64)
    return np.asarray(np.isfinite(array) & (np.abs(array) < 1e100))


def nothing(ax: Axes, words: str) -> None:
    """Say on an empty picture why it is empty."""
    ax.text(0.5, 0.5, words, ha="center", va="center", transform=ax.transAxes, color="#5a6672")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(visible=False)


def in_unit(unit: str) -> str:
    """Return a unit as the end of an axis label; an index has none."""
    return f" / {unit}" if unit and unit != "index" else ""


def wavelength_axis(ax: Axes, unit: str) -> None:
    """Label a spectral axis; wavenumbers are read from high to low in infrared spectroscopy."""
    if unit == "cm-1":
        ax.invert_xaxis()
    ax.set_xlabel("wavenumber / cm⁻¹" if unit == "cm-1" else "wavelength / nm")


def cut(text: str, limit: int = 60) -> str:
    """Return a title as visible characters, cut to what fits."""
    return visible(text, limit)
