"""The real sets that the drift bench runs on: absorbance spectra with their properties.

Belongs here: reading and cutting the sets. Does not belong here: what is done with them (``bench_drift``).
LimeSoDa's sets come with the package ``limesoda``; the others are read from ``$SOIL_BENCH_DATA`` (by default
the folder ``../shared/data`` beside the repository) and are left out, by name, where that is missing.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.embedded import limesoda
from soil_assets.spectra.harmonise import resample, to_quantity

#: Set -> file, property columns (column in the file -> name here).
_FILES: dict[str, tuple[str, dict[str, str]]] = {
    "KSSL-500": (
        "kssl_mir_500/kssl_toy_mir.parquet",
        {"oc_usda.c729_w.pct": "soc", "clay.tot_usda.a334_w.pct": "clay", "cec_usda.a723_cmolc.kg": "cec"},
    ),
    "NIRsoil": (
        "nirsoil/nirsoil.parquet",
        {"c_org_g_100g": "soc", "n_total_g_kg": "n_tot", "cec_meq_100g": "cec"},
    ),
    "yamsys": ("yamsys_mir_opus/yamsys_replicates.parquet", {}),
    "AfSIS": ("afsis_mir_113/afspec.parquet", {}),
}
_LIMESODA_PROPERTIES = ("soc", "som", "ph", "clay")
#: The sets of the in-control table.
IN_CONTROL = ("KSSL-500", "NIRsoil", "SSP.460", "SP.231", "H.138", "yamsys")
#: Further sets of at least 100 soils, for the power only: no choice about the tests has looked at changes of them.
CONFIRMATION = ("SL.125", "UL.120", "NRW.115", "SA.112")
#: Where foreign scans come from: the largest other set that covers at least half of the set's axis.
FOREIGN = {
    "KSSL-500": "H.138",
    "NIRsoil": "SSP.460",
    "SSP.460": "NIRsoil",
    "SP.231": "SSP.460",
    "H.138": "KSSL-500",
    "yamsys": "KSSL-500",
    "SL.125": "NIRsoil",
    "UL.120": "NIRsoil",
    "NRW.115": "KSSL-500",
    "SA.112": "NIRsoil",
}
#: Foreign scans that resemble a set's own most (a like instrument, a like region): tabulated, not held.
RESEMBLING = {"KSSL-500": "AfSIS", "SP.231": "SC.93", "H.138": "NRW.115", "yamsys": "H.138"}


def data_folder() -> Path:
    """Return the folder of the sets that do not come with a package."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    return Path(os.environ.get("SOIL_BENCH_DATA", beside))


def available(name: str) -> bool:
    """Whether a set can be read here."""
    return name not in _FILES or _file(name).is_file()


def read(name: str) -> tuple[SpectralBatch, tuple[str, ...]]:
    """Return a set as absorbance, one row a soil (replicates averaged), and its property columns."""
    if name not in _FILES:
        batch = to_quantity(limesoda(name), "absorbance")
        return batch, tuple(p for p in _LIMESODA_PROPERTIES if p in batch.samples.columns)
    file, columns = _file(name), _FILES[name][1]
    table = pd.read_parquet(file)
    bands = [str(c) for c in table.columns if _is_number(str(c))]
    spectra = table[bands].to_numpy(dtype=np.float64)
    complete = np.isfinite(spectra).all(axis=0)  # AfSIS: the last band is missing in most rows
    axis = Axis(np.array([float(b) for b in bands])[complete], "nm" if name == "NIRsoil" else "cm-1")
    samples = table[[c for c in columns if c in table.columns]].rename(columns=columns)
    ids = table["sample_id"] if "sample_id" in table.columns else pd.Series(np.arange(len(table)))
    samples.insert(0, "sample_id", ids.astype(str).to_numpy())
    spectra = spectra[:, complete]
    if "n_tot" in samples.columns:
        samples["n_tot"] /= 10.0  # g/kg
    if name == "yamsys":
        codes, names = pd.factorize(samples["sample_id"])
        spectra = pd.DataFrame(spectra).groupby(codes).mean().to_numpy()
        samples = pd.DataFrame({"sample_id": names})
        samples["country"] = samples["sample_id"].str[:2]
        lab = pd.read_csv(file.parent / "soilchem_yamsys.csv").set_index("sample_ID")
        samples["soc"] = lab["C"].reindex(names).to_numpy() / 10.0  # g/kg
        samples["clay"] = lab["clay"].reindex(names).to_numpy()
        columns = {"C": "soc", "clay": "clay"}
    batch = SpectralBatch(samples, spectra.astype(np.float32), axis, "absorbance")
    return batch, tuple(columns.values())


def on_common_axis(first: SpectralBatch, second: SpectralBatch) -> tuple[SpectralBatch, SpectralBatch]:
    """Cut ``first`` to the range that both cover (its own bands) and resample ``second`` onto it."""
    other = second.axis.to_unit(first.axis.unit)
    inside = (first.axis.values >= other.low) & (first.axis.values <= other.high)
    axis = Axis(first.axis.values[inside], first.axis.unit)
    cut = SpectralBatch(first.samples, first.spectra[:, inside], axis, first.quantity)
    return cut, resample(second, axis)


def _file(name: str) -> Path:
    return data_folder() / _FILES[name][0]


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()
