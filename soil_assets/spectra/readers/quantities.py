"""What instruments call their ordinate, brought to the two quantities that a batch knows.

Belongs here: transmittance and Kubelka-Munk to absorbance and reflectance, and which quantities cannot be
used. Does not belong here: conversions between absorbance and reflectance (``spectra.harmonise``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.spectra.batch import Quantity, Scale

#: Over this, a transmittance or Kubelka-Munk reflectance was written in percent.
_PERCENT_FROM = 2.0


def settle(
    kind: str, values: npt.NDArray[np.float32], file: str, percent: bool | None = None
) -> tuple[npt.NDArray[np.float32], Quantity | None, Scale | None, tuple[str, ...]]:
    """Return spectra as absorbance or reflectance, and what was converted, in words.

    Parameters
    ----------
    kind : str
        ``absorbance``, ``reflectance``, ``transmittance``, ``kubelka-munk`` or ``unknown``; anything else
        is refused.
    values : ndarray of float32
        Spectra as stored.
    file : str
        For messages.
    percent : bool or None
        Whether a ratio is in percent; None when the file does not say.

    Notes
    -----
    Transmittance: A = log10(1/T). Kubelka-Munk: K = (1 - R)^2 / 2R, so R = 1 + K - sqrt(K^2 + 2K).

    Raises
    ------
    BadInput
        When the quantity is neither of the two nor convertible (Raman, emission, single channel, counts ...).
    """
    scale: Scale | None = None if percent is None else ("percent" if percent else "fraction")
    if kind == "absorbance":
        return values, "absorbance", "fraction", ()
    if kind == "reflectance":
        return values, "reflectance", scale, ()
    if kind == "unknown":
        return values, None, scale, ()
    if kind == "transmittance":
        wide = values.astype(np.float64)
        if percent is None:
            with np.errstate(invalid="ignore"):
                percent = (
                    bool(np.nanquantile(wide, 0.95) > _PERCENT_FROM) if np.isfinite(wide).any() else False
                )
        wide = wide / 100.0 if percent else wide
        absorbance = -np.log10(np.maximum(wide, 1e-4))
        share = "percent transmittance" if percent else "transmittance"
        return (
            absorbance.astype(np.float32),
            "absorbance",
            "fraction",
            (f"{share} converted by A = log10(1/T)",),
        )
    if kind == "kubelka-munk":
        k = np.maximum(values.astype(np.float64), 0.0)
        reflectance = 1.0 + k - np.sqrt(k * k + 2.0 * k)
        said = ("Kubelka-Munk units converted by R = 1 + K - sqrt(K^2 + 2K)",)
        return reflectance.astype(np.float32), "reflectance", "fraction", said
    raise BadInput(
        "not a spectrum of absorbance or reflectance",
        file=file,
        found=kind,
        expected="absorbance, reflectance, transmittance or Kubelka-Munk",
        mend="export the absorbance or reflectance spectrum",
    )
