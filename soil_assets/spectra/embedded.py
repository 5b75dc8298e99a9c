"""The embedded real spectra: LimeSoDa's spectral sets as :class:`SpectralBatch`.

Belongs here: turning the PyPI package ``limesoda`` (CC BY-SA 4.0; Schmidinger et al. 2025) into batches in the
catalogue's names and units. Does not belong here: which rows make a benchmark (``benchmarks``).

The package stores column names as pickled object arrays. They are read by an unpickler that can build numpy
arrays and strings and nothing else, so no code from a data file ever runs.
"""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.errors import BadInput
from soil_assets.spectra.axis import Axis, AxisUnit
from soil_assets.spectra.batch import SpectralBatch

_BAND = re.compile(r"(w[ln])_(\d+(?:\.\d+)?)")
_UNITS: dict[str, AxisUnit] = {"wl": "nm", "wn": "cm-1"}
#: Sets whose organic carbon is in g/kg although the package does not say so (their means are ten times the
#: others': NRW.42 14.5, MG.44 12.3, SSP.58 16.6), and whose clay is in g/kg (MG.44 250, SSP.58 418).
_SOC_FACTOR = {"NRW.42": 0.1, "MG.44": 0.1, "SSP.58": 0.1}
_CLAY_FACTOR = {"MG.44": 0.1, "SSP.58": 0.1}


class _ArraysOnly(pickle.Unpickler):
    _allowed: ClassVar = {
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self._allowed:
            return super().find_class(module, name)
        raise BadInput("a data file asks for code", found=f"{module}.{name}", expected="plain arrays")


def limesoda(name: str) -> SpectralBatch:
    """Return one LimeSoDa set: reflectance as fraction, SOC and clay in %, pH as given.

    Parameters
    ----------
    name : str
        Such as ``NRW.115``.

    Returns
    -------
    SpectralBatch
        ``sample_id`` is ``<set>-<row>``, counted from 1; column ``fold`` carries the published fold (1..10);
        SOM (g/kg or %) stays in a column of its own, never converted to SOC. Other sensors' columns are kept.

    Raises
    ------
    BadInput
        When the set does not exist or has no spectra.
    """
    folder = _data_folder()
    file = folder / f"{name}.npz"
    if not re.fullmatch(r"[A-Za-z0-9._]+", name) or not file.is_file():
        raise BadInput("no such LimeSoDa set", found=name, expected=", ".join(spectral_sets()))
    with zipfile.ZipFile(file) as archive:
        columns = [str(c) for c in _member(archive, "dataset_columns")]
        data = np.asarray(_member(archive, "dataset_data"), dtype=np.float64)
        folds = np.asarray(_member(archive, "folds"), dtype=np.int64)
    matches = [_BAND.fullmatch(c) for c in columns]
    bands = [i for i, m in enumerate(matches) if m]
    if not bands:
        raise BadInput("this LimeSoDa set has no spectra", found=name, expected=", ".join(spectral_sets()))
    found = [m for m in matches if m]
    axis = Axis(np.array([float(m[2]) for m in found]), _UNITS[found[0][1]])
    samples = pd.DataFrame({"sample_id": [f"{name}-{i + 1:03d}" for i in range(len(data))], "fold": folds})
    for i, column in enumerate(columns):
        if i in set(bands):
            continue
        key = {"Clay_target": "clay", "pH_target": "ph", "SOC_target": "soc", "SOM_target": "som"}.get(
            column, column
        )
        factor = {"soc": _SOC_FACTOR, "clay": _CLAY_FACTOR}.get(key, {}).get(name, 1.0)
        samples[key] = data[:, i] * factor
    origin = {"source": f"LimeSoDa {name}", "format": "limesoda", "licence": "CC BY-SA 4.0"}
    return SpectralBatch(
        samples, (data[:, bands] / 100.0).astype(np.float32), axis, "reflectance", "fraction", origin
    )


def spectral_sets() -> list[str]:
    """Return the names of the sets that carry spectra."""
    names = []
    for file in sorted(_data_folder().glob("*.npz")):
        if file.stem == "Overview_Datasets":
            continue
        with zipfile.ZipFile(file) as archive:
            if sum(bool(_BAND.fullmatch(str(c))) for c in _member(archive, "dataset_columns")) > 50:
                names.append(file.stem)
    return names


def _data_folder() -> Path:
    spec = find_spec("LimeSoDa")  # found without importing it: its loader would unpickle
    if spec is None or not spec.submodule_search_locations:
        raise BadInput("the package limesoda is not installed", mend="pip install limesoda==0.1.5")
    return Path(spec.submodule_search_locations[0]) / "data"


def _member(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    stream = io.BytesIO(archive.read(f"{name}.npy"))
    version = np.lib.format.read_magic(stream)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    _, _, dtype = reader(stream)
    if dtype.hasobject:
        return np.asarray(_ArraysOnly(stream).load(), dtype=object)
    stream.seek(0)
    return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
