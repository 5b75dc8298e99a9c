"""The four batches of the demo, written as a lab would drop them: spectra, lab table, manifest.

All spectra are real (LimeSoDa, FT-MIR reflectance of dried and ground soil). NRW.115 is one field: its published
folds 1-5 are the golden reference, 6-7 the batch in control, 8-9 the official benchmark, 10 the damaged batch (folds
8-9 hold a few soils far from all others and would not be in control).
NRW.62 is another field measured on the same instrument. O.32 was measured from 3800 to 751 cm-1 only. The one thing
planted are the five faults of the damaged batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.embedded import limesoda
from soil_assets.storage import Store

#: Modelled properties that every demo batch carries, with the units its manifest states.
UNITS = {"clay": "%", "ph": "index", "soc": "%"}


@dataclass(frozen=True)
class DemoBatch:
    """One batch: its name, what it is, and how to get it."""

    name: str
    story: str
    make: Callable[[], SpectralBatch]


def _folds(*folds: int) -> SpectralBatch:
    field = limesoda("NRW.115")
    return field.take(field.samples["fold"].isin(folds).to_numpy())


def damaged() -> SpectralBatch:
    """Fold 10 of NRW.115 with five planted faults, one a row.

    Row 2 is in percent where the others are fractions, row 3's scan is repeated under another id, row 5 is NaN, row 7
    has clay of 140 %, row 9 has no id.
    """
    clean = _folds(10)
    repeated = clean.take([*range(len(clean)), 2])
    samples, spectra = repeated.samples.copy(), np.array(repeated.spectra)
    ids = samples["sample_id"].astype(object)
    ids.iloc[len(clean)] = f"{ids.iloc[2]}-again"
    ids.iloc[8] = None
    samples["sample_id"] = ids
    spectra[1] *= 100.0
    spectra[4] = np.nan
    samples.loc[6, "clay"] = 140.0
    return replace(repeated, samples=samples, spectra=spectra)


DEMO_BATCHES = (
    DemoBatch("same-field", "NRW.115, unseen samples of the reference's field", lambda: _folds(6, 7)),
    DemoBatch("other-field", "NRW.62, another field, the same instrument", lambda: limesoda("NRW.62")),
    DemoBatch("damaged", "NRW.115 again, with five faults planted", damaged),
    DemoBatch("short-range", "O.32, measured down to 751 cm-1 only", lambda: limesoda("O.32")),
)

#: Those that main of this repository is trained on; the others are what a pull request could bring.
REPOSITORY_BATCHES = ("same-field",)


def land(batch: DemoBatch, landing: Store) -> None:
    """Drop one batch into the landing zone: ``spectra.csv``, ``lab.csv``, ``batch.yaml``, then ``_SUCCESS``."""
    import yaml

    data = batch.make()
    bands = [f"scan_mir.{position:g}_ref" for position in data.axis.values]
    table = pd.DataFrame(data.spectra, columns=bands)
    table.insert(0, "sample_id", data.samples["sample_id"])
    lab = data.samples[["sample_id", *(c for c in UNITS if c in data.samples)]]
    manifest = {
        "title": batch.story,
        "quantity": "reflectance",
        "scale": "fraction",
        "axis_unit": data.axis.unit,
        "source": data.origin["source"],
        "licence": data.origin["licence"],
        "units": UNITS,
    }
    landing.write(f"{batch.name}/spectra.csv", table.to_csv(index=False, float_format="%.6f").encode())
    landing.write(f"{batch.name}/lab.csv", lab.dropna(subset=["sample_id"]).to_csv(index=False).encode())
    landing.write(f"{batch.name}/batch.yaml", yaml.safe_dump(manifest, sort_keys=False).encode())
    landing.write(f"{batch.name}/_SUCCESS", b"")


def land_missing(landing: Store, batches: tuple[DemoBatch, ...] = DEMO_BATCHES) -> list[str]:
    """Drop the batches that are not there yet; return their names."""
    missing = [b for b in batches if not landing.exists(f"{b.name}/_SUCCESS")]
    for batch in missing:
        land(batch, landing)
    return [b.name for b in missing]
