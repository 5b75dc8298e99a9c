"""Which rows a model may be trained on, and what is refused before any time is spent.

Belongs here: checks of training data. Does not belong here: quarantine of a batch's rows (``quality``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.modeling.recipe import Recipe
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import Property

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def usable_rows(batch: SpectralBatch, prop: Property, recipe: Recipe) -> IntArray:
    """Return the rows that have a value of the property.

    Raises
    ------
    BadInput
        For spectra in percent or with missing values, no value at all, a physically impossible one, fewer samples than
        folds, a constant target.
    """
    if batch.scale != "fraction":
        raise BadInput(
            "spectra are in percent", found=batch.scale, expected="fraction", mend="harmonise them first"
        )
    values = batch.property_values(prop.name)
    finite = np.isfinite(values)
    rows = np.flatnonzero(finite)
    if rows.size == 0:
        raise BadInput(
            f"no sample has a value of {prop.name}",
            column=prop.name,
            found=f"{len(batch)} rows, all missing",
            mend="add the laboratory's results, or leave the property out",
        )
    broken = rows[~np.isfinite(batch.spectra[rows]).all(axis=1)]
    if broken.size:
        raise BadInput(
            "a training spectrum has missing or infinite values",
            row=int(broken[0]) + 1,
            found=f"{broken.size} such spectra, first {batch.sample_ids.iloc[int(broken[0])]}",
            mend="quarantine those rows before training",
        )
    kept = values[rows]
    impossible = (kept < prop.hard[0]) | (kept > prop.hard[1])
    if impossible.any():
        first = int(rows[np.flatnonzero(impossible)[0]])
        raise BadInput(
            f"{int(impossible.sum())} values of {prop.name} are physically impossible",
            row=first + 1,
            column=prop.name,
            found=f"{values[first]:g}",
            expected=f"{prop.hard[0]:g} to {prop.hard[1]:g} {prop.unit}",
            mend="check the unit of the laboratory's column",
        )
    if rows.size < max(recipe.folds, 4):
        raise BadInput(
            "fewer samples than folds",
            column=prop.name,
            found=f"{rows.size} samples with {prop.name}",
            expected=f"at least {max(recipe.folds, 4)}",
            mend="add samples, or ask for fewer folds",
        )
    if np.ptp(kept) <= 1e-9 * max(1.0, float(np.abs(kept).max())):
        raise BadInput(f"{prop.name} is constant", column=prop.name, found=f"{kept[0]:g} in {rows.size} rows")
    return rows.astype(np.int64)


def check_groups(codes: IntArray) -> None:
    """Refuse fewer than three groups: a nested validation would have to split one."""
    n_groups = int(codes.max()) + 1
    if n_groups < 3:
        raise BadInput(
            "too few groups for a nested validation that splits none of them",
            found=f"{n_groups} group{'s' if n_groups > 1 else ''} in {codes.size} samples",
            expected="at least three",
            mend="add samples of other profiles or sites, or group by a finer column",
        )


def check_treated(spectra: FloatArray, recipe: Recipe) -> None:
    """Refuse spectra that a pre-treatment of the recipe cannot be applied to."""
    for pretreatment in recipe.pretreatments:
        bad = np.flatnonzero(~np.isfinite(pretreatment.fitted(spectra).apply(spectra)).all(axis=1))
        if bad.size:
            raise BadInput(
                f"{bad.size} training spectra are flat: they have no {pretreatment.name}",
                row=int(bad[0]) + 1,
                mend="quarantine those rows before training",
            )
