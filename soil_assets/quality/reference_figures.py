"""What is normal for an instrument: features of the golden reference that a batch's scans are held against.

Belongs here: fitting and storing the reference's features, and expressing a batch's features against them.
Does not belong here: drift (``drift``): here single scans are judged, not the batch's distribution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.errors import BadInput
from soil_assets.quality.features import CO2, WATER, band_heights, band_shifts, detector_noise, shift_template
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.harmonise import to_quantity

Floats = npt.NDArray[np.float64]

#: Fewer scans than this do not tell what is normal.
MIN_REFERENCE = 10
#: Spreads below this (absorbance) are not trusted: a set of one soil would call every other soil abnormal.
_LEAST_SPREAD = 0.005
_ENOUGH = 2000
#: Name of the shift among centres and spreads, in bands.
_SHIFT = "shift"
#: A reference whose own shifts scatter more than this (bands) cannot tell a shift of a single scan.
_MOST_SHIFT_SPREAD = 0.15
_BLOCK_ROWS = 1024

#: Columns of :func:`feature_figures`.
FEATURE_COLUMNS = (
    "water_height", "water_excess", "co2_height", "noise", "noise_ratio", "wavelength_shift",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class ReferenceFigures:
    """Features of a reference set.

    Parameters
    ----------
    axis : Axis
        The model's axis.
    template : ndarray of float64, shape (n_bands,)
        Median SNV absorbance spectrum, which wavelength shifts are measured against.
    centres, spreads : mapping of str to float
        Median and robust standard deviation (1.4826 MAD) of each band height, detector noise and of the
        shift.
    scans : int
        Scans behind them.
    """

    axis: Axis
    template: Floats
    centres: Mapping[str, float]
    spreads: Mapping[str, float]
    scans: int

    @classmethod
    def of(cls, reference: SpectralBatch) -> ReferenceFigures:
        """Fit on harmonised scans; of more than 2,000, on 2,000 evenly taken ones (medians need no more).

        Raises
        ------
        BadInput
            When there are fewer than 10 scans.
        """
        if len(reference) < MIN_REFERENCE:
            raise BadInput(
                "too few scans to tell what is normal",
                found=str(len(reference)),
                expected=f"at least {MIN_REFERENCE}",
            )
        if len(reference) > _ENOUGH:
            reference = reference.take(np.linspace(0, len(reference) - 1, _ENOUGH).astype(np.intp))
        absorbance = to_quantity(reference, "absorbance").spectra
        template = shift_template(absorbance)
        features = {**_features(absorbance, reference.axis), _SHIFT: band_shifts(absorbance, template)}
        # Where half of the reference itself cannot be placed, no scan can.
        judged = np.isfinite(features[_SHIFT])
        features[_SHIFT] = features[_SHIFT][judged] if judged.mean() >= 0.5 else np.array([np.nan])
        return cls(
            axis=reference.axis,
            template=template,
            centres={name: float(np.median(v)) for name, v in features.items()},
            spreads={
                name: 1.4826 * float(np.median(np.abs(v - np.median(v)))) for name, v in features.items()
            },
            scans=len(reference),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready content; :meth:`from_dict` reads it back exactly."""
        return {
            "version": 1,
            "axis": {"unit": self.axis.unit, "values": self.axis.values.tolist()},
            "template": self.template.tolist(),
            "centres": {k: None if np.isnan(v) else v for k, v in self.centres.items()},
            "spreads": {k: None if np.isnan(v) else v for k, v in self.spreads.items()},
            "scans": self.scans,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> ReferenceFigures:
        """Read what :meth:`to_dict` wrote.

        Raises
        ------
        BadInput
            When it is of another version.
        """
        if raw.get("version") != 1:
            raise BadInput(
                "reference figures of another version", found=str(raw.get("version")), expected="1"
            )
        axis = Axis(np.asarray(raw["axis"]["values"], dtype=np.float64), raw["axis"]["unit"])
        template = np.asarray(raw["template"], dtype=np.float64)
        centres, spreads = (
            {k: np.nan if v is None else float(v) for k, v in raw[n].items()} for n in ("centres", "spreads")
        )
        return cls(axis, template, centres, spreads, int(raw["scans"]))


def feature_figures(
    harmonised: SpectralBatch, rows: npt.NDArray[np.intp], count: int, reference: ReferenceFigures | None
) -> tuple[pd.DataFrame, str | None]:
    """Measure features of harmonised scans against the reference, else against the batch itself.

    Parameters
    ----------
    harmonised : SpectralBatch
        Scans on the model's axis.
    rows : ndarray of int
        Their rows in the landed batch.
    count : int
        Scans in the landed batch.
    reference : ReferenceFigures or None

    Returns
    -------
    (DataFrame, str or None)
        :data:`FEATURE_COLUMNS`, one row a landed scan, NaN where a scan is not on the axis or a figure cannot
        be judged; and a sentence when there was no reference to compare with.

    Raises
    ------
    BadInput
        When the reference lies on another axis.
    """
    note = None
    if reference is None:
        note = "spectral features are compared within the batch: no reference was given"
        if len(harmonised) >= MIN_REFERENCE:
            reference = ReferenceFigures.of(harmonised)
        else:
            note = f"noise, water and shift are not judged: fewer than {MIN_REFERENCE} scans and no reference"
    elif reference.axis != harmonised.axis:
        raise BadInput(
            "the reference figures lie on another axis than the model",
            found=reference.axis.describe(),
            expected=harmonised.axis.describe(),
            mend="fit the reference figures again",
        )
    blocks = []
    for start in range(0, len(harmonised), _BLOCK_ROWS):
        block = harmonised.take(np.arange(start, min(start + _BLOCK_ROWS, len(harmonised))))
        blocks.append(_against(to_quantity(block, "absorbance").spectra, harmonised.axis, reference))
    table = pd.DataFrame(np.nan, index=pd.RangeIndex(count), columns=list(FEATURE_COLUMNS), dtype=np.float64)
    if blocks:
        found = pd.concat([pd.DataFrame(b) for b in blocks], ignore_index=True)
        table.loc[rows, list(FEATURE_COLUMNS)] = found[list(FEATURE_COLUMNS)].to_numpy(dtype=np.float64)
    return table, note


def _features(absorbance: npt.NDArray[np.float32], axis: Axis) -> dict[str, Floats]:
    return {**band_heights(absorbance, axis, WATER), **band_heights(absorbance, axis, CO2),
            **detector_noise(absorbance, axis)}  # fmt: skip


def _against(
    absorbance: npt.NDArray[np.float32], axis: Axis, reference: ReferenceFigures | None
) -> dict[str, Floats]:
    features = _features(absorbance, axis)
    unknown = np.full(len(absorbance), np.nan)
    water = [b.name for b in WATER if b.name in features]
    noise = {name: v for name, v in features.items() if name.startswith("noise_")}
    out = dict.fromkeys(FEATURE_COLUMNS, unknown)
    if water:
        out["water_height"] = np.max([features[n] for n in water], axis=0)
    if CO2[0].name in features:
        out["co2_height"] = features[CO2[0].name]
    if noise:
        out["noise"] = np.max(list(noise.values()), axis=0)
    if reference is not None:
        excess = [_z(features[n], reference, n) for n in water if n in reference.centres]
        ratios = [v / reference.centres[n] for n, v in noise.items() if reference.centres.get(n, 0) > 0]
        out["water_excess"] = np.max(excess, axis=0) if excess else unknown
        out["noise_ratio"] = np.max(ratios, axis=0) if ratios else unknown
        if reference.spreads[_SHIFT] <= _MOST_SHIFT_SPREAD:
            bands = band_shifts(absorbance, reference.template) - reference.centres[_SHIFT]
            out["wavelength_shift"] = bands * (axis.values[1] - axis.values[0])
    return out


def _spread(values: Floats) -> float:
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _z(values: Floats, reference: ReferenceFigures, name: str) -> Floats:
    return (values - reference.centres[name]) / max(reference.spreads[name], _LEAST_SPREAD)
